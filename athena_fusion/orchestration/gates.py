"""Gates: a stage runs when its inputs are there and passed; the clock only says "not before".

A cron schedule per stage would start work on inputs that are late, and `on_cron` would wait for inputs newer
than its own tick. The condition below fires once per partition, after its time, however late the inputs come,
also when the daemon was down meanwhile; a failed blocking check of one entity holds that entity only.
"""

import dagster as dg

from athena_fusion.orchestration.cadence import CADENCE, cron

_C = dg.AutomationCondition


def gate(at: str) -> dg.AutomationCondition:
    """Once per partition: not before `at`, inputs updated since extraction began, their blocking checks passed."""
    due = _C.cron_tick_passed(cron(at), CADENCE.zone).since(_C.newly_requested() | _C.newly_updated())
    return (
        _C.in_latest_time_window()
        & due
        & _C.all_deps_updated_since_cron(cron(CADENCE.extraction), CADENCE.zone)
        & _C.all_deps_blocking_checks_passed()
        & ~_C.in_progress()
    ).with_label(f"not before {at}, inputs present and passed")


def issued_again() -> dg.AutomationCondition:
    """After the evidence time: whenever an input of the day arrives late. The schedule issues the first pack.

    An arrival while a pack is being made is remembered until that run has ended: its reading may be over. For the
    same reason an arrival in the very look after a request counts as later than the request.
    """
    tonight = _C.cron_tick_passed(cron(CADENCE.extraction), CADENCE.zone)
    issued = _C.cron_tick_passed(cron(CADENCE.evidence), CADENCE.zone).since(tonight)
    arrived = issued & _C.any_deps_updated()
    settled = _C.newly_requested().since(arrived)
    return (_C.in_latest_time_window() & arrived.since(tonight) & ~settled & ~_C.in_progress()).with_label(
        "a late entity arrived"
    )

"""One night, measured: through Dagster as people start it, or the same stages without Dagster."""

import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.place import DAY, Size

STAGES = ("extract", "reconcile_source", "transform", "package", "load", "read_back")
STAGE_OF_ASSET = {
    "rcm_transactions": "extract",
    "source_totals": "reconcile_source",
    "journal_lines": "transform",
    "journal_fbdi": "package",
    "journal_load": "load",
    "journal_readback": "read_back",
    "ledger_reconciliation": "reconcile_ledger",
    "evidence_pack": "issue_evidence",
}


@dataclass
class Night:
    """Seconds: `stages` per stage and entity, `runs` per run, `wall` for all entities, `evidence` for the day's end."""

    stages: dict[str, list[float]] = field(default_factory=dict)
    runs: list[float] = field(default_factory=list)
    wall: float = 0.0
    evidence: float = 0.0
    worker_mib: int = 0
    worker_cpu: float = 0.0
    stopped: dict[str, str] = field(default_factory=dict)

    def add(self, stage: str, seconds: float) -> None:
        self.stages.setdefault(stage, []).append(seconds)


@contextmanager
def stopwatch(keep: Callable[[float], None]) -> Iterator[None]:
    """Hand the seconds of the block to `keep`."""
    begun = time.perf_counter()
    yield
    keep(time.perf_counter() - begun)


def through_dagster(size: Size) -> Night:
    """The nightly job of every entity, then the evidence job; the times are those of Dagster's step events."""
    import dagster as dg

    from athena_fusion.orchestration.by_hand import run_evidence, run_nights

    night = Night()
    with stopwatch(lambda seconds: setattr(night, "wall", seconds)):
        reports = run_nights(DAY, workers=size.workers)
    night.worker_mib, night.worker_cpu = _workers()
    with stopwatch(lambda seconds: setattr(night, "evidence", seconds)):
        reports.append(run_evidence(DAY))
    night.stopped = {report.unit: report.stopped_by for report in reports if not report.success}
    with dg.DagsterInstance.get() as instance:
        for report in reports:
            stats = instance.get_run_stats(report.run_id)
            night.runs.append((stats.end_time or 0) - (stats.start_time or 0))
            for step in instance.get_run_step_stats(report.run_id):
                asset = step.step_key.rsplit("__", 1)[1]
                night.add(STAGE_OF_ASSET[asset], (step.end_time or 0) - (step.start_time or 0))
    return night


def without_dagster(size: Size) -> Night:
    """The same stages, called one after another in worker processes."""
    from athena_fusion.runtime import Runtime

    night = Night()
    entities = Runtime.shared().tenant.entities_on(DAY)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max_workers=size.workers, mp_context=context)
    with stopwatch(lambda seconds: setattr(night, "wall", seconds)), pool:
        for done in pool.map(_entity, [owner.entity for owner in entities]):
            night.runs.append(sum(done.values()))
            for stage, seconds in done.items():
                night.add(stage, seconds)
    night.worker_mib, night.worker_cpu = _workers()
    with stopwatch(lambda seconds: setattr(night, "evidence", seconds)):
        flow = Runtime.shared().night()
        for stage in ("reconcile_ledger", "issue_evidence"):
            with stopwatch(lambda seconds, stage=stage: night.add(stage, seconds)):
                getattr(flow, stage)(DAY, "benchmark")
    return night


def _entity(entity: str) -> dict[str, float]:
    from athena_fusion.runtime import Runtime

    flow = Runtime.shared().night()
    done: dict[str, float] = {}
    for stage in STAGES:
        with stopwatch(lambda seconds, stage=stage: done.update({stage: seconds})):
            getattr(flow, stage)(entity, DAY, "benchmark")
    return done


def _workers() -> tuple[int, float]:
    """Largest resident size (MiB) and CPU seconds of the processes waited for: the workers; the sandbox still runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_maxrss // 1024, used.ru_utime + used.ru_stime

"""Nights on the real definitions: Dagster's clock is set by the test, the flow's stages answer as they are told.

Runs happen in this process when the world's automation asks for them, each with all its events; nothing sleeps.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.test_utils import freeze_time  # Dagster's own clock for tests; it has no public name
from dagster._utils.schedules import schedule_execution_time_iterator

from athena_fusion.definitions import defs
from athena_fusion.orchestration.cadence import CADENCE
from athena_fusion.orchestration.partitions import NightKey, night_key
from athena_fusion.revenue.stage import CheckOutcome, StageResult
from athena_fusion.trust.manifest import ManifestRef

ZONE = ZoneInfo(CADENCE.zone)
GRAPH = defs.resolve_asset_graph()

STAGES = {
    "extract": "extraction/rcm_transactions",
    "reconcile_source": "extraction/source_totals",
    "transform": "revenue/journal_lines",
    "package": "revenue/journal_fbdi",
    "load": "load/journal_load",
    "read_back": "load/journal_readback",
    "reconcile_ledger": "reconciliation/ledger_reconciliation",
    "issue_evidence": "evidence/evidence_pack",
}
"""Stage of the flow by the name of its method, and the asset that binds it."""

NOTES = {"window": "w", "quarantined": "3"}

CHAIN = ["source_totals", "journal_lines", "journal_fbdi", "journal_load", "journal_readback"]
"""The assets of an entity's night that wait at gates, in order."""


def key(asset: str) -> dg.AssetKey:
    """The asset whose noun or whole key is `asset`."""
    (found,) = {k for k in STAGES.values() if asset in (k, k.split("/")[-1])}
    return dg.AssetKey(found.split("/"))


def checks_of(asset: str) -> dict[str, bool]:
    """Check names of an asset, and whether they block."""
    specs = (GRAPH.get_check_spec(check) for check in GRAPH.get_check_keys_for_assets({key(asset)}))
    return {spec.name: spec.blocking for spec in specs}


class StubNight:
    """Stands for both the resource and the flow it opens: every stage succeeds unless told otherwise."""

    def __init__(self) -> None:
        self.failing: set[tuple[str, str, str]] = set()
        """(stage, unit, check) that fail; a unit is an entity, or `day`."""
        self.raising: dict[tuple[str, str], Exception] = {}
        self.meanwhile: dict[str, Callable[[], None]] = {}
        """What happens while a stage works."""
        self.calls: list[tuple[str, str, date]] = []
        self.run_ids: list[str] = []

    def open(self) -> "StubNight":
        return self

    def __getattr__(self, stage: str) -> Callable[..., StageResult]:
        if stage not in STAGES:
            raise AttributeError(stage)

        def run(*arguments: object) -> StageResult:
            *unit, day, run_id = arguments
            assert isinstance(run_id, str)
            assert isinstance(day, date)
            self.run_ids.append(run_id)
            return self._answer(stage, str(unit[0]) if unit else "day", day)

        return run

    def _answer(self, stage: str, unit: str, day: date) -> StageResult:
        self.calls.append((stage, unit, day))
        self.meanwhile.pop(stage, lambda: None)()
        if (stage, unit) in self.raising:
            raise self.raising[stage, unit]
        checks = [
            CheckOutcome(
                name,
                (stage, unit, name) not in self.failing,
                blocking,
                "10.00",
                "9.00",
                "1.00",
                f"{name} said so",
            )
            for name, blocking in checks_of(STAGES[stage]).items()
        ]
        manifest = ManifestRef(f"evidence/{day}/{unit}/{stage}.json", f"{len(self.calls):064x}")
        preview = [{"a": "b|c"}]
        return StageResult(stage, unit, manifest, 7, {"debits": "10.00"}, checks, preview, NOTES)


class World:
    """An instance, its clock, and the automation sensor's memory."""

    def __init__(self, instance: dg.DagsterInstance, entities: Sequence[str] = ("101", "102")) -> None:
        self.instance = instance
        self.night = StubNight()
        self.now = datetime(2026, 1, 1, tzinfo=ZONE)
        self.cursor: object = None
        self.asked: list[tuple[str, str, str]] = []
        """(wall-clock time, unit, assets of one run) of every request by the gates."""
        self._flow = dg.Definitions(
            assets=defs.assets,
            jobs=defs.jobs,
            resources={"night": self.night},
            executor=dg.in_process_executor,
        )
        instance.add_dynamic_partitions("billing_entity", list(entities))

    @contextmanager
    def at(self, day: date, wall_clock: str) -> Iterator[None]:
        """Set the clock, in the tenant's zone."""
        hour, minute, *second = map(int, wall_clock.split(":"))
        self.now = datetime(day.year, day.month, day.day, hour, minute, *second, tzinfo=ZONE)
        with freeze_time(self.now):
            yield

    def run(self, assets: Sequence[str], partition_key: str) -> dg.ExecuteInProcessResult:
        """One run of some assets, as the daemon would launch it."""
        job = self._flow.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            asset_selection=[key(asset) for asset in assets],
            partition_key=partition_key,
            instance=self.instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def extract(self, day: date, entity: str) -> bool:
        """The extraction run of one entity."""
        return self.run(["rcm_transactions"], str(NightKey(day, entity))).success

    def evidence(self, day: date) -> bool:
        """The run that the 06:00 schedule asks for."""
        return self.run(["ledger_reconciliation", "evidence_pack"], day.isoformat()).success

    def tick(self, *, launch: bool = True) -> dict[str, list[str]]:
        """One look of the automation sensor at this instant; what it asks for is run at once, one run per
        partition. Returns the nouns asked for, by entity (`day` for assets of the whole day)."""
        result = dg.evaluate_automation_conditions(
            defs=defs,
            instance=self.instance,
            asset_selection=dg.AssetSelection.all(),
            evaluation_time=self.now,
            cursor=self.cursor,
        )
        self.cursor = result.cursor
        runs: dict[str, list[str]] = defaultdict(list)
        for asset in STAGES.values():
            for partition in result.get_requested_partitions(key(asset)):
                runs[str(partition)].append(asset.split("/")[-1])
        for partition, assets in sorted(runs.items()):
            self.asked.append((f"{self.now:%H:%M}", unit_of(partition), " ".join(assets)))
            if launch:
                self.run(assets, partition)
        return {unit_of(partition): assets for partition, assets in runs.items()}

    def ticks(self, day: date, *wall_clock: str) -> dict[str, dict[str, list[str]]]:
        """Looks at several times of one morning; only those that asked for something."""
        said = {}
        for at in wall_clock:
            with self.at(day, at):
                asked = self.tick()
            if asked:
                said[at] = asked
        return said

    def materialised(self, asset: str, partition_key: str) -> int:
        """How often a partition was made."""
        return len(
            self.instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=key(asset), asset_partitions=[partition_key]), limit=100
            ).records
        )


def unit_of(partition_key: str) -> str:
    """The entity of a partition, or `day`."""
    return night_key(partition_key).entity or "day"


def schedule_times(schedule: dg.ScheduleDefinition, day: date) -> list[datetime]:
    """When a schedule ticks on a local day, by the iterator that the daemon uses."""
    start = datetime(day.year, day.month, day.day, tzinfo=ZONE)
    times = []
    for at in schedule_execution_time_iterator(start.timestamp(), schedule.cron_schedule, CADENCE.zone):
        if at.astimezone(ZONE).date() != day:
            return times
        times.append(at)
    raise AssertionError("a schedule never ends")

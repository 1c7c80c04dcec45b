"""The nightly RCM-to-GL flow of one tenant, stage by stage. Orchestration and the command line call this, nothing else.

Each stage re-tests its own gate: it reads the signed manifest before it, verifies the chain, and refuses to start
when a control failed. Any stage may be killed and run again.
"""

from dataclasses import dataclass
from datetime import date

from athena_fusion.delivery.reload import Reloaded
from athena_fusion.revenue.night import evidence, extract, ledger, load, package, reconcile, transform
from athena_fusion.revenue.night.context import NightContext
from athena_fusion.revenue.stage import StageResult


@dataclass(frozen=True)
class RevenueNight:
    """One door to the stages. `run_id` is the orchestrator's run, recorded in the manifest."""

    ctx: NightContext

    def extract(self, entity: str, batch_date: date, run_id: str) -> StageResult:
        """02:00: the change window of one entity."""
        return extract.extract(self.ctx, entity, batch_date, run_id)

    def reconcile_source(self, entity: str, batch_date: date, run_id: str) -> StageResult:
        """03:00: T1 and T7 against athenaOne's reports."""
        return reconcile.reconcile_source(self.ctx, entity, batch_date, run_id)

    def transform(self, entity: str, batch_date: date, run_id: str) -> StageResult:
        """04:00: postings and journal lines."""
        return transform.transform(self.ctx, entity, batch_date, run_id)

    def package(self, entity: str, batch_date: date, run_id: str) -> StageResult:
        """04:00: FBDI files."""
        return package.package(self.ctx, entity, batch_date, run_id)

    def load(self, entity: str, batch_date: date, run_id: str) -> StageResult:
        """05:00: into Fusion."""
        return load.load(self.ctx, entity, batch_date, run_id)

    def read_back(self, entity: str, batch_date: date, run_id: str) -> StageResult:
        """05:00: proof, line by line."""
        return load.read_back(self.ctx, entity, batch_date, run_id)

    def reload(self, intent_key: str, actor: str, run_id: str) -> Reloaded:
        """The next attempt of a refused load, after its findings were corrected."""
        return load.reload(self.ctx, intent_key, actor, run_id)

    def reconcile_ledger(self, batch_date: date, run_id: str) -> StageResult:
        """06:00: the day over all entities."""
        return ledger.reconcile_ledger(self.ctx, batch_date, run_id)

    def issue_evidence(self, batch_date: date, run_id: str) -> StageResult:
        """06:00: the signed pack."""
        return evidence.issue_evidence(self.ctx, batch_date, run_id)

    def ledger(self, batch_date: date) -> ledger.LedgerView:
        """The day as it stands, for people."""
        return ledger.ledger_view(self.ctx, batch_date)

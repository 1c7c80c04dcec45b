"""Composition: opens a tenant's store, database, keys, log and clients, and binds the flows to them.

Everything is lazy: a command that only verifies the audit log opens no connection to athenaOne or Fusion.
"""

import logging
import os
import subprocess
from contextlib import ExitStack
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from athena_fusion.accounting.crosswalk import CrosswalkTie
from athena_fusion.assurance.pack import PackError
from athena_fusion.assurance.publish import PublishError
from athena_fusion.athenaone.arrivals import DataViewError
from athena_fusion.athenaone.client import AthenaError, AthenaOne
from athena_fusion.clock import Clock, SystemClock
from athena_fusion.delivery.findings import DeliveryError
from athena_fusion.delivery.fusion_gateway import RestGateway
from athena_fusion.delivery.gate import GateRefused
from athena_fusion.delivery.queue import ExceptionQueue, QueueError
from athena_fusion.delivery.reload import ReloadRefused
from athena_fusion.delivery.states import IntentConflict
from athena_fusion.delivery.submission import DeliverySettings, JournalDelivery
from athena_fusion.formats.fbdi.layout import FbdiError
from athena_fusion.fusion.erp import ErpIntegrations
from athena_fusion.fusion.reports import Reports
from athena_fusion.fusion.scheduler import Scheduler
from athena_fusion.http import HttpClient, HttpError, Limiter
from athena_fusion.revenue.dataview_rows import TableShape
from athena_fusion.revenue.dataview_source import NothingDelivered
from athena_fusion.revenue.night import RevenueNight
from athena_fusion.revenue.night.context import NightContext, StageRefused
from athena_fusion.revenue.postings import LogBroken
from athena_fusion.revenue.totals import ReportUnreadable
from athena_fusion.storage.artifacts import ArtifactError, ArtifactStore
from athena_fusion.storage.database import Database
from athena_fusion.tenant.loader import TenantError, default_tenant_dir, load_tenant
from athena_fusion.tenant.model import Tenant
from athena_fusion.trust.audit import AuditLog, AuditUnavailable
from athena_fusion.trust.keys import KeyProblem, KeyRing
from athena_fusion.trust.manifest import ChainBroken, ManifestBook, ManifestError
from athena_fusion.trust.masking import mask_handlers
from athena_fusion.trust.secrets import SecretError, SecretRef
from athena_fusion.trust.tokens import SigningKey, TokenCache, TokenClient, TokenError, TokenSource


class NoSuchNight(Exception):
    """A business day or a billing entity that no partition stands for; nothing was run."""


REFUSALS = (GateRefused, ReloadRefused, StageRefused)
"""Something that is not allowed as things stand: a gate, a control, a person's decision is missing."""

UPSTREAM_ERRORS = (HttpError, TokenError)
"""athenaOne or Fusion did not do its part."""

PLATFORM_ERRORS = (
    *UPSTREAM_ERRORS,
    ArtifactError,
    AthenaError,
    AuditUnavailable,
    ChainBroken,
    CrosswalkTie,
    DataViewError,
    DeliveryError,
    FbdiError,
    GateRefused,
    IntentConflict,
    KeyProblem,
    LogBroken,
    ManifestError,
    NoSuchNight,
    NothingDelivered,
    PackError,
    PublishError,
    QueueError,
    ReportUnreadable,
    SecretError,
    StageRefused,
    TableShape,
    TenantError,
)
"""Errors whose text is written for people: what, where, what was not done, what to do."""


class Runtime:
    """One tenant, opened."""

    def __init__(self, tenant: Tenant, clock: Clock | None = None) -> None:
        self.tenant = tenant
        self.clock = clock or SystemClock()
        self.home = Path(tenant.home)
        for name in (None, "dagster"):  # whoever logs a call: tokens and secrets never reach a handler
            mask_handlers(logging.getLogger(name))
        self._opened = ExitStack()

    def close(self) -> None:
        """Close every connection that was opened; the runtime is not used afterwards."""
        self._opened.close()

    @classmethod
    def shared(cls, folder: str | None = None) -> "Runtime":
        """The runtime of a tenant folder (default: the configured one), opened once per process and version."""
        place = Path(folder) if folder else default_tenant_dir()
        tenant = load_tenant(place)
        key = f"{place} {tenant.home} {tenant.version_hash} {os.getpid()}"
        if key not in _OPENED:
            _OPENED[key] = cls(tenant)
        return _OPENED[key]

    @cached_property
    def store(self) -> ArtifactStore:
        """Artifacts: raw bytes, frames, packages, evidence."""
        return ArtifactStore(self.tenant.store)

    @cached_property
    def database(self) -> Database:
        """State tables, migrated to the newest revision."""
        database = Database(self.tenant.state_url)
        self._opened.callback(database.close)
        database.migrate()
        return database

    @cached_property
    def keys(self) -> KeyRing:
        """Signing keys."""
        return KeyRing(self.home / "keys", self.clock)

    @cached_property
    def audit(self) -> AuditLog:
        """The chained log."""
        return AuditLog(self.database, self.clock, self.keys)

    @cached_property
    def book(self) -> ManifestBook:
        """Signed manifests."""
        return ManifestBook(self.store, self.database, self.keys, self.audit, self.clock, software())

    @cached_property
    def queue(self) -> ExceptionQueue:
        """What waits for a person."""
        return ExceptionQueue(self.database, self.audit, self.clock, self.tenant.chart.names)

    @cached_property
    def athenaone(self) -> AthenaOne:
        """athenaNet v1 of the tenant's practice."""
        settings = self.tenant.athenaone
        client = TokenClient(
            provider="athenaone",
            token_url=settings.token_url,
            client_id=settings.client_id,
            scopes=frozenset(settings.scopes["rcm_extract"]),
            secret=SecretRef.parse(settings.client_secret),
        )
        return AthenaOne(
            self._http(settings.base_url, client, settings.calls_per_second), self.tenant.practice_id
        )

    @cached_property
    def delivery(self) -> JournalDelivery:
        """The way into Fusion. Submitting and reading back have a token each, with only its scopes."""
        settings = self.tenant.fusion
        submit, readback = (
            self._http(settings.base_url, self._fusion_client(purpose), settings.calls_per_second)
            for purpose in ("submit", "readback")
        )
        gateway = RestGateway(
            ErpIntegrations(submit),
            Scheduler(submit),
            Reports(readback, settings.readback_report),
            account=settings.document_account,
            interface_options_id=settings.interface_options_id,
            separator=self.tenant.chart.separator,
        )
        return JournalDelivery(
            gateway,
            self.database,
            self.audit,
            self.book,
            self.store,
            self.clock,
            DeliverySettings(
                settle_seconds=settings.settle_seconds,
                poll_seconds=settings.poll_seconds,
                job_timeout_seconds=settings.job_timeout_seconds,
                autopost_criteria_set=settings.autopost_criteria_set,
            ),
        )

    def night(self) -> RevenueNight:
        """The nightly RCM-to-GL flow."""
        return RevenueNight(
            NightContext(
                tenant=self.tenant,
                store=self.store,
                database=self.database,
                keys=self.keys,
                book=self.book,
                audit=self.audit,
                clock=self.clock,
                queue=self.queue,
                athenaone=self.athenaone,
                delivery=self.delivery,
            )
        )

    def _fusion_client(self, purpose: str) -> TokenClient:
        settings = self.tenant.fusion
        assertion = settings.grant == "jwt_assertion"
        key = SecretRef.parse(settings.signing_key) if settings.signing_key else None
        return TokenClient(
            provider="fusion",
            token_url=settings.token_url,
            client_id=settings.client_id,
            scopes=frozenset(settings.scopes[purpose]),
            secret=SecretRef.parse(settings.client_secret),
            key=SigningKey(key, "RS256", settings.client_id) if key and assertion else None,
            user=settings.user if assertion else None,
        )

    def _http(self, base_url: str, client: TokenClient, per_second: int) -> HttpClient:
        tokens = TokenSource(client, TokenCache(self.home / "tokens.db"), clock=self.clock, audit=self.audit)
        self._opened.callback(tokens.close)
        limiter = Limiter(self.home / "limits.db", client.provider, per_second, self.clock)
        self._opened.callback(limiter.close)
        return self._opened.enter_context(
            HttpClient(base_url, tokens=tokens, limiter=limiter, clock=self.clock)
        )


_OPENED: dict[str, Runtime] = {}


def software() -> dict[str, str]:
    """Name, version and commit, for manifests. Outside a checkout the commit is unknown."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(here), "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found = "unknown"
    return {"name": "athena-fusion", "version": version("athena-fusion"), "gitCommit": found}

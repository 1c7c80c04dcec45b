"""Loads a tenant folder as a whole: every mistake is reported, with file and line, and none is let through."""

import os
from collections.abc import Iterable, Mapping
from datetime import date
from hashlib import sha256
from pathlib import Path

from athena_fusion.tenant import settings as settings_file
from athena_fusion.tenant.checks import Tables, check_settings, check_tables
from athena_fusion.tenant.model import Account, Cadence, Crosswalk, Entity, Period, Settings, Tenant
from athena_fusion.tenant.settings import read_settings
from athena_fusion.tenant.tables import (
    ACCOUNTS,
    CHANGES,
    CROSSWALKS,
    ENTITIES,
    PERIODS,
    TABLES,
    Finding,
    Row,
    Table,
    read_rows,
    to_frame,
)

VARIABLE = "ATHENA_FUSION_TENANT"


class TenantError(Exception):
    """The tenant folder has mistakes; `findings` holds all of them, in file and line order."""

    def __init__(self, folder: Path, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(set(findings)))
        lines = "\n".join(str(finding) for finding in self.findings)
        super().__init__(
            f"{len(self.findings)} findings in the tenant configuration {folder}; nothing was loaded:\n{lines}"
        )


def default_tenant_dir() -> Path:
    """The folder named by `ATHENA_FUSION_TENANT`, else the shipped sandbox tenant."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path(__file__).parent / "sandbox"


def load_tenant(folder: Path, environment: Mapping[str, str] | None = None) -> Tenant:
    """The tenant kept in `folder`; `TenantError` with all findings if there is a single mistake.

    `environment` stands for `os.environ` in `${NAME:-default}` of `tenant.yaml`.
    """
    files, findings = _read_files(folder)
    source = read_settings(
        files.get(settings_file.FILE, b""), os.environ if environment is None else environment
    )
    if settings_file.FILE in files:
        findings.extend(source.findings)
    rows: dict[str, list[Row]] = {}
    for table in TABLES:
        if table.file in files:
            rows[table.file], found = read_rows(table, files[table.file])
            findings.extend(found)
    if source.settings is not None:
        tables = Tables(rows, [finding.file for finding in findings])
        findings.extend(check_settings(source, source.settings))
        findings.extend(check_tables(source, source.settings, tables))
    if findings or source.settings is None:
        raise TenantError(folder, findings)
    digests = {name: sha256(data).hexdigest() for name, data in sorted(files.items())}
    return Tenant(
        **dict(source.settings),
        entities=tuple(Entity(**_fields(row)) for row in rows[ENTITIES.file]),
        accounts={row["role"]: Account(**_fields(row)) for row in rows[ACCOUNTS.file]},
        periods=tuple(Period(**_fields(row)) for row in rows[PERIODS.file]),
        crosswalks={
            name: _crosswalk(name, table, rows, digests[table.file]) for name, table in CROSSWALKS.items()
        },
        tables={
            table.file.removesuffix(".csv"): to_frame(table, rows[table.file])
            for table in (ENTITIES, ACCOUNTS, PERIODS)
        },
        files=digests,
        version_hash=sha256(
            "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()
        ).hexdigest(),
    )


def load_settings(folder: Path) -> Settings:
    """`tenant.yaml` alone, not checked against the tables; `TenantError` as `load_tenant`."""
    files, findings = _read_files(folder, [settings_file.FILE])
    source = read_settings(files.get(settings_file.FILE, b""), os.environ)
    if source.settings is None:
        raise TenantError(folder, findings or source.findings)
    return source.settings


def load_cadence(folder: Path) -> Cadence:
    """Zone, first night and times of the tenant; `TenantError` as `load_settings`."""
    settings = load_settings(folder)
    return Cadence(**dict(settings.schedule), zone=settings.zone, first_batch_date=settings.first_batch_date)


def load_entities(folder: Path, day: date | None = None) -> tuple[str, ...]:
    """The ids of the billing entities in effect on `day` (default: of all that ever were), sorted, from their table
    alone; `TenantError` as `load_tenant`."""
    files, findings = _read_files(folder, [ENTITIES.file])
    rows, found = read_rows(ENTITIES, files.get(ENTITIES.file, b""))
    if findings or found:
        raise TenantError(folder, findings or found)
    entities = [Entity(**_fields(row)) for row in rows]
    return tuple(sorted({entity.entity for entity in entities if day is None or entity.in_effect(day)}))


def _read_files(folder: Path, names: Iterable[str] | None = None) -> tuple[dict[str, bytes], list[Finding]]:
    """Bytes of the named files (default: all), and a finding for each that is missing or that nobody reads."""
    wanted = [settings_file.FILE, *(table.file for table in TABLES)] if names is None else list(names)
    files: dict[str, bytes] = {}
    findings = []
    for name in wanted:
        try:
            files[name] = (folder / name).read_bytes()
        except OSError as error:
            findings.append(Finding(name, 1, f"the file cannot be read ({error.strerror})"))
    if names is None:
        for path in sorted((folder / "crosswalks").glob("*.csv")):
            name = f"crosswalks/{path.name}"
            if name not in wanted:
                findings.append(Finding(name, 1, "no crosswalk of this name is known"))
    return files, findings


def _fields(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "line"}


def _crosswalk(name: str, table: Table, rows: Mapping[str, list[Row]], digest: str) -> Crosswalk:
    current = max(
        (row for row in rows[CHANGES.file] if row["crosswalk"] == name), key=lambda row: row["version"]
    )
    approval = {key: value for key, value in _fields(current).items() if key != "crosswalk"}
    return Crosswalk(
        id=name, file=table.file, frame=to_frame(table, rows[table.file]), sha256=digest, **approval
    )

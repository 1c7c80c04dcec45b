"""Checks between the files of a tenant: what one names, another must hold.

A reference into a file that has findings of its own is not judged: one mistake gives one message.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from athena_fusion.tenant.model import ACCOUNT_ROLES, CATEGORY_CODES, Settings, is_zone
from athena_fusion.tenant.settings import KeyPath, SettingsFile
from athena_fusion.tenant.tables import (
    ACCOUNTS,
    CHANGES,
    CROSSWALKS,
    ENTITIES,
    PERIODS,
    Finding,
    Row,
    Table,
)

ACCOUNT_SEGMENT = "Account"


class Tables:
    """The rows read of each table, and which files were read without findings."""

    def __init__(self, rows: Mapping[str, list[Row]], unsound: Iterable[str]) -> None:
        self._rows = rows
        self._unsound = frozenset(unsound)

    def rows(self, table: Table) -> list[Row]:
        """Sound rows in file order."""
        return self._rows.get(table.file, [])

    def sound(self, table: Table) -> bool:
        """Whether every row of the file could be read."""
        return table.file not in self._unsound


def check_settings(source: SettingsFile, settings: Settings) -> Iterator[Finding]:
    """Mistakes between keys of `tenant.yaml`."""
    yield from _check_chart(source, settings)
    times = settings.schedule.model_dump()
    for before, after in pairwise(times):
        # A stage waits for its input anyway, so stages may share a time; the evidence comes after them.
        if times[before] > times[after] or (after == "evidence" and times[before] == times[after]):
            yield source.finding(("schedule", after), f"{times[after]} is not after {before} {times[before]}")
    categories = settings.fusion.categories
    missing = [code for code in CATEGORY_CODES if code not in categories]
    if missing:
        yield source.finding(("fusion", "categories"), f"has no name for {', '.join(missing)}")
    if len(set(categories.values())) < len(categories):
        yield source.finding(("fusion", "categories"), "gives two categories the same name")
    if settings.fusion.grant == "jwt_assertion" and not (
        settings.fusion.user and settings.fusion.signing_key
    ):
        yield source.finding(("fusion", "grant"), "jwt_assertion needs user and signing_key")
    yield from _check_access(source, settings)
    evidence = settings.evidence
    for name, target in (("delivery", evidence.delivery), ("head_publication", evidence.head_publication)):
        if sum(value is not None for value in dict(target).values()) != 1:
            yield source.finding(("evidence", name), f"names not exactly one of {', '.join(dict(target))}")
    heads = evidence.head_publication.folder
    if heads and Path(heads).absolute().is_relative_to(Path(settings.store).absolute()):
        yield source.finding(
            ("evidence", "head_publication"), "lies inside the store; heads must survive its loss"
        )


def _check_access(source: SettingsFile, settings: Settings) -> Iterator[Finding]:
    """What a run would only meet at night: a purpose without scopes, a database nobody can open, half a login."""
    for section, scopes, needed in (
        ("athenaone", settings.athenaone.scopes, ("rcm_extract",)),
        ("fusion", settings.fusion.scopes, ("submit", "readback")),
    ):
        if missing := [name for name in needed if name not in scopes]:
            yield source.finding((section, "scopes"), f"has none for {', '.join(missing)}")
    if not settings.state_url.startswith(("sqlite:///", "postgresql+psycopg2://", "postgresql://")):
        yield source.finding(("state_url",), "is not a sqlite:/// or postgresql:// address")
    if settings.go_live > settings.first_batch_date:
        yield source.finding(("go_live",), f"lies after the first night, {settings.first_batch_date}")
    smtp = settings.evidence.delivery.smtp
    if smtp is not None and (smtp.username is None) != (smtp.password is None):
        yield source.finding(("evidence", "delivery", "smtp"), "has a username or a password, but not both")


def _check_chart(source: SettingsFile, settings: Settings) -> Iterator[Finding]:
    chart = settings.chart
    if len(set(chart.names)) < len(chart.names):
        yield source.finding(("chart", "segments"), "names a segment twice")
    undefined = set(chart.names) - {chart.balancing, ACCOUNT_SEGMENT, *chart.summary_defaults}
    if chart.balancing not in chart.names:
        yield source.finding(("chart", "balancing"), f"{chart.balancing!r} is not a segment of the chart")
    elif undefined:
        message = f"has no value for segment {', '.join(sorted(undefined))}"
        yield source.finding(("chart", "summary_defaults"), message)
    if ACCOUNT_SEGMENT not in chart.names:
        yield source.finding(("chart", "segments"), f"has no segment {ACCOUNT_SEGMENT}")
    values: list[tuple[KeyPath, str, str]] = [
        (("chart", "suspense_account"), ACCOUNT_SEGMENT, chart.suspense_account),
        (("default_revenue", "service_line"), "ServiceLine", settings.default_revenue.service_line),
    ]
    for name, value in chart.summary_defaults.items():
        path: KeyPath = ("chart", "summary_defaults", name)
        if name not in chart.names:
            yield source.finding(path, "is not a segment of the chart")
        values.append((path, name, value))
    for path, name, value in values:
        width = chart.widths.get(name, len(value))
        if len(value) != width:
            yield source.finding(path, f"{value!r} is not {width} characters wide")
    role = settings.default_revenue.account_role
    if role not in ACCOUNT_ROLES:
        yield source.finding(("default_revenue", "account_role"), f"{role!r} is not a known account role")


def check_tables(source: SettingsFile, settings: Settings, tables: Tables) -> Iterator[Finding]:
    """Mistakes between the tables, and between them and the settings."""
    yield from _check_widths(settings, tables)
    yield from _check_entities(settings, tables)
    yield from _check_accounts(source, settings, tables)
    yield from _check_periods(tables)
    yield from _check_segments(settings, tables)
    yield from _check_changes(tables)


def _check_widths(settings: Settings, tables: Tables) -> Iterator[Finding]:
    widths = settings.chart.widths
    places = (
        (ENTITIES, "company", settings.chart.balancing),
        (ACCOUNTS, "account", ACCOUNT_SEGMENT),
        (CROSSWALKS["x2"], "cost_center", "CostCenter"),
        (CROSSWALKS["x2"], "location", "Location"),
        (CROSSWALKS["x5"], "service_line", "ServiceLine"),
    )
    for table, column, segment in places:
        for row in tables.rows(table):
            width = widths.get(segment, len(row[column]))
            if len(row[column]) != width:
                message = f"{column} {row[column]!r} is not {width} characters wide"
                yield Finding(table.file, row["line"], message)


def _check_entities(settings: Settings, tables: Tables) -> Iterator[Finding]:
    ordinals: dict[int, Row] = {}
    entities: dict[str, Row] = {}
    groups: dict[str, Row] = {}
    for row in tables.rows(ENTITIES):
        if row["practice_id"] != settings.practice_id:
            message = f"practice_id {row['practice_id']} is not the tenant's {settings.practice_id}"
            yield Finding(ENTITIES.file, row["line"], message)
        if not is_zone(row["zone"]):
            yield Finding(ENTITIES.file, row["line"], f"{row['zone']!r} is not a time zone")
        same = ordinals.setdefault(row["ordinal"], row)
        if same["entity"] != row["entity"]:
            message = f"ordinal {row['ordinal']} belongs to entity {same['entity']} (line {same['line']})"
            yield Finding(ENTITIES.file, row["line"], message)
        same = entities.setdefault(row["entity"], row)
        if same["ordinal"] != row["ordinal"]:
            message = f"entity {row['entity']} has ordinal {same['ordinal']} (line {same['line']})"
            yield Finding(ENTITIES.file, row["line"], f"{message}; an ordinal never changes")
        same = groups.setdefault(row["medical_group_id"], row)
        if same["entity"] != row["entity"]:
            message = f"medical group {row['medical_group_id']} belongs to entity {same['entity']}"
            yield Finding(ENTITIES.file, row["line"], f"{message} (line {same['line']})")


def _check_accounts(source: SettingsFile, settings: Settings, tables: Tables) -> Iterator[Finding]:
    accounts: dict[str, Row] = {}
    roles = set()
    for row in tables.rows(ACCOUNTS):
        roles.add(row["role"])
        if row["role"] not in ACCOUNT_ROLES:
            yield Finding(ACCOUNTS.file, row["line"], f"role {row['role']} is not known")
        same = accounts.setdefault(row["account"], row)
        if any(same[name] != row[name] for name in ("name", "normal", "level")):
            message = (
                f"account {row['account']} has another name, normal side or level on line {same['line']}"
            )
            yield Finding(ACCOUNTS.file, row["line"], message)
    if tables.sound(ACCOUNTS):
        for role in sorted(ACCOUNT_ROLES - roles):
            yield Finding(ACCOUNTS.file, 1, f"role {role} has no account")
        if "suspense" in roles and settings.chart.suspense_account not in accounts:
            yield source.finding(("chart", "suspense_account"), f"is not in {ACCOUNTS.file}")
    for table in (CROSSWALKS["x5"], CROSSWALKS["x8"]):
        for row in tables.rows(table):
            if row["account_role"] not in ACCOUNT_ROLES:
                yield Finding(table.file, row["line"], f"account_role {row['account_role']} is not known")


def _check_periods(tables: Tables) -> Iterator[Finding]:
    ledgers: dict[str, list[Row]] = {}
    for row in tables.rows(PERIODS):
        ledgers.setdefault(row["ledger_id"], []).append(row)
    if tables.sound(PERIODS):
        for ledger, periods in ledgers.items():
            ordered = sorted(periods, key=lambda row: row["start"])
            for before, after in pairwise(ordered):
                if after["start"] != before["end"] + timedelta(days=1):
                    message = (
                        f"period {after['period_name']} of ledger {ledger} starts {after['start']}, "
                        f"{before['period_name']} before it ends {before['end']} (line {before['line']})"
                    )
                    yield Finding(PERIODS.file, after["line"], message)
        for row in {row["ledger_id"]: row for row in reversed(tables.rows(ENTITIES))}.values():
            if row["ledger_id"] not in ledgers:
                message = f"ledger {row['ledger_id']} has no periods in {PERIODS.file}"
                yield Finding(ENTITIES.file, row["line"], message)


def _check_segments(settings: Settings, tables: Tables) -> Iterator[Finding]:
    x2, x10 = CROSSWALKS["x2"], CROSSWALKS["x10"]
    widths = settings.chart.widths
    known = set()
    for row in tables.rows(x10):
        known.add((row["segment"], row["source_value"]))
        width = widths.get(row["segment"])
        if width is None:
            yield Finding(x10.file, row["line"], f"segment {row['segment']} is not in the chart")
        elif len(row["fusion_value"]) != width:
            message = f"fusion_value {row['fusion_value']!r} is not {width} characters wide"
            yield Finding(x10.file, row["line"], message)
    if tables.sound(x10) and {segment for segment, _ in known} <= set(widths):
        for row in tables.rows(x2):
            for column, segment in (("cost_center", "CostCenter"), ("location", "Location")):
                if segment in widths and (segment, row[column]) not in known:
                    message = (
                        f"{column} {row[column]} of department {row['department_id']} is not in {x10.file}"
                    )
                    yield Finding(x2.file, row["line"], message)


def _check_changes(tables: Tables) -> Iterator[Finding]:
    changed = set()
    for row in tables.rows(CHANGES):
        changed.add(row["crosswalk"])
        if row["crosswalk"] not in CROSSWALKS:
            message = f"crosswalk {row['crosswalk']} is not known; known are {', '.join(CROSSWALKS)}"
            yield Finding(CHANGES.file, row["line"], message)
        if row["author"].casefold() == row["approver"].casefold():
            message = f"{row['author']} approved their own change of {row['crosswalk']}"
            yield Finding(CHANGES.file, row["line"], message)
    if tables.sound(CHANGES):
        for name in CROSSWALKS:
            if name not in changed:
                yield Finding(CHANGES.file, 1, f"crosswalk {name} has no approved version")

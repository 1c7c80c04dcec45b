"""The pod's tables and their first rows."""

import sqlite3

from athena_fusion.sandbox.fusion.layout import gl_interface_columns
from athena_fusion.sandbox.fusion.setup import FusionSetup

_REFERENCES = ", ".join(f"REFERENCE_{n} TEXT" for n in range(1, 11))

_STATEMENTS = (
    """CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS switches (name TEXT PRIMARY KEY, value INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS oauth_tokens (
        digest TEXT PRIMARY KEY, client TEXT NOT NULL, user TEXT, expires REAL NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS oauth_assertions (
        issuer TEXT NOT NULL, jti TEXT NOT NULL, expires REAL NOT NULL, PRIMARY KEY (issuer, jti))""",
    """CREATE TABLE IF NOT EXISTS ucm_documents (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, account TEXT NOT NULL, content_type TEXT NOT NULL,
        author TEXT NOT NULL, comments TEXT, created TEXT NOT NULL, content BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS ess_requests (
        id INTEGER PRIMARY KEY, parent INTEGER, absolute_parent INTEGER NOT NULL, chain INTEGER NOT NULL,
        definition TEXT NOT NULL, state TEXT NOT NULL, submitter TEXT NOT NULL, submitted TEXT NOT NULL,
        started TEXT, completed TEXT, direct INTEGER NOT NULL, arguments TEXT NOT NULL, category TEXT,
        document TEXT, options TEXT, due REAL)""",
    """CREATE INDEX IF NOT EXISTS ess_due ON ess_requests (due) WHERE due IS NOT NULL""",
    """CREATE INDEX IF NOT EXISTS ess_parent ON ess_requests (parent)""",
    """CREATE INDEX IF NOT EXISTS ess_absolute_parent ON ess_requests (absolute_parent)""",
    """CREATE INDEX IF NOT EXISTS ess_chain ON ess_requests (chain)""",
    """CREATE TABLE IF NOT EXISTS ess_files (
        request INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, content BLOB NOT NULL,
        PRIMARY KEY (request, name))""",
    """CREATE TABLE IF NOT EXISTS segment_values (
        segment TEXT NOT NULL, value TEXT NOT NULL, enabled INTEGER NOT NULL, summary INTEGER NOT NULL,
        posting INTEGER NOT NULL, PRIMARY KEY (segment, value))""",
    """CREATE TABLE IF NOT EXISTS periods (
        ledger_id TEXT NOT NULL, name TEXT NOT NULL, first_day TEXT NOT NULL, last_day TEXT NOT NULL,
        status TEXT NOT NULL, PRIMARY KEY (ledger_id, name))""",
    """CREATE TABLE IF NOT EXISTS gl_code_combinations (
        id INTEGER PRIMARY KEY, segments TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL,
        detail_posting INTEGER NOT NULL, first_day TEXT, last_day TEXT)""",
    """CREATE INDEX IF NOT EXISTS gl_interface_group ON gl_interface (GROUP_ID, USER_JE_SOURCE_NAME)""",
    """CREATE INDEX IF NOT EXISTS gl_interface_load ON gl_interface (LOAD_REQUEST_ID)""",
    """CREATE TABLE IF NOT EXISTS gl_je_batches (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, description TEXT, status TEXT NOT NULL, group_id TEXT,
        source TEXT NOT NULL, ledger_id TEXT NOT NULL, period_name TEXT NOT NULL, import_request INTEGER NOT NULL,
        request_id INTEGER, created_by TEXT NOT NULL, created TEXT NOT NULL, posted TEXT,
        total_dr TEXT NOT NULL, total_cr TEXT NOT NULL)""",
    """CREATE INDEX IF NOT EXISTS gl_je_batches_group ON gl_je_batches (group_id)""",
    """CREATE TABLE IF NOT EXISTS gl_je_headers (
        id INTEGER PRIMARY KEY, batch_id INTEGER NOT NULL, ledger_id TEXT NOT NULL, name TEXT NOT NULL,
        description TEXT, external_reference TEXT, source TEXT NOT NULL, category TEXT NOT NULL,
        currency TEXT NOT NULL, actual_flag TEXT NOT NULL, period_name TEXT NOT NULL, effective_date TEXT NOT NULL,
        date_created TEXT NOT NULL, total_dr TEXT NOT NULL, total_cr TEXT NOT NULL)""",
    """CREATE INDEX IF NOT EXISTS gl_je_headers_batch ON gl_je_headers (batch_id)""",
    f"""CREATE TABLE IF NOT EXISTS gl_je_lines (
        header_id INTEGER NOT NULL, line INTEGER NOT NULL, combination INTEGER NOT NULL, entered_dr TEXT,
        entered_cr TEXT, accounted_dr TEXT, accounted_cr TEXT, description TEXT, {_REFERENCES},
        PRIMARY KEY (header_id, line)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS gl_ji_error_codes (
        request_id INTEGER NOT NULL, group_id TEXT, source TEXT NOT NULL, codes TEXT NOT NULL, totals TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS gl_balances (
        ledger_id TEXT NOT NULL, period_name TEXT NOT NULL, currency TEXT NOT NULL, combination INTEGER NOT NULL,
        period_dr TEXT NOT NULL, period_cr TEXT NOT NULL,
        PRIMARY KEY (ledger_id, period_name, currency, combination))""",
)


def create_tables(connection: sqlite3.Connection) -> None:
    """Create what is not there yet."""
    loaded = ", ".join(f"{column.name} TEXT" for column in gl_interface_columns())
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS gl_interface (id INTEGER PRIMARY KEY, {loaded},"
        " STATUS_DESCRIPTION TEXT, LOAD_REQUEST_ID INTEGER NOT NULL, CREATED_BY TEXT NOT NULL,"
        " CREATION_DATE TEXT NOT NULL)"
    )
    for statement in _STATEMENTS:
        connection.execute(statement)


def seed(connection: sqlite3.Connection, setup: FusionSetup) -> None:
    """Write the setup's rows where there are none: what an operator changed since then stays."""
    add = connection.executemany
    add(
        "INSERT OR IGNORE INTO counters VALUES (?, ?)",
        [("request", setup.first_request_id - 1), ("document", 7890000)],
    )
    add("INSERT OR IGNORE INTO switches VALUES (?, ?)", [("suspense", setup.suspense)])
    add(
        "INSERT OR IGNORE INTO segment_values VALUES (?, ?, ?, ?, ?)",
        [(v.segment, v.value, v.enabled, v.summary, v.posting) for v in setup.values],
    )
    add(
        "INSERT OR IGNORE INTO periods VALUES (?, ?, ?, ?, ?)",
        [
            (ledger.id, p.name, p.start.isoformat(), p.end.isoformat(), p.status)
            for ledger in setup.ledgers
            for p in setup.periods
        ],
    )
    add(
        "INSERT OR IGNORE INTO gl_code_combinations (segments, enabled, detail_posting, first_day, last_day)"
        " VALUES (?, ?, ?, ?, ?)",
        [
            (
                c.segments,
                c.enabled,
                c.detail_posting,
                c.start.isoformat() if c.start else None,
                c.end.isoformat() if c.end else None,
            )
            for c in setup.combinations
        ],
    )


def next_number(connection: sqlite3.Connection, counter: str) -> int:
    """Next number of a counter, inside the caller's transaction."""
    row = connection.execute(
        "UPDATE counters SET value = value + 1 WHERE name = ? RETURNING value", (counter,)
    ).fetchone()
    return int(row["value"])

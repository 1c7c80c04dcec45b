"""Tables of the state database.

Only three kinds of rows live here (decision 16): projections that can be rebuilt from the store and its
manifests, people's decisions (exported into the evidence pack), and the audit chain. Money is integer cents.
Instants are UTC text with `Z`; dates are `YYYY-MM-DD` text, so that SQLite and PostgreSQL agree to the byte.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# How far a source has been read: the cut-off of the last extraction that was signed (decision 2).
watermark = Table(
    "watermark",
    metadata,
    Column("source", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("high", Text, nullable=False),
    Column("batch_date", Text, nullable=False),
    Column("manifest_sha256", Text, nullable=False),
)

# One row per attempt to put a package into Fusion; written before each call (trust.md section 8).
intent = Table(
    "intent",
    metadata,
    Column("intent_key", Text, primary_key=True),
    Column("flow", Text, nullable=False),
    Column("entity", Text, nullable=False, index=True),
    Column("batch_date", Text, nullable=False, index=True),
    Column("category", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("content_sha256", Text, nullable=False),
    Column("group_id", Text, nullable=False, unique=True),
    Column("file_name", Text, nullable=False, unique=True),
    Column("manifest_sha256", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("armed_at", Text, nullable=False),
    Column("document_id", Text),
    Column("load_request_id", Text),
    Column("import_request_id", Text),
    Column("post_request_id", Text),
    Column("purge_request_id", Text),
    Column("note", Text, nullable=False, default=""),
    Column("rows", Integer, nullable=False),
    Column("debit_cents", BigInteger, nullable=False),
    Column("credit_cents", BigInteger, nullable=False),
    Column("package", Text, nullable=False),
    Column("outcome", Text),
    Column("updated_at", Text, nullable=False),
)

# The open or closed revision of a journal: one open revision per entity, post date and category (decision 9).
journal_revision = Table(
    "journal_revision",
    metadata,
    Column("entity", Text, primary_key=True),
    Column("post_date", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("batch_date", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("intent_key", Text),
)

# What Fusion is proven to hold, per journal line; the sum per key is the amount already sent.
sent_amount = Table(
    "sent_amount",
    metadata,
    Column("line_key", Text, primary_key=True),
    Column("intent_key", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("post_date", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("posting_id", Text, nullable=False),
    Column("combination", Text, nullable=False),
    Column("debit_cents", BigInteger, nullable=False),
    Column("credit_cents", BigInteger, nullable=False),
)

# The operator queue: what was not done, why, and how much money it holds back.
exception_item = Table(
    "exception_item",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("entity", Text, nullable=False, index=True),
    Column("batch_date", Text, nullable=False, index=True),
    Column("category", Text, nullable=False, default=""),
    Column("subject", Text, nullable=False),
    Column("intent_key", Text),
    Column("code", Text, nullable=False, default=""),
    Column("reason", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("combination", Text, nullable=False, default=""),
    Column("status", Text, nullable=False, index=True),
    Column("correction", Text),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Column("version", Integer, nullable=False, default=1),
    UniqueConstraint("kind", "intent_key", "subject"),
)

# People's decisions on queue items: exported as signed events into the evidence pack.
decision = Table(
    "decision",
    metadata,
    Column("id", Text, primary_key=True),
    Column("item_id", Text, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("attempt", Integer),
    UniqueConstraint("item_id", "action", "attempt"),
)

# Signed manifests by digest: an index over the store.
manifest_index = Table(
    "manifest_index",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("path", Text, nullable=False, unique=True),
    Column("stage", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("business_date", Text, nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
)

# Audit chain (trust.md section 3.6).
audit_event = Table(
    "audit_event",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("ts", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("one", Integer, CheckConstraint("one = 1", name="single"), primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("ts", Text, nullable=False),
    Column("prev_sha256", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("jws", Text, nullable=False),
)

"""The audit chain records or refuses, survives concurrency, and tells on every tampering."""

import json
import subprocess
import sys

import pytest
from sqlalchemy import text
from trust_world import make_world

from athena_fusion.trust.audit import AuditLog, AuditRefused, AuditUnavailable, Checkpoint, Event, chain_hash


@pytest.fixture
def world(tmp_path):
    return make_world(tmp_path)


@pytest.fixture
def attack(world):
    """Run SQL as somebody who owns the database file and has dropped the triggers."""

    def run(*statements, **values):
        with world.database.begin() as connection:
            for name in ("no_update", "no_delete", "no_replace"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS audit_event_{name}"))
            for statement in statements:
                connection.execute(text(statement), values)

    return run


def fill(world, count=10):
    world.audit.append_many([Event("test.event", "ok", {"n": str(n)}) for n in range(count)])


def test_published_chain():
    first = chain_hash(bytes(32), 1, b'{"id":"018f","outcome":"0","type":"token.issue"}')
    second = chain_hash(first, 2, b'{"id":"0190","outcome":"0","type":"ess.submit"}')
    assert first.hex() == "ff6853577cc3eecc9b9d17fb86155e8c3a5e0ca590898bedf29cca7887a68894"
    assert second.hex() == "cb1dc0e53c2f9554700f4c57fc23df324a918b4740ff84cea659edda0d9fcab2"


def test_an_empty_log_is_sound(world):
    report = world.audit.verify()
    assert report.ok
    assert report.events == 0


def test_events_are_numbered_and_canonical(world):
    assert world.audit.append("token.issue", "ok", client="athena", scope="a b") == 1
    assert world.audit.append_many([Event("a.b", "ok"), Event("a.c", "refused")]) == range(2, 4)
    assert world.audit.append_many([]) == range(4, 4)
    with world.database.begin() as connection:
        rows = connection.execute(text("SELECT id, ts, body FROM audit_event ORDER BY seq")).all()
    body = json.loads(rows[0].body)
    assert body == {
        "client": "athena", "id": rows[0].id, "outcome": "ok", "scope": "a b", "ts": "2026-09-16T06:00:00Z",
        "type": "token.issue",
    }  # fmt: skip
    assert rows[0].body == json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    assert rows[0].id[14] == "7"
    assert len({row.id for row in rows}) == 3
    assert world.audit.verify().ok


def test_ids_sort_by_time(world):
    ids = []
    for _ in range(3):
        world.audit.append("a", "ok")
        world.clock.sleep(1)
    with world.database.begin() as connection:
        ids = [row.id for row in connection.execute(text("SELECT id FROM audit_event ORDER BY seq"))]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    "detail",
    [
        {"note": "x" * 501},
        {"note": "two\nlines"},
        {"note": "Authorization: Bearer abcdefghijk"},
        {"note": "client_secret=abcdef"},
        {"id": "mine"},
        {"rows": 12},
    ],
)
def test_what_may_not_stand_in_the_log_is_refused_whole(world, detail):
    with pytest.raises(AuditRefused) as caught:
        world.audit.append_many([Event("a", "ok"), Event("b", "ok", detail)])
    assert "abcdef" not in str(caught.value)
    assert world.audit.verify().events == 0


def test_no_record_no_action(world, tmp_path):
    with world.database.begin() as connection:
        connection.execute(text("DROP TABLE audit_head"))
    with pytest.raises(AuditUnavailable, match="the action was not done"):
        world.audit.append("submit.intent", "ok")
    with world.database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM audit_event")).scalar() == 0


def test_the_table_refuses_to_be_changed(world):
    fill(world)
    for statement in (
        "UPDATE audit_event SET body = 'x' WHERE seq = 3",
        "DELETE FROM audit_event WHERE seq = 3",
        "INSERT OR REPLACE INTO audit_event SELECT seq, id, ts, 'x', hash FROM audit_event WHERE seq = 3",
    ):
        with pytest.raises(Exception, match="append-only"), world.database.begin() as connection:
            connection.execute(text(statement))
    assert world.audit.verify().ok


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ('UPDATE audit_event SET body = replace(body, \'"n":"3"\', \'"n":"7"\') WHERE seq = 4', 4),
        ("UPDATE audit_event SET ts = '2026-01-01T00:00:00Z' WHERE seq = 5", 5),
        ("UPDATE audit_event SET hash = zeroblob(32) WHERE seq = 6", 6),
        ("UPDATE audit_event SET body = 12.5, hash = 'x' WHERE seq = 4", 4),
        ("INSERT INTO audit_event SELECT 0, 'forged', ts, body, hash FROM audit_event WHERE seq = 10", 0),
        ("DELETE FROM audit_event WHERE seq = 4", 4),
        ("DELETE FROM audit_event WHERE seq = 1", 1),
        ("DELETE FROM audit_event WHERE seq > 7", 8),
        ("DELETE FROM audit_event", 1),
        ("INSERT INTO audit_event SELECT 11, 'forged', ts, body, hash FROM audit_event WHERE seq = 10", 11),
        (
            "INSERT OR REPLACE INTO audit_event SELECT 4, id || 'x', ts, body, hash FROM audit_event WHERE seq = 5",
            4,
        ),
        ("UPDATE audit_head SET seq = 9", 10),
        ("UPDATE audit_head SET hash = zeroblob(32)", 10),
        ("UPDATE audit_event SET seq = CASE seq WHEN 2 THEN -3 ELSE -2 END WHERE seq IN (2, 3)", -3),
    ],
)
def test_tampering_is_found_and_placed(world, attack, statement, first_bad):
    fill(world)
    attack(statement)
    report = world.audit.verify()
    assert not report.ok
    assert report.first_bad == first_bad
    assert report.problem


def rewrite(world, attack, seq, body):
    """A thorough attacker: changes an event and computes every later hash and the head anew."""
    with world.database.begin() as connection:
        rows = connection.execute(text("SELECT seq, body, hash FROM audit_event ORDER BY seq")).all()
    digest = rows[seq - 2].hash
    for row in rows[seq - 1 :]:
        new = body if row.seq == seq else row.body
        digest = chain_hash(digest, row.seq, new)
        attack("UPDATE audit_event SET body = :b, hash = :h WHERE seq = :s", b=new, h=digest, s=row.seq)
    attack("UPDATE audit_head SET hash = :h", h=digest)


def test_a_rewritten_history_contradicts_the_checkpoint(world, attack):
    fill(world)
    world.audit.checkpoint()
    fill(world, 5)
    with world.database.begin() as connection:
        body = connection.execute(text("SELECT body FROM audit_event WHERE seq = 10")).scalar()
    rewrite(world, attack, 10, body.replace(b'"n":"9"', b'"n":"8"'))
    report = world.audit.verify()
    assert report.first_bad == 10
    assert "checkpoint" in report.problem


TRUNCATE = "DELETE FROM audit_event WHERE seq > 7"
MOVE_HEAD = "UPDATE audit_head SET seq = 7, hash = (SELECT hash FROM audit_event WHERE seq = 7)"


def test_a_truncated_tail_is_exposed_by_the_checkpoint(world, attack):
    fill(world)
    world.audit.checkpoint()
    attack(TRUNCATE, MOVE_HEAD)
    report = world.audit.verify()
    assert report.first_bad == 8
    assert "8 to 10 are gone" in report.problem


def test_a_truncated_tail_without_checkpoints_is_exposed_by_a_published_one(world, attack):
    fill(world)
    published = world.audit.checkpoint()
    attack(TRUNCATE, MOVE_HEAD, "DELETE FROM audit_checkpoint")
    assert world.audit.verify().ok  # nothing inside the database can tell
    assert world.audit.verify([published]).first_bad == 8


def test_checkpoints_are_signed_and_chained(world, attack):
    fill(world)
    first = world.audit.checkpoint()
    assert world.audit.checkpoint() == first  # nothing happened since
    fill(world)
    second = world.audit.checkpoint()
    assert (first.seq, second.seq) == (10, 20)
    assert world.audit.verify().checkpoints == 2
    forged = Checkpoint(20, second.body.replace(b'"seq":20', b'"seq":21'), second.jws)
    assert "checkpoint 20" in world.audit.verify([forged]).problem
    attack("DELETE FROM audit_checkpoint WHERE seq = 10")
    assert "does not follow" in world.audit.verify().problem


def test_a_checkpoint_is_made_every_thousand_events(world):
    fill(world, 999)
    assert world.audit.verify().checkpoints == 0
    fill(world, 2)
    assert world.audit.verify().checkpoints == 1


def test_a_due_checkpoint_without_key_stops_the_action(world):
    fill(world, 999)
    world.keys.retire(world.keys.active("audit").public.kid)
    with pytest.raises(AuditUnavailable, match="checkpoint"):
        world.audit.append("a", "ok")


WRITER = """
import sys
from athena_fusion.clock import SystemClock
from athena_fusion.storage.database import Database
from athena_fusion.trust.audit import AuditLog
from athena_fusion.trust.keys import KeyRing
log = AuditLog(Database(sys.argv[1]), SystemClock(), KeyRing(sys.argv[2]))
for n in range(200):
    log.append("test.event", "ok", writer=sys.argv[3], n=str(n))
"""


def test_four_processes_write_one_chain(world, tmp_path):
    url = f"sqlite:///{tmp_path}/state.db"
    command = [sys.executable, "-c", WRITER, url, str(tmp_path / "keys")]
    writers = [subprocess.Popen([*command, str(n)]) for n in range(4)]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    report = AuditLog(world.database, world.clock, world.keys).verify()
    assert (report.ok, report.events) == (True, 800)
    with world.database.begin() as connection:
        bodies = [
            json.loads(row.body)
            for row in connection.execute(text("SELECT body FROM audit_event ORDER BY seq"))
        ]
    for n in range(4):  # every writer's events are all there, in its order
        assert [int(b["n"]) for b in bodies if b["writer"] == str(n)] == list(range(200))


def test_a_quiet_log_is_signed_again_after_ten_minutes(tmp_path):
    world = make_world(tmp_path)
    world.audit.append("token.issue", "ok")
    world.clock.sleep(599)
    world.audit.append("token.issue", "ok")
    assert world.audit.verify().checkpoints == 0
    world.clock.sleep(1)
    world.audit.append("token.issue", "ok")
    world.audit.append("token.issue", "ok")
    report = world.audit.verify()
    assert (report.checkpoints, report.events, report.ok) == (1, 4, True)

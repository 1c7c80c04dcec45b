"""The money gate and the audit log: what does not verify, or cannot be recorded, does not reach Fusion."""

import json
from pathlib import Path

import pytest
from integration.night_world import FOLLOW_UP, FOLLOW_UP_CENTS, STAGES, World

from athena_fusion.delivery.gate import GateRefused
from athena_fusion.revenue.night.context import StageRefused
from athena_fusion.trust.audit import AuditLog, AuditUnavailable
from athena_fusion.trust.manifest import ChainBroken

pytestmark = pytest.mark.integration


@pytest.fixture
def packaged(small: World) -> World:
    """Everything signed, nothing sent."""
    small.deliver(FOLLOW_UP)
    assert not small.run("101", FOLLOW_UP, until="package").blocked_by
    return small


def stored(world: World, pattern: str) -> Path:
    (path,) = (world.home / "store").rglob(pattern)
    return path


def nothing_reached_fusion(world: World) -> bool:
    documents = world.sandbox.books(
        "SELECT name FROM ucm_documents WHERE name LIKE ?", f"%_{FOLLOW_UP:%Y%m%d}_01_%"
    )
    own = world.night.ctx.delivery.find(f"{world.name}/rcm-gl/101/{FOLLOW_UP}/01/1")
    names = {row["name"] for row in documents}
    short = stored(world, "*_101_*_01_01.zip").name.split(".", 1)[1]
    return world.groups() == {} and world.requests("101") == 0 and own is None and short not in names


def test_a_changed_zip_is_refused(packaged: World) -> None:
    path = stored(packaged, "*_101_*_01_01.zip")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(GateRefused, match=r"are not the signed ones .*Nothing was sent to Fusion"):
        packaged.night.load("101", FOLLOW_UP, "by hand")
    assert nothing_reached_fusion(packaged)


@pytest.mark.parametrize("stage", ["00-extract", "01-reconcile", "02-transform", "03-package"])
def test_a_changed_manifest_anywhere_in_the_chain_is_refused(packaged: World, stage: str) -> None:
    path = stored(packaged, f"{stage}.a1.json")
    path.write_bytes(
        path.read_bytes().replace(b"88.00", b"99.00", 1).replace(b'"attempt":1', b'"attempt":2', 1)
    )
    with pytest.raises(ChainBroken, match=stage):
        packaged.night.load("101", FOLLOW_UP, "by hand")
    assert nothing_reached_fusion(packaged)


def test_a_manifest_signed_by_another_key_is_refused(packaged: World) -> None:
    path = stored(packaged, "02-transform.a1.json.jws")
    other = stored(packaged, "01-reconcile.a1.json.jws")
    path.write_bytes(other.read_bytes())
    with pytest.raises(ChainBroken, match="02-transform"):
        packaged.night.load("101", FOLLOW_UP, "by hand")
    assert nothing_reached_fusion(packaged)


def test_every_stage_waits_for_the_one_before(small: World) -> None:
    small.deliver(FOLLOW_UP)
    before = {
        "reconcile_source": "extract",
        "transform": "reconcile",
        "package": "transform",
        "load": "package",
    }
    for stage in STAGES[1:]:
        with pytest.raises(
            StageRefused, match=f"stage {before.get(stage, 'submit')} has not finished; nothing was done"
        ):
            getattr(small.night, stage)("101", FOLLOW_UP, "by hand")


def test_a_failed_control_refuses_every_stage_after_it(small: World) -> None:
    small.deliver(FOLLOW_UP, "missing_report")
    small.run("101", FOLLOW_UP)
    with pytest.raises(
        StageRefused, match=r"control t1_activity_totals of stage reconcile failed .*nothing was done"
    ):
        small.night.transform("101", FOLLOW_UP, "by hand")
    for stage in ("package", "load", "read_back"):
        with pytest.raises(StageRefused):
            getattr(small.night, stage)("101", FOLLOW_UP, "by hand")


def test_an_entity_that_the_tenant_does_not_have(small: World) -> None:
    with pytest.raises(StageRefused, match="nothing was done for it"):
        small.night.extract("999", FOLLOW_UP, "by hand")


@pytest.mark.parametrize("first", ["fusion.intent", "token.issue"])
def test_without_the_audit_log_fusion_is_not_called(
    packaged: World, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    honest = AuditLog.append

    def broken(self: AuditLog, type: str, outcome: str, **detail: str) -> int:
        if type == first:
            raise AuditUnavailable("the audit log cannot be written; nothing was done")
        return honest(self, type, outcome, **detail)

    monkeypatch.setattr(AuditLog, "append", broken)
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        packaged.night.load("101", FOLLOW_UP, "by hand")
    assert packaged.groups() == {}
    assert packaged.requests("101") == 0
    state = packaged.night.ctx.delivery.find(f"{packaged.name}/rcm-gl/101/{FOLLOW_UP}/01/1")
    assert state is not None
    assert state.state == "PLANNED"

    monkeypatch.undo()
    assert packaged.run("101", FOLLOW_UP).finished
    assert packaged.in_ledger() == FOLLOW_UP_CENTS


def test_without_the_audit_log_nothing_is_signed(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    small.deliver(FOLLOW_UP)

    def broken(*_: object, **__: str) -> int:
        raise AuditUnavailable("the audit log cannot be written")

    monkeypatch.setattr(AuditLog, "append", broken)
    with pytest.raises(AuditUnavailable):
        small.run("101", FOLLOW_UP)
    assert not list((small.home / "store").rglob("*.jws"))


def test_the_log_names_every_act_of_a_night(packaged: World) -> None:
    assert packaged.run("101", FOLLOW_UP).finished
    events = packaged.audited()
    types = [event["type"] for event in events]
    assert {
        "token.issue",
        "source.read",
        "manifest.sign",
        "fusion.intent",
        "fusion.sent",
        "fusion.readback",
    } <= {*types}
    sent = [event["step"] for event in events if event["type"] == "fusion.sent"]
    assert sent == ["upload", "load", "import", "autopost"]
    for step in sent:  # the intent to call is there before the call
        intent = next(n for n, e in enumerate(events) if e["type"] == "fusion.intent" and e["step"] == step)
        done = next(n for n, e in enumerate(events) if e["type"] == "fusion.sent" and e["step"] == step)
        assert intent < done
    assert packaged.runtime.audit.verify().ok


def test_an_event_changed_by_whoever_owns_the_database_is_found(packaged: World) -> None:
    with packaged.runtime.database.begin() as connection:
        names = (
            connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            .scalars()
            .all()
        )
        for name in names:  # the table itself lets nobody change an event
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        row = connection.exec_driver_sql(
            "SELECT seq, body FROM audit_event ORDER BY seq LIMIT 1 OFFSET 4"
        ).one()
        forged = json.dumps(json.loads(row.body) | {"outcome": "forged"}).encode()
        connection.exec_driver_sql("UPDATE audit_event SET body = ? WHERE seq = ?", (forged, row.seq))
    assert names
    report = packaged.runtime.audit.verify()
    assert not report.ok
    assert report.first_bad == row.seq

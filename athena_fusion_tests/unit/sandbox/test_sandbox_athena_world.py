"""The world of the sandbox, its Fusion pod, and the tenant directory made from it."""

import csv
from datetime import date
from importlib import resources
from pathlib import Path

import pytest

from athena_fusion.sandbox import chart
from athena_fusion.sandbox.tenant_files import write_tenant
from athena_fusion.sandbox.world import World


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_departments_have_the_agreed_cost_centres_and_locations() -> None:
    found = {d.id: f"{d.cost_center}/{d.location}" for d in World().departments}

    assert found == {
        "1011": "2100/014",
        "1012": "2110/015",
        "1021": "2120/021",
        "1022": "2130/022",
        "1031": "2140/031",
        "1032": "2150/032",
    }


def test_every_entity_of_a_large_world_has_its_own_ids_and_cost_centres() -> None:
    world = World(entities=120)

    assert len({d.id for d in world.departments}) == 240
    assert len({d.cost_center for d in world.departments}) == 240
    assert {len(d.cost_center) for d in world.departments} == {4}
    assert {len(d.location) for d in world.departments} == {3}
    assert len({p.id for p in world.providers}) == len(world.providers)


def test_a_world_beyond_the_width_of_the_chart_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 390"):
        World(entities=391)


def test_npis_have_a_valid_check_digit() -> None:
    for provider in World().providers:
        digits = [int(d) for d in f"80840{provider.npi}"]
        doubled = [sum(divmod(2 * d, 10)) if i % 2 else d for i, d in enumerate(reversed(digits))]
        assert sum(doubled) % 10 == 0


def test_fusion_disables_the_cost_centre_that_the_tenant_enables(tmp_path: Path) -> None:
    world = World()
    setup = world.fusion_setup("secret")
    write_tenant(world, tmp_path)
    listed = {
        (r["segment"], r["source_value"]): r["enabled"]
        for r in rows(tmp_path / "crosswalks/x10_segments.csv")
    }

    disabled = [(v.segment, v.value) for v in setup.values if not v.enabled]
    assert disabled == [("CostCenter", "2130")]
    assert listed["CostCenter", "2130"] == "Y"
    assert set(listed) == {(v.segment, v.value) for v in setup.values}


def test_periods_open_from_september_and_close_before() -> None:
    statuses = {p.name: p.status for p in World().fusion_setup("s").periods}

    assert statuses["Aug-26"] == "Closed"
    assert [statuses[n] for n in ("Sep-26", "Dec-26", "Jan-27", "Feb-27")] == [
        "Open",
        "Open",
        "Future Enterable",
        "Never Opened",
    ]
    assert {p.name: p.end for p in World().fusion_setup("s").periods}["Feb-27"] == date(2027, 2, 28)


def test_periods_follow_the_month_they_shall_be_open_through() -> None:
    statuses = {name: status for name, _, _, status in World(open_through=date(2027, 3, 9)).periods()}

    assert [statuses[n] for n in ("Mar-27", "Apr-27", "May-27")] == [
        "Open",
        "Future Enterable",
        "Never Opened",
    ]


def test_every_role_has_an_account_of_the_chart_with_the_right_level() -> None:
    accounts = {account.number: account for account in chart.ACCOUNTS}

    assert set(chart.ROLES.values()) <= set(accounts)
    assert accounts["11030"].level == accounts["21010"].level == "summary"
    assert accounts["40010"].level == accounts["62140"].level == "detail"


def test_the_shipped_tenant_is_the_generated_one_byte_by_byte(tmp_path: Path) -> None:
    write_tenant(World(), tmp_path)
    shipped = Path(str(resources.files("athena_fusion.tenant") / "sandbox"))

    assert files(shipped) == files(tmp_path)


def test_the_tenant_of_a_larger_world_lists_all_its_entities(tmp_path: Path) -> None:
    write_tenant(World(entities=50), tmp_path)

    entities = rows(tmp_path / "billing_entities.csv")
    assert [entities[0]["entity"], entities[-1]["entity"], entities[-1]["ordinal"]] == ["101", "150", "50"]
    assert len(rows(tmp_path / "crosswalks/x2_departments.csv")) == 100

"""Drawn days: reproducible, complete in kinds, and sound in every link and sum."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from sandbox_athena_tools import as_of, event_keys, posting_ids, read

from athena_fusion.sandbox.activity import first_open_post_date
from athena_fusion.sandbox.dataview import deliver
from athena_fusion.sandbox.ledger import Activity, Ledger, generate_day
from athena_fusion.sandbox.tenant_files import write_tenant
from athena_fusion.sandbox.world import World

DAY = date(2026, 9, 22)


@pytest.fixture(scope="module")
def activity() -> Activity:
    return generate_day(World(), DAY, 2000, seed=11)


def test_the_same_seed_gives_the_same_rows(activity: Activity) -> None:
    again = generate_day(World(), DAY, 2000, seed=11)

    for name in ("claim", "txn", "unapplied", "unpostable", "paymentbatch", "depositbatch"):
        assert getattr(again, name).equals(getattr(activity, name))
    assert not generate_day(World(), DAY, 2000, seed=12).txn.equals(activity.txn)


def test_an_entity_does_not_depend_on_the_other_entities(activity: Activity) -> None:
    more = generate_day(World(entities=5), DAY, 2000, seed=11)

    assert more.txn.filter(pl.col("entity") == "102").equals(activity.txn.filter(pl.col("entity") == "102"))


@pytest.mark.parametrize("lines", [30, 100, 1700])
def test_each_entity_gets_the_lines_asked_for_and_few_more(lines: int) -> None:
    made = generate_day(World(), DAY, lines, seed=3)
    rows = pl.concat(
        [made.txn.select("entity"), made.unapplied.select("entity"), made.unpostable.select("entity")]
    )

    counts = dict(rows.group_by("entity").len().iter_rows())
    assert all(lines <= count <= lines * 1.1 + 10 for count in counts.values())


def test_transfers_pair_exactly(activity: Activity) -> None:
    out = activity.txn.filter(pl.col("transactiontype") == "TRANSFEROUT")
    came = activity.txn.filter(pl.col("transactiontype") == "TRANSFERIN")
    pairs = out.join(came, left_on="transactionid", right_on="chargeid", suffix="_in", validate="1:1")

    assert len(pairs) == len(out) == len(came) > 0
    same = ("postdate", "transactioncreateddatetime", "parentchargeid", "claimid")
    assert all((pairs[name] == pairs[f"{name}_in"]).all() for name in same)
    assert (pairs["amount"] == -pairs["amount_in"]).all()
    assert (pairs["amount"] < 0).all()
    assert (pairs["transactiontransfertype"] != pairs["transactiontransfertype_in"]).all()


def test_payment_batches_hold_the_cash_and_deposits_the_batches(activity: Activity) -> None:
    txn = activity.txn.select("paymentbatchid", money=-pl.col("amount"))
    other = [f.select("paymentbatchid", money="amount") for f in (activity.unapplied, activity.unpostable)]
    rows = pl.concat([txn, *other]).drop_nulls().group_by("paymentbatchid").agg(pl.col("money").sum())
    batches = activity.paymentbatch.join(rows, on="paymentbatchid", how="full")
    deposits = activity.depositbatch.join(
        activity.paymentbatch.group_by("depositbatchid").agg(pl.col("amount").sum().alias("sum")),
        on="depositbatchid",
        how="full",
    )

    assert (batches["amount"] == batches["money"]).all()
    assert (deposits["amount"] == deposits["sum"]).all()
    assert (batches["amount"] >= 0).all()
    unbanked = activity.txn.filter(
        pl.col("transactionmethod").is_in(["EFT", "LOCKBOX", "CARD", "CASH", "CHECK", "CLEARPAY"])
        & pl.col("paymentbatchid").is_null()
    )
    assert unbanked.is_empty()


def test_no_claim_ends_below_zero_or_above_its_charge(activity: Activity) -> None:
    money = activity.txn.filter(pl.col("transactionmethod").ne_missing("AGENCY"))
    claims = money.group_by("claimid").agg(
        pl.col("amount").sum().alias("balance"),
        pl.col("amount").filter(pl.col("transactiontype") == "CHARGE").max().alias("charge"),
    )

    assert claims.filter((pl.col("balance") < 0) | (pl.col("balance") > pl.col("charge"))).is_empty()
    assert claims["charge"].min() > 0  # type: ignore[operator]


def test_no_patient_holds_less_than_nothing_unapplied(activity: Activity) -> None:
    balances = activity.unapplied.group_by("patientpaymentid").agg(pl.col("amount").sum())

    assert balances["amount"].min() >= 0  # type: ignore[operator]


def test_every_row_points_to_rows_that_exist(activity: Activity) -> None:
    known = set(activity.txn["transactionid"])

    assert set(activity.txn["chargeid"]) <= known
    assert set(activity.txn["parentchargeid"]) <= known
    assert set(activity.txn["chargevoidparentid"].drop_nulls()) <= known
    assert set(activity.unapplied["transactionid"].drop_nulls()) <= known
    assert set(activity.txn["claimid"]) == set(activity.claim["claimid"])


def test_a_void_stamps_the_voided_row(activity: Activity) -> None:
    voids = activity.txn.filter(pl.col("chargevoidparentid").is_not_null())
    pairs = voids.join(activity.txn, left_on="chargevoidparentid", right_on="transactionid", suffix="_of")

    assert len(pairs) == len(voids) > 0
    assert (pairs["amount"] == -pairs["amount_of"]).all()
    assert (pairs["voided_utc_of"] == pairs["created_utc"]).all()
    assert (pairs["voideddate_of"] == pairs["postdate"]).all()


def test_a_small_share_is_entered_late_with_a_date_still_open(activity: Activity) -> None:
    late = activity.txn.filter(pl.col("postdate") != DAY.isoformat())

    assert 0 < len(late) < len(activity.txn) * 0.08
    assert late["postdate"].max() < DAY.isoformat()  # type: ignore[operator]
    assert late["postdate"].min() >= "2026-09-15"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("day", "open_from"),
    [
        (date(2026, 10, 4), date(2026, 9, 1)),
        (date(2026, 10, 5), date(2026, 10, 1)),
        (date(2027, 1, 2), date(2026, 12, 1)),
    ],
)
def test_a_month_closes_on_the_fifth_of_the_next(day: date, open_from: date) -> None:
    assert first_open_post_date(day) == open_from


def test_no_late_entry_reaches_into_a_closed_month() -> None:
    made = generate_day(World(), date(2026, 10, 5), 3000, seed=5)

    assert made.txn["postdate"].min() == "2026-10-01"


@pytest.mark.parametrize("offset", range(5))
def test_entity_102_charges_in_the_disabled_cost_centre_every_day(offset: int) -> None:
    made = generate_day(World(), date(2026, 9, 15) + timedelta(days=offset), 100, seed=7)
    claims = made.claim.filter(pl.col("servicedepartmentid") == "1022")
    charges = made.txn.filter(pl.col("transactiontype") == "CHARGE").join(claims, on="claimid", how="semi")

    assert len(charges) > 0


def test_one_medium_day_has_every_kind_of_event_and_x4_knows_each(tmp_path: Path) -> None:
    world = World()
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.add_day(world, DAY, lines_per_entity=400)
    delivery = deliver(ledger, world, tmp_path, as_of(DAY), None)
    write_tenant(world, tmp_path / "tenant")
    lines = read(tmp_path / "tenant/crosswalks", "x4_transactions")
    found = [posting_ids(key, lines) for key in event_keys(delivery)]

    assert {len(ids) for ids in found} == {1}
    assert {ids[0] for ids in found} == {line["posting_id"] for line in lines}


def test_every_method_procedure_and_package_is_in_its_crosswalk(activity: Activity, tmp_path: Path) -> None:
    write_tenant(World(), tmp_path)
    walks = tmp_path / "crosswalks"
    procedures = [r["procedure"].rstrip("*") for r in read(walks, "x5_revenue")]
    codes = activity.txn["procedurecode"].drop_nulls().unique()

    assert set(activity.paymentbatch["paymentmethod"]) <= {r["method"] for r in read(walks, "x8_cash")}
    assert all(any(code.startswith(p) for p in procedures) for code in codes)
    assert set(activity.unpostable["insurancepackageid"].cast(pl.String)) <= {
        r["insurance_package_id"] for r in read(walks, "x3_payers")
    }


def test_five_thousand_lines_go_into_the_ledger(tmp_path: Path) -> None:
    world = World(entities=10)
    rows = Ledger(tmp_path / "ledger.db").add_day(world, DAY, lines_per_entity=500)

    assert rows is not None
    assert 5000 <= rows <= 5500

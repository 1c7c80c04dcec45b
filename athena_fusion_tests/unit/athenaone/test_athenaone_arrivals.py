"""Which deliveries are complete, and which of them close a business day; nothing is opened for it."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from athena_fusion.athenaone.arrivals import Arrival, DataViewError, arrivals, covering, day_end

ZONE = "America/New_York"
DAY = date(2026, 9, 15)


def deliver(folder: Path, name: str, *, complete: bool = True) -> None:
    (folder / name).mkdir()
    if complete:
        (folder / name / "control.csv").write_bytes(b"\xff not opened here")


def test_complete_ones_oldest_first(tmp_path: Path) -> None:
    for name in ("20260917T053000Z", "20260915T053000Z", "20260916T053000Z"):
        deliver(tmp_path, name)
    deliver(tmp_path, "20260918T053000Z", complete=False)
    deliver(tmp_path, ".20260919T053000Z.part")
    deliver(tmp_path, "notes")
    (tmp_path / "20260920T053000Z").write_text("a file, not a delivery")
    assert [arrival.folder.name[6:8] for arrival in arrivals(tmp_path)] == ["15", "16", "17"]
    assert arrivals(tmp_path)[0] == Arrival(
        datetime(2026, 9, 15, 5, 30, tzinfo=UTC), tmp_path / "20260915T053000Z"
    )


def test_folder_missing_and_name_that_is_no_instant(tmp_path: Path) -> None:
    with pytest.raises(DataViewError, match=r"nowhere does not exist; check athenaone\.dataview"):
        arrivals(tmp_path / "nowhere")
    deliver(tmp_path, "20261399T053000Z")
    with pytest.raises(DataViewError, match="20261399T053000Z does not name an instant"):
        arrivals(tmp_path)


@pytest.mark.parametrize(
    ("day", "end"),
    [
        (DAY, datetime(2026, 9, 16, 4, tzinfo=UTC)),
        (date(2027, 3, 13), datetime(2027, 3, 14, 5, tzinfo=UTC)),  # the night in which spring begins
        (date(2027, 3, 14), datetime(2027, 3, 15, 4, tzinfo=UTC)),  # 23 hours long
        (date(2026, 11, 1), datetime(2026, 11, 2, 5, tzinfo=UTC)),  # 25 hours long
    ],
)
def test_end_of_a_business_day(day: date, end: datetime) -> None:
    assert day_end(day, ZONE) == end


@pytest.mark.parametrize(
    ("as_of", "covers"),
    [
        ("20260916T035959Z", False),  # the day has a second left
        ("20260916T040000Z", True),
        ("20260916T053000Z", True),
        ("20260917T040000Z", True),
        ("20260917T040001Z", False),  # the next night's; this one stops before it
    ],
)
def test_what_closes_the_day(tmp_path: Path, as_of: str, covers: bool) -> None:
    deliver(tmp_path, as_of)
    assert (covering(arrivals(tmp_path), DAY, ZONE) != []) is covers


def test_any_of_several(tmp_path: Path) -> None:
    for name in ("20260915T053000Z", "20260916T053000Z", "20260917T053000Z"):
        deliver(tmp_path, name)
    assert [arrival.folder.name for arrival in covering(arrivals(tmp_path), DAY, ZONE)] == [
        "20260916T053000Z"
    ]
    assert covering([], DAY, ZONE) == []

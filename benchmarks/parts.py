"""Single parts of the night: the generator, the posting engine, the pack and its verification, a run's start."""

import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import polars as pl

from benchmarks.place import DAY, Size

SCRIPTS = {"verify.sh": ("jose", "jq", "sha256sum"), "verify-openssl.sh": ("openssl", "jq")}


def generator_rows_per_second(size: Size) -> float:
    """Rows of a business day's activity made per second, all entities, before they are stored."""
    from athena_fusion.sandbox.activity import generate_day
    from athena_fusion.sandbox.world import World

    world = World(size.entities)
    begun = time.perf_counter()
    made = generate_day(world, DAY, size.lines, 7)
    return made.lines / (time.perf_counter() - begun)


def posting_rows_per_second() -> float:
    """Canonical rows through crosswalks and posting matrix per second, all entities in one frame."""
    from athena_fusion.accounting.periods import accounting_dates
    from athena_fusion.revenue.night.context import subject_named
    from athena_fusion.revenue.night.tables import account_tables, crosswalk_tables, policies
    from athena_fusion.revenue.postings import POSTINGS, post
    from athena_fusion.runtime import Runtime

    ctx = Runtime.shared().night().ctx
    owners = ctx.tenant.entities_on(DAY)
    manifests = [ctx.manifest("extract", owner.entity, DAY) for owner in owners]
    frames = [ctx.store.read_frame(subject_named(found, "rows").name) for found in manifests if found]
    rows = pl.concat(frames)
    dates = accounting_dates(
        rows["post_date"],
        ctx.tenant.tables["periods"],
        ledger_id=owners[0].ledger_id,
        late_policy=owners[0].late_policy,
    )
    begun = time.perf_counter()
    post(
        rows,
        crosswalk_tables(ctx.tenant),
        account_tables(ctx.tenant),
        policies(ctx.tenant),
        batch_date=DAY,
        frozen=pl.DataFrame(schema=POSTINGS),
        accounting_dates=dates,
    )
    return rows.height / (time.perf_counter() - begun)


def pack_figures(home: Path) -> dict[str, float | int | None]:
    """Size of the day's pack and seconds to verify it: in Python, and with its own scripts (None: tools missing)."""
    from athena_fusion.assurance.verify import verify_pack

    (pack,) = (home / "outbox").rglob("*.zip")
    begun = time.perf_counter()
    report = verify_pack(pack)
    figures: dict[str, float | int | None] = {
        "pack_bytes": pack.stat().st_size,
        "pack_files": report.files,
        "verify_python_seconds": time.perf_counter() - begun,
    }
    assert report.ok, report.findings
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(pack) as archive:
            archive.extractall(folder)
        for script, tools in SCRIPTS.items():
            figures[script] = None
            if all(map(shutil.which, tools)):
                begun = time.perf_counter()
                subprocess.run(["sh", f"{folder}/{script}"], capture_output=True, check=True)
                figures[script] = time.perf_counter() - begun
    return figures


def run_start_seconds() -> float:
    """A new process until it could begin a stage: what every run of the daemon pays before its work."""
    code = "import athena_fusion.definitions, athena_fusion.runtime as r; r.Runtime.shared().night()"
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun

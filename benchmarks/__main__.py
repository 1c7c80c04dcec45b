"""`python -m benchmarks`: the figures of docs/performance.md, as a table and as JSON."""

import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import night, parts
from benchmarks.place import DAY, Size, control, sandbox


@click.command()
@click.option("--entities", default=50, show_default=True, help="Billing entities.")
@click.option("--lines", default=1600, show_default=True, help="Ledger lines per entity and day.")
@click.option("--workers", default=2, show_default=True, help="Entities side by side.")
@click.option("--direct", is_flag=True, help="The stages without Dagster, to tell its share.")
@click.option(
    "--json", "target", type=click.Path(path_type=Path), default="var/benchmark.json", show_default=True
)
@click.option("--keep", type=click.Path(path_type=Path), help="Work in this new folder and leave it.")
def main(entities: int, lines: int, workers: int, direct: bool, target: Path, keep: Path | None) -> None:
    """Close a sandbox day of the given size, run its night, verify the evidence pack, and say how long it took."""
    size = Size(entities, lines, workers)
    place = keep or Path(tempfile.mkdtemp(prefix="athena-fusion-bench-"))
    try:
        found = measure(place, size, direct=direct)
    finally:
        if keep is None:
            shutil.rmtree(place, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))
    print(f"\nJSON: {target}")
    sys.exit(1 if found["stopped"] else 0)


def measure(place: Path, size: Size, *, direct: bool) -> dict[str, object]:
    """Every figure of one night, by name; seconds unless the name says otherwise."""
    load_before = os.getloadavg()[0]
    with sandbox(place, size) as server:
        from athena_fusion.cli.keys import ensure_keys

        ensure_keys()
        begun = time.perf_counter()
        closed = control(f"{server.athenaone_url}/sandbox/close-day", {"date": DAY.isoformat()})
        close_seconds = time.perf_counter() - begun
        done = night.without_dagster(size) if direct else night.through_dagster(size)
        figures: dict[str, object] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
            "load_average_before": round(load_before, 1),
            "load_average_after": round(os.getloadavg()[0], 1),
            "entities": size.entities,
            "lines_per_entity": size.lines,
            "workers": size.workers,
            "through": "plain calls" if direct else "Dagster",
            "ledger_rows": closed["rows"],
            "close_day": close_seconds,
            "night": done.wall,
            "evidence": done.evidence,
            "total": done.wall + done.evidence,
            "stages": {
                name: {"sum": sum(times), "max": max(times), "mean": sum(times) / len(times)}
                for name, times in done.stages.items()
            },
            "overhead": _overhead(done, size),
            "worker_cpu": done.worker_cpu,
            "worker_peak_mib": done.worker_mib,
            "evidence_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "generator_rows_per_second": parts.generator_rows_per_second(size),
            "posting_rows_per_second": parts.posting_rows_per_second(),
            "run_start": parts.run_start_seconds(),
            "stopped": done.stopped,
        }
        return figures if "day" in done.stopped else figures | parts.pack_figures(place / "home")


def _overhead(done: night.Night, size: Size) -> dict[str, float]:
    """What is not stage work: in the runs between steps, and in the workers between runs (their start included)."""
    in_stages = sum(sum(done.stages[name]) for name in night.STAGES)
    entity_runs = sum(done.runs[: len(done.stages["extract"])])
    return {"between_steps": entity_runs - in_stages, "between_runs": done.wall * size.workers - entity_runs}


def table(found: dict[str, object]) -> str:
    """The figures as Markdown."""
    stages, overhead = found["stages"], found["overhead"]
    assert isinstance(stages, dict)
    assert isinstance(overhead, dict)
    lines = [
        f"{found['entities']} entities x {found['lines_per_entity']} lines, {found['workers']} workers, "
        f"{found['through']}; {found['machine']}; load average {found['load_average_before']} before, "
        f"{found['load_average_after']} after",
        "",
        "| Stage | sum s | mean s | max s |",
        "|---|---:|---:|---:|",
    ]
    lines += [f"| {name} | {t['sum']:.1f} | {t['mean']:.2f} | {t['max']:.2f} |" for name, t in stages.items()]
    lines += ["", "| Figure | |", "|---|---:|"]
    figures = {
        "whole night, wall s": f"{found['total']:.0f}",
        "entities, wall s": f"{found['night']:.0f}",
        "ledger and evidence pack, wall s": f"{found['evidence']:.1f}",
        "orchestration between steps, sum s": f"{overhead['between_steps']:.1f}",
        "workers between runs and starting, sum s": f"{overhead['between_runs']:.1f}",
        "start of a run's process, s": f"{found['run_start']:.1f}",
        "CPU of the workers, s": f"{found['worker_cpu']:.0f}",
        "peak memory of a worker, MiB": found["worker_peak_mib"],
        "peak memory of the evidence run, MiB": found["evidence_peak_mib"],
        "sandbox: day closed, s": f"{found['close_day']:.1f}",
        "sandbox: generator, rows/s": f"{found['generator_rows_per_second']:,.0f}",
        "ledger rows of the day": found["ledger_rows"],
        "posting engine, rows/s": f"{found['posting_rows_per_second']:,.0f}",
    }
    if "pack_bytes" in found:
        figures |= {
            "evidence pack": f"{int(str(found['pack_bytes'])) / 1e6:.1f} MB, {found['pack_files']} files",
            "verify in Python, s": f"{found['verify_python_seconds']:.2f}",
        }
        figures |= {f"{script}, s": _seconds(found[script]) for script in parts.SCRIPTS}
    stopped = found["stopped"]
    assert isinstance(stopped, dict)
    figures |= {f"STOPPED {unit}": why for unit, why in stopped.items()}
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in figures.items())])


def _seconds(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else "not run: tools missing"


if __name__ == "__main__":
    main()

"""The folder that holds a tenant's local state, and the environment that programs started from here share."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from athena_fusion.cli.output import FINDINGS, stop
from athena_fusion.tenant.loader import default_tenant_dir, load_settings

PROJECT = Path(__file__).resolve().parents[2]


def home() -> Path:
    """The tenant's home: `ATHENA_FUSION_HOME`, or `var` below the current folder, unless its file says otherwise."""
    return Path(load_settings(default_tenant_dir()).home).absolute()


def prepare_home() -> Path:
    """Make the home and Dagster's folder inside it, with our `dagster.yaml`; point the environment at them.

    A `DAGSTER_HOME` that was given keeps the `dagster.yaml` it has.
    """
    place = home()
    own = place / "dagster"
    dagster_home = Path(os.environ.setdefault("DAGSTER_HOME", str(own)))
    dagster_home.mkdir(parents=True, exist_ok=True)
    if not (PROJECT / "dagster.yaml").is_file() and not (dagster_home / "dagster.yaml").is_file():
        stop(
            FINDINGS,
            f"{dagster_home} has no dagster.yaml; copy the one of the repository there. Nothing was started.",
        )
    if (PROJECT / "dagster.yaml").is_file() and (
        dagster_home == own or not (dagster_home / "dagster.yaml").exists()
    ):
        shutil.copyfile(PROJECT / "dagster.yaml", dagster_home / "dagster.yaml")
    os.environ["ATHENA_FUSION_HOME"] = str(place)
    return place


@contextmanager
def claim_home(place: Path) -> Iterator[None]:
    """One `up` or `demo` per home: two daemons would start every night twice, and a demo forgets the state."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "in-use").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stop(
                FINDINGS,
                f"{place} is in use by another athena-fusion up or demo; nothing was started. "
                "Stop that one, or set ATHENA_FUSION_HOME to another folder.",
            )
        yield

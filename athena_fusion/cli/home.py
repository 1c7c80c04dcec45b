"""The folder that holds a tenant's local state, and the environment that programs started from here share."""

import os
import shutil
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def home() -> Path:
    """`ATHENA_FUSION_HOME`, or `var` below the current folder."""
    return Path(os.environ.get("ATHENA_FUSION_HOME", "var")).absolute()


def prepare_home() -> Path:
    """Make the home and Dagster's folder inside it, with our `dagster.yaml`; point the environment at them."""
    place = home()
    dagster_home = Path(os.environ.setdefault("DAGSTER_HOME", str(place / "dagster")))
    dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT / "dagster.yaml", dagster_home / "dagster.yaml")
    os.environ["ATHENA_FUSION_HOME"] = str(place)
    return place

"""Who imports what: the floors that import-linter draws, the two single doors, and what a run process pays for."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.application.use_cases import lint_imports
from importlinter.configuration import configure

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "athena_fusion"
MODULES = sorted(PACKAGE.rglob("*.py"))

HEAVY = (
    "polars",
    "pyarrow",
    "boto3",
    "botocore",
    "httpx",
    "authlib",
    "oracledb",
    "sqlalchemy",
    "fhir",
    "pyx12",
)
"""What a stage may need and the code location never does."""

LOOK = """
import json, sys, time
import dagster
before, started = set(sys.modules), time.process_time()
import athena_fusion.definitions
spent = time.process_time() - started
print(json.dumps([spent, sorted({name.split(".")[0] for name in set(sys.modules) - before})]))
"""


def imported_by(path: Path) -> Iterator[str]:
    """Every module named in an import statement of a file, also inside functions and type-checking blocks."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module or ""


def importers(*libraries: str) -> set[str]:
    """Files of the package that import one of the libraries, whatever room they are in."""
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if any(name.split(".")[0] in libraries for name in imported_by(path))
    }


def test_floors():
    configure()
    assert lint_imports(config_filename=str(PROJECT / ".importlinter"), cache_dir=None), "see `lint-imports`"


def test_one_door_to_the_http_library():
    assert importers("httpx", "requests", "aiohttp", "urllib3") == {"http.py"}


def test_only_orchestration_and_the_doors_that_start_it_know_dagster():
    found = importers("dagster", "dagster_aws", "dagster_webserver", "dagster_graphql")
    below = {path for path in found if path.startswith("orchestration/")}
    assert below
    assert found - below == {"definitions.py", "console/dagster_ui.py", "cli/up.py"}


def test_nothing_but_the_command_line_starts_the_sandbox():
    users = {
        path.relative_to(PACKAGE).parts[0]
        for path in MODULES
        if any(name.startswith("athena_fusion.sandbox") for name in imported_by(path))
    }
    assert users <= {"sandbox", "cli"}


def test_code_location_is_light():
    """Every run is a process that loads the code location first: what only a stage needs is loaded by that stage.

    Compared with `import dagster` alone, because Dagster brings libraries of its own.
    """
    seen = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:athena_fusion", "-c", LOOK],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, modules = json.loads(seen.stdout)
    assert "athena_fusion" in modules
    assert [name for name in HEAVY if name in modules] == []
    assert seconds < 1.5


@pytest.mark.parametrize("module", ["athena_fusion.tenant.loader", "athena_fusion.athenaone.arrivals"])
def test_what_schedules_and_gates_read_needs_no_frames(module):
    seen = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [name for name in HEAVY if name in seen.stdout.split()] == []

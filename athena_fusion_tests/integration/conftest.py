"""The running sandboxes and the nights that tests of this folder start from."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from integration.night_world import DAY, FOLLOW_UP, Night, Sandbox, World, running_sandbox


@pytest.fixture(scope="session")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The practice with the worked example (2026-09-15) and its follow-up day."""
    with running_sandbox(tmp_path_factory.mktemp("practice"), [DAY, FOLLOW_UP]) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A practice in which entity 101 ever had one charge."""
    with running_sandbox(tmp_path_factory.mktemp("clinic"), [FOLLOW_UP]) as sandbox:
        yield sandbox


@pytest.fixture
def small(clinic: Sandbox, tmp_path: Path) -> Iterator[World]:
    """A tenant of `clinic` with nothing delivered yet."""
    made = World(clinic, tmp_path)
    yield made
    made.runtime.close()
    clinic.clear_faults()


@dataclass(frozen=True)
class GoldenNight:
    """The worked example as it went into Fusion, AutoPost on; nobody writes to this world, tests fork it."""

    world: World
    night: Night
    log: str


@pytest.fixture(scope="session")
def golden(practice: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoldenNight]:
    """Entity 101 on 2026-09-15, whole, with everything that was logged meanwhile."""
    world = World(practice, tmp_path_factory.mktemp("golden"))
    world.deliver(DAY)
    with everything_logged() as records:
        night = world.run("101", DAY)
    yield GoldenNight(world, night, "\n".join(records))
    world.runtime.close()


@pytest.fixture
def forked(golden: GoldenNight, tmp_path: Path) -> Iterator[World]:
    """The golden night's own world to go on with; its groups are numbered apart."""
    made = golden.world.fork(tmp_path)
    yield made
    made.runtime.close()
    made.sandbox.clear_faults()


class _Everything(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class everything_logged:  # noqa: N801 - used like a function
    """All log records of every level while the block runs."""

    def __enter__(self) -> list[str]:
        root = logging.getLogger()
        self._handler, self._level = _Everything(), root.level
        root.addHandler(self._handler)
        root.setLevel(logging.DEBUG)
        return self._handler.lines

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.removeHandler(self._handler)
        root.setLevel(self._level)

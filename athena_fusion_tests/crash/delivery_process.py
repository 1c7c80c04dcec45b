"""A process that loads two packages into a simulated Fusion kept in a file, and dies where `CRASH_AT` says.

The parent imports everything once and forks a child for each start, so that a start costs milliseconds; every child
is a real process and dies by SIGKILL. Hooks stand before and after each call and each commit. The file of the
simulated Fusion is replaced before a call answers: what Fusion did survives the caller's death.

Usage: delivery_process.py <folder> <first point> <step>; prints one JSON line for each point.
"""

import json
import os
import pickle
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from sim.delivery_world import START, World
from sim.simulated_fusion import SimulatedFusion, SimulatedGateway
from sqlalchemy import Connection, select

from athena_fusion.clock import ManualClock
from athena_fusion.delivery.readback import prove
from athena_fusion.storage.database import Database
from athena_fusion.storage.schema import sent_amount


class KillingDatabase(Database):
    """Hooks before and after every commit."""

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with super().begin() as connection:
            yield connection
            hook("before commit")
        hook("after commit")


class FiledGateway(SimulatedGateway):
    """The simulated Fusion, saved after every change and before the answer."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        model = pickle.loads(path.read_bytes()) if path.exists() else SimulatedFusion(job_seconds=20)
        super().__init__(model, clock, random.Random(0), hook=self.saving)
        self.path = path

    def saving(self, name: str) -> None:
        if name.startswith("after"):
            partial = self.path.with_suffix(".partial")
            partial.write_bytes(pickle.dumps(self.model))
            partial.replace(self.path)
        hook(name)


class Countdown:
    """Dies at its n-th hook; 0 never."""

    left = 0

    def __call__(self, _: str) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


hook = Countdown()


def start(folder: Path, crash_at: int, now: datetime) -> None:
    """One process life: load and prove; writes `done` at its end."""
    hook.left = 0
    clock = ManualClock(now)
    world = World(folder, clock, database=KillingDatabase(f"sqlite:///{folder}/state.db"))
    gateway = FiledGateway(folder / "fusion.pickle", clock)
    packages = [world.package(category=category) for category in ("01", "02")]
    hook.left = crash_at
    delivery = world.delivery(gateway, autopost_criteria_set="C1")
    results = delivery.load(packages)
    proofs = prove(delivery, [result.package for result in results])
    hook.left = 0
    gateway.saving("after all")
    assert all(proof.ok for proof in proofs)
    with world.database.begin() as connection:
        sent = Counter(connection.execute(select(sent_amount.c.line_key)).scalars())
    held = Counter(row["line_key"] for row in gateway.model.ledger)
    (folder / "done").write_text(
        json.dumps({"sent": sent, "ledger": held, "waiting": len(gateway.model.interface)})
    )


def in_a_child(folder: Path, crash_at: int, now: datetime) -> int:
    """The wait status of one forked life."""
    child = os.fork()
    if child == 0:
        try:
            start(folder, crash_at, now)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main() -> None:
    root, first, step = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    point = first
    while True:
        folder = root / f"point-{point}"
        folder.mkdir()
        now = START
        killed = in_a_child(folder, point, now)
        starts = 1
        while not (folder / "done").exists() and starts < 5:
            now += timedelta(minutes=20)  # the next start of the schedule
            status = in_a_child(folder, 0, now)
            assert status == 0, f"point {point}: the restart ended with {status}"
            starts += 1
        report = json.loads((folder / "done").read_text())
        print(json.dumps({"point": point, "killed": os.WIFSIGNALED(killed), **report}), flush=True)  # noqa: T201
        if not os.WIFSIGNALED(killed):
            return
        point += step


if __name__ == "__main__":
    main()

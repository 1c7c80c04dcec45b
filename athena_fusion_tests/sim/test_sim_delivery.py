"""The production delivery in a simulated world: lost, late and doubled calls, faults on reads, crashes anywhere.

Every seed ends without a manual step, and then nothing is doubled, nothing is lost, and what we believe to have
sent is what the ledger holds. A failing seed prints itself; run it alone with `ATHENA_SIM_SEED=<seed>`, and more of
them with `ATHENA_SIM_SEEDS=<count>`.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sim.delivery_world import START, World
from sim.simulated_fusion import Crash, Faults, SimulatedFusion, SimulatedGateway
from sqlalchemy import Connection, select

from athena_fusion.clock import ManualClock
from athena_fusion.delivery.package import Package
from athena_fusion.delivery.queue import Correction, Kind, Status
from athena_fusion.delivery.readback import prove
from athena_fusion.delivery.reload import reload
from athena_fusion.delivery.states import State
from athena_fusion.http import HttpError
from athena_fusion.storage.database import Database
from athena_fusion.storage.schema import exception_item, intent, sent_amount

pytestmark = pytest.mark.sim

SEEDS = int(os.environ.get("ATHENA_SIM_SEEDS", "100"))
BLOCKS = 10
ONE = os.environ.get("ATHENA_SIM_SEED")


class Countdown:
    """Dies at hook `n`; counted over the whole life of a process."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, _: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash


class CrashingDatabase(Database):
    """The state database with a hook before and after every commit."""

    hook: Countdown | None = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with super().begin() as connection:
            yield connection
            if self.hook:
                self.hook("before commit")
        if self.hook:
            self.hook("after commit")


class Story:
    """One seed: some packages of one entity, perhaps one with a line that Fusion refuses until it is mended."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed, self.rng = world, seed, random.Random(seed)
        self.model = SimulatedFusion(job_seconds=self.rng.choice([1, 20, 200]))
        self.faults = Faults.rough(self.rng)
        self.autopost = self.rng.choice([None, "C1"])
        self.crashing = self.rng.random() < 0.7
        entity = str(seed)
        self.packages = [
            world.package(entity=entity, category=category, ordinal=seed + 1, cents=(25000, 18000))
            for category in self.rng.sample(["01", "02", "03"], self.rng.randint(1, 2))
        ]
        if self.rng.random() < 0.4:
            self.model.disabled.add("2110")

    def run(self) -> None:
        """Restart the process until it ends by itself."""
        world = self.world
        for _ in range(80):
            hook = Countdown(self.rng.randint(1, 120) if self.crashing else 0)
            gateway = SimulatedGateway(self.model, world.clock, self.rng, self.faults, hook)
            world.database.hook = hook
            try:
                if self._night(gateway):
                    return
            except (Crash, HttpError):
                world.clock.sleep(self.rng.random() * 60)
            finally:
                world.database.hook = None
        raise AssertionError("no end after 80 starts")

    def _night(self, gateway: SimulatedGateway) -> bool:
        delivery = self.world.delivery(gateway, autopost_criteria_set=self.autopost)
        results = delivery.load([delivery.latest(package) for package in self.packages])
        open_ones = [r.package for r in results if r.ok and r.state is not State.POSTED]
        proofs = prove(delivery, open_ones)
        if all(result.ok for result in results) and all(proof.ok for proof in proofs):
            return True
        for result in results:
            self._mend(delivery, result.package)
        return False

    def _mend(self, delivery, package: Package) -> None:
        """What people do: enable the value, correct every rejected line, press reload (sometimes twice)."""
        key = package.intent.key
        self.model.disabled.clear()
        open_items = self.world.queue.list_items(intent_key=key, status=[Status.OPEN])
        for item in open_items:
            if item.finding.kind != Kind.HELD:
                remap = {"CostCenter": "2120"} if self.rng.random() < 0.5 else {}
                self.world.queue.correct(
                    item.id, actor="op", reason="enabled", change=Correction(remap), version=item.version
                )
        if self.world.queue.list_items(intent_key=key):
            reload(delivery, key, "op", self.world.rebuild)

    def check(self) -> None:
        """The ledger, the interface and our own books after the end."""
        self.world.clock.sleep(2000)
        self.model.advance(self.world.clock.now() + timedelta(days=1))
        in_ledger = Counter(row["line_key"] for row in self.model.ledger)
        assert max(in_ledger.values()) == 1, "a journal line is in the ledger twice"
        wanted = {
            key for package in self.packages for key in self.world.store.read_frame(package.lines)["line_key"]
        }
        assert set(in_ledger) == wanted, "a journal line was lost"
        assert self.model.interface == [], "rows were left behind"
        with self.world.database.begin() as connection:
            entity = str(self.seed)
            sent = connection.execute(select(sent_amount).where(sent_amount.c.entity == entity)).all()
            states = (
                connection.execute(select(intent.c.state).where(intent.c.entity == entity)).scalars().all()
            )
            items = connection.execute(
                select(exception_item.c.status).where(exception_item.c.entity == entity)
            ).scalars()
            assert set(items) <= {"RESOLVED"}
        ours = sorted((row.line_key, row.combination, row.debit_cents, row.credit_cents) for row in sent)
        theirs = sorted(
            (row["line_key"], row["combination"], row["debit_cents"], row["credit_cents"])
            for row in self.model.ledger
        )
        assert ours == theirs, "sent amounts and ledger differ"
        done = "POSTED" if self.autopost else "PROVEN"
        assert sorted(set(states)) in ([done], sorted([done, "PURGED"]))
        attempts = max(int(row["group_id"][-2:]) for row in self.model.ledger)
        assert attempts <= 2, "one correction took more than one reload"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, ManualClock(START), database=CrashingDatabase("sqlite://"))


@pytest.mark.parametrize("block", range(BLOCKS))
def test_exactly_once_over_many_seeds(world: World, block: int) -> None:
    seeds = range(block, SEEDS, BLOCKS) if ONE is None else [int(ONE)] * (block == 0)
    for seed in seeds:
        print(f"seed {seed}")  # noqa: T201 - the last one printed is the one that failed
        story = Story(world, seed)
        story.run()
        story.check()


def test_without_settling_the_simulator_does_find_doubled_rows(world: World) -> None:
    """The simulator can fail: a delivery that looks at once and sends again doubles rows in some seed."""
    doubled = 0
    for seed in range(1000, 1040):
        story = Story(world, seed)
        story.faults = Faults(late=0.5, settle=900)
        story.crashing = False
        gateway = SimulatedGateway(story.model, world.clock, story.rng, story.faults)
        delivery = world.delivery(gateway, settle_seconds=0.0)
        delivery.load(story.packages)
        world.clock.sleep(2000)
        story.model.advance(world.clock.now() + timedelta(days=1))
        in_ledger = Counter(row["line_key"] for row in story.model.ledger)
        doubled += max(in_ledger.values(), default=1) > 1
    assert doubled

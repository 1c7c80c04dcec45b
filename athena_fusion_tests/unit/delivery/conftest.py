"""A world with a healthy simulated Fusion."""

from pathlib import Path

import pytest
from sim.delivery_world import World
from sim.simulated_fusion import SimulatedFusion, SimulatedGateway


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def gateway(world: World) -> SimulatedGateway:
    return SimulatedGateway(SimulatedFusion(), world.clock)

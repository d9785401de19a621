"""What flows share."""

import pytest

from tests.flows.world import World


@pytest.fixture
def world() -> World:
    """Return a Glance with an ordinary pace, and its sites."""
    return World()

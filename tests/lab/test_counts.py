"""What is here costs exactly one Glance request, counted in Glance's access log."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.bench import EDGE, Bench, noise

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def image(bench: Bench) -> str:
    """Publish an image that is here already."""
    return bench.upload(noise(1), store=EDGE, name="bench-counted")


@contextmanager
def _counted(bench: Bench) -> Iterator[list[str]]:
    """Give a list that holds the requests made meanwhile, once it is over."""
    before, made = len(bench.log()), list[str]()
    yield made
    made += [line.rsplit(" ", 4)[0] for line in bench.log()[before + 1 :]]


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_disk(bench: Bench, image: str, by: str) -> None:
    path = f"/images/{image}" if by == "id" else "/images"
    with _counted(bench) as requests:
        ref = image if by == "id" else "bench-counted"
        ran = bench.run("disk", "create", ref, bench.name(), "--size", "3M")
    assert ran.code == 0, ran
    assert requests == [f"GET {path}"]


def test_a_disk_that_is_there_is_adopted_for_one_request(
    bench: Bench, image: str
) -> None:
    name = bench.name()
    assert bench.run("disk", "create", image, name).code == 0
    with _counted(bench) as requests:
        ran = bench.run("disk", "create", image, name, "--size", "4M")
    assert ran.code == 0, ran
    assert "made by an earlier call and unwritten" in ran.err
    assert requests == [f"GET /images/{image}"]


def test_placing_what_is_here(bench: Bench, image: str) -> None:
    with _counted(bench) as requests:
        assert bench.run("image", "place", image).code == 0
    assert requests == [f"GET /images/{image}"]


def test_disks_alone_cost_nothing(bench: Bench, image: str) -> None:
    name = bench.name()
    assert bench.run("disk", "create", image, name).code == 0
    with _counted(bench) as requests:
        for words in (["list"], ["show", name], ["grow", name, "5M"], ["delete", name]):
            assert bench.run("disk", *words).code == 0
    assert requests == []

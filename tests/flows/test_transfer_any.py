"""Whatever the image, the terms and the moment of a kill: whole copies, or none."""

from contextlib import suppress
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from cowpath.core.errors import UnavailableError
from cowpath.core.model import Bytes, Image, Location, StoreName
from cowpath.core.transfer import Terms, Verify
from cowpath.testing.store_lives import pattern
from cowpath.testing.transfer_faults import Countdown, KilledError
from tests.flows.transfer_world import CENTRAL, EDGE1, EDGE2, TransferWorld

_STORES = (CENTRAL, EDGE1, EDGE2)


@dataclass(frozen=True)
class _Fault:
    """What goes wrong in one store, at which of its steps."""

    store: StoreName
    step: int
    killed: bool


@st.composite
def _images(draw: st.DrawFn) -> bytes:
    """Return runs of data and of zeros, with an odd end."""
    runs = draw(st.lists(st.tuples(st.booleans(), st.integers(1, 9000)), min_size=1))
    return b"".join(
        pattern(number, length) if filled else bytes(length)
        for number, (filled, length) in enumerate(runs)
    )


_terms = st.builds(
    Terms,
    verify=st.sampled_from(Verify),
    bandwidth=st.sampled_from([None, Bytes(20_000)]),
    lanes=st.integers(1, 3),
    chunk=st.sampled_from([Bytes(1000), Bytes(4096), Bytes(65536)]),
)
_faults = st.lists(
    st.builds(
        _Fault,
        store=st.sampled_from(_STORES),
        step=st.integers(1, 25),
        killed=st.booleans(),
    ),
    max_size=3,
)


@given(
    data=_images(),
    terms=_terms,
    faults=_faults,
    together=st.booleans(),
    second=st.booleans(),
)
def test_copies_are_whole_or_absent(
    data: bytes, terms: Terms, faults: list[_Fault], *, together: bool, second: bool
) -> None:
    world = TransferWorld(data)
    world.terms = terms
    image = world.image(CENTRAL)
    targets: tuple[StoreName, ...] = (EDGE1, EDGE2)
    if second:
        world.put(EDGE2)
        image, targets = world.image(CENTRAL, EDGE2), (EDGE1,)
    whole = dict(world.stores)
    for fault in faults:
        error = KilledError() if fault.killed else UnavailableError("no answer")
        world.watch(fault.store, Countdown(fault.step, error))
        with suppress(KilledError):
            _copy_missing(world, image, targets, together=together)
        for store in targets:
            # What can be seen under the image's own name is the image.
            assert world.has(store) in (None, data)
            assert store not in world.listed or world.has(store) == data
        world.stores = dict(whole)
    _copy_missing(world, image, targets, together=True)
    for store in targets:
        assert store in world.listed
        assert world.has(store) == data
        assert world.memories[store].aside(image.id) == []
    assert world.drafts() == set()


def _copy_missing(
    world: TransferWorld,
    image: Image,
    targets: tuple[StoreName, ...],
    *,
    together: bool,
) -> None:
    missing = [each for each in targets if each not in world.listed]
    image = replace(image, stores=image.stores | set(world.listed))
    found = world.transfer().copy(
        image,
        missing,
        all_or_none=together,
        register=world.add,
        unregister=world.drop,
    )
    listed = {store for store, each in found.items() if isinstance(each, Location)}
    assert listed == set(missing) & set(world.listed)
    assert not together or listed in (set(), set(missing))

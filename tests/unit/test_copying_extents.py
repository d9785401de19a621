"""Many extents in arrays: the same as in a set, in little memory."""

from cowpath.core.model import Bytes
from cowpath.core.transfer import Extent
from cowpath.provision.copying.extents import Digests, Extents

_ALL = [Extent(Bytes(at * 10), Bytes(5)) for at in range(1000)]


def test_they_are_as_they_were_added() -> None:
    extents = Extents(_ALL)
    assert list(extents) == _ALL
    assert len(extents) == len(_ALL)
    assert extents.begin == 0
    assert all(each in extents for each in _ALL)
    assert [extents.index(each) for each in _ALL[:3]] == [0, 1, 2]


def test_others_are_not_in_it() -> None:
    extents = Extents(_ALL)
    assert Extent(Bytes(0), Bytes(4)) not in extents
    assert Extent(Bytes(1), Bytes(5)) not in extents
    assert Extent(Bytes(10**6), Bytes(5)) not in extents
    assert not Extents()


def test_a_digest_is_known_once_it_was_noted() -> None:
    digests = Digests(Extents(_ALL))
    digests.note(_ALL[7], b"7" * 32)
    digests.note(Extent(Bytes(3), Bytes(1)), b"x" * 32)
    assert digests.get(_ALL[7]) == b"7" * 32
    assert digests.get(_ALL[8]) is None
    assert digests.get(Extent(Bytes(3), Bytes(1))) is None

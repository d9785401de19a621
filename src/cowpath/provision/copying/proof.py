"""Where a target is not like its source: by the stores' checksums, else by reading."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from cowpath.core.errors import CopyFailedError, CowpathError, UnavailableError
from cowpath.core.model import Bytes, Image, StoreName
from cowpath.core.transfer import Extent, Original, Terms, Verify
from cowpath.core.transfer_rules import merged, outside, power_of_two, split
from cowpath.provision.copying.extents import Digests, Extents
from cowpath.provision.copying.lanes import Lanes
from cowpath.provision.copying.targets import Target

_BATCH = Bytes(64 * 1024**2)
"""What is compared at once, between multiples of it: whole objects of every store, of
which no half is written yet."""
_NAMED = 3
"""Differing extents that a message names."""


@dataclass(frozen=True, slots=True)
class Source:
    """A store that is copied from.

    Attributes:
        original: The image there.
    """

    store: StoreName
    original: Original

    def __str__(self) -> str:
        return f"store {self.store} ({self.original.where})"


class Proof:
    """Compares targets with one source.

    A target's failure is noted with it. What is raised is the source's failure.

    Attributes:
        plan: What may hold data in the source.
    """

    def __init__(self, image: Image, source: Source, terms: Terms, work: Lanes) -> None:
        self._image = image
        self._source = source
        self._original = source.original
        self._terms = terms
        self._lanes = work
        self._sums: Digests | None = None
        self._pending: defaultdict[Target, Extents] = defaultdict(Extents)
        self._followed = Extents()
        self._checks: defaultdict[Target, list[Future[Extents]]] = defaultdict(list)
        self.plan = Extents(split(source.original.extents(), terms.chunk))

    def expect(self, target: Target) -> None:
        """Have what is read from now on noted, if `target` cannot tell by checksums.

        Asked, it makes itself comparable.
        """
        blind = self._told(target, ()) is None
        target.read_back = blind and target.terms.verify is not Verify.NONE
        if target.read_back and self._sums is None:
            self._sums = Digests(self.plan)

    def note(self, extent: Extent, data: bytes) -> None:
        """Take note of what was read, so that it need not be read again."""
        if self._sums is not None:
            self._sums.note(extent, sha256(data).digest())

    def to_write(self, target: Target) -> Extents:
        """Return what is to be written into a draft that holds bytes already."""
        extents = self._both(target)
        found = self._told(target, extents)
        return extents if found is None else found

    def follow(self, extent: Extent, targets: Sequence[Target]) -> None:
        """Have what was just copied compared, beside all that is still to be done."""
        self._followed.append(extent)
        for target in targets:
            if target.terms.verify is not Verify.NONE:
                pending, span = self._pending[target], _span(target)
                if pending and extent.offset // span != pending.begin // span:
                    self._begin(target)
                self._pending[target].append(extent)

    def check(self, targets: Sequence[Target]) -> None:
        """Have those that are not like the source fail."""
        for target in targets:
            if target.terms.verify is not Verify.NONE:
                self._begin(target)
                self._check(target)

    def _begin(self, target: Target) -> None:
        # They may wait long, and be many: comparing may take longer than copying.
        compare = partial(self._compare, target, self._pending.pop(target, Extents()))
        rest = [each for each in self._checks[target] if not _is_settled(each)]
        self._checks[target] = [*rest, self._lanes.begin(compare)]

    def _check(self, target: Target) -> None:
        waits = self._lanes.progress.wait
        found = [each for future in self._checks[target] for each in waits(future)]
        both, followed = self._both(target), self._followed
        rest = Extents(each for each in both if each not in followed)
        told = self._told(target, rest)
        if told is None:
            compared = self._lanes.map(partial(self._is_like, target), rest)
            told = Extents(extent for extent, like in compared if not like)
        if found or told:
            target.fail(self._refusal(target, (*found, *told)))

    def _compare(self, target: Target, extents: Extents) -> Extents:
        told = self._asked(target, extents)
        if told is None:
            return Extents(each for each in extents if not self._is_like(target, each))
        return told

    def _both(self, target: Target) -> Extents:
        """Return what holds data in the source or in the target."""

        def look() -> Extents:
            theirs = Extents()
            with target.failing():
                theirs = Extents(split(target.draft.extents(), self._terms.chunk))
            return Extents(merged(self.plan, outside(theirs, self.plan)))

        return self._lanes.run(look)

    def _told(self, target: Target, extents: Iterable[Extent]) -> Extents | None:
        return self._lanes.run(partial(self._asked, target, extents))

    def _asked(self, target: Target, extents: Iterable[Extent]) -> Extents | None:
        """Ask both stores; None where they cannot tell."""
        try:
            found = target.draft.differing(self._original, extents)
            return None if found is None else Extents(found)
        except UnavailableError:
            return None  # by reading it is seen which of the two it is
        except CowpathError as error:
            self._original.unchanged()  # or else it is the source's
            target.fail(error)
            return Extents()

    def _is_like(self, target: Target, extent: Extent) -> bool:
        mine = b""
        with target.failing():
            mine = target.draft.read(extent)
        known = self._sums.get(extent) if self._sums else None
        if not target.alive:
            return False
        if known is not None:
            return sha256(mine).digest() == known
        return mine == self._original.read(extent)

    def _refusal(self, target: Target, found: Sequence[Extent]) -> CopyFailedError:
        image = self._image
        places = ", ".join(f"{each.length} at {each.offset}" for each in found[:_NAMED])
        return CopyFailedError(
            f"the copy of image {image.id} ({image.name}) in store {target.store} is "
            f"not like that in {self._source}: {len(found)} parts of it differ (bytes: "
            f"{places}); nothing was made of it: check the health of both stores, then "
            f"copy again"
        )


def _is_settled(check: Future[Extents]) -> bool:
    """Tell whether it is over, and nothing is to be said of it."""
    return check.done() and not check.exception() and not check.result()


def _span(target: Target) -> Bytes:
    """Return what is compared at once; what is read back, a second's worth at most."""
    bandwidth = target.terms.bandwidth
    if not target.read_back or bandwidth is None:
        return _BATCH
    return min(_BATCH, power_of_two(bandwidth))

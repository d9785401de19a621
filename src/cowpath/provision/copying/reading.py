"""One reading of a source: it fills all targets, and is hashed meanwhile."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from cowpath.core.errors import CowpathError, UnavailableError
from cowpath.core.events import Phase
from cowpath.core.model import Bytes, Image
from cowpath.core.transfer import Extent, Terms, Verify
from cowpath.core.transfer_rules import outside
from cowpath.provision.copying.extents import Extents
from cowpath.provision.copying.hash import ImageHash, can_hash
from cowpath.provision.copying.lanes import Lanes
from cowpath.provision.copying.proof import Proof, Source
from cowpath.provision.copying.targets import Target, Targets


class Reading:
    """Fills targets from one source and proves that they are like it.

    A target's failure is noted with it. What is raised is the source's failure.
    """

    def __init__(
        self,
        image: Image,
        source: Source,
        targets: Targets,
        *,
        terms: Terms,
        work: Lanes,
        paced: Callable[[Iterable[Extent]], Iterable[Extent]],
    ) -> None:
        """Look at the source.

        Args:
            image: What it is of.
            source: What is read.
            targets: Are open.
            terms: What all of them keep to.
            work: Does it.
            paced: Gives extents no sooner than they may be read.
        """
        self._image = image
        self._source = source
        self._original = source.original
        self._targets = targets
        self._terms = terms
        self._lanes = work
        self._paced = paced
        self._progress = work.progress
        self._proof = work.run(lambda: Proof(image, source, terms, work))
        self._progress.total = Bytes(sum(extent.length for extent in self._proof.plan))

    def run(self) -> None:
        """Fill and prove."""
        self._progress.enter(Phase.STORING)
        for target in self._targets.alive:
            self._proof.expect(target)
            if target.dirty:
                self._prepare(target)
        if self._hashes():
            self._fill(ImageHash(self._image, self._progress.beat))
        else:
            self._take()
            self._fill(None)
        self._progress.enter(Phase.VERIFYING)
        self._proof.check(self._targets.alive)
        # What was removed may have read as zeros.
        self._lanes.run(self._original.unchanged)

    def _hashes(self) -> bool:
        if self._terms.verify is not Verify.IMAGE:
            return False
        if can_hash(self._image):
            return True
        self._progress.warn(
            f"Glance has no hash of image {self._image.id} that can be made here "
            f"({self._image.hash or 'none'}): its copies are only compared with "
            f"{self._original.where}"
        )
        return False

    def _prepare(self, target: Target) -> None:
        """Have only what differs written into a draft that holds bytes already."""
        target.wanted = self._proof.to_write(target)
        # Where the source has zeros and the target may not.
        for _ in self._lanes.map(
            lambda extent: target.write(extent, bytes(extent.length)),
            outside(target.wanted, self._proof.plan),
        ):
            pass
        target.arrived = sum(
            extent.length for extent in self._proof.plan if extent not in target.wanted
        )

    def _take(self) -> None:
        """Let the stores copy by their own means, where they can."""
        fresh = [target for target in self._targets.alive if not target.dirty]
        if self._terms.bandwidth is not None or not fresh:
            return
        self._progress.taking = True
        taking = [
            (target, self._lanes.begin(partial(target.draft.take, self._original)))
            for target in fresh
        ]
        for target, future in taking:
            self._settle(target, future)
        self._progress.taking = False

    def _settle(self, target: Target, future: Future[bool]) -> None:
        try:
            if self._progress.wait(future):
                target.wanted = Extents()
                target.arrive(self._progress.total or 0)
        except CowpathError as error:
            self._lanes.run(self._original.unchanged)  # or else it is the source's
            if not isinstance(error, UnavailableError) or not self._answers(target):
                target.fail(error)
                return
            # Extent by extent it is seen which of the two it is.
            self._progress.warn(f"{error}; going on extent by extent")
            target.dirty = True

    def _answers(self, target: Target) -> bool:
        with suppress(CowpathError):
            self._lanes.run(target.draft.unchanged)
            return True
        return False

    def _fill(self, total: ImageHash | None) -> None:
        extents: Iterable[Extent] = self._proof.plan
        if total is None:
            extents = filter(self._is_wanted, extents)
        for extent, data in self._lanes.map(self._move, self._paced(extents)):
            self._proof.follow(extent, self._targets.alive)
            if total:
                total.add(extent, data)
            if not self._targets.alive:
                return
        if total:
            total.check(self._original.size, str(self._source))

    def _is_wanted(self, extent: Extent) -> bool:
        return any(target.wants(extent) for target in self._targets)

    def _move(self, extent: Extent) -> bytes:
        data = self._original.read(extent)
        self._proof.note(extent, data)
        for target in self._targets:
            if target.wants(extent):
                target.write(extent, data)
        return data

"""Copy an image's bytes from the stores that have it into others, proved and whole."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from cowpath.core.errors import (
    CopyAbandonedError,
    CowpathError,
    NotFoundError,
    UnavailableError,
)
from cowpath.core.events import CopyFailed, CopyFinished
from cowpath.core.model import Image, Location, StoreName
from cowpath.core.ports import Clock, Observer
from cowpath.core.transfer import ImageStore, Original, Terms
from cowpath.core.transfer_rules import combined, source_order
from cowpath.provision.copying.lanes import Memory, lanes
from cowpath.provision.copying.pace import Links
from cowpath.provision.copying.progress import Progress, Stopped
from cowpath.provision.copying.proof import Source
from cowpath.provision.copying.publication import LastWord, Publication, Register
from cowpath.provision.copying.reading import Reading
from cowpath.provision.copying.targets import Target, Targets

Outcomes = Mapping[StoreName, Location | CowpathError]


class Transfer:
    """Copies images between the stores that it was given."""

    def __init__(
        self,
        stores: Mapping[StoreName, ImageStore],
        costs: Mapping[StoreName, float],
        terms: Callable[[StoreName, StoreName], Terms],
        clock: Clock,
        observer: Observer,
    ) -> None:
        """Take what a copy needs.

        Args:
            stores: Those whose bytes can be reached from here.
            costs: What reading from a store costs, in any unit; 0 where none is named.
            terms: How the first store's images are copied to the second.
            clock: Tells the time, and waits where there is a bandwidth.
            observer: Is told of progress at most once in a second, in the caller's
                thread. A `CowpathError` from it ends the copy, and is its outcome.
        """
        self._stores = stores
        self._costs = costs
        self._terms = terms
        self._clock = clock
        self._observer = observer
        self._links = Links()
        self._memory = Memory()

    def copy(  # noqa: PLR0913  # what the caller says to each of the last steps
        self,
        image: Image,
        targets: Sequence[StoreName],
        *,
        all_or_none: bool,
        register: Register,
        unregister: Register | None = None,
        confirm: Callable[[StoreName], None] | None = None,
        settled: bool = True,
    ) -> Outcomes:
        """Copy `image` into `targets`; return what became of each.

        The source is read once for all of them, the cheapest first and the next one
        where it fails. A copy gets its own name once it is proved to be right, and is
        registered then. What fails is removed again; what is killed, or fails only
        because a store is unavailable, is gone on with by the next call.

        Args:
            image: As Glance has it now; `stores` says who has its bytes.
            targets: The stores that are to have it.
            all_or_none: No copy gets its own name unless all of them can.
            register: Has Glance list a copy. Raises a `CowpathError` where Glance
                surely does not: then the copy is removed again.
            unregister: Undoes that. Without it, copies that were registered stay when
                a later one of the same request fails.
            confirm: Is asked right before a copy gets its own name, which moves what
                lies there aside; a `CowpathError` from it is the copy's failure.
            settled: Once all are registered, no copy is ours any more: `withdraw` and
                `draft` leave it alone. False: the caller says so later, by `listed`
                of its store.

        Raises:
            Exception: What `register` or the observer raise, other than a
                `CowpathError`, is like a kill: everything stays for the next call, for
                nobody knows whether Glance lists it.
        """
        made = [Target(name, self._stores[name]) for name in dict.fromkeys(targets)]
        group = Targets(made, all_or_none=all_or_none)
        progress = Progress(image, group, self._clock, self._observer)
        last_word = LastWord(register, unregister, confirm, settled=settled)
        ending = Publication(image, group, progress, last_word)
        try:
            self._bring(image, group, progress)
            ending.remove(group.dead)
            ending.run()
        except Stopped as stopped:
            group.fail(stopped.error)
            ending.remove(group)
        finally:
            ending.leave(group)
        return {target.store: self._told(image, target, progress) for target in group}

    def _bring(self, image: Image, group: Targets, progress: Progress) -> None:
        """Have drafts that are like the image, each target's failure noted with it."""
        failures: list[CowpathError] = []
        names = [target.store for target in group]
        sources = deque(source_order(image, self._stores, names, self._costs))
        most = 0
        while sources and group.alive:
            source = sources.popleft()
            if failures:
                progress.warn(f"{failures[-1]}; going on from store {source}")
            try:
                self._bring_from(source, image, group, progress)
            except CowpathError as error:
                failures.append(error)
                arrived = max((each.present() for each in group.alive), default=0)
                # A link that was away for a moment does not cost what came over it.
                if isinstance(error, UnavailableError) and arrived > most:
                    sources.append(source)
                most = max(most, arrived)
            else:
                return
        if group.alive:
            group.fail(self._no_source(image, failures))

    def _bring_from(
        self, source: StoreName, image: Image, group: Targets, progress: Progress
    ) -> None:
        """Fill and prove the drafts. What is raised is the source's failure."""
        pairs = {target: self._terms(source, target.store) for target in group.alive}
        terms = combined(list(pairs.values()))
        opening = self._stores[source].original(image, terms)
        with _left_quietly(opening, progress) as original:
            for target, own in pairs.items():
                with target.failing():
                    target.open(image, own)
            if not group.alive:
                return
            with lanes(terms, len(pairs), self._memory, progress) as work:
                Reading(
                    image,
                    Source(source, original),
                    group,
                    terms=terms,
                    work=work,
                    paced=lambda extents: self._links.paced(
                        extents, source, lambda: group.alive, progress
                    ),
                ).run()

    def _no_source(
        self, image: Image, failures: Sequence[CowpathError]
    ) -> CowpathError:
        who = f"image {image.id} ({image.name})"
        if not failures:
            stores = ", ".join(sorted(image.stores)) or "no store"
            return NotFoundError(
                f"{who} cannot be copied: Glance has it in {stores}, and none of that "
                f"can be read from here: see which stores this Glance has "
                f"(enabled_backends)"
            )
        said = dict.fromkeys(map(str, failures))
        if len(said) == 1:
            return failures[0]
        reasons = "; ".join(said)
        lasting = [each for each in failures if not each.retryable] or failures
        return type(lasting[0])(f"{who} could be copied from no store: {reasons}")

    def _told(
        self, image: Image, target: Target, progress: Progress
    ) -> Location | CowpathError:
        """Return what became of a target, and tell the observer."""
        if target.registered and target.published:
            seconds = progress.elapsed
            progress.tell(CopyFinished(image.id, target.store, seconds))
            return target.published
        error = target.error or CopyAbandonedError(
            f"image {image.id} ({image.name}) was not copied to store {target.store}, "
            f"for another store of the same request failed, and all or none of them "
            f"were asked for: see that one's error, then copy again"
        )
        progress.tell(CopyFailed(image.id, target.store, error))
        return error


@contextmanager
def _left_quietly(
    opening: AbstractContextManager[Original], progress: Progress
) -> Iterator[Original]:
    """Give what `opening` opens. Once it was read, how it is closed is no failure."""
    leaving = ExitStack()
    try:
        yield leaving.enter_context(opening)
    finally:
        try:
            leaving.close()
        except CowpathError as error:
            progress.warn(f"a source could not be closed properly: {error}")

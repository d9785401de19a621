"""Proved drafts get their own names, Glance lists them, or nothing remains of them."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from cowpath.core.errors import CowpathError
from cowpath.core.model import Image, Location, StoreName
from cowpath.provision.copying.progress import Progress
from cowpath.provision.copying.targets import Target, Targets

Register = Callable[[StoreName, Location], None]


@dataclass(frozen=True, slots=True)
class LastWord:
    """What the caller says to the last steps of a copy.

    Attributes:
        register: Has Glance list a copy.
        unregister: Undoes that; None: it cannot be undone.
        confirm: Raises what speaks against a copy; None: nothing does.
        settled: What is listed is ours no more.
    """

    register: Register
    unregister: Register | None
    confirm: Callable[[StoreName], None] | None
    settled: bool


@dataclass(frozen=True, slots=True)
class Publication:
    """The last steps of a copy."""

    image: Image
    targets: Targets
    progress: Progress
    word: LastWord

    def run(self) -> None:
        """Publish and register what is alive; remove what fails.

        Where all or none are wanted, nothing is registered before everything is
        published: what Glance lists, somebody may have cloned a moment later.
        """
        if self.targets.all_or_none:
            self._each(self._publish)
            self._each(self._list)
        else:
            self._each(self._publish_and_list)
        for target in self.targets.dead:
            self._unlist(target)
        for target in self.targets:
            if target.registered and self.word.settled:
                self._tell(target)
        self.remove(self.targets.dead)

    def remove(self, targets: Iterable[Target]) -> None:
        """Remove what was made of `targets` and Glance does not list.

        A draft stays that failed only because a store is unavailable: it may be most
        of a large image, and it is proved anew before anybody sees it.
        """
        for target in targets:
            try:
                if self.targets.is_kept(target):
                    target.keep()
                else:
                    target.undo(self.image)
            except CowpathError as error:
                self.progress.warn(
                    f"what was made of image {self.image.id} in store {target.store} "
                    f"could not be removed, and is removed or used by the next copy "
                    f"of it there: {error}"
                )
        self.leave(targets)

    def leave(self, targets: Iterable[Target]) -> None:
        """Let go of every draft, whatever some of them say."""
        with ExitStack() as leaving:
            for target in targets:
                leaving.callback(self._leave, target)

    def _leave(self, target: Target) -> None:
        error = target.leave()
        if error:
            self.progress.warn(
                f"the copy of image {self.image.id} in store {target.store} could not "
                f"be closed properly; should the next one find it in use, wait a "
                f"minute: {error}"
            )

    def _each(self, step: Callable[[Target], None]) -> None:
        for target in tuple(self.targets):
            # Where one fails and all or none are wanted, the others are not alive.
            if target in self.targets.alive:
                with target.failing():
                    step(target)

    def _publish_and_list(self, target: Target) -> None:
        self._publish(target)
        self._list(target)

    def _publish(self, target: Target) -> None:
        if self.word.confirm:
            self.word.confirm(target.store)
        target.publish()

    def _list(self, target: Target) -> None:
        if target.published:
            self.word.register(target.store, target.published)
            target.registered = True

    def _tell(self, target: Target) -> None:
        try:
            target.listed(self.image)
        except CowpathError as error:
            self.progress.warn(
                f"our mark stays on the copy of image {self.image.id} in store "
                f"{target.store}, which does no harm while Glance lists it: {error}"
            )

    def _unlist(self, target: Target) -> None:
        if target.registered and target.published and self.word.unregister:
            with target.failing():
                self.word.unregister(target.store, target.published)
                target.registered = False

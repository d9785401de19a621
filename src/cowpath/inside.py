"""This site's store inside a service that has a Glance client of its own.

Nova brings one for each request, with its user's token. What stays is the store, and
who follows which copy.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from cowpath.catalog.transport import Transport
from cowpath.core.model import Base, Image, StoreName
from cowpath.core.ports import Receiver, Way
from cowpath.core.rules import check_head


@dataclass(frozen=True, slots=True)
class Inside:
    """One site's store, and the way into it for each caller.

    Every method raises `CowpathError`s, and what the caller's transport raises that
    is no answer of Glance's.

    Attributes:
        store: This site's Glance store.
        bases: The clone sources in the store, and its room.
        way: Returns how an image gets here, asked for over a transport. Callers with
            the same second argument share one follower for each image.
        read: Returns the image that an answer of Glance's describes.
        close: Lets go of connections; the next call opens them again.
    """

    store: StoreName
    bases: Receiver
    way: Callable[[Transport, Hashable], Way]
    read: Callable[[Mapping[str, object]], Image]
    close: Callable[[], None]

    def find_base(self, told: Mapping[str, object]) -> Base | None:
        """Return the base of an image, also where Glance hides its location.

        Args:
            told: What Glance says of the image.

        Raises:
            UntrustedError: Glance shows a location that is not to be trusted.
            UnsuitableError: Its first bytes are another format's.
        """
        image = self.read(told)
        base = self.bases.find_base(image) if image.is_in(self.store) else None
        if base is not None:
            check_head(image, base.head)
        return base

    def bring(
        self, told: Mapping[str, object], transport: Transport, caller: Hashable
    ) -> Base:
        """Have an image copied here and return its base; one that is here is not.

        Args:
            told: What Glance said of the image a moment ago.
            transport: Carries the requests, as the caller.
            caller: Who asks; see `way`.

        Raises:
            CopyError: It did not come.
            ForbiddenError: Policy or quota refuses the copy.
        """
        return self.way(transport, caller).bring(self.read(told))

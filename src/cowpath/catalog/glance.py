"""Glance's v2 API as a Catalog."""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlencode

from cowpath.catalog import refusals, wire
from cowpath.catalog.transport import Reply, Transport
from cowpath.core.errors import (
    AmbiguousError,
    ConfigError,
    CowpathError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from cowpath.core.model import CopyAnswer, Image, ImageId, StoreName, is_image_id

_OK = 200
_ACCEPTED = 202
_LONGEST_NAME = 255
_SURROGATE = re.compile("[\ud800-\udfff]")

PAGE = 200
"""Images asked for at once. Glance gives 25 by default and 1000 at most."""


class GlanceCatalog:
    """A Catalog that asks a Glance. Stateless, hence safe to share."""

    def __init__(self, transport: Transport, *, page: int = PAGE) -> None:
        """Ask over `transport`.

        Args:
            transport: Carries the requests.
            page: Images to ask for at once in lists.
        """
        self._transport = transport
        self._page = page

    def get(self, image: ImageId) -> Image:
        """Return the image as it is now."""
        reply = self._get(f"/v2/images/{quote(image, safe='')}", f"image {image}")
        found = wire.image(reply.body, reply.date)
        # A database that compares without regard to case, such as MySQL, finds an
        # id in capitals too. Glance's own spelling is the one that stores know.
        if found.id.casefold() != image.casefold():
            raise UnavailableError(
                f"{self._transport.endpoint} is not Glance: asked for image {image}, "
                f"it answered {found.id}: check the image endpoint"
            )
        return found

    def find(self, ref: str) -> Image:
        """Return the one image whose id or name is `ref`."""
        if not is_image_id(ref):
            return self._find_by_name(ref)
        try:
            return self.get(ImageId(ref))
        except NotFoundError:
            # Nothing keeps people from giving an image a UUID for a name.
            return self._find_by_name(ref)

    def images(self) -> Iterator[Image]:
        """Yield every image that Glance lists for us: not hidden ones."""
        return self._list()

    def stores(self) -> tuple[StoreName, ...]:
        """Return the store ids that this Glance has, its default first."""
        try:
            reply = self._get("/v2/info/stores", "list of stores")
        except NotFoundError as error:
            raise ConfigError(
                f"Glance at {self._transport.endpoint} has one store without a name: "
                f"give it several with enabled_backends in glance-api.conf"
            ) from error
        return wire.stores(reply.body)

    def copy(self, image: ImageId, stores: Sequence[StoreName]) -> CopyAnswer:
        """Ask with one request for copies in `stores` and return at once."""
        # Glance 33 answers 202 to a store that is named twice, breaks at once and
        # keeps the image locked for an hour. Seen on 2026-11-22.
        wanted = tuple(dict.fromkeys(stores))
        if not wanted:
            raise UsageError(
                f"no store is named that image {image} is to be copied to: name one "
                f"(`cowpath image place {image} --store STORE`)"
            )
        reply = self._transport.request(
            "POST",
            f"/v2/images/{quote(image, safe='')}/import",
            wire.copy_request(wanted),
        )
        if reply.status == _ACCEPTED:
            return CopyAnswer.ACCEPTED
        asked = refusals.Asked(self._transport.endpoint, image, wanted)
        answer = refusals.of_copy(reply, asked, self._known_stores)
        if isinstance(answer, CowpathError):
            raise answer
        return answer

    def _get(self, path: str, what: str) -> Reply:
        reply = self._transport.request("GET", path)
        if reply.status != _OK:
            raise refusals.of_reading(reply, what, self._transport.endpoint)
        return reply

    def _find_by_name(self, name: str) -> Image:
        # Databases compare names without regard to case or trailing blanks; we do
        # not, hence the second comparison.
        found = [image for image in self._named(name) if image.name == name]
        if not found:
            raise NotFoundError(
                f"no image has the id or name {name!r} (or it is not ours to see): "
                f"`cowpath image list` shows those there are"
            )
        if len(found) > 1:
            ids = ", ".join(sorted(image.id for image in found))
            raise AmbiguousError(
                f"{len(found)} images are named {name!r}: use the id of one of {ids}"
            )
        return found[0]

    def _named(self, name: str) -> Iterator[Image]:
        if not _can_be_a_name(name):
            return iter(())
        # Without the operator Glance takes what stands before a colon for one, and
        # answers 400 to `debian:12`.
        return self._list(name=f"eq:{name}")

    def _list(self, **filters: str) -> Iterator[Image]:
        query: str | None = urlencode({**filters, "limit": str(self._page)})
        seen = set[str]()
        while query and query not in seen:
            seen.add(query)
            reply = self._get(f"/v2/images?{query}", "list of images")
            page = wire.page(reply.body, reply.date)
            yield from page.images
            query = page.next

    def _known_stores(self) -> str:
        try:
            return ", ".join(self.stores())
        except CowpathError:
            return "could not be listed"


def _can_be_a_name(text: str) -> bool:
    # Lone surrogates come of command lines that are not UTF-8; no URL can hold them.
    return 0 < len(text) <= _LONGEST_NAME and not _SURROGATE.search(text)

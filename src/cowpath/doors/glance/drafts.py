"""Which drafts may lie in stores although nobody copies: they wait for the next copy.

A copy that fails because a store does not answer leaves its draft there. Whose image
is deleted meanwhile nobody asks for again; so it is noted, in a file for each, where
to look then.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from oslo_log import log as logging

from cowpath.core.errors import (
    ConflictError,
    CowpathError,
    UnavailableError,
)
from cowpath.core.model import Bytes, Image, StoreName, image_id
from cowpath.doors.glance.ledger import GoneError, Ledger
from cowpath.wiring import Copying

LOG = logging.getLogger(__name__)

_SUFFIX = ".draft"


@dataclass(frozen=True, slots=True)
class Kept:
    """A draft, or what else a copy may have left in a store.

    Attributes:
        image: The id of its image.
        size: Of the image; nobody else knows it once the database forgot the image.
    """

    image: str
    store: str
    size: int

    @property
    def noun(self) -> Image:
        """Return the image, of which Glance lists nothing any more."""
        return Image(image_id(self.image), status="deleted", size=Bytes(self.size))


class Drafts:
    """The folder of these files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, kept: Kept) -> None:
        """Note what stays in a store; nothing does of an image without bytes."""
        if not kept.size:
            return
        path = self._path(kept.image, kept.store)
        try:
            path.parent.mkdir(mode=0o750, exist_ok=True)
            path.write_text(json.dumps(asdict(kept)))
        except OSError as error:
            LOG.warning(
                "Image %s: once it is deleted nobody removes what its copy left in "
                "store %s, because %s cannot be written: %s",
                *(kept.image, kept.store, path, error),
            )

    def drop(self, image: str, store: str) -> None:
        """Forget that there was anything."""
        with suppress(OSError):
            self._path(image, store).unlink()

    def kept(self) -> Iterator[Kept]:
        """Yield all that is noted."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            with suppress(FileNotFoundError):
                try:
                    yield Kept(**json.loads(path.read_text()))
                except (ValueError, TypeError):
                    path.unlink()

    def _path(self, image: str, store: str) -> Path:
        return self._folder / f"{image}.{store}{_SUFFIX}"


def forget_unowned(drafts: Drafts, copying: Copying) -> None:
    """Remove what was kept for images that are deleted by now."""
    away: set[str] = set()
    for kept in drafts.kept():
        if kept.store in away or not _is_gone(kept.image):
            continue
        try:
            copying.forget(kept.noun, StoreName(kept.store))
        except CowpathError as error:
            if isinstance(error, UnavailableError):
                away.add(kept.store)
            LOG.warning(
                "Image %s was deleted, and what lies in store %s by its name is still "
                "there: %s",
                *(kept.image, kept.store, error),
            )
            if error.retryable or not isinstance(error, ConflictError):
                continue
        drafts.drop(kept.image, kept.store)


def _is_gone(image: str) -> bool:
    ledger = Ledger(image, task="")
    try:
        ledger.row()
    except GoneError:
        # What can be restored keeps all that it has.
        return not ledger.is_scheduled_for_deletion()
    return False

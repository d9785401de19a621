"""Service credentials for copying, and nothing else.

Glance's default policy lets only administrators copy. A site that copies with
credentials of its own must not become a way around the caller's rights: what the
caller cannot see is not copied for them.
"""

from collections.abc import Iterator, Sequence

from cowpath.core.errors import (
    ConfigError,
    CowpathError,
    CredentialsError,
    ForbiddenError,
    NotFoundError,
    QuotaError,
)
from cowpath.core.model import CopyAnswer, Image, ImageId, StoreName
from cowpath.core.ports import Catalog

_WHOSE = "the service credentials in [cowpath_copy]"


class OnBehalf:
    """A Catalog that copies with service credentials what the caller can see."""

    def __init__(self, own: Catalog, service: Catalog) -> None:
        """Ask with two sets of credentials.

        Args:
            own: The caller's: for everything but the request for a copy.
            service: The service's: for that request alone.
        """
        self._own = own
        self._service = service

    def get(self, image: ImageId) -> Image:
        """Return the image as the caller sees it."""
        return self._own.get(image)

    def find(self, ref: str) -> Image:
        """Return the one image whose id or name is `ref`, as the caller sees it."""
        return self._own.find(ref)

    def images(self) -> Iterator[Image]:
        """Yield every image that Glance lists for the caller."""
        return self._own.images()

    def stores(self) -> tuple[StoreName, ...]:
        """Return the store ids that this Glance has, its default first."""
        return self._own.stores()

    def copy(self, image: ImageId, stores: Sequence[StoreName]) -> CopyAnswer:
        """Ask for copies of an image that the caller can see."""
        # Before each request anew: the image may have been made private since.
        seen = self._own.get(image)
        what = f"the copy of image {seen.id} to {', '.join(stores)}"
        try:
            return self._service.copy(seen.id, stores)
        except NotFoundError as error:
            if self._service_sees(seen.id):
                raise  # It is the store that is not found.
            raise NotFoundError(
                f"the caller can see image {seen.id}, but the user of {_WHOSE} cannot, "
                f"so {what} was not begun (or it was deleted just now): give that user "
                f"a role that sees every project's images (admin, by default), or "
                f"share the image with its project"
            ) from error
        except CredentialsError as error:
            raise CredentialsError(
                f"Glance or Keystone does not accept {_WHOSE} for {what}: check them; "
                f"the caller's own are not used for copies"
            ) from error
        except QuotaError as error:
            raise QuotaError(f"with {_WHOSE}: {error}") from error
        except ForbiddenError as error:
            raise ForbiddenError(
                f"Glance's policy copy_image forbids {what} to {_WHOSE}: give their "
                f'user a role that it accepts (admin, by default), or set "copy_image" '
                f"in Glance's policy.yaml to a rule that they fulfil"
            ) from error
        except ConfigError as error:
            raise ConfigError(f"{_WHOSE} cannot be used: {error}") from error

    def _service_sees(self, image: ImageId) -> bool:
        try:
            self._service.get(image)
        except NotFoundError:
            return False
        except CowpathError:
            return True  # Nothing speaks against it, and Glance's first word stands.
        return True

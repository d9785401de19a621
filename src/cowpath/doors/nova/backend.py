"""Nova's RBD image backend, with images brought here as the specification means it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nova import exception
from nova.virt.libvirt import imagebackend
from oslo_log import log as logging

from cowpath.core.errors import (
    CowpathError,
    NotFoundError,
    UntrustedError,
    UsageError,
)
from cowpath.core.model import Base
from cowpath.doors.nova.here import configured, here
from cowpath.doors.nova.images import NovaTransport, plain
from cowpath.doors.nova.refusals import as_novas

LOG = logging.getLogger(__name__)

_CLONEABLE = ("raw", "iso")


class Rbd(imagebackend.Rbd):
    """Nova's images_type rbd. Mended: how an image gets here, and where it may lie."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._source: Mapping[str, Any] | None = None
        self._refused: exception.ImageUnacceptable | None = None

    def cache(
        self, fetch_func: Callable[..., None], filename: str, *args: Any, **kwargs: Any
    ) -> None:
        """Make the disk; what is copied comes before Nova locks the image's name.

        Under that lock all builds of an image on this host would wait in turn, each
        for a copy that the first one may have seen fail already.
        """
        image, context = kwargs.get("image_id"), kwargs.get("context")
        if image and context is not None and not self.exists():
            self._bring_early(context, image)
        super().cache(fetch_func, filename, *args, **kwargs)

    def create_image(
        self,
        prepare_template: Callable[..., None],
        base: str,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Make the disk, a clone also where a file of the image is at hand.

        Nova's own caches such files by request, imports one without a look for what
        can be cloned, and leaves them to us.
        """
        if self._source is not None and Path(base).exists():
            self.clone(kwargs["context"], kwargs["image_id"])
        super().create_image(prepare_template, base, *args, **kwargs)

    def _bring_early(self, context: Any, image: str) -> None:
        try:
            self._source = self._find_or_bring(context, image)
        except exception.ImageUnacceptable as error:
            # Said again by clone(): whoever called us may download it then.
            self._refused = error

    def clone(
        self,
        context: Any,
        image_id_or_uri: str,
        copy_to_store: bool = True,  # noqa: FBT001, FBT002  # Nova's
    ) -> None:
        """Make this disk a clone of the image, brought here if need be."""
        refused, self._refused = self._refused, None
        if refused is not None:
            raise refused
        source, self._source = self._source, None
        if source is None:
            source = self._find_or_bring(context, image_id_or_uri, copy=copy_to_store)
        LOG.debug("Cloning %s from %s", self.rbd_name, source)
        self.driver.clone(source, self.rbd_name)

    def bring(self, context: Any, image: str) -> bool:
        """Have an image in this site's store; tell whether it had to be copied."""
        told = self._ask(context, image)
        if self._find(told) is not None:
            return False
        self._bring(context, told)
        return True

    def _find_or_bring(
        self, context: Any, image: str, *, copy: bool = True
    ) -> Mapping[str, Any]:
        """Return the location that can be cloned.

        Raises:
            ImageUnacceptable: There is none, and it could not be brought.
        """
        told = self._ask(context, image)
        found = self._find(told)
        if found is not None:
            return found
        if copy and configured():
            return self._bring(context, told)
        raise exception.ImageUnacceptable(image_id=image, reason=_nowhere())

    def _bring(self, context: Any, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have an image copied here and return the location that can be cloned."""
        self.copy_to_store(context, told)
        found = self._find(self._ask(context, told["id"]))
        if found is None:
            raise exception.ImageUnacceptable(image_id=told["id"], reason=_nowhere())
        return found

    def _ask(self, context: Any, image: str) -> Mapping[str, Any]:
        """Return what Glance says of an image that can be cloned.

        Raises:
            ImageUnacceptable: It is of another format: no copy of it would help.
        """
        told: Mapping[str, Any] = imagebackend.IMAGE_API.get(
            context, image, include_locations=True
        )
        kind = told.get("disk_format")
        if kind not in _CLONEABLE:
            reason = (
                f"Image is not raw format but {kind}, so it cannot be cloned and is "
                f"not copied to this site: convert it (qemu-img convert -O raw) and "
                f"upload it again, or switch on Glance's image_conversion"
            )
            raise exception.ImageUnacceptable(image_id=image, reason=reason)
        return told

    def _find(self, told: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the location of an image in this cluster, shown or hidden.

        Glance shows none, or one that may be another store's, unless it has
        show_multiple_locations.
        """
        base = self._base(told) if configured() else None
        for location in told.get("locations") or ():
            if _is_its_own(location, told, self.driver) and self.driver.is_cloneable(
                location, told
            ):
                shown: Mapping[str, Any] = location
                return shown
        if base is None:
            return None
        where = base.where.replace("@", "/")
        hidden = {"url": f"rbd://{self.driver.get_fsid()}/{where}", "metadata": {}}
        # A base is remembered, and may be gone by now.
        return hidden if self.driver.is_cloneable(hidden, told) else None

    def _base(self, told: Mapping[str, Any]) -> Base | None:
        """Return the base of an image, looked for where the configuration says.

        Raises:
            ImageUnacceptable: It is of another format than it says.
            StorageError: This host's cluster cannot be asked.
        """
        site = here().site
        try:
            return site.find_base(plain(told))
        except UntrustedError as error:
            LOG.warning("Image %s is not taken from here: %s", told["id"], error)
            return None
        except CowpathError as error:
            raise as_novas(error, told["id"], site.store) from error

    def copy_to_store(self, context: Any, image_meta: Mapping[str, Any]) -> None:
        """Have Glance copy the image to this site's store, and wait until it has.

        Raises:
            ImageUnacceptable: It did not come, and would not on any host of the site.
            ImageNotFound: It was deleted meanwhile.
            StorageError: Something is wrong with this host, or at the moment.
        """
        image = image_meta["id"]
        transport = NovaTransport(imagebackend.IMAGE_API, context)
        told = plain(image_meta)
        caller = (
            getattr(context, "project_id", None),
            getattr(context, "user_id", None),
        )
        store = imagebackend.CONF.libvirt.images_rbd_glance_store_name
        try:
            here().site.bring(told, transport, caller)
        except UsageError as error:
            # HTTP 400: Nova's comment calls it a race, and one more look tells.
            if not self._came_meanwhile(context, image, store):
                raise as_novas(error, image, store) from error
        except NotFoundError as error:
            # The image, or the store? Of an image Nova's client says it itself.
            imagebackend.IMAGE_API.get(context, image)
            raise as_novas(error, image, store) from error
        except CowpathError as error:
            raise as_novas(error, image, store) from error

    def _came_meanwhile(self, context: Any, image: str, store: str) -> bool:
        told = imagebackend.IMAGE_API.get(context, image, include_locations=True)
        return store in here().site.read(plain({"id": image, **told})).stores

    def _get_parent_pool(self, context: Any, base_image_id: str, fsid: str) -> str:
        """Return the pool that images lie in, also for a disk that is no clone.

        Nova would suspend the guest and upload its disk to Glance's default store.
        """
        try:
            pool: str = super()._get_parent_pool(context, base_image_id, fsid)
        except exception.ImageUnacceptable:
            told = here().images_pool if configured() else None
            if told is None:
                raise
            return told
        return pool


def _nowhere() -> str:
    if not configured():
        return "No image locations are accessible"
    return (
        "No image locations are accessible: Glance lists the image in this site's "
        "store, but it is not in this host's Ceph cluster: compare the cluster of "
        "[libvirt] images_rbd_ceph_conf with the one of Glance's store "
        f"{imagebackend.CONF.libvirt.images_rbd_glance_store_name}"
    )


def _is_its_own(location: Any, told: Mapping[str, Any], driver: Any) -> bool:
    """Tell whether a location is the image's own bytes, as far as its name tells.

    Where Glance lets users write locations, one may name another project's disk.
    """
    if not isinstance(location, Mapping):
        return True  # nothing that Glance says; is_cloneable() has its own opinion
    try:
        fsid, pool, name, snapshot = driver.parse_url(location["url"])
    except exception.ImageUnacceptable:
        return False
    if fsid != driver.get_fsid():
        return False  # another site's
    own = (name, snapshot) == (told.get("id"), "snap") and here().trusts(pool)
    if not own:
        LOG.warning(
            "Location %s is not where Glance puts image %s, and is not taken",
            location["url"],
            told.get("id"),
        )
    return own

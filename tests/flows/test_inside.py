"""A service that brings its own Glance client: what it sees, and who follows."""

from collections.abc import Hashable

import pytest

from cowpath.catalog import wire
from cowpath.catalog.transport import Transport
from cowpath.core.errors import UnsuitableError
from cowpath.core.model import Image
from cowpath.inside import Inside
from cowpath.provision.ways.ask_glance import AskGlance
from cowpath.testing.glance_scripts import Verb
from tests.flows.world import EDGE, GIB, World

QCOW2 = b"QFI\xfb"


class Nobody:
    """A transport that is never used: the world's own catalog is asked."""

    endpoint = "nowhere"

    def request(self, *_: object) -> None:  # pragma: no cover
        pytest.fail("asked over the transport")


def inside(world: World) -> Inside:
    way = world.ports().ways[0]
    assert isinstance(way, AskGlance)

    def anybody(_transport: Transport, _caller: Hashable) -> AskGlance:
        return way

    return Inside(EDGE, world.edge, anybody, wire.image, world.edge.close)


def told(image: Image, **more: object) -> dict[str, object]:
    """Return what a client of Glance's says of an image."""
    said: dict[str, object] = {
        "id": image.id,
        "name": image.name,
        "status": image.status,
    }
    stores = ",".join(sorted(image.stores))
    said |= {"disk_format": "raw", "size": image.size, "stores": stores}
    return {**said, **more}


def test_an_image_that_is_elsewhere_has_no_base_here_and_is_brought(
    world: World,
) -> None:
    site = inside(world)
    image = world.glance.upload("debian", size=GIB)

    assert site.find_base(told(image)) is None
    base = site.bring(told(image), Nobody(), "somebody")  # type: ignore[arg-type]

    assert base.image == image.id
    assert world.asked().count(Verb.COPY) == 1
    now = world.seen(image)
    assert site.find_base(told(now)) == base


def test_properties_of_a_client_that_puts_them_aside_are_read(world: World) -> None:
    site = inside(world)
    image = world.glance.upload("debian", size=GIB)
    aside = {"os_glance_importing_to_stores": "edge1", "os_glance_import_task": "t"}

    assert site.read(told(image, properties=aside)).is_being_copied_to(EDGE)


def test_a_base_that_begins_with_another_format_s_header_is_refused(
    world: World,
) -> None:
    site = inside(world)
    image = world.glance.upload("debian", size=GIB)
    site.bring(told(image), Nobody(), "somebody")  # type: ignore[arg-type]
    world.edge.put(image.id, QCOW2, size=GIB)

    with pytest.raises(UnsuitableError, match="qcow2 header"):
        site.find_base(told(world.seen(image)))

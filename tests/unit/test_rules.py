"""What may be cloned, trusted and adopted."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cowpath.core import rules
from cowpath.core.errors import ConflictError, UnsuitableError, UntrustedError
from cowpath.core.model import (
    Bytes,
    Disk,
    DiskName,
    FileSource,
    Image,
    ImageId,
    Location,
    StoreName,
)

EDGE, CENTRAL = StoreName("edge1"), StoreName("central")
IMAGE = Image(
    ImageId("6f2e1c0a-0000-4000-8000-00000000000a"),
    "debian",
    size=Bytes(2**30),
    stores=frozenset({CENTRAL}),
)
OTHER = ImageId("6f2e1c0a-0000-4000-8000-00000000000b")
DISK = Disk(
    DiskName("vm1"),
    Bytes(2**30),
    FileSource("/d/vm1.qcow2"),
    image=IMAGE.id,
    marked=True,
)
OURS = "file:///edge1/debian"


def mine(location: Location) -> str | None:
    return location.url if location.url == OURS else None


def test_an_active_raw_image_with_bytes_is_accepted() -> None:
    rules.check_image(IMAGE)


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        ("queued", "upload its data first"),
        ("saving", "wait until its upload"),
        ("importing", "wait until its import"),
        ("uploading", "wait until its upload"),
        ("deactivated", "openstack image set --activate"),
        ("killed", "delete it and upload it again"),
        ("pending_delete", "it must be active"),
    ],
)
def test_every_other_status_has_its_cure(status: str, cure: str) -> None:
    with pytest.raises(UnsuitableError, match=f"is {status}: .*{cure}") as caught:
        rules.check_image(replace(IMAGE, status=status))
    assert IMAGE.id in str(caught.value)
    assert IMAGE.name in str(caught.value)


@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "iso", "RAW", "", None])
def test_only_raw_is_cloned(disk_format: str | None) -> None:
    with pytest.raises(UnsuitableError, match="image_conversion"):
        rules.check_image(replace(IMAGE, disk_format=disk_format))


def test_an_image_without_bytes_is_refused() -> None:
    for nothing in (
        replace(IMAGE, size=None),
        replace(IMAGE, size=Bytes(0)),
        replace(IMAGE, stores=frozenset()),
    ):
        with pytest.raises(UnsuitableError, match="no bytes in any store"):
            rules.check_image(nothing)


@given(size=st.integers(1, 2**50), min_disk=st.integers(0, 2**16))
def test_the_default_size_holds_the_image_and_min_disk_in_whole_sectors(
    size: int, min_disk: int
) -> None:
    image = replace(IMAGE, size=Bytes(size), min_disk=min_disk)
    whole = rules.check_size(image, None)
    assert whole % 512 == 0
    assert whole >= size
    assert whole >= min_disk * 2**30
    assert whole - 512 < max(size, min_disk * 2**30)
    assert rules.check_size(image, whole) == whole
    assert rules.check_size(image, Bytes(whole + 512)) == whole + 512
    with pytest.raises(UnsuitableError, match=f"at least {whole} bytes"):
        rules.check_size(image, Bytes(whole - 512))


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"QFI\xfb\x00\x00\x00\x03", "qcow2"),
        (b"QED\x00rest", "qed"),
        (b"KDMV\x01", "vmdk"),
        (b"COWD", "vmdk"),
        (b"vhdxfile", "vhdx"),
        (b"conectix", "vhd"),
    ],
)
def test_a_raw_image_with_another_format_s_header_is_refused(
    head: bytes, name: str
) -> None:
    with pytest.raises(UnsuitableError, match=f"begins with a {name} header"):
        rules.check_head(IMAGE, head)


@pytest.mark.parametrize(
    "head", [b"", b"\0" * 4096, b"QFI", b"\xeb\x63\x90", b"\0QFI\xfb", b"vhdx"]
)
def test_other_bytes_are_raw(head: bytes) -> None:
    rules.check_head(IMAGE, head)


def test_the_first_location_that_is_ours_is_chosen() -> None:
    other = Location("file:///central/debian", CENTRAL)
    for ours in (Location(OURS, EDGE), Location(OURS)):
        image = replace(IMAGE, locations=(other, ours))
        assert rules.choose_location(image, EDGE, mine) == OURS


def test_bytes_of_ours_under_another_store_s_name_are_not_ours() -> None:
    """Our store name is wrong, or our ceph.conf is another site's."""
    places = (Location(OURS, CENTRAL),)
    assert rules.choose_location(replace(IMAGE, locations=places), EDGE, mine) is None


def test_locations_of_other_stores_are_other_sites() -> None:
    places = (Location("file:///central/debian", CENTRAL), Location("rbd://a/b/c/d"))
    assert rules.choose_location(replace(IMAGE, locations=places), EDGE, mine) is None
    assert rules.choose_location(IMAGE, EDGE, mine) is None


def test_a_location_that_claims_our_store_and_leads_elsewhere_is_not_followed() -> None:
    forged = Location("file:///etc/passwd", EDGE)
    image = replace(IMAGE, locations=(Location("file:///central/debian"), forged))
    with pytest.raises(UntrustedError, match="file:///etc/passwd") as caught:
        rules.choose_location(image, EDGE, mine)
    assert "images_rbd_glance_store_name" in str(caught.value)


def test_a_forged_location_beside_ours_does_not_hide_ours() -> None:
    places = (Location("file:///etc/passwd", EDGE), Location(OURS, EDGE))
    assert rules.choose_location(replace(IMAGE, locations=places), EDGE, mine) == OURS


def test_a_disk_of_an_interrupted_call_is_adopted() -> None:
    rules.check_adoption(DISK, IMAGE, DISK.size, untouched=True)
    rules.check_adoption(DISK, IMAGE, Bytes(2**31), untouched=True)


@pytest.mark.parametrize(
    ("disk", "untouched", "reasons"),
    [
        (replace(DISK, marked=False), True, ["was not made by Cowpath"]),
        (replace(DISK, image=OTHER), True, [f"is a disk of image {OTHER}"]),
        (replace(DISK, image=None), True, ["is a disk of image unknown"]),
        (DISK, False, ["is in use or has been written to"]),
        (replace(DISK, size=Bytes(2**31)), True, ["is larger (2147483648 bytes)"]),
        (replace(DISK, marked=False), False, ["not made by Cowpath and", "in use"]),
    ],
)
def test_somebody_s_disk_is_not_adopted(
    disk: Disk, reasons: list[str], *, untouched: bool
) -> None:
    with pytest.raises(ConflictError) as caught:
        rules.check_adoption(disk, IMAGE, Bytes(2**30), untouched=untouched)
    for reason in (*reasons, "cowpath disk delete vm1"):
        assert reason in str(caught.value)

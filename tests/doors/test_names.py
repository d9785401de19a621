"""Names and sizes that cannot be are refused before anybody is asked."""

import pytest

from tests.doors.desk import IMAGE, Cowpath, Desk

_NAMES = ["a/b", "a@b", "a b", "..", "../x", ".hidden", "-x", "", "v" * 300, "vm\n"]
_SIZES = ["many", "", "0", "-1", "1.5G", "20X", "1000", "99999P", "1e9", "0x200"]


@pytest.mark.parametrize("name", _NAMES)
def test_a_disk_name(desk: Desk, cowpath: Cowpath, name: str) -> None:
    for words in (
        ("disk", "create", IMAGE, "--", name),
        ("disk", "show", "--", name),
        ("disk", "grow", "--", name, "1G"),
        ("disk", "delete", "--yes", "--", name),
        ("boot", IMAGE, f"--name={name}"),
    ):
        if words[0] == "boot" and not name:
            continue  # an empty --name is one that cowpath makes up
        ran = cowpath(*words)
        assert (ran.code, ran.out) == (2, ""), words
        assert "is not a disk name: use 1 to 200 letters" in ran.err
        assert "Traceback" not in ran.err
    assert desk.glance.asked == []
    assert list(desk.disks.iterdir()) == []


@pytest.mark.parametrize("size", _SIZES)
def test_a_size(desk: Desk, cowpath: Cowpath, size: str) -> None:
    for words in (
        ("disk", "create", IMAGE, "vm1", f"--size={size}"),
        ("disk", "grow", "--", "vm1", size),
        ("boot", IMAGE, f"--memory={size}"),
    ):
        ran = cowpath(*words)
        assert (ran.code, ran.out) == (2, ""), words
        assert "size" in ran.err
        assert "Traceback" not in ran.err
    assert desk.glance.asked == []
    assert list(desk.disks.iterdir()) == []


@pytest.mark.parametrize("image", ["", "x" * 256, "a\x1b[2Jb", "a\nb"])
def test_an_image(desk: Desk, cowpath: Cowpath, image: str) -> None:
    ran = cowpath("disk", "create", "--", image, "vm1")
    assert (ran.code, ran.out) == (2, "")
    assert "give an image id, or a name" in ran.err
    assert "\x1b" not in ran.err
    assert desk.glance.asked == []


def test_a_store(desk: Desk, cowpath: Cowpath) -> None:
    desk.glance.add(IMAGE)
    ran = cowpath("image", "place", IMAGE, "--store", "edge1,edge2")
    assert ran.code == 2
    assert "enabled_backends" in ran.err
    assert desk.glance.copies == []


@pytest.mark.parametrize(
    "words",
    [
        [b"disk", b"create", IMAGE.encode(), b"vm\xff"],
        [b"disk", b"show", b"\xff\xfe"],
        [b"image", b"show", b"debian\xff"],
        [b"image", b"place", IMAGE.encode(), b"--store", b"\xff"],
    ],
)
def test_bytes_that_are_not_utf8(desk: Desk, words: list[bytes]) -> None:
    desk.glance.add(IMAGE)
    ran = desk.spawn(*words, "--json")
    assert ran.code == 2, ran
    assert ran.document["error"]["class"] == "UsageError"
    assert r"\udcff" in ran.document["error"]["message"]
    assert "Traceback" not in ran.err
    assert desk.glance.copies == []


@pytest.mark.parametrize(
    "name",
    ["[/x] [red]y", "\x1b]0;owned\x07", "\ud800", "one\ntwo", ":smile:", "\u202eabc"],
)
def test_what_others_call_their_images_does_nothing(
    desk: Desk, cowpath: Cowpath, name: str
) -> None:
    desk.glance.add(IMAGE, name=name)
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in name
    )
    for words in (["image", "list"], ["image", "show", IMAGE]):
        ran = cowpath(*words)
        assert (ran.code, ran.err) == (0, "")
        assert shown in ran.out
        assert cowpath(*words, "--json").document
    ran = cowpath("image", "place", IMAGE, "--no-wait")
    assert ran.code == 0
    assert shown in ran.err
    desk.glance.images[IMAGE]["status"] = "deactivated"
    ran = cowpath("image", "place", IMAGE)
    assert ran.code == 4
    assert shown in ran.err

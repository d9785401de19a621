"""Names and sizes that cannot be are refused before anybody is asked."""

import subprocess
import sys
from dataclasses import replace
from xml.etree.ElementTree import Element, SubElement, fromstring, indent, tostring

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from cowpath.config import Setting
from cowpath.core.errors import CopyFailedError
from cowpath.core.model import (
    Base,
    Bytes,
    Disk,
    DiskName,
    FileSource,
    Image,
    ImageId,
    Leftover,
    Location,
    Sight,
    StoreName,
)
from cowpath.doors.cli import documents
from cowpath.doors.cli import session as cli_session
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


_HOSTILE = "\x1b]0;owned\x07\x9b2J"
_TAMED = r"\x1b]0;owned\x07\x9b2J"


def _hostile_sights() -> list[Sight]:
    """Return images of which every text is hostile, with all that a site can show."""
    image = Image(
        ImageId(_HOSTILE),
        _HOSTILE,
        status=_HOSTILE,
        disk_format=_HOSTILE,
        visibility=_HOSTILE,
        hash=_HOSTILE,
        stores=frozenset({StoreName(_HOSTILE)}),
        importing=frozenset({StoreName(_HOSTILE)}),
        failed=frozenset({StoreName(_HOSTILE)}),
        locations=(Location(f"file:///{_HOSTILE}", StoreName(_HOSTILE)),),
    )
    left = Leftover(image.id, _HOSTILE, Bytes(1), f"mv {_HOSTILE}\nmv {_HOSTILE}")
    base = Base(image.id, _HOSTILE, Bytes(1))
    return [
        Sight(image, leftover=left, doubt=_HOSTILE),
        Sight(replace(image, lock=_HOSTILE), base=base),
    ]


def test_no_text_of_an_image_does_anything_to_a_terminal() -> None:
    store = StoreName(_HOSTILE)
    sights = _hostile_sights()
    _tame(documents.image_table(sights, store))
    for sight in sights:
        _tame(documents.image_facts(sight, store))


def test_no_text_of_a_disk_or_a_setting_does_anything_to_a_terminal() -> None:
    source = FileSource(_HOSTILE, _HOSTILE, _HOSTILE)
    disk = Disk(
        DiskName(_HOSTILE),
        Bytes(512),
        source,
        image=ImageId(_HOSTILE),
        base=_HOSTILE,
    )
    _tame(documents.disk_table([disk]))
    _tame(documents.disk_facts(disk))
    setting = Setting(_HOSTILE, _HOSTILE, f"{_HOSTILE}\n", _HOSTILE, "")
    assert _tame(documents.setting_lines([setting])).count("\n") == 2
    _tame(documents.plain(_HOSTILE))


def _tame(shown: RenderableType) -> str:
    """Return what a terminal of no colours is sent; nothing in it may act."""
    console = Console(width=10_000, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(shown, markup=False, highlight=False, soft_wrap=True)
    sent = capture.get()
    # Headings are bold.
    for ours in ("\x1b[1m", "\x1b[0m"):
        sent = sent.replace(ours, "")
    assert [line for line in sent.split("\n") if not line.isprintable()] == []
    assert _TAMED in sent
    return sent


def test_xml_keeps_its_meaning_and_does_nothing_to_a_terminal() -> None:
    path = "/srv/\u202ea\xa0b/é\t"
    made = Element("disk", {"file": path})
    SubElement(made, "target")
    indent(made)
    shown = _plain_text(documents.xml(tostring(made, encoding="unicode")))
    assert [line for line in shown.split("\n") if not line.isprintable()] == []
    assert "\n  <target />\n" in shown
    assert "é" in shown
    assert fromstring(shown).attrib["file"] == path  # noqa: S314  # our own


def _plain_text(shown: object) -> str:
    assert isinstance(shown, Text)
    return shown.plain


@pytest.mark.parametrize("flags", [[], ["-v"]])
def test_tracebacks_do_nothing_to_a_terminal(
    cowpath: Cowpath, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    """-v shows them of every error, and of bugs they are always shown."""
    kind = CopyFailedError if flags else ZeroDivisionError

    def fail(*_: object) -> None:
        raise kind(f"{_HOSTILE}\n{_HOSTILE}") from OSError(_HOSTILE)

    monkeypatch.setattr(cli_session, "build", fail)
    ran = cowpath(*flags, "disk", "list")
    assert [line for line in ran.err.split("\n") if not line.isprintable()] == []
    assert f"OSError: {_TAMED}\n" in ran.err
    assert "\nTraceback (most recent call last):\n  File " in ran.err


@pytest.mark.parametrize("flags", [[], ["-v"]])
def test_what_libraries_log_does_nothing_to_a_terminal(
    desk: Desk, flags: list[str]
) -> None:
    said = f"import logging; logging.getLogger('lib').warning({_HOSTILE!r})"
    code = (
        "from cowpath.doors.cli import main, session\n"
        f"def build(*_):\n    {said}\n    raise SystemExit(0)\n"
        "session.build = build\n"
        f"main.main({['--config-file', str(desk.conf), *flags, 'disk', 'list']!r})\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=desk.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert [line for line in ran.stderr.split("\n") if not line.isprintable()] == []
    assert ("lib: " if flags else "") + _TAMED + "\n" in ran.stderr


def test_the_question_before_a_delete_does_nothing_to_a_terminal() -> None:
    disk = Disk(DiskName("vm1"), Bytes(512), FileSource("/d"), base=_HOSTILE)
    assert documents.question(disk) == f"Delete disk vm1 ({_TAMED})?"


def test_whose_image_was_placed_does_nothing_to_a_terminal(
    desk: Desk, cowpath: Cowpath
) -> None:
    desk.glance.add(IMAGE, name="\u202eabc", stores="central,edge1")
    desk.place()
    ran = cowpath("image", "place", "\u202eabc")
    assert (ran.code, ran.out) == (0, "\\u202eabc is in edge1\n")

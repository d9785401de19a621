"""Every class of error: what makes it, its exit code, its words, and no side effect."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cowpath.core import errors
from cowpath.doors.cli import exits
from cowpath.doors.cli import session as cli_session
from cowpath.site import Site
from tests.doors.desk import IMAGE, Cowpath, Desk

_OTHER = "6f2e1c0a-0000-4000-8000-00000000000b"
_MAKE = ("disk", "create", IMAGE, "vm1")


def _unknown_image(desk: Desk) -> None:
    del desk.glance.images[IMAGE]


def _ambiguous_name(desk: Desk) -> None:
    desk.glance.add(_OTHER)


def _qcow2(desk: Desk) -> None:
    desk.glance.images[IMAGE]["disk_format"] = "qcow2"


def _name_taken(desk: Desk) -> None:
    (desk.disks / "vm1.qcow2").write_bytes(b"somebody's")


def _policy(desk: Desk) -> None:
    desk.glance.accepts = (403, {"message": "You are not authorized to do it"})


def _quota(desk: Desk) -> None:
    desk.glance.accepts = (413, {"message": "Request entity too large"})


def _token_refused(desk: Desk) -> None:
    desk.write_conf(token="stale")  # noqa: S106  # none


def _copy_fails(desk: Desk) -> None:
    def fail(image: dict[str, Any], store: str) -> None:
        image["os_glance_failed_import"] = store

    desk.glance.taken = fail


def _copy_never_ends(desk: Desk) -> None:
    def hold(image: dict[str, Any], store: str) -> None:
        image["os_glance_import_task"] = "task-1"
        image["os_glance_importing_to_stores"] = store

    desk.write_conf(libvirt="images_rbd_glance_copy_timeout = 1")
    desk.glance.taken = hold


def _nobody_answers(desk: Desk) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    desk.write_conf(endpoint_override=f"http://127.0.0.1:{port}")


def _not_glance(desk: Desk) -> None:
    desk.glance.fixed[f"GET /v2/images/{IMAGE}"] = (404, "<h1>Nothing here</h1>")


def _unknown_key(desk: Desk) -> None:
    desk.write_conf(disk_dir="/srv")


def _bad_number(desk: Desk) -> None:
    desk.write_conf(libvirt="images_rbd_glance_copy_timeout = soon")


def _foreign_location(desk: Desk) -> None:
    url = "file:///etc/shadow"
    place = {"url": url, "metadata": {"store": "edge1"}}
    desk.glance.images[IMAGE] |= {"stores": "edge1", "locations": [place]}


def _foreign_header(desk: Desk) -> None:
    desk.place(content=b"QFI\xfb" + bytes(2**20 - 4))
    desk.glance.images[IMAGE]["stores"] = "edge1"


def _unknown_store(desk: Desk) -> None:
    desk.glance.accepts = (409, {"message": "Store for identifier edge1 not found"})


def _no_method(desk: Desk) -> None:
    told = "Unknown import method name 'copy-image'."
    desk.glance.accepts = (400, {"message": told})


_CASES: list[tuple[Callable[[Desk], None], int, tuple[str, ...]]] = [
    (_unknown_image, 3, (IMAGE, "cowpath image list")),
    (_unknown_store, 3, ("edge1", "central", "images_rbd_glance_store_name")),
    (_qcow2, 4, (IMAGE, "debian", "qcow2", "image_conversion")),
    (_foreign_header, 4, (IMAGE, "qcow2 header", "convert")),
    (_no_method, 4, ("copy-image", "enabled_import_methods")),
    (_name_taken, 5, ("vm1", "another name")),
    (_policy, 6, (IMAGE, "edge1", "copy_image", "policy.yaml")),
    (_copy_fails, 7, (IMAGE, "edge1", "log")),
    (_copy_never_ends, 8, (IMAGE, "edge1", "images_rbd_glance_copy_timeout")),
    (_nobody_answers, 9, ("http://127.0.0.1:", "check the endpoint")),
    (_not_glance, 9, ("is not Glance", "image endpoint")),
    (_unknown_key, 10, ("disk_dir", "did you mean disks_dir")),
    (_bad_number, 10, ("images_rbd_glance_copy_timeout", "site.conf")),
    (_foreign_location, 11, (IMAGE, "file:///etc/shadow", "who may set locations")),
    (_token_refused, 14, ("401", "credentials", "OS_CLOUD")),
    (_quota, 15, (IMAGE, "edge1", "quota")),
]
_IDS = [cause.__name__.strip("_") for cause, _, _ in _CASES]


@pytest.mark.parametrize(("cause", "code", "words"), _CASES, ids=_IDS)
def test_an_error_has_its_code_and_says_what_to_do(
    desk: Desk,
    cowpath: Cowpath,
    cause: Callable[[Desk], None],
    code: int,
    words: tuple[str, ...],
) -> None:
    desk.glance.add(IMAGE)
    cause(desk)
    before = desk.everything()
    ran = cowpath(*_MAKE, "--json")
    assert ran.code == code, ran
    told = ran.document["error"]
    assert told["exit_code"] == code
    assert [word for word in words if word not in told["message"]] == []
    assert told["retryable"] is (code in {8, 9})
    assert ran.err.splitlines()[-1] == f"Error: {told['message']}"
    assert "Traceback" not in ran.err
    # Preparing leaves our own directories at most: no disk, no base, no mark.
    ours = desk.disks / ".cowpath"
    after = [(path, size) for path, size in desk.everything() if Path(path).is_file()]
    assert [each for each in after if not each[0].startswith(str(ours))] == [
        each for each in before if Path(each[0]).is_file()
    ]


def test_an_ambiguous_name(desk: Desk, cowpath: Cowpath) -> None:
    desk.glance.add(IMAGE)
    _ambiguous_name(desk)
    ran = cowpath("disk", "create", "debian", "vm1")
    assert ran.code == 13
    assert IMAGE in ran.err
    assert _OTHER in ran.err
    assert desk.glance.asked == ["GET /v2/images"]


def test_a_full_disk(
    desk: Desk, cowpath: Cowpath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    full = programs / "qemu-img"
    full.write_text("#!/bin/sh\necho 'x: No space left on device' >&2; exit 1\n")
    full.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    desk.glance.add(IMAGE, stores="edge1")
    desk.place()
    ran = cowpath(*_MAKE)
    assert ran.code == 12
    assert "no space left" in ran.err
    assert str(desk.disks) in ran.err
    assert list(desk.disks.glob("*.qcow2")) == []


def _kinds() -> list[type[errors.CowpathError]]:
    return [*exits.EXIT_CODES]


@pytest.mark.parametrize("kind", _kinds())
def test_the_table_is_what_happens(
    cowpath: Cowpath,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[errors.CowpathError],
) -> None:
    def fail(*_: object) -> None:
        raise kind("what it says")

    monkeypatch.setattr(cli_session, "build", fail)
    ran = cowpath("disk", "list", "--json")
    assert ran.code == exits.EXIT_CODES[kind]
    assert ran.document["error"] == {
        "class": kind.__name__,
        "message": "what it says",
        "exit_code": exits.EXIT_CODES[kind],
        "retryable": kind.retryable,
    }
    assert ran.err == "Error: what it says\n"


def test_codes_are_their_own() -> None:
    codes = [code for code, _, _ in exits.table()]
    assert len(codes) == len({*codes})


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_bug_says_that_it_is_one(
    cowpath: Cowpath, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(cli_session, "build", fail)
    ran = cowpath("disk", "list", *flags)
    assert ran.code == exits.BUG
    assert "bug in cowpath, please report it" in ran.err
    assert "nobody foresaw this" in ran.err
    assert "Traceback" in ran.err
    if flags:
        assert ran.document["error"]["class"] == "bug"
    else:
        assert ran.out == ""


@pytest.mark.parametrize("words", [["disk", "list"], ["disk", "show", "nosuch"]])
def test_connections_are_let_go_of_however_it_ends(
    cowpath: Cowpath,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    """Ceph's library has threads, which must not outlive the interpreter."""
    closed: list[Site] = []

    def close(site: Site) -> None:
        closed.append(site)

    monkeypatch.setattr(Site, "close", close)
    cowpath(*words)
    assert len(closed) == 1

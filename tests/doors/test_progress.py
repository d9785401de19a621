"""What stderr shows while a verb works: a bar, lines, JSON lines, or only trouble."""

import json
import signal
import subprocess
from typing import Any

import pytest
from rich.console import Console

from cowpath.doors.cli import exits
from cowpath.doors.cli import session as cli_session
from cowpath.doors.cli.output import ProgressStyle, Screen
from tests.doors.canned import TOKEN
from tests.doors.desk import IMAGE, Cowpath, Desk, Ran

_JSON = ("--progress", "json")
_MAKE = ("disk", "create", IMAGE, "vm1")


def lines(ran: Ran) -> list[Any]:
    """Return stderr's objects; anything else there is an error."""
    return [json.loads(line) for line in ran.err.splitlines()]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_copy_as_json_lines(desk: Desk, cowpath: Cowpath, flags: list[str]) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive()
    ran = cowpath(*_JSON, *_MAKE, *flags)
    assert ran.code == 0, ran
    told = lines(ran)
    kinds = [line["event"] for line in told]
    asked, first = told[kinds.index("CopyAsked")], told[kinds.index("CopyProgress")]
    assert (asked["image"], asked["store"]) == (IMAGE, "edge1")
    assert (first["present"], first["total"]) == (2**19, 2**20)
    assert first["phase"] == "storing"
    order = list(dict.fromkeys(kinds))
    assert order == [
        "CopyAsked",
        "CopyProgress",
        "CopyFinished",
        "BaseFound",
        "DiskMade",
    ]
    assert told[-1]["disk"]["name"] == "vm1"
    if flags:
        assert ran.document["name"] == "vm1"
    else:
        assert ran.out.startswith("name")


def test_an_error_is_a_line(desk: Desk, cowpath: Cowpath) -> None:
    desk.glance.add(IMAGE, disk_format="qcow2")
    ran = cowpath(*_JSON, *_MAKE, "--json")
    assert ran.code == 4
    (line,) = lines(ran)
    assert line == {"event": "Error", "error": ran.document["error"]}
    assert line["error"]["class"] == "UnsuitableError"


def test_an_error_of_one_of_several_stores_names_it(
    desk: Desk, cowpath: Cowpath
) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive("edge2")
    both = ("--store", "edge2", "--store", "edge1")
    ran = cowpath(*_JSON, "image", "place", IMAGE, *both, "--json")
    assert ran.code == 7
    (error,) = [line for line in lines(ran) if line["event"] == "Error"]
    assert error["store"] == "edge2"
    assert error["error"] == ran.document["failed"]["edge2"]
    stores = {line["store"] for line in lines(ran) if line["event"] == "CopyProgress"}
    assert stores == {"edge1", "edge2"}


@pytest.mark.parametrize(
    "words",
    [
        [*_JSON, "fly"],
        [*_JSON, "--fly"],
        ["--progress=json", "disk", "create"],
        ["--progress=json", "--fly", "disk", "list"],
    ],
)
def test_nonsense_is_a_line(cowpath: Cowpath, words: list[str]) -> None:
    ran = cowpath(*words)
    assert (ran.code, ran.out) == (2, "")
    (line,) = lines(ran)
    assert line["error"]["class"] == "UsageError"


@pytest.mark.parametrize(
    "words",
    [
        ["image", "place", "json", "--fly"],
        ["image", "show", "--fly", "--", "--progress=json"],
        ["image", "show", "--fly", "--", "--progress", "json", "--json"],
        ["--progress", "json", "--progress=lines", "image", "show", "--fly"],
        ["--progress=json", "--progress", "lines", "image", "show", "--fly"],
    ],
)
def test_only_the_value_of_progress_makes_nonsense_a_line(
    cowpath: Cowpath, words: list[str]
) -> None:
    ran = cowpath(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Error: ")


def test_the_option_goes_before_the_environment_also_with_nonsense(
    cowpath: Cowpath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COWPATH_PROGRESS", "json")
    told = cowpath("--progress", "lines", "image", "show", "--fly")
    assert told.err.startswith("Error: ")
    assert lines(cowpath("image", "show", "lines", "--fly"))


def test_a_bug_is_a_line_with_its_traceback(
    cowpath: Cowpath, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(cli_session, "build", fail)
    ran = cowpath(*_JSON, "disk", "list")
    assert ran.code == exits.BUG
    (line,) = lines(ran)
    assert line["error"]["class"] == "bug"
    assert line["traceback"].startswith("Traceback")


def test_verbose_is_lines_too_and_no_token(desk: Desk) -> None:
    ran = desk.spawn(*_JSON, "-v", "image", "show", IMAGE, "--json")
    assert ran.code == 3
    *log, error = lines(ran)
    assert {line["event"] for line in log} == {"Log"}
    assert any(f"GET {desk.glance.url}" in line["message"] for line in log)
    assert error["error"]["class"] == "NotFoundError"
    assert error["traceback"].startswith("Traceback")
    assert TOKEN not in ran.out + ran.err


def test_ctrl_c_is_a_line(desk: Desk) -> None:
    desk.glance.add(IMAGE)
    desk.hold_copies()
    with subprocess.Popen(
        desk.argv(*_JSON, *_MAKE),
        env=desk.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr
        # Flushed at each line, or this would wait for ever.
        told = [json.loads(running.stderr.readline()) for _ in range(2)]
        running.send_signal(signal.SIGINT)
        told += [json.loads(line) for line in running.stderr]
        assert running.wait(30) == exits.INTERRUPTED
    assert [line["event"] for line in told[:2]] == ["CopyAsked", "CopyProgress"]
    assert "Glance goes on copying" in told[-1]["error"]["message"]


def test_the_environment_chooses(
    desk: Desk, cowpath: Cowpath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COWPATH_PROGRESS", "json")
    assert lines(cowpath("image", "show", IMAGE))[0]["event"] == "Error"
    assert lines(cowpath("--fly"))[0]["event"] == "Error"
    told = cowpath("--progress", "lines", "image", "show", IMAGE)
    assert told.err.startswith("Error: ")
    monkeypatch.setenv("COWPATH_PROGRESS", "loud")
    told = cowpath("image", "show", IMAGE)
    assert told.code == 2
    assert "'loud' is not one of" in told.err
    assert desk.glance.copies == []


def test_none_shows_trouble_only(desk: Desk, cowpath: Cowpath) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive()
    desk.write_conf(libvirt="images_rbd_glance_copy_timeout = 0")
    ran = cowpath("--progress", "none", *_MAKE)
    assert ran.code == 0, ran
    (warning,) = ran.err.splitlines()
    assert warning.startswith("warning: images_rbd_glance_copy_timeout is 0")
    ran = cowpath("--progress", "none", "image", "show", "nobody's")
    assert ran.code == 3
    assert ran.err.startswith("Error: ")


def test_a_bar_can_be_had_where_there_is_no_terminal(
    desk: Desk, cowpath: Cowpath
) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive()
    ran = cowpath("--progress", "bar", *_MAKE, "--json")
    assert ran.code == 0, ran
    assert "edge1: storing" in ran.err
    assert "━" in ran.err
    assert ran.document["name"] == "vm1"


@pytest.mark.parametrize("style", ["auto", "lines"])
def test_lines_are_what_there_is_without_a_terminal(
    desk: Desk, cowpath: Cowpath, style: str
) -> None:
    desk.glance.add(IMAGE)
    desk.let_copies_arrive()
    ran = cowpath("--progress", style, *_MAKE)
    assert "edge1: arriving: 512.0 KiB of 1.0 MiB" in ran.err
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    ("screen", "style"),
    [
        (Screen(err=Console(force_terminal=True)), "bar"),
        (Screen(err=Console(force_terminal=True), as_json=True), "lines"),
        (Screen(err=Console(force_terminal=True), verbose=True), "lines"),
        (Screen(err=Console(force_terminal=False)), "lines"),
    ],
)
def test_auto_is_a_bar_only_where_nothing_tears_it(screen: Screen, style: str) -> None:
    assert screen._style() == style


def test_a_guest_s_console_is_lines_where_stderr_is(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    write = Screen(as_json=True, progress=ProgressStyle.JSON).console("vm1")
    # A letter is cut in two, and a byte is no letter at all.
    for chunk in (b"login: \xc3", b"\xa9\r\n", b"\xff"):
        write(chunk)
    told = [json.loads(line) for line in capsysbinary.readouterr().err.splitlines()]
    assert {(line["event"], line["guest"]) for line in told} == {("Console", "vm1")}
    assert "".join(line["text"] for line in told) == "login: é\r\n\\xff"


@pytest.mark.parametrize(
    ("as_json", "style"), [(False, "json"), (True, "lines"), (False, "auto")]
)
def test_elsewhere_a_console_is_bytes_and_never_in_the_document(
    capsysbinary: pytest.CaptureFixture[bytes], style: str, *, as_json: bool
) -> None:
    screen = Screen(as_json=as_json, progress=ProgressStyle(style))
    screen.console("vm1")(b"\xff\r\n")
    out, err = capsysbinary.readouterr()
    assert (err if as_json else out) == b"\xff\r\n"
    assert out + err == b"\xff\r\n"

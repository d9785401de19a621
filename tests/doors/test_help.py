"""A stranger can work from `--help`; nonsense is refused with exit code 2."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer.main

from cowpath.doors.cli import exits
from cowpath.doors.cli.main import app
from tests.doors.desk import Cowpath, Desk

_VERBS = {
    ("boot",),
    ("config",),
    ("disk", "create"),
    ("disk", "delete"),
    ("disk", "grow"),
    ("disk", "list"),
    ("disk", "show"),
    ("image", "list"),
    ("image", "place"),
    ("image", "show"),
}


def _commands() -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield every command's words with its options, groups too."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while todo:
        words, command = todo.pop()
        flags = [flag for each in command.params for flag in each.opts]
        yield words, [flag for flag in flags if flag.startswith("-")]
        inner = getattr(command, "commands", {})
        todo += [((*words, name), each) for name, each in inner.items()]


@pytest.mark.parametrize(("words", "flags"), [*_commands()], ids=str)
def test_help_names_every_option(
    cowpath: Cowpath, words: tuple[str, ...], flags: list[str]
) -> None:
    ran = cowpath.bare(*words, "--help")
    assert ran.code == 0
    assert [flag for flag in flags if flag not in ran.out] == []
    assert ran.err == ""
    assert ran == cowpath.bare(*words, "-h")


def test_the_verbs_are_those_of_the_design() -> None:
    known = {words for words, _ in _commands()}
    assert known >= _VERBS
    assert known == _VERBS | {(), ("disk",), ("image",)}


def test_every_verb_has_json(cowpath: Cowpath) -> None:
    for verb in sorted(_VERBS):
        assert "--json" in cowpath.bare(*verb, "--help").out


def test_help_has_the_exit_codes(cowpath: Cowpath) -> None:
    shown = " ".join(cowpath.bare("--help").out.split())
    for code, kind, meaning in exits.table():
        assert f"{code} {kind}: {meaning}" in shown


def test_version(cowpath: Cowpath) -> None:
    ran = cowpath.bare("--version")
    assert (ran.code, ran.out) == (0, f"cowpath {version('cowpath')}\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fly"], "No such command 'fly'"),
        (["disk", "fly"], "No such command 'fly'"),
        (["--fly", "disk", "list"], "No such option: --fly"),
        (["disk", "list", "--fly"], "No such option: --fly"),
        (["disk", "create"], "Missing argument 'IMAGE'"),
        (["disk", "create", "debian"], "Missing argument 'NAME'"),
        (["disk", "show", "one", "two"], "unexpected extra argument"),
        (["boot", "debian", "--memory"], "requires an argument"),
    ],
)
def test_nonsense_is_exit_code_2(cowpath: Cowpath, words: list[str], says: str) -> None:
    ran = cowpath(*words)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "--help" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("words", [["disk", "list", "--fly"], ["disk", "show"]])
def test_nonsense_with_json_is_a_document(cowpath: Cowpath, words: list[str]) -> None:
    ran = cowpath(*words, "--json")
    assert ran.code == 2
    assert ran.document["error"]["class"] == "UsageError"
    assert ran.document["error"]["exit_code"] == 2


@pytest.mark.parametrize("words", [[], ["disk"], ["image"]])
def test_a_group_alone_shows_its_help(cowpath: Cowpath, words: list[str]) -> None:
    ran = cowpath.bare(*words)
    assert ran.code == 2
    assert "Usage:" in ran.out
    assert ran.err == ""


def test_completion_of_a_shell_can_be_had(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise Typer takes the shell that the tests were started from, such as sh.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    ran = desk.spawn("--show-completion", "bash")
    assert (ran.code, ran.err) == (0, "")
    assert "complete" in ran.out


def test_json_means_one_document_from_every_verb(cowpath: Cowpath) -> None:
    for verb in (["disk", "list"], ["image", "list"], ["config"]):
        ran = cowpath(*verb, "--json")
        assert (ran.code, ran.err) == (0, "")
        assert isinstance(json.loads(ran.out), dict)

"""The pages say what the code says, and lead nowhere that is not there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cowpath import copying
from cowpath.config import load
from cowpath.core.model import (
    Bytes,
    Disk,
    DiskSource,
    FileSource,
    RbdHost,
    RbdSource,
    disk_name,
)
from cowpath.core.rules import GIB
from cowpath.doors.cli.exits import EXIT_CODES, table
from cowpath.hypervisor.config import DiskOptions
from cowpath.hypervisor.xml import disk_xml
from cowpath.options import list_opts
from docs.reference import commands, error_classes, event_classes, expand
from lab.ceph_users import USERS

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs"
_RECORDS = sorted((_DOCS / "adr").glob("[0-9]*.md"))
_PAGES = [
    *(page for page in sorted(_DOCS.rglob("*.md")) if "_build" not in page.parts),
    *(_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((_ROOT / "changes").glob("*.md")),
]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INI = re.compile(r"^```ini\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{2,3} `?([^`\n]+)`?$", re.MULTILINE)
_GAPS = re.compile("…+")

# Where an operator's files are, and the paths of Glance's API.
_PUBLIC_PATHS = ("/etc/", "/var/", "/usr/", "/v2/")

pages = pytest.mark.parametrize(
    "page", _PAGES, ids=[str(page.relative_to(_ROOT)) for page in _PAGES]
)


def _expanded(name: str) -> str:
    return expand((_DOCS / name).read_text(encoding="utf-8"))


def test_every_error_class_has_its_entry() -> None:
    assert sorted(_HEADING.findall(_expanded("errors.md"))) == sorted(error_classes())


def test_every_entry_of_an_error_says_what_to_do() -> None:
    page = (_DOCS / "errors.md").read_text(encoding="utf-8")
    for entry in page.split("\n## ")[1:]:
        name, facts, *rest = entry.split("\n\n")
        assert facts == f"<!-- generated: error {name} -->"
        assert [text for text in rest if not text.startswith(">")], name


def test_quoted_messages_are_those_of_the_code() -> None:
    page = (_DOCS / "errors.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^> (.+)$", page, re.MULTILINE)
    assert len(quoted) > 20
    assert [text for text in quoted if not _is_in_code(text)] == []


def test_the_xml_in_the_readme_is_what_the_code_makes() -> None:
    shown = _shown_xml(_ROOT / "README.md")
    pool, image = _one(r'name="(\w+)/(\w+)"', shown)
    host, port = _one(r'<host name="(.+?)" port="(\d+)"', shown)
    user, secret = _one(r'username="(.+?)"', shown), _one(r'uuid="(.+?)"', shown)
    hosts = (RbdHost(host, int(port)),)
    assert _made_xml(RbdSource(pool, image, hosts, user, secret)) == shown


def test_the_xml_of_a_file_disk_is_what_the_code_makes() -> None:
    shown = _shown_xml(_DOCS / "file-store.md")
    path, backing = re.findall(r'file="(.+?)"', shown)
    assert _made_xml(FileSource(path=path, backing=backing)) == shown


def test_configuration_examples_load(tmp_path: Path) -> None:
    """Glance's own examples have neither of our groups."""
    file = tmp_path / "example.conf"
    kinds = []
    for page in _PAGES:
        for block in _INI.findall(page.read_text(encoding="utf-8")):
            if re.search(r"^\[(cowpath|libvirt)\]$", block, re.MULTILINE):
                file.write_text(block, encoding="utf-8")
                kinds.append(_read(page, str(file)))
    assert {*kinds} == {"file", "rbd", "glance-api"}


def _read(page: Path, file: str) -> str:
    """Read an example as whom it is for would; return what that is."""
    if page.name == "glance.md":
        copying.load([file])
        return "glance-api"
    return load([file]).kind


def test_no_configuration_example_goes_unchecked() -> None:
    """A block that shows settings and is not called `ini` would not be loaded."""
    for page in _PAGES:
        text = _INI.sub("", page.read_text(encoding="utf-8"))
        for block in _FENCE.findall(text):
            if "$ " not in block:
                assert not re.search(r"^\[(cowpath|libvirt)\]$", block, re.MULTILINE)


def test_the_caps_of_every_user_are_on_the_page() -> None:
    page = _expanded("rbd-store.md")
    for name, user in USERS.items():
        assert f"- `client.{name}`: {user.purpose}" in page
        for kind, words in user.caps.items():
            assert f"| `client.{name}` | {kind} | `{words}` |" in page
            assert f"{kind} '{words}'" in page


def test_the_bounds_of_the_connection_are_on_the_page() -> None:
    """They are read as text: Ceph's binding is not everywhere."""
    source = _ROOT / "src" / "cowpath" / "stores" / "rbd" / "_bounds.py"
    bounds = (
        source.read_text(encoding="utf-8").split("def bounds(")[1].split("\n    }")[0]
    )
    named = re.findall(r'"(\w+)": ', bounds)
    page = (_DOCS / "rbd-store.md").read_text(encoding="utf-8")
    assert len(named) == 5
    shown = re.findall(r"^\| `((?:client|rados|objecter)_\w+)` ", page, re.MULTILINE)
    assert sorted(shown) == sorted(named)


def test_every_option_is_in_the_reference() -> None:
    page = _expanded("configuration.md")
    options = [option.dest for _, group in list_opts() for option in group]
    assert [name for name in _HEADING.findall(page) if name in options] == options


def test_every_command_and_option_is_on_the_page() -> None:
    page = _expanded("cli.md")
    for name, command in commands():
        text = re.split(r"^## ", page.split(f"## `{name}`\n")[1], flags=re.MULTILINE)[0]
        for parameter in command.params:
            for spelling in [*parameter.opts, *parameter.secondary_opts]:
                shown = spelling if spelling.startswith("-") else parameter.metavar
                assert shown in text, f"{name}: {shown}"


def test_every_exit_code_is_on_the_page() -> None:
    page = _expanded("cli.md")
    for code, kind, meaning in table():
        assert re.search(
            rf"^\| {code} \| .*{kind}.* \| {re.escape(meaning)} \|$", page, re.MULTILINE
        )
    assert len(EXIT_CODES) == len({*EXIT_CODES.values()})


def test_every_event_is_on_the_page() -> None:
    headings = _HEADING.findall(_expanded("events.md"))
    assert headings[1:] == [kind.__name__ for kind in event_classes()]


def test_files_named_in_the_tour_exist() -> None:
    text = _FENCE.sub("", (_DOCS / "tour.md").read_text(encoding="utf-8"))
    named = re.findall(r"`([\w./]+(?:\.py|/))`", text)
    assert len({*named}) > 20
    folders = (_ROOT, _ROOT / "src" / "cowpath")
    assert [n for n in named if not any((f / n).exists() for f in folders)] == []


def test_the_tour_names_every_room() -> None:
    text = (_DOCS / "tour.md").read_text(encoding="utf-8")
    rooms = [
        path.name + ("/" if path.is_dir() else "")
        for path in (_ROOT / "src" / "cowpath").iterdir()
        if not path.name.startswith(("_", "py.typed"))
    ]
    assert [room for room in rooms if room.rstrip("/") not in text] == []


def test_the_index_of_decisions_is_complete() -> None:
    index = (_DOCS / "adr" / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"^\d{4}-[\w-]+$", index, re.MULTILINE) == [
        record.stem for record in _RECORDS
    ]


@pytest.mark.parametrize("record", _RECORDS, ids=lambda record: record.stem)
def test_a_decision_says_what_lost_and_what_is_bad(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    assert text.startswith(f"# {record.stem[:4]}: ")
    assert "*Rejected" in text.split("## Options")[1].split("## Decision")[0]
    assert "- Bad: " in text.split("## Consequences")[1]


@pages
def test_relative_links_lead_somewhere_in_here(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in _LINK.findall(text):
        file = link.partition("#")[0]
        if file and "://" not in file:
            target = (page.parent / file).resolve()
            assert target.exists(), link
            assert target.is_relative_to(_ROOT), link


@pages
def test_commands_named_on_pages_exist(page: Path) -> None:
    known = {name for name, _ in commands()}
    text = page.read_text(encoding="utf-8")
    named = {*re.findall(r"(?:[`$] ?|/)(cowpath (?:image|disk) [a-z]+)\b", text)}
    assert named <= known


@pages
def test_targets_named_on_pages_exist(page: Path) -> None:
    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {*re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)}
    text = page.read_text(encoding="utf-8")
    assert {*re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)} <= targets


@pages
def test_python_blocks_compile(page: Path) -> None:
    for block in _PYTHON.findall(page.read_text(encoding="utf-8")):
        compile(block, str(page), "exec")


@pages
def test_pages_are_about_cowpath_only(page: Path) -> None:
    """No paths of the machine they were written on, no word of who wrote them how."""
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w.>$/:}-])/[a-z][\w.-]*/", text):
        assert path.startswith(_PUBLIC_PATHS), path
    assert not re.search(r"\bsession[s]\b|\bshared[/]", text)


def _shown_xml(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    return "<disk " + text.split("<disk ")[1].partition("</disk>")[0] + "</disk>"


def _made_xml(source: DiskSource) -> str:
    disk = Disk(disk_name("vm1"), Bytes(20 * GIB), source)
    return disk_xml(disk, DiskOptions())


def _one(pattern: str, text: str) -> Any:
    (found,) = re.findall(pattern, text)
    return found


def _is_in_code(quoted: str) -> bool:
    return any(quoted in message for message in _messages())


@cache
def _messages() -> list[str]:
    """Return every text in the source, with `…` for each value and `{}` in it."""
    found = []
    for path in (_ROOT / "src" / "cowpath").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.JoinedStr, ast.Constant)):
                text = "".join(_pieces(node)).replace("{}", "…")
                found.append(_GAPS.sub("…", text))
    return found


def _pieces(node: ast.JoinedStr | ast.Constant) -> Iterator[str]:
    for part in node.values if isinstance(node, ast.JoinedStr) else [node]:
        yield (
            part.value
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
            else "…"
        )

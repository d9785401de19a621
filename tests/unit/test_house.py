"""The house stays small: sizes of modules, functions and ports; names; reasons."""

import ast
import inspect
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cowpath.core import ports

ROOT = Path(__file__).parents[2]
RUN = ROOT / "lab" / "run"
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules(*rooms: str) -> list[Path]:
    found = [path for room in rooms for path in _python_files(ROOT / room)]
    return sorted(found)


def _python_files(room: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(room):
        # Whole environments are made there, some at this moment.
        inner[:] = [name for name in inner if Path(folder, name) != RUN]
        yield from (Path(folder, name) for name in names if name.endswith(".py"))


def functions(*rooms: str) -> Iterator[tuple[str, int]]:
    """Yield where each function is and how many lines its body has."""
    for path in modules(*rooms):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function):
                place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                yield place, body_lines(node)


def body_lines(function: Function) -> int:
    """Return the lines of the body; a docstring is no code."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def share(sizes: list[int], part: float) -> int:
    return sorted(sizes)[int(len(sizes) * part)]


def test_the_ruler_measures_bodies_without_docstrings() -> None:
    text = 'def f():\n    """Why.\n\n    More.\n    """\n    a = 1\n\n    return a\n'
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    assert body_lines(function) == 3


def test_there_is_something_to_measure() -> None:
    assert len(modules("src/cowpath")) > 40
    assert len(modules("lab")) > 10
    assert not [path for path in modules("lab") if "site-packages" in path.parts]


@pytest.mark.parametrize("room", ["src/cowpath", "lab", "tests"])
def test_no_module_is_over_500_lines(room: str) -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules(room)
    }
    assert {name: size for name, size in sizes.items() if size > 500} == {}


@pytest.mark.parametrize("room", ["src/cowpath", "lab", "tests"])
def test_no_function_is_over_50_lines(room: str) -> None:
    assert [place for place, lines in functions(room) if lines > 50] == []


@pytest.mark.parametrize("room", ["src/cowpath", "lab"])
def test_most_functions_are_small(room: str) -> None:
    sizes = [lines for _, lines in functions(room)]
    assert share(sizes, 0.5) <= 8
    assert share(sizes, 0.9) <= 25


@pytest.mark.parametrize("path", modules("src/cowpath", "lab"), ids=str)
def test_every_module_says_why_it_exists(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said
    assert said.splitlines()[0].endswith((".", "?"))


def test_no_module_has_a_name_that_says_nothing() -> None:
    names = {
        part.removesuffix(".py").strip("_")
        for path in modules("src/cowpath", "lab", "tests")
        for part in path.relative_to(ROOT).parts
    }
    assert names & FORBIDDEN == set()


def test_no_port_has_over_10_methods() -> None:
    protocols = {
        name: kind
        for name, kind in inspect.getmembers(ports, inspect.isclass)
        if getattr(kind, "_is_protocol", False) and kind.__module__ == ports.__name__
    }
    assert {"Catalog", "Bases", "Disks", "Pool", "Hypervisor"} <= protocols.keys()
    own = {
        name: [method for method in vars(kind) if not method.startswith("_")]
        for name, kind in protocols.items()
    }
    assert {name: found for name, found in own.items() if len(found) > 10} == {}


def test_every_promise_of_a_port_is_written_down() -> None:
    for name, kind in inspect.getmembers(ports, inspect.isclass):
        if kind.__module__ == ports.__name__:
            assert kind.__doc__, name
            for method, member in vars(kind).items():
                if inspect.isfunction(member) and not method.startswith("_"):
                    assert member.__doc__, f"{name}.{method}"


@pytest.mark.parametrize("path", modules("src/cowpath"), ids=str)
def test_no_import_is_relative(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [node.lineno for node in found if node.level] == []

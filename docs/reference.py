"""What the pages take from the code itself, so that they cannot disagree with it.

A page holds `<!-- generated: NAME -->` or `<!-- generated: NAME ARGUMENT -->` where
the text that `GENERATED[NAME]` makes is to stand.
"""  # noqa: INP001 - Sphinx's folder, not a package

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from inspect import cleandoc
from typing import Any, get_args

import typer.main
from oslo_config import cfg

from cowpath.core import errors, events
from cowpath.doors.cli.exits import EXIT_CODES, exit_code, table
from cowpath.doors.cli.main import app
from cowpath.options import GLANCE_OPTS, list_opts
from lab.ceph_users import USERS

_PLACE = re.compile(r"^<!-- generated: (\w+)(?: (\w+))? -->$", re.MULTILINE)
_GROUPS = dict(list_opts())
_KINDS = {
    cfg.BoolOpt: "true or false",
    cfg.IntOpt: "integer",
    cfg.ListOpt: "list",
    cfg.StrOpt: "string",
}


def expand(page: str) -> str:
    """Return a page with what is generated in its place."""
    return _PLACE.sub(_generated, page)


def _generated(place: re.Match[str]) -> str:
    name, argument = place.groups()
    return GENERATED[name](argument or "")


def error_classes() -> dict[str, type[errors.CowpathError]]:
    """Return every error class by its name."""
    return {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.CowpathError)
    }


def commands() -> Iterator[tuple[str, Any]]:
    """Yield the command line's full names and commands, the whole program first."""
    program = typer.main.get_command(app)
    yield "cowpath", program
    yield from _below("cowpath", program)


def options(group: str) -> str:
    """Return the options of a group of the configuration, a section each."""
    return "\n".join(_option(option) for option in _GROUPS[group])


def glance_options(_: str = "") -> str:
    """Return the options of a glance-api's files, a section each."""
    return "\n".join(map(_option, GLANCE_OPTS))


def command_line(_: str = "") -> str:
    """Return every command with its arguments and options, a section each."""
    return "\n".join(_command(name, command) for name, command in commands())


def exit_codes(_: str = "") -> str:
    """Return the table of exit codes."""
    rows = [(str(code), _linked(kind), meaning) for code, kind, meaning in table()]
    return _table(("code", "class", "meaning"), rows)


def error(name: str) -> str:
    """Return the facts of one error class."""
    kind = error_classes()[name]
    parent = kind.__mro__[1].__name__
    return "\n".join(
        [
            _first_line(kind),
            "",
            f"- exit code: {exit_code(kind(''))}{_shared(kind)}",
            f"- worth trying the same again: {'yes' if kind.retryable else 'no'}",
            f"- a kind of: {_linked(parent)}",
            "",
        ]
    )


def event_classes() -> Iterable[type]:
    """Return every event, in the order of `core/events.py`."""
    return get_args(events.Event)


def event_list(_: str = "") -> str:
    """Return every event with its fields, a section each."""
    return "\n".join(_event(kind) for kind in event_classes())


def phases(_: str = "") -> str:
    """Return the phases of a copy."""
    source = dict(_documented_members())
    return _table(
        ("phase", "meaning"),
        [(f"`{each}`", source[each.name]) for each in events.Phase],
    )


def caps(_: str = "") -> str:
    """Return the lab's users of a cluster what each is for, and its caps."""
    told = [f"- `client.{name}`: {user.purpose}" for name, user in USERS.items()]
    rows = [
        (f"`client.{name}`", kind, f"`{words}`")
        for name, user in USERS.items()
        for kind, words in user.caps.items()
    ]
    return "\n".join([*told, "", _table(("user", "of", "caps"), rows)])


def caps_commands(_: str = "") -> str:
    """Return the commands that make those users."""
    commands = [
        " \\\n    ".join(
            [
                f"ceph auth get-or-create client.{name}",
                *(f"{kind} '{words}'" for kind, words in user.caps.items()),
            ]
        )
        for name, user in USERS.items()
    ]
    return "```\n" + "\n".join(commands) + "\n```\n"


GENERATED: dict[str, Callable[[str], str]] = {
    "caps": caps,
    "caps_commands": caps_commands,
    "command_line": command_line,
    "error": error,
    "event_list": event_list,
    "exit_codes": exit_codes,
    "glance_options": glance_options,
    "options": options,
    "phases": phases,
}


def _option(option: cfg.Opt) -> str:
    facts = [_KINDS[type(option)], *_bounds(option.type)]
    unset = option.default in ("", [], None)
    facts.append("not set by default" if unset else f"default `{option.default}`")
    return f"### `{option.dest}`\n\n*{'; '.join(facts)}*\n\n{option.help}\n"


def _bounds(kind: Any) -> Iterator[str]:
    for word in ("min", "max"):
        if getattr(kind, word, None) is not None:
            yield f"{word}imum {getattr(kind, word)}"
    choices = [choice for choice in getattr(kind, "choices", None) or () if choice]
    if choices:
        yield "one of " + ", ".join(f"`{choice}`" for choice in choices)


def _below(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        full = f"{path} {name}"
        if hasattr(command, "commands"):
            yield from _below(full, command)
        else:
            yield full, command


def _command(name: str, command: Any) -> str:
    usage = [name]
    rows = []
    for parameter in command.params:
        spelled = _spelled(parameter)
        rows.append((f"`{spelled}`", _help_of(parameter)))
        if parameter.param_type_name == "argument":
            usage.append(spelled)
    usage.append("[OPTIONS]" if name != "cowpath" else "[OPTIONS] COMMAND …")
    return "\n".join(
        [
            f"## `{name}`",
            "",
            f"```\n{' '.join(usage)}\n```",
            "",
            cleandoc(command.help),
            "",
            _table(("argument or option", "meaning"), rows),
        ]
    )


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return f"{names} {parameter.metavar}" if parameter.metavar else names


def _help_of(parameter: Any) -> str:
    # Typer's help is Rich markup, where a bracket is escaped.
    said = (parameter.help or "").replace("\\[", "[")
    if parameter.envvar if hasattr(parameter, "envvar") else None:
        said += f" Environment: `{parameter.envvar}`."
    shown = getattr(parameter, "show_default", False)
    if shown and isinstance(parameter.default, str) and parameter.default:
        said += f" Default: `{parameter.default}`."
    return said


def _event(kind: type) -> str:
    about, _, told = cleandoc(kind.__doc__ or "").partition("Attributes:")
    meanings = dict(re.findall(r"^\s+(\w+): (.+(?:\n\s{6,}.+)*)", told, re.MULTILINE))
    rows = []
    for each in fields(kind):
        meaning = " ".join(meanings.get(each.name, "").split())
        said = f": {meaning}" if meaning else ""
        rows.append(f"- `{each.name}` (`{_type_name(each.type)}`){said}")
    body = "\n".join(rows)
    return f"## `{kind.__name__}`\n\n{about.strip()}\n\n{body}\n"


def _documented_members() -> Iterator[tuple[str, str]]:
    # Members of an enum have no docstrings at run time.
    from inspect import getsource  # noqa: PLC0415

    yield from re.findall(r'(\w+) = "\w+"\n\s+"""(.+?)"""', getsource(events.Phase))


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def _linked(name: str) -> str:
    known = name in error_classes()
    return f"[`{name}`](errors.md#{name.lower()})" if known else f"`{name}`"


def _shared(kind: type[errors.CowpathError]) -> str:
    return "" if kind in EXIT_CODES else " (it has none of its own)"


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").splitlines()[0]


def _type_name(kind: Any) -> str:
    if get_args(kind):
        return " | ".join(_type_name(each) for each in get_args(kind))
    return "None" if kind is type(None) else str(kind.__name__)

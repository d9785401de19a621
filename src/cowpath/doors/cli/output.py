"""What the user sees: documents and errors, for people (Rich) or for programs."""

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.table import Table

from cowpath.clock import SystemClock
from cowpath.core.errors import CowpathError
from cowpath.core.ports import Observer
from cowpath.doors.cli import exits
from cowpath.observers.latest_copy import LatestCopy
from cowpath.observers.lines import PlainLines
from cowpath.observers.progress import ProgressBar
from cowpath.observers.several import Several
from cowpath.observers.timeline import Timeline
from cowpath.observers.words import printable

Document = Mapping[str, object]

_UNFOLDED_COLUMNS = 10_000


@dataclass(slots=True)
class Screen:
    """Where output goes: results to stdout, everything else to stderr.

    Attributes:
        as_json: One JSON document on stdout instead of tables.
        verbose: Show what is asked of whom, and tracebacks.
    """

    as_json: bool = False
    verbose: bool = False
    copies: LatestCopy = field(default_factory=LatestCopy)
    timeline: Timeline = field(default_factory=lambda: Timeline(SystemClock()))
    out: Console = field(default_factory=lambda: _unfolded(_literal()))
    err: Console = field(default_factory=lambda: _literal(stderr=True))

    def observer(self) -> Observer:
        """Return what shows progress: a bar on a terminal, lines elsewhere."""
        looks: Observer = PlainLines(sys.stderr)
        if self.err.is_terminal and not self.as_json:
            looks = ProgressBar(self.err)
        return Several(self.copies, self.timeline, looks)

    def show(self, document: Document, human: Callable[[], RenderableType]) -> None:
        """Print the result of a verb."""
        if self.as_json:
            print(json.dumps(document, indent=2))  # noqa: T201  # doors print
        else:
            self.out.print(human(), highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Tell the person something; never part of the result."""
        self.err.print(text, markup=False, highlight=False, soft_wrap=True)

    def complain(self, error: CowpathError, about: str) -> None:
        """Tell the person of an error that is one of several results."""
        self.say(printable(f"Error: {about}: {error}"))

    def fail(self, error: CowpathError) -> int:
        """Print an error and return its exit code."""
        code = exits.exit_code(error)
        self._print_error(error_body(type(error).__name__, str(error), code, error))
        if self.verbose:
            self.say("".join(traceback.format_exception(error)))
        return code

    def refuse(self, text: str, code: int) -> int:
        """Print that the command line makes no sense and return `code`."""
        # Empty where the help text was printed instead.
        if text:
            cure = f"{text} Try --help."
            self._print_error(error_body("UsageError", cure, code))
        return code

    def break_down(self, error: Exception) -> int:
        """Print an error that nobody foresaw and return its exit code."""
        text = f"this is a bug in cowpath, please report it: {error!r}"
        self._print_error(error_body("bug", text, exits.BUG))
        self.say("".join(traceback.format_exception(error)))
        return exits.BUG

    def interrupted(self) -> int:
        """Say what goes on without us and return the exit code of Ctrl-C."""
        text = "interrupted"
        if self.copies.running:
            image, store = self.copies.running
            text += (
                f"; Glance goes on copying image {image.name or image.id} to store "
                f"{store}: the same command joins that copy"
            )
        self._print_error(error_body("interrupted", text, exits.INTERRUPTED))
        return exits.INTERRUPTED

    def _print_error(self, body: Document) -> None:
        if self.as_json:
            print(json.dumps({"error": body}, indent=2))  # noqa: T201  # doors print
        self.say(printable(f"Error: {body['message']}"))


def error_body(
    kind: str, text: str, code: int, error: CowpathError | None = None
) -> Document:
    """Return an error as a document."""
    return {
        "class": kind,
        "message": text,
        "exit_code": code,
        "retryable": error.retryable if error else code == exits.INTERRUPTED,
    }


def _literal(*, stderr: bool = False, width: int | None = None) -> Console:
    """Return a console that shows names as they are: none is markup or an emoji."""
    return Console(stderr=stderr, width=width, markup=False, emoji=False)


def _unfolded(console: Console) -> Console:
    """Return a console that folds lines for people only, never for programs."""
    return console if console.is_terminal else _literal(width=_UNFOLDED_COLUMNS)


def grid(*columns: str) -> Table:
    """Return an empty table in the one style that all verbs use."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        # Cut nothing: ids and paths are made to be copied.
        made.add_column(column, overflow="fold")
    return made

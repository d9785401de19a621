"""What the user sees: documents and errors, for people (Rich) or for programs."""

import codecs
import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rich.console import Console, RenderableType
from rich.table import Table

from cowpath.clock import SystemClock
from cowpath.core.errors import CowpathError
from cowpath.core.model import Image, StoreName
from cowpath.core.ports import Observer
from cowpath.doors.cli import exits
from cowpath.observers.json_lines import JsonLines, JsonLog
from cowpath.observers.lines import PlainLines, PlainLog, WarningLines
from cowpath.observers.progress import ProgressBar
from cowpath.observers.running_copies import RunningCopies
from cowpath.observers.several import Several
from cowpath.observers.timeline import Timeline
from cowpath.observers.words import printable, printable_lines

Document = Mapping[str, object]

_UNFOLDED_COLUMNS = 10_000
_NOTHING = "-"


class ProgressStyle(StrEnum):
    """What stderr shows while a verb works."""

    AUTO = "auto"
    """A bar on a terminal, lines elsewhere, with --json and with -v."""
    BAR = "bar"
    LINES = "lines"
    JSON = "json"
    """An object per line, for all of stderr: progress, errors, what libraries log."""
    NONE = "none"
    """Warnings and errors only."""


@dataclass(slots=True)
class Screen:
    """Where output goes: results to stdout, everything else to stderr.

    Attributes:
        as_json: One JSON document on stdout instead of tables.
        verbose: Show what is asked of whom, and tracebacks.
        progress: What stderr shows while a verb works.
    """

    as_json: bool = False
    verbose: bool = False
    progress: ProgressStyle = ProgressStyle.AUTO
    copies: RunningCopies = field(default_factory=RunningCopies)
    timeline: Timeline = field(default_factory=lambda: Timeline(SystemClock()))
    out: Console = field(default_factory=lambda: _unfolded(_literal()))
    err: Console = field(default_factory=lambda: _literal(stderr=True))
    _bar: ProgressBar | None = field(default=None, init=False)

    @property
    def asks(self) -> bool:
        """Whether a person sits there who can be asked a question."""
        return self.err.is_terminal and not self.as_json and not self._speaks_json

    @property
    def _speaks_json(self) -> bool:
        return self.progress is ProgressStyle.JSON

    def open_log(self) -> None:
        """Show what libraries log: warnings, and with -v what is asked of whom."""
        shown = logging.StreamHandler(sys.stderr)
        if self._speaks_json:
            shown.setFormatter(JsonLog())
            logging.captureWarnings(capture=True)
        elif self.verbose:
            shown.setFormatter(PlainLog("%(name)s: %(message)s"))
        else:
            # Warnings come out there of themselves, where nobody asked for more.
            if logging.lastResort:
                logging.lastResort.setFormatter(PlainLog())
            return
        logging.basicConfig(handlers=[shown])
        if self.verbose:
            # Who logs what is asked; it shows tokens as hashes only.
            logging.getLogger("keystoneauth").setLevel(logging.DEBUG)

    def observer(self) -> Observer:
        """Return what shows progress: a bar on a terminal, lines elsewhere."""
        return Several(self.copies, self.timeline, self._looks())

    def _looks(self) -> Observer:
        match self._style():
            case ProgressStyle.BAR:
                # Asked for where there is no terminal: drawn all the same.
                seen = self.err.is_terminal
                console = self.err if seen else _literal(stderr=True, forced=True)
                self._bar = ProgressBar(console)
                return self._bar
            case ProgressStyle.JSON:
                return JsonLines(sys.stderr)
            case ProgressStyle.NONE:
                return WarningLines(sys.stderr)
            case _:
                return PlainLines(sys.stderr)

    def _style(self) -> ProgressStyle:
        if self.progress is not ProgressStyle.AUTO:
            return self.progress
        # What -v shows would tear the bar apart.
        barred = self.as_json or self.verbose or not self.err.is_terminal
        return ProgressStyle.LINES if barred else ProgressStyle.BAR

    def console(self, guest: str) -> Callable[[bytes], None]:
        """Return what shows a guest's serial console, where it is in nobody's way."""
        if self.as_json and self._speaks_json:
            return _console_lines(guest)
        # With --json, stdout is for the document alone.
        stream = (sys.stderr if self.as_json else sys.stdout).buffer

        def write(chunk: bytes) -> None:
            stream.write(chunk)
            stream.flush()

        return write

    def show(self, document: Document, human: Callable[[], RenderableType]) -> None:
        """Print the result of a verb."""
        self._end_progress()
        if self.as_json:
            print(json.dumps(document, indent=2))  # noqa: T201  # doors print
        else:
            self.out.print(human(), highlight=False, soft_wrap=True)

    def complain(self, error: CowpathError, store: StoreName) -> None:
        """Tell the person of an error that is one of several results."""
        code = exits.exit_code(error)
        body = error_body(type(error).__name__, str(error), code, error)
        self._tell_error(body, {"store": store}, f"{store}: ")

    def fail(self, error: CowpathError) -> int:
        """Print an error and return its exit code."""
        code = exits.exit_code(error)
        body = error_body(type(error).__name__, str(error), code, error)
        self._print_error(body, error if self.verbose else None)
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
        self._print_error(error_body("bug", text, exits.BUG), error)
        return exits.BUG

    def interrupted(self) -> int:
        """Say what goes on without us and return the exit code of Ctrl-C."""
        text = "; ".join(
            ["interrupted", *(_goes_on(*each) for each in self.copies.by_image())]
        )
        self._print_error(error_body("interrupted", text, exits.INTERRUPTED))
        return exits.INTERRUPTED

    def _print_error(self, body: Document, raised: Exception | None = None) -> None:
        self._end_progress()
        if self.as_json:
            print(json.dumps({"error": body}, indent=2))  # noqa: T201  # doors print
        trace = "".join(traceback.format_exception(raised)) if raised else ""
        self._tell_error(body, {"traceback": trace} if trace else {})
        if trace and not self._speaks_json:
            self._say(printable_lines(trace))

    def _tell_error(self, body: Document, facts: Document, about: str = "") -> None:
        self._end_progress()
        if self._speaks_json:
            line = {"event": "Error", **facts, "error": body}
            JsonLines(sys.stderr).write(line)
        else:
            self._say(printable(f"Error: {about}{body['message']}"))

    def _say(self, text: str) -> None:
        self.err.print(text, markup=False, highlight=False, soft_wrap=True)

    def _end_progress(self) -> None:
        # Bars hide the cursor, and would be drawn over what is printed now.
        if self._bar is not None:
            self._bar.close()


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


def _goes_on(image: Image, stores: list[StoreName]) -> str:
    to = f"store {stores[0]}" if len(stores) == 1 else f"stores {', '.join(stores)}"
    them = "that copy" if len(stores) == 1 else "those copies"
    return (
        f"Glance goes on copying image {image.name or image.id} to {to}: the same "
        f"command joins {them}"
    )


def _console_lines(guest: str) -> Callable[[bytes], None]:
    """Return what writes a guest's console as JSON lines to stderr."""
    lines = JsonLines(sys.stderr)
    # A letter may be cut in two between one chunk and the next.
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(chunk: bytes) -> None:
        text = decoder.decode(chunk)
        if text:
            lines.write({"event": "Console", "guest": guest, "text": text})

    return write


def _literal(
    *, stderr: bool = False, width: int | None = None, forced: bool = False
) -> Console:
    """Return a console that shows names as they are: none is markup or an emoji."""
    terminal = True if forced else None
    return Console(
        stderr=stderr, width=width, markup=False, emoji=False, force_terminal=terminal
    )


def _unfolded(console: Console) -> Console:
    """Return a console that folds lines for people only, never for programs."""
    return console if console.is_terminal else _literal(width=_UNFOLDED_COLUMNS)


def grid(*columns: str) -> Table:
    """Return an empty table in the one style that all verbs use."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        # Cut nothing: ids and paths are made to be copied.
        made.add_column(printable(column), overflow="fold")
    return made


def add_row(table: Table, *cells: str | None) -> None:
    """Add a row to `table`; an empty cell says that there is nothing."""
    table.add_row(*(printable(cell) if cell else _NOTHING for cell in cells))

"""Events on a terminal: lines, and a bar per store while copies run."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

from cowpath.core.events import (
    CopyFailed,
    CopyFinished,
    CopyProgress,
    Event,
    Phase,
)
from cowpath.core.model import ImageId, StoreName
from cowpath.observers import words

_Copy = tuple[ImageId, StoreName]

_CELLS_OF_FACTS = 72
"""What a store's name and all that is known take; the bar has the rest."""
_LEAST_CELLS, _MOST_CELLS = 8, 40
_VISIBLE = (Phase.STORING, Phase.FINISHING)


class ProgressBar:
    """Draws the copies that are running; other events are lines above them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._tasks: dict[_Copy, TaskID] = {}
        self._closed = False

    def tell(self, event: Event) -> None:
        """Draw `event`, unless the bars were taken away for good."""
        if self._closed:
            return
        if isinstance(event, CopyProgress):
            self._draw(event)
            return
        if isinstance(event, CopyFailed | CopyFinished):
            self._remove((event.image, event.store))
        self._console.print(
            words.sentence(event), markup=False, highlight=False, soft_wrap=True
        )

    def close(self) -> None:
        """Take the bars away for good: whatever comes next is no progress."""
        self._closed = True
        self._tasks.clear()
        self._rest()

    def _rest(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = None

    def _remove(self, copy: _Copy) -> None:
        task = self._tasks.pop(copy, None)
        if self._bars is not None and task is not None:
            self._bars.remove_task(task)
        if not self._tasks:
            self._rest()

    def _draw(self, event: CopyProgress) -> None:
        copy = event.image, event.store
        if self._bars is None:
            self._bars = _new_bars(self._console)
            self._bars.start()
        if copy not in self._tasks:
            self._tasks[copy] = self._bars.add_task("", total=None, **_fields(event))
        # Without bytes there is nothing to measure: the bar pulses.
        visible = event.phase in _VISIBLE and event.total
        self._bars.update(
            self._tasks[copy],
            completed=event.present,
            total=event.total if visible else None,
            **_fields(event),
        )


def _fields(event: CopyProgress) -> dict[str, Any]:
    behind = ", ".join(sorted(event.behind))
    facts = (words.arrived(event), words.pace(event), behind and f"behind {behind}")
    return {
        "copy": words.printable(f"{event.store}: {event.phase}"),
        "facts": words.printable(", ".join(filter(None, facts))),
        "since": words.duration(event.elapsed),
    }


class _Fact(ProgressColumn):
    """Shows one field of a bar, cut where the terminal is too narrow for it."""

    def __init__(self, field: str, *, first_to_shrink: bool) -> None:
        super().__init__(Column(no_wrap=not first_to_shrink))
        self._field = field

    def render(self, task: Task) -> Text:
        """Return the text, never as markup, on one line."""
        return Text(task.fields[self._field], no_wrap=True, overflow="ellipsis")


def _new_bars(console: Console) -> Progress:
    # Rich would guess the pace from when it was told; the event has it measured.
    return Progress(
        _Fact("copy", first_to_shrink=True),
        BarColumn(
            max(_LEAST_CELLS, min(_MOST_CELLS, console.width - _CELLS_OF_FACTS)),
            table_column=Column(no_wrap=True),
        ),
        _Fact("facts", first_to_shrink=True),
        _Fact("since", first_to_shrink=False),
        console=console,
        transient=True,
        # Results go to a stdout of their own, never through the bars' console.
        redirect_stdout=False,
        redirect_stderr=False,
    )

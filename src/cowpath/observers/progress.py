"""Events on a terminal: lines, and a bar while a copy runs."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from cowpath.core.events import CopyProgress, Event, Phase
from cowpath.observers.words import sentence


class ProgressBar:
    """Draws the copy that is running; other events are lines above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def tell(self, event: Event) -> None:
        """Draw `event`."""
        if isinstance(event, CopyProgress):
            self._draw(event)
            return
        self.close()
        self._console.print(sentence(event), markup=False, highlight=False)

    def close(self) -> None:
        """Take the bar away; it comes back with the next progress."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None

    def _draw(self, event: CopyProgress) -> None:
        if self._bar is None:
            self._bar = _new_bar(self._console)
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        if self._task is not None:
            # Without bytes there is nothing to measure: the bar pulses.
            visible = event.phase in (Phase.STORING, Phase.FINISHING)
            self._bar.update(
                self._task,
                description=f"{event.store}: {event.phase}",
                completed=event.present,
                total=event.total if visible else None,
            )


def _new_bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )

"""A service that is one program in a folder of its own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.files import read, write
from lab.processes import Process, end_all, family, find, spawn
from lab.programs import tail
from lab.waiting import wait_until

_COMING_WITHIN_SECONDS = 300.0
_OTHERS_WITHIN_SECONDS = 20.0
# A look may go through all processes, and a dozen services look at once.
_LOOK_EVERY_SECONDS = 0.2


class Daemon(ABC):
    """Starts, waits for and ends one program; what it is, a subclass says.

    Attributes:
        name: What the command line calls it.
        home: Its folder, which its command line mentions.
        programs: What its processes' names begin with.
        grace_seconds: How long it may take to end when it is asked.
        start_within_seconds: How long it may take to answer.
        is_coming: Whether somebody is about to start it, so that waiting helps.
    """

    programs: Sequence[str]
    grace_seconds = 10.0
    start_within_seconds = 120.0

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self.is_coming = False
        self._complaint = ""

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it listens."""

    @property
    def log(self) -> Path:
        """What it writes about itself."""
        return self.home / f"{self.name}.log"

    @property
    def output(self) -> Path:
        """What it writes to its standard output and error."""
        return self.log.with_suffix(".out")

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether a client would get an answer."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what it needs, and wait for whom it needs."""

    @abstractmethod
    def configuration(self, settings: Sequence[str]) -> Mapping[Path, str]:
        """Return the files that say how it is to run.

        Args:
            settings: SECTION.KEY=VALUE each, for this start only.

        Raises:
            LabError: It knows nothing of settings.
        """

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the program, by its path, and its arguments."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """Return its whole environment."""

    def processes(self) -> list[Process]:
        """Return its processes and those that they started."""
        found = [each for name in self.programs for each in find(name, self.home)]
        return family(found)

    def start(self, settings: Sequence[str] = ()) -> None:
        """Make what it needs and start it; return when it answers.

        One that runs is started again only where its configuration would change.

        Raises:
            LabError: It cannot be made or started.
        """
        if self.processes() and self.answers() and self._is_configured(settings):
            return
        self._complaint = ""
        try:
            self.stop()
            self.home.mkdir(parents=True, exist_ok=True)
            self.prepare()
            for path, text in self.configuration(settings).items():
                write(path, text)
            self._spawn()
        except (LabError, OSError) as error:
            self._complaint = str(error) or "it failed"
            raise

    def _is_configured(self, settings: Sequence[str]) -> bool:
        wanted = self.configuration(settings)
        return all(read(path) == text for path, text in wanted.items())

    def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        if not end_all(self.processes, grace_seconds=self.grace_seconds):
            message = f"{self.name} cannot be killed: see `status`."
            raise LabError(message)

    def clear(self) -> None:
        """Stop it."""
        self.stop()

    def wait(self) -> None:
        """Wait for it, where somebody else is starting it.

        Raises:
            LabError: It did not come up.
        """
        seconds = _COMING_WITHIN_SECONDS if self.is_coming else _OTHERS_WITHIN_SECONDS
        wait_until(
            lambda: bool(self._complaint) or self.answers(),
            within_seconds=seconds,
            every_seconds=_LOOK_EVERY_SECONDS,
        )
        if self._complaint or not self.answers():
            message = f"{self.name} is needed and does not answer. Its log: {self.log}"
            raise LabError(message)

    def _spawn(self) -> None:
        started = spawn(
            self.command(), env=self.environment(), cwd=self.home, log=self.output
        )
        wait_until(
            lambda: started.poll() is not None or self.answers(),
            within_seconds=self.start_within_seconds,
            every_seconds=_LOOK_EVERY_SECONDS,
        )
        if started.poll() is not None or not self.answers():
            self.stop()
            logs = tail(read(self.output)) + "\n" + tail(read(self.log))
            message = (
                f"{self.name} does not start. Its last words "
                f"(all: {self.output}, {self.log}):\n{logs}"
            )
            raise LabError(message)
        # It is to outlive us; Popen would only complain.
        started.returncode = 0


def refuse(name: str, settings: Sequence[str]) -> None:
    """See that nobody sets what a service does not know.

    Raises:
        LabError: Somebody does.
    """
    if settings:
        message = f"{name} takes no --set."
        raise LabError(message)

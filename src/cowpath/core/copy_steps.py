"""What can be decided about a copy: the words between a watch and who acts on it."""

from dataclasses import dataclass

from cowpath.core.errors import CowpathError
from cowpath.core.model import Base, Leftover, Seconds


@dataclass(frozen=True, slots=True)
class Done:
    """The image is here; this is its base."""

    base: Base


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask Glance for a copy, once `lies` agreed; tell `warning` before."""

    warning: str = ""


@dataclass(frozen=True, slots=True)
class SetAside:
    """Move this leftover out of Glance's way, then tell `lies` again."""

    leftover: Leftover


@dataclass(frozen=True, slots=True)
class Join:
    """Somebody else's copy to our store runs; it is ours too. Then wait."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to decide: watch our own store until the next look."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Give up with this error."""

    error: CowpathError


Step = Done | Ask | Join | Wait | Stop
Verdict = Ask | SetAside | Wait | Stop


@dataclass(frozen=True, slots=True)
class Pause:
    """Look at our own store again after this long."""

    seconds: Seconds


@dataclass(frozen=True, slots=True)
class Look:
    """Look at Glance now."""

"""Faults: what a client may ask the proxy to do wrong, and when it is done."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event, Lock

from lab.fault_proxy_answers import REMEMBERED, Answer, Question

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_LONGEST_DELAY_SECONDS = 3600.0
_FIRST_STATUS, _LAST_STATUS = 200, 599
_BODIES = ("html", "json")
_WHEN = frozenset({"method", "path", "times", "after"})


class BadFaultError(ValueError):
    """What the proxy was asked for is no fault; the message says why."""


class Action(StrEnum):
    """What is done instead of passing an answer on; named as in the request."""

    STATUS = "status"
    RESET = "reset"
    RESET_AFTER = "reset_after"
    TRUNCATE = "truncate"
    STALE = "stale"
    GARBAGE = "garbage"
    # Nothing but a delay.
    DELAY = "delay_seconds"


_KEYS = _WHEN | {*Action} | {"body", "text"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        asked: The request for it, which is how it is told.
        path: What is searched for in a request's path and query.
        action: What is done.
        method: Of which requests; empty for all.
        times: How many requests it is done to; None for all until it is cleared.
        after: How many matching requests are let through before.
        delay_seconds: How long a request waits first.
        status: With STATUS, the status.
        body: With STATUS, `html` or `json`.
        text: With STATUS, the explanation in the body.
        stale: With STALE, how many requests ago the answer was given that is given
            again; 0 for the one that was the latest when the fault was set.
    """

    asked: Mapping[str, object]
    path: re.Pattern[str]
    action: Action
    method: str = ""
    times: int | None = None
    after: int = 0
    delay_seconds: float = 0
    status: int = 0
    body: str = "html"
    text: str = ""
    stale: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Tell whether this is about a request, whenever it comes."""
        return self.method in {"", method} and self.path.search(path) is not None


def parse(document: object) -> list[Fault]:
    """Read a list of faults.

    Args:
        document: The JSON that was sent.

    Raises:
        BadFaultError: It is not such a list; nothing of it is to be done then.
    """
    if not isinstance(document, list):
        raise BadFaultError("Send a JSON list of faults, such as [] or [{…}].")
    return [_fault(number, asked) for number, asked in enumerate(document)]


def _fault(number: int, asked: object) -> Fault:
    try:
        return _read(asked)
    except BadFaultError as error:
        raise BadFaultError(f"Fault {number} cannot be set: {error}.") from error


def _read(asked: object) -> Fault:
    if not isinstance(asked, dict):
        raise BadFaultError("it is not a JSON object")
    unknown = sorted(set(asked) - _KEYS)
    if unknown:
        known = ", ".join(sorted(_KEYS))
        raise BadFaultError(f"unknown {', '.join(unknown)}; known are {known}")
    action = _action(asked)
    return Fault(
        asked,
        _path(asked),
        action,
        method=_one_of(asked, "method", METHODS) if "method" in asked else "",
        times=None if asked.get("times") is None else _whole(asked, "times", 1),
        after=_whole(asked, "after", 0) if "after" in asked else 0,
        delay_seconds=_delay_seconds(asked),
        status=_status(asked) if action is Action.STATUS else 0,
        body=_one_of(asked, "body", _BODIES) if "body" in asked else _BODIES[0],
        text=_text(asked),
        stale=_stale(asked) if action is Action.STALE else 0,
    )


def _action(asked: Mapping[str, object]) -> Action:
    wanted = [each for each in Action if each is not Action.DELAY and each in asked]
    if len(wanted) > 1:
        raise BadFaultError(f"{' and '.join(wanted)} cannot both be done; take one")
    if not wanted and Action.DELAY not in asked:
        raise BadFaultError(f"say what to do: one of {', '.join(Action)}")
    action = wanted[0] if wanted else Action.DELAY
    if action is not Action.STATUS and not {"body", "text"}.isdisjoint(asked):
        raise BadFaultError("body and text go with status only")
    if action in _FLAGS and asked[action] is not True:
        raise BadFaultError(f"{action} takes true, not {asked[action]!r}")
    return action


_FLAGS = frozenset({Action.RESET, Action.RESET_AFTER, Action.TRUNCATE, Action.GARBAGE})


def _path(asked: Mapping[str, object]) -> re.Pattern[str]:
    text = asked.get("path")
    if not isinstance(text, str):
        raise BadFaultError("path has to be a regular expression; '' is every path")
    try:
        return re.compile(text)
    except re.error as error:
        raise BadFaultError(f"path is no regular expression: {error}") from error


def _one_of(asked: Mapping[str, object], key: str, allowed: Sequence[str]) -> str:
    value = asked[key]
    if value not in allowed:
        choice = ", ".join(allowed)
        raise BadFaultError(f"{key} is one of {choice}, not {value!r}")
    return str(value)


def _whole(
    asked: Mapping[str, object], key: str, least: int, most: int | None = None
) -> int:
    value = asked[key]
    # JSON's true is an int to Python.
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise BadFaultError(f"{key} is a number from {least} on, not {value!r}")
    if most is not None and value > most:
        raise BadFaultError(f"{key} is at most {most}, not {value}")
    return value


def _status(asked: Mapping[str, object]) -> int:
    return _whole(asked, "status", _FIRST_STATUS, _LAST_STATUS)


def _text(asked: Mapping[str, object]) -> str:
    text = asked.get("text", "A fault that the lab's proxy was asked for.")
    if not isinstance(text, str):
        raise BadFaultError(f"text is a string, not {text!r}")
    return text


def _stale(asked: Mapping[str, object]) -> int:
    if asked["stale"] is True:
        return 0
    # The latest answer is remembered too.
    return _whole(asked, "stale", 1, REMEMBERED - 1)


def _delay_seconds(asked: Mapping[str, object]) -> float:
    value = asked.get("delay_seconds", 0)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and 0 <= float(str(value)) <= _LONGEST_DELAY_SECONDS):
        longest = f"{_LONGEST_DELAY_SECONDS:g}"
        raise BadFaultError(f"delay_seconds is from 0 to {longest}, not {value!r}")
    return float(str(value))


@dataclass(slots=True)
class SetFault:
    """A fault that has been set, and how far it has come.

    Attributes:
        fault: Which.
        frozen: With `stale: true`, the answers that are given from now on.
        cleared: Set when nobody wants it any more: whoever waits goes on.
        matched: How many requests it could have been done to.
        done: How many it was done to.
    """

    fault: Fault
    frozen: dict[Question, Answer]
    cleared: Event = field(default_factory=Event)
    matched: int = 0
    done: int = 0

    @property
    def left(self) -> int | None:
        """How many times it will still be done; None for all."""
        return None if self.fault.times is None else self.fault.times - self.done

    @property
    def due(self) -> bool:
        """Whether it is done to the request that has just been counted."""
        return self.matched > self.fault.after and self.left != 0

    def describe(self) -> dict[str, object]:
        """Return what was asked for and what has become of it."""
        progress = {"matched": self.matched, "done": self.done, "left": self.left}
        return {**self.fault.asked, **progress}


@dataclass(slots=True)
class Faults:
    """The faults that are set now; for several threads."""

    _set: list[SetFault] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def replace(
        self, faults: Sequence[Fault], latest: Mapping[Question, Answer]
    ) -> None:
        """Set these instead of all that were set.

        Args:
            faults: Which; none clears them.
            latest: Glance's latest answers, for those that freeze them.
        """
        with self._lock:
            for each in self._set:
                each.cleared.set()
            self._set = [SetFault(fault, dict(latest)) for fault in faults]

    def take(self, method: str, path: str) -> SetFault | None:
        """Return what to do to a request: the first fault that is due.

        Every fault that matches counts the request, done or not, so that `after`
        means the same whatever else is set.
        """
        with self._lock:
            matching = [each for each in self._set if each.fault.matches(method, path)]
            for each in matching:
                each.matched += 1
            chosen = next((each for each in matching if each.due), None)
            if chosen is not None:
                chosen.done += 1
            return chosen

    def describe(self) -> list[dict[str, object]]:
        """Return all of them, in the order in which they were set."""
        with self._lock:
            return [each.describe() for each in self._set]

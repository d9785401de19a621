"""What is in a copy's way: a lock that may be dead, bytes that may be a leftover."""

from cowpath.core.model import Image, Leftover, Patience, Seconds

_SETTLED: Seconds = 2
"""What lies in the store and has not changed for so long is nobody's copy. A new task
too has changed its image by then (seen: up to a second after it has the lock)."""

_ASK_AGAIN: Seconds = 60
"""Between two questions whether a lock is dead; a task that has not begun after so long
may never do so."""

_ASIDE_WITHIN: Seconds = 120
"""How long to try to set a leftover aside that somebody has open or is at."""


class DeadLock:
    """Whether an import lock is to be taken for dead (rule 10).

    Attributes:
        passing: The next request is made although the lock is held.
        passed: The task whose lock was taken over by our last request.
    """

    def __init__(self, limit: Seconds, now: Seconds) -> None:
        self._limit = limit
        self._lock: tuple[str | None, Seconds] = (None, now)
        self._asked = float("-inf")
        self.passing = False
        self.passed: str | None = None

    def saw(self, image: Image, now: Seconds) -> None:
        """Note who has the lock."""
        self.passing = False
        if image.lock != self._lock[0]:
            self._lock = image.lock, now

    def idle(self, image: Image, now: Seconds, *, arriving: bool) -> Seconds | None:
        """Return for how long nothing changed, if Glance is to be asked; else None.

        Args:
            image: As Glance shows it.
            now: The time.
            arriving: Bytes were seen to arrive within the limit.
        """
        since = now - self._lock[1]
        silent = since if image.idle is None else image.idle
        fresh = since < (_SETTLED if image.importing else _ASK_AGAIN)
        alive = fresh or silent < self._limit or arriving
        if not self._limit or not image.lock or alive or now - self._asked < _ASK_AGAIN:
            return None
        self.passing, self.passed, self._asked = True, image.lock, now
        return silent

    def answered(self, *, busy: bool) -> None:
        """Note whether Glance handed the lock over."""
        if busy or not self.passing:
            self.passed = None
        self.passing = False


class InTheWay:
    """What lies where the copy would go, and for how long (rule 11)."""

    def __init__(self, patience: Patience) -> None:
        self._bound = max(patience.queue, 2 * _SETTLED)
        self._lying: tuple[Leftover | None, Seconds] = (None, 0)
        self._since: Seconds | None = None
        self._tried: Seconds | None = None
        self.aside = False

    def is_settled(self, leftover: Leftover, now: Seconds) -> bool:
        """Tell whether it has not changed for long enough, or has changed for ever."""
        if self._since is None:
            self._since = now
        if self._lying[0] != leftover:
            self._lying = leftover, now
        return now - self._lying[1] >= _SETTLED or now - self._since >= self._bound

    def is_new(self) -> bool:
        """Tell whether nothing was seen to lie there until now."""
        return self._since is None

    def gone(self) -> None:
        """Note that nothing lies there any more."""
        self._lying, self._since = (None, 0), None

    def may_try_again(self, now: Seconds) -> bool:
        """Tell whether it may be tried once more to set it aside."""
        if self._tried is None:
            self._tried = now
        return now - self._tried < _ASIDE_WITHIN

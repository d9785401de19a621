"""When to look at a copy again, and how fast its bytes arrive: free of I/O."""

from collections import deque
from collections.abc import Callable

from cowpath.core.model import Arrival, Bytes, Patience, Seconds

_BLIND_POLL: Seconds = 5
"""Between looks at Glance at most, while our own store does not answer."""

_ZEROS_PER_SECOND = 100 * 1024**2
"""Bytes. A thin store allocates nothing for zeros, of which Glance reads 213 MiB in a
second (measured on one slow core): half of that is no stall yet."""

_GROWTH = 2.0
"""Of the time between looks. In copies of two minutes to Ceph, 1.6 had Glance asked
about as often as a fixed poll of 15 s does; our own store tells of the end anyway."""

_GROWTH_AT_THE_END = 1.6
"""Once our store shows all of it: Glance lists it within half a second."""

_MEASURED: Seconds = 30
"""How far back the rate of arrival is measured."""


class Looks:
    """What our own store showed of a copy, and when to look at Glance (rules 8, 9).

    Attributes:
        present: Bytes that our store showed last.
        whole: True once it showed all of them.
        last: When Glance was looked at last.
        grew: When it began to show as many bytes as it does, of those that came since
            we asked or joined; None if none did.
    """

    def __init__(
        self, patience: Patience, now: Seconds, jitter: Callable[[], float]
    ) -> None:
        self._patience = patience
        self._jitter = jitter
        self.last = now
        self._interval = patience.first
        self.grew: Seconds | None = None
        self._lived: Seconds | None = None
        self._peeked = False
        self._hurry = False
        self._blind = False
        self._samples: deque[tuple[Seconds, int]] = deque()
        self.present = Bytes(0)
        self.whole = False

    def restart(self, now: Seconds) -> None:
        """Begin with short intervals again; what is there already does not count."""
        self.last = now
        self._interval = self._patience.first
        self.grew = self._lived = None
        self._samples.clear()

    def looked(self, now: Seconds) -> None:
        """Note a look at Glance; the next comes later."""
        self.last = now
        self._hurry = False
        # At most a fifth less, so that `poll` stays the longest interval.
        spread = 1 - 0.2 * self._jitter()
        growth = _GROWTH_AT_THE_END if self.whole else _GROWTH
        self._interval = min(self._patience.poll, self._interval * growth) * spread

    def arrived(self, arrival: Arrival | None, now: Seconds) -> None:
        """Note what our own store shows."""
        self._blind = False
        present = arrival.present if arrival else Bytes(0)
        whole = arrival is not None and arrival.whole
        if present > self.present or (whole and not self.whole):
            self.grew = now
            # What was there when we first looked may be a dead copy's.
            self._lived = now if self._peeked else None
        self._peeked = True
        if present < self.present or (whole and not self.whole):
            # Complete, or taken away again: Glance has news.
            self._hurry = True
            self._interval = self._patience.first
        if present < self.present:
            self._samples.clear()
            self.grew = None
        self.present, self.whole = present, whole
        self._sample(now)

    def expect(self, present: Bytes) -> None:
        """Note what lies there already: it does not arrive."""
        self.present, self._peeked = max(self.present, present), True

    def blinded(self) -> None:
        """Note that our own store does not answer: only Glance can tell then."""
        self._blind = True

    def due(self, now: Seconds, *, followed: bool) -> Seconds:
        """Return when to look at Glance next.

        Args:
            now: As everywhere.
            followed: Glance said that a copy to our store runs. What arrives while it
                has only shown a lock is most likely a copy of which it says so soon.
        """
        if self._hurry:
            return now
        if self._blind:
            return self.last + min(self._interval, _BLIND_POLL)
        growing = self.grew_within(self._patience.poll, now)
        if followed and growing and not self.whole:
            return self.last + max(self._interval, self._patience.steady)
        return self.last + self._interval

    def grew_within(self, seconds: Seconds, now: Seconds) -> bool:
        """Tell whether we saw bytes arrive in the last `seconds`."""
        return self._lived is not None and now - self._lived < seconds

    def stall_end(self, size: Bytes | None) -> Seconds:
        """Return when a copy of `size` bytes that stopped growing counts as stalled."""
        if self.grew is None or not self._patience.stall:
            return float("inf")
        zeros = 0.0 if self.whole else ((size or 0) - self.present) / _ZEROS_PER_SECOND
        return self.grew + max(self._patience.stall, zeros)

    def rate(self, now: Seconds) -> float | None:
        """Return the bytes per second that arrived lately; None if not known yet."""
        if not self._samples:
            return None
        since, before = self._samples[0]
        took = now - since
        return (self.present - before) / took if took >= 1 else None

    def _sample(self, now: Seconds) -> None:
        if self.present:
            self._samples.append((now, self.present))
        while self._samples and now - self._samples[0][0] > _MEASURED:
            self._samples.popleft()

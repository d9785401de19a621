"""How a copy is followed: the rules, free of I/O, so that every case can be tried."""

from collections.abc import Callable
from dataclasses import dataclass

from cowpath.core.errors import (
    CopyFailedError,
    CopyTimeoutError,
    CowpathError,
    UntrustedError,
)
from cowpath.core.events import Phase
from cowpath.core.model import (
    Arrival,
    Base,
    Bytes,
    CopyAnswer,
    Image,
    Patience,
    Seconds,
    StoreName,
)

# A POST without an answer may have been accepted: the next look tells. After this
# many in a row nothing was, and nobody is copying.
_UNANSWERED_ASKS = 3


@dataclass(frozen=True, slots=True)
class Done:
    """The image is here; this is its base."""

    base: Base


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask Glance for a copy."""


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


@dataclass(frozen=True, slots=True)
class Pause:
    """Look at our own store again after this long."""

    seconds: Seconds


@dataclass(frozen=True, slots=True)
class Look:
    """Look at Glance now."""


class CopyWatch:
    """Follows one copy: tell it what Glance and the store say, do what it says.

    The rules, numbered as in docs/following-a-copy.md, each an answer to something
    that the real Glance does:

      1. Done: our store is listed, Glance is not importing to it, the import lock is
         gone, and the store shows the base. An image that was here when we first
         looked is done whoever holds the lock: that import is for another store.
      2. Join: the lock is held and our store is being imported to: no second
         request. `importing` without a lock is a stuck flag, not a copy.
      3. Queue: the lock is held for another store, or Glance answers busy: wait for
         it, then ask; at most `patience.queue` seconds.
      4. A failure listed before our request counts only after the copy was seen
         running, or `patience.grace` seconds after acceptance with our task's lock
         gone: a task that still has it may be waiting for a thread of Glance.
      5. The lock is gone, or another task's, and our store neither listed nor
         failed: the copy died silently. Ask once more, then stop.
      6. A look that Glance does not answer is not an answer: look again.
      9. Look soon, then seldom, and at once when the store shows the whole base.
     12. Time is up `patience.timeout` after acceptance or joining; 0: no limit.
    """

    def __init__(
        self,
        store: StoreName,
        patience: Patience,
        now: Seconds,
        *,
        territory: str = "this site's store",
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Begin to follow at `now`.

        Args:
            store: The Glance store that must have the image.
            patience: How long and how often.
            now: Seconds, as every other `now` here.
            territory: What our store may read, for messages.
            jitter: Returns 0 to 1; spreads the looks of many hosts.
        """
        self._store = store
        self._patience = patience
        self._territory = territory
        self._began = now
        self._followed_since: Seconds | None = None
        self._queued_since: Seconds | None = None
        self._listed_since: Seconds | None = None
        self._accepted = 0
        self._old_failure = False
        self._was_running = False
        self._task: str | None = None
        self._image: Image | None = None
        self._first_look = True
        self._unanswered = 0
        self._asked_late = False
        self._missed = 0
        self._looks = _Looks(patience, now, jitter)

    def look(self, image: Image, base: Base | None, now: Seconds) -> Step:
        """Decide from what Glance says of `image` and whether its base is here."""
        self._missed = 0
        self._image = image
        self._looks.looked(now)
        first, self._first_look = self._first_look, False
        running = image.is_being_copied_to(self._store)
        if running:
            self._was_running, self._task = True, image.lock
        if image.is_in(self._store):
            return self._listed(image, base, now, first=first)
        self._listed_since = None
        if self._followed_since is None:
            return self._join_or_ask(image, now, running=running)
        return self._followed(image, now)

    def peek(self, arrival: Arrival | None, now: Seconds) -> Pause | Look:
        """Decide between two looks, from what our own store shows."""
        self._looks.arrived(arrival, now)
        due = min(self._looks.due(now), self._deadline(), self._queue_end())
        if now >= due:
            return Look()
        return Pause(min(self._patience.peek, due - now))

    def answered(self, answer: CopyAnswer, now: Seconds) -> None:
        """Tell what Glance answered to Ask."""
        self._missed = self._unanswered = 0
        if answer is CopyAnswer.BUSY:
            self._queue(now)
            return
        self._accepted += 1
        self._task = None
        self._follow(now)

    def missed(self, error: CowpathError, now: Seconds) -> Stop | None:
        """Tell that Glance did not answer a look or Ask; says whether to stop."""
        self._missed += 1
        self._looks.looked(now)
        waiting = self._followed_since is not None or self._queued_since is not None
        if not waiting and max(self._missed, self._unanswered) >= _UNANSWERED_ASKS:
            return Stop(error)
        if now < min(self._deadline(), self._queue_end()):
            return None
        return Stop(self._unheard(error))

    @property
    def misses(self) -> int:
        """Looks in a row that Glance did not answer."""
        return self._missed

    @property
    def present(self) -> Bytes:
        """Bytes that our store showed at the last peek."""
        return self._looks.present

    @property
    def phase(self) -> Phase:
        """Where the copy is, as far as can be seen."""
        if self._followed_since is None:
            return Phase.QUEUED
        if self._looks.whole:
            return Phase.FINISHING
        return Phase.STORING if self._looks.present else Phase.STAGING

    def elapsed(self, now: Seconds) -> Seconds:
        """Return seconds since we began."""
        return now - self._began

    def _listed(
        self, image: Image, base: Base | None, now: Seconds, *, first: bool
    ) -> Step:
        if self._listed_since is None:
            self._listed_since = now
        over = now >= min(self._deadline(), self._queue_end())
        aged = over or now - self._listed_since >= self._patience.grace
        if base:
            # Glance clears `importing` when our store is done and drops the lock
            # 0.1 to 0.5 s later; with other stores left in the same request it
            # keeps it. A lock that outlives the grace says nothing of our store.
            free = not image.lock or bool(image.importing)
            return Done(base) if free or first or aged else Wait()
        # A store on NFS may show a new file late, hence the grace.
        return Stop(self._no_base(image)) if first or aged else Wait()

    def _join_or_ask(self, image: Image, now: Seconds, *, running: bool) -> Step:
        if running:
            self._follow(now)
            return Join()
        if image.lock:
            self._queue(now)
        late = now >= self._queue_end()
        if late and (image.lock or self._asked_late):
            return Stop(self._queue_too_long(image))
        if image.lock:
            return Wait()
        # Glance may answer busy for a lock that it does not show us: ask once more
        # after the queue's end, no more.
        self._asked_late = late
        return self._ask(image)

    def _followed(self, image: Image, now: Seconds) -> Step:
        # Where many sites want one image another import may have the lock by now. As
        # long as our task has it, it may still wait for one of Glance's threads.
        self._task = self._task or image.lock
        gone = not image.lock or image.lock != self._task
        over = self._was_running or (gone and now >= self._grace_end())
        failed = self._store in image.failed and self._store not in image.importing
        if failed and (over or not self._old_failure):
            return Stop(self._failed(image))
        if over and gone:
            return self._died_silently(image, now)
        return self._in_time(image, now)

    def _died_silently(self, image: Image, now: Seconds) -> Step:
        if self._accepted > 1:
            return Stop(self._silent(image))
        self._followed_since = None
        self._was_running = False
        return self._join_or_ask(image, now, running=False)

    def _ask(self, image: Image) -> Step:
        self._old_failure = self._store in image.failed
        self._unanswered += 1
        return Ask()

    def _in_time(self, image: Image, now: Seconds) -> Step:
        return Stop(self._too_late(image)) if now >= self._deadline() else Wait()

    def _follow(self, now: Seconds) -> None:
        self._followed_since = now
        self._queued_since = None
        self._looks.restart(now)

    def _queue(self, now: Seconds) -> None:
        if self._queued_since is None:
            self._queued_since = now
            self._looks.restart(now)

    def _deadline(self) -> Seconds:
        if self._followed_since is None or not self._patience.timeout:
            return float("inf")
        return self._followed_since + self._patience.timeout

    def _queue_end(self) -> Seconds:
        if self._queued_since is None:
            return float("inf")
        return self._queued_since + self._patience.queue

    def _grace_end(self) -> Seconds:
        return (self._followed_since or 0.0) + self._patience.grace

    def _no_base(self, image: Image) -> CowpathError:
        urls = ", ".join(place.shown for place in image.locations) or "hidden"
        return UntrustedError(
            f"Glance lists image {image.id} ({image.name}) in store {self._store}, but "
            f"{self._territory} holds no base of it with {image.size} bytes (its "
            f"locations: {urls}): the store name belongs to another place, or the "
            f"bytes are gone; check images_rbd_glance_store_name"
        )

    def _failed(self, image: Image) -> CowpathError:
        return CopyFailedError(
            f"Glance failed to copy image {image.id} ({image.name}) to store "
            f"{self._store}{self._how_far(image)}. Glance tells no reason: read its "
            f"log, check that the store is writable and has room, then try again"
        )

    def _unheard(self, error: CowpathError) -> CowpathError:
        image = self._image
        who = f"image {image.id} ({image.name})" if image else "the image"
        far = self._how_far(image) if image else ""
        return CopyTimeoutError(
            f"time is up for the copy of {who} to store {self._store}{far}, and Glance "
            f"did not answer when last asked ({self._missed} times): {error}. A copy "
            f"that it accepted goes on: the same command joins it"
        )

    def _silent(self, image: Image) -> CowpathError:
        return CopyFailedError(
            f"Glance accepted the copy of image {image.id} ({image.name}) to store "
            f"{self._store} {self._accepted} times and dropped it without a word. Read "
            f"its log; full staging space and a lost source are common causes"
        )

    def _too_late(self, image: Image) -> CowpathError:
        return CopyTimeoutError(
            f"image {image.id} ({image.name}) is not in store {self._store} after "
            f"{self._patience.timeout:g} s{self._how_far(image)}. Glance goes on "
            f"copying: the same command joins it; images_rbd_glance_copy_timeout "
            f"is the bound"
        )

    def _queue_too_long(self, image: Image) -> CowpathError:
        other = ", ".join(sorted(image.importing)) or "a store it does not name"
        return CopyTimeoutError(
            f"another import of image {image.id} ({image.name}), to {other}, has held "
            f"Glance's lock (task {image.lock or 'not shown'}) for "
            f"{self._patience.queue:g} s, so the copy to {self._store} was never asked "
            f"for. Glance drops a dead lock 60 minutes after its task's last sign of "
            f"life, when asked again"
        )

    def _how_far(self, image: Image) -> str:
        return f", {self.present} of {image.size} bytes there" if self.present else ""


class _Looks:
    """When to look at Glance again (rule 9)."""

    def __init__(
        self, patience: Patience, now: Seconds, jitter: Callable[[], float]
    ) -> None:
        self._patience = patience
        self._jitter = jitter
        self._last = now
        self._interval = patience.first
        self._grew: Seconds | None = None
        self._hurry = False
        self.present = Bytes(0)
        self.whole = False

    def restart(self, now: Seconds) -> None:
        """Begin with short intervals again."""
        self._last = now
        self._interval = self._patience.first

    def looked(self, now: Seconds) -> None:
        """Note a look at Glance; the next comes later."""
        self._last = now
        self._hurry = False
        # At most a fifth less, so that `poll` stays the longest interval.
        spread = 1 - 0.2 * self._jitter()
        self._interval = min(self._patience.poll, self._interval * 1.6) * spread

    def arrived(self, arrival: Arrival | None, now: Seconds) -> None:
        """Note what our own store shows."""
        present = arrival.present if arrival else Bytes(0)
        whole = arrival is not None and arrival.whole
        if present > self.present:
            self._grew = now
        if present < self.present or (whole and not self.whole):
            # Complete, or taken away again: Glance has news.
            self._hurry = True
            self._interval = self._patience.first
        self.present, self.whole = present, whole

    def due(self, now: Seconds) -> Seconds:
        """Return when to look at Glance next."""
        if self._hurry:
            return now
        growing = self._grew is not None and now - self._grew < self._patience.poll
        if growing and not self.whole:
            return self._last + max(self._interval, self._patience.steady)
        return self._last + self._interval

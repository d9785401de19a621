"""How a copy is followed: the rules, free of I/O, so that every case can be tried."""

from collections.abc import Callable

from cowpath.core.copy_looks import Looks
from cowpath.core.copy_steps import (
    Ask,
    Done,
    Join,
    Look,
    Pause,
    SetAside,
    Step,
    Stop,
    Verdict,
    Wait,
)
from cowpath.core.copy_trouble import DeadLock, InTheWay
from cowpath.core.copy_words import CopyWords, lock_passed, silence
from cowpath.core.errors import CopyTimeoutError, CowpathError
from cowpath.core.events import Phase
from cowpath.core.model import (
    Arrival,
    Base,
    Bytes,
    CopyAnswer,
    Image,
    ImageId,
    Leftover,
    Patience,
    Seconds,
    StoreName,
)

# A POST without an answer may have been accepted: the next look tells. After this
# many in a row nothing was, and nobody is copying.
_UNANSWERED_ASKS = 3


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
      6. A look that Glance does not answer is not an answer: look again. Neither is
         one that is older than what we saw already.
      7. An image that is not active any more ends it.
      8. No growth for `patience.stall` seconds after the first bytes is an error;
         silence before them only a warning.
      9. Look soon, then seldom, and at once when the store shows the whole base.
     10. A lock without a sign of life for `patience.dead_lock` seconds: ask all the
         same; Glance decides. Never by default.
     11. What lies in the store of an image that Glance neither lists nor copies is a
         leftover: set it aside where that is allowed, else stop and name it.
     12. Time is up `patience.timeout` after acceptance or joining; 0: no limit.
    """

    def __init__(
        self,
        store: StoreName,
        patience: Patience,
        now: Seconds,
        *,
        territory: Callable[[], str] = lambda: "this site's store",
        repair: bool = False,
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Begin to follow at `now`.

        Args:
            store: The Glance store that must have the image.
            patience: How long and how often.
            now: Seconds, as every other `now` here.
            territory: Returns what our store may read; asked for a message only.
            repair: Leftovers may be set aside.
            jitter: Returns 0 to 1; spreads the looks of many hosts.
        """
        self._store = store
        self._patience = patience
        self._territory = territory
        self._repair = repair
        self._began = now
        self._followed_since: Seconds | None = None
        self._queued_since: Seconds | None = None
        self._listed_since: Seconds | None = None
        self._failed_since: Seconds | None = None
        self._newest: tuple[str, Seconds] = ("", now)
        self._accepted = 0
        self._updated = ""
        self._old_failure = False
        self._failure: CowpathError | None = None
        self._was_running = False
        self._task: str | None = None
        self._joined: Seconds | None = None
        self._dead = DeadLock(patience.dead_lock, now)
        self._way = InTheWay(patience)
        self._image: Image | None = None
        self._first_look = True
        self._unanswered = 0
        self._lost = 0
        self._asked_late = False
        self._missed = 0
        self._warned = False
        self._looks = Looks(patience, now, jitter)

    def look(self, image: Image, base: Base | None, now: Seconds) -> Step:
        """Decide from what Glance says of `image` and whether its base is here."""
        self._missed = 0
        self._looks.looked(now)
        if self._is_old(image, now):
            if now < self._end() or self._image is None:
                return Wait()
            image = self._image
        self._image = image
        self._dead.saw(image, now)
        first, self._first_look = self._first_look, False
        if image.status != "active":
            return Stop(self._words(image).not_active())
        running = image.is_being_copied_to(self._store)
        if running and image.lock != self._dead.passed:
            self._was_running, self._task = True, image.lock
        if image.is_in(self._store):
            return self._listed(image, base, now, first=first)
        self._listed_since = None
        if self._followed_since is None:
            return self._join_or_ask(image, now, running=running)
        return self._followed(image, now)

    def lies(self, leftover: Leftover | None, now: Seconds) -> Verdict:
        """Decide, before asking, from what lies in our store where it would go."""
        self._lost = 0
        if self._dead.passing:
            # Whose lock it is, that one's bytes lie there; they are looked at again
            # when there is no lock.
            self._looks.expect(leftover.present if leftover else Bytes(0))
            return self._agreed()
        if leftover is None:
            self._way.gone()
            return Stop(self._failure) if self._failure else self._agreed()
        if self._way.is_new():
            self._looks.restart(now)
        if not self._way.is_settled(leftover, now):
            # Glance may be taking it away at this moment, after a failure.
            return Wait()
        if self._repair and not self._way.aside:
            return SetAside(leftover)
        return Stop(self._failure or self._last_words().leftover(leftover))

    def set_aside(self) -> None:
        """Tell that the leftover is out of the way: as before a first request."""
        self._way.aside = True
        self._way.gone()
        self._failure = self._failed_since = self._followed_since = None
        self._was_running = False

    def not_set_aside(self, error: CowpathError, now: Seconds) -> Stop | None:
        """Tell that somebody was at the leftover; says whether to stop."""
        return None if self._way.may_try_again(now) else Stop(error)

    def peek(self, arrival: Arrival | None, now: Seconds) -> Pause | Look:
        """Decide between two looks, from what our own store shows."""
        self._looks.arrived(arrival, now)
        return self._next(now)

    def blind(self, now: Seconds) -> Pause | Look:
        """Decide between two looks when our own store does not answer."""
        self._looks.blinded()
        return self._next(now)

    def warning(self, now: Seconds) -> str:
        """Return what the user should know and was not told yet; empty: nothing."""
        begun, quiet = self._followed_since, self._patience.stall
        staging = self.phase is Phase.STAGING and not self._warned
        if begun is None or self._image is None or not quiet or not staging:
            return ""
        if now - begun < quiet:
            return ""
        self._warned = True
        return silence(self._image, self._store, now - begun)

    def answered(self, answer: CopyAnswer, now: Seconds) -> None:
        """Tell what Glance answered to Ask."""
        self._missed = self._unanswered = self._lost = 0
        busy = answer is CopyAnswer.BUSY
        self._dead.answered(busy=busy)
        if busy:
            if self._followed_since is None:
                self._queue(now)
            return
        self._accepted += 1
        self._joined = None
        # Not when it was decided to ask: `lies` may have had us wait since, and what
        # is listed is news as long as no other request was made.
        self._old_failure = bool(self._image and self._store in self._image.failed)
        self._updated = self._image.updated if self._image else ""
        self._task = self._failure = self._failed_since = None
        self._was_running = False
        self._follow(now)

    def missed(self, error: CowpathError, now: Seconds) -> Stop | None:
        """Tell that Glance did not answer a look or Ask; says whether to stop."""
        self._missed += 1
        self._looks.looked(now)
        waiting = self._followed_since is not None or self._queued_since is not None
        vain = max(self._missed, self._unanswered)
        if not waiting and vain >= _UNANSWERED_ASKS:
            return Stop(error)
        if now < self._end():
            return None
        return Stop(self._unheard(error))

    def lost(self, error: CowpathError, now: Seconds) -> Stop | None:
        """Tell that our own store had to answer and did not; says whether to stop."""
        # Glance may answer every look meanwhile, and would have us go on for ever.
        self._lost += 1
        self._looks.looked(now)
        if self._followed_since is None and self._lost >= _UNANSWERED_ASKS:
            return Stop(error)
        return None if now < self._end() else Stop(self._unheard(error))

    @property
    def queued(self) -> bool:
        """Whether another import has to end before ours is asked for."""
        return self._queued_since is not None

    @property
    def misses(self) -> int:
        """Looks in a row that Glance, or our own store, did not answer."""
        return max(self._missed, self._lost)

    @property
    def present(self) -> Bytes:
        """Bytes that our store showed at the last peek."""
        return self._looks.present

    def rate(self, now: Seconds) -> float | None:
        """Return the bytes per second that arrived lately; None if not known."""
        return self._looks.rate(now) if self.phase is Phase.STORING else None

    def left(self, now: Seconds) -> Seconds | None:
        """Return the seconds that are left at that rate; None if not known."""
        rate, image = self.rate(now), self._image
        if not rate or image is None or image.size is None:
            return None
        return max(0.0, (image.size - self.present) / rate)

    @property
    def behind(self) -> frozenset[StoreName]:
        """The stores of the import that we queue behind, as far as Glance says."""
        queued = self.phase is Phase.QUEUED and self._image and self._image.lock
        return self._image.importing if queued and self._image else frozenset()

    @property
    def phase(self) -> Phase:
        """Where the copy is, as far as can be seen."""
        if self._followed_since is None:
            return Phase.QUEUED if self.queued else Phase.LOOKING
        if self._looks.whole:
            return Phase.FINISHING
        return Phase.STORING if self._looks.present else Phase.STAGING

    def elapsed(self, now: Seconds) -> Seconds:
        """Return seconds since we began."""
        return now - self._began

    def _next(self, now: Seconds) -> Pause | Look:
        followed = self._followed_since is not None
        due = self._looks.due(now, followed=followed)
        for end in (self._end(), self._stall_end()):
            # Once: what the look then shows may still have to be waited for.
            if self._looks.last < end:
                due = min(due, end)
        if now >= due:
            return Look()
        return Pause(min(self._patience.peek, due - now))

    def _is_old(self, image: Image, now: Seconds) -> bool:
        """Tell whether Glance showed us a newer state of the image a moment ago.

        Replicas of a database lag, and proxies keep answers. Not for ever: a clock
        may have been set back.
        """
        newest, seen = self._newest
        if image.updated < newest and now - seen < self._patience.grace:
            return True
        # However long nothing changes: an old answer is old beside one just seen.
        self._newest = image.updated, now
        return False

    def _listed(
        self, image: Image, base: Base | None, now: Seconds, *, first: bool
    ) -> Step:
        self._lost = 0
        if self._listed_since is None:
            self._listed_since = now
        aged = now >= self._end() or now - self._listed_since >= self._patience.grace
        if base:
            # Glance clears `importing` when our store is done and drops the lock
            # 0.1 to 0.5 s later; with other stores left in the same request it
            # keeps it. Another task's lock, or one that outlives the grace, says
            # nothing of our store.
            others = self._task is not None and image.lock != self._task
            free = not image.lock or bool(image.importing) or others
            return Done(base) if free or first or aged else Wait()
        # A store on NFS may show a new file late, hence the grace.
        if not first and not aged:
            return Wait()
        return Stop(self._words(image).no_base(self._territory()))

    def _join_or_ask(self, image: Image, now: Seconds, *, running: bool) -> Step:
        if running:
            self._follow(now)
            self._joined = now
            return Join()
        if image.lock:
            self._queue(now)
        late = now >= self._queue_end()
        if late and (image.lock or self._asked_late):
            return Stop(self._words(image).queue_too_long(self._patience.queue))
        if image.lock:
            return self._pass(image, now) or Wait()
        # Glance may answer busy for a lock that it does not show us: ask once more
        # after the queue's end, no more.
        self._asked_late = late
        return Ask()

    def _followed(self, image: Image, now: Seconds) -> Step:
        # Where many sites want one image another import may have the lock by now. As
        # long as our task has it, it may still wait for one of Glance's threads.
        if image.lock != self._dead.passed:
            self._task = self._task or image.lock
        gone = not image.lock or image.lock != self._task
        # A change since we asked is our task's, for the 202 came with its lock.
        ended = image.updated > self._updated or now >= self._grace_end()
        over = self._was_running or (gone and ended)
        failed = self._store in image.failed and self._store not in image.importing
        if failed and (over or not self._old_failure):
            return self._failed(image, now)
        if over and gone:
            return self._died_silently(image, now)
        return self._in_time(image, now)

    def _failed(self, image: Image, now: Seconds) -> Step:
        failure = self._words(image).failed()
        if not self._repair or self._way.aside:
            return Stop(failure)
        # What it left may be set aside, and asked again, once the lock is gone.
        if self._failed_since is None or image.importing:
            # The request's other stores take their time.
            self._failed_since = now
        if image.lock:
            end = min(self._end(), self._failed_since + self._patience.grace)
            return Stop(failure) if now >= end else Wait()
        self._failure = failure
        return Ask()

    def _died_silently(self, image: Image, now: Seconds) -> Step:
        if self._accepted > 1:
            return Stop(self._words(image).silent(self._accepted))
        self._followed_since = None
        self._was_running = False
        return self._join_or_ask(image, now, running=False)

    def _agreed(self) -> Ask:
        self._unanswered += 1
        return Ask()

    def _pass(self, image: Image, now: Seconds) -> Step | None:
        """Return Ask where the lock is taken for dead and that is allowed."""
        arriving = self._looks.grew_within(self._patience.dead_lock, now)
        idle = self._dead.idle(image, now, arriving=arriving)
        return None if idle is None else Ask(lock_passed(image, self._store, idle))

    def _in_time(self, image: Image, now: Seconds) -> Step:
        self._give_others_time(image, now)
        if now >= self._deadline():
            return Stop(self._words(image).too_late(self._patience.timeout))
        passing = self._pass(image, now)
        if passing is None and now >= self._stall_end():
            return Stop(self._words(image).stalled(self._stalled_for(now)))
        return passing or Wait()

    def _give_others_time(self, image: Image, now: Seconds) -> None:
        """Begin our time anew while a copy that we joined goes to other stores first.

        Glance stores to one after the other. And a flag for our store that was left
        long ago stays while another import runs: then nothing comes here at all, and
        that import is only to be waited for, as in a queue.
        """
        if self._joined is None or not image.importing - {self._store} or self.present:
            return
        if now - self._joined < self._patience.queue:
            self._followed_since = now

    def _follow(self, now: Seconds) -> None:
        self._followed_since = now
        self._queued_since = None
        self._looks.restart(now)

    def _queue(self, now: Seconds) -> None:
        if self._queued_since is None:
            self._queued_since = now
            self._looks.restart(now)

    def _stall_end(self) -> Seconds:
        if self._followed_since is None:
            return float("inf")
        return self._looks.stall_end(self._image.size if self._image else None)

    def _stalled_for(self, now: Seconds) -> Seconds:
        return now - (self._looks.grew if self._looks.grew is not None else now)

    def _end(self) -> Seconds:
        return min(self._deadline(), self._queue_end())

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

    def _words(self, image: Image) -> CopyWords:
        return CopyWords(image, self._store, self.present)

    def _last_words(self) -> CopyWords:
        return self._words(self._image or Image(ImageId("unknown")))

    def _unheard(self, error: CowpathError) -> CowpathError:
        words = self._last_words()
        return CopyTimeoutError(
            f"time is up for the copy of {words.who} to store {self._store}"
            f"{words.how_far}, and Glance did not answer when last asked "
            f"({self.misses} times): {error}. A copy that it accepted goes on: the "
            f"same command joins it"
        )

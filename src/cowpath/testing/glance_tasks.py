"""One import of a simulated Glance: what it holds, and how far it is."""

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from cowpath.core.model import Image, Seconds, StoreName
from cowpath.testing.glance_records import Record
from cowpath.testing.glance_scripts import Fate, Stage, Stored, StoreStalls

LOCK_EXPIRY: Seconds = 3600
"""Glance hands a lock over this long after its task's last sign of life."""

PENDING_LOCK_EXPIRY: Seconds = 7200
"""The same for a task that never began."""

_SIGN_INTERVAL: Seconds = 60
"""A task that writes to a store says so this often; one that stages never does."""


@dataclass(slots=True)
class Task:
    """An import: it holds its image's lock and writes to its stores in turn.

    Attributes:
        stores: What was asked for, duplicates and all.
        all_must_succeed: One store that fails undoes the others.
        sign: When it last gave a sign of life, those of writing apart.
        left: Stores that it has not come to; the first one is at work.
        done: Stores that it finished.
        loaded: The image as it was when the step at work began. What a step saves at
            its end is this: changes that others made meanwhile are lost.
        began: When the step began.
        span: How long the step takes.
        alive: Somebody works at it.
    """

    ident: str
    record: Record
    stores: tuple[StoreName, ...]
    sign: Seconds
    all_must_succeed: bool = False
    fates: dict[StoreName, Fate] = field(default_factory=dict)
    left: deque[StoreName] = field(default_factory=deque)
    done: list[StoreName] = field(default_factory=list)
    loaded: Image | None = None
    stage: Stage = Stage.PENDING
    began: Seconds = 0
    span: Seconds = 0
    alive: bool = True

    @property
    def fate(self) -> Fate:
        """What is planned for the store that the task is at."""
        return self.fates.get(self.left[0], Stored()) if self.left else Stored()

    @property
    def has_lock(self) -> bool:
        """Whether the image is there and nobody took its lock."""
        return not self.record.deleted and self.record.image.lock == self.ident

    @property
    def storing(self) -> bool:
        """Whether it writes to a store just now."""
        return self.alive and self.stage is Stage.STORING and bool(self.left)

    def enter(self, stage: Stage, now: Seconds, span: Seconds) -> None:
        """Begin a step that takes `span`: load the image."""
        self.stage, self.began, self.span = stage, now, span
        self.loaded = self.record.image

    def save(self, now: Seconds, **facts: Any) -> bool:
        """End a step: save the image as it was loaded, but for `facts`.

        Returns:
            False if Glance refuses: the lock is another's, or the image has another
            status by now, or is gone.
        """
        loaded = self.loaded or self.record.image
        if not self.has_lock or loaded.status != self.record.image.status:
            return False
        self.record.image = replace(loaded, **facts)
        self.record.touched = now
        return True

    def last_sign(self, now: Seconds) -> Seconds:
        """Return when it last gave a sign of life."""
        if not self.storing:
            return self.sign
        stops, resumes = self._stall()
        if now > resumes:
            # The first bytes after a stall are a sign by themselves.
            return resumes + (now - resumes) // _SIGN_INTERVAL * _SIGN_INTERVAL
        signs = (min(now, stops) - self.began) // _SIGN_INTERVAL
        return self.began + signs * _SIGN_INTERVAL if signs else self.sign

    def written(self, now: Seconds) -> int:
        """Return how many bytes it wrote to the store that it is at."""
        stops, resumes = self._stall()
        stalled = max(0.0, min(now, resumes) - stops)
        size = self.record.image.size or 0
        share = (now - stalled - self.began) / self.span if self.span else 1.0
        return min(size, int(size * share))

    def _stall(self) -> tuple[Seconds, Seconds]:
        """Return when its store stops to take bytes, and when it goes on."""
        if isinstance(self.fate, StoreStalls):
            stops = self.began + self.span * self.fate.at
            return stops, stops + self.fate.seconds
        return math.inf, math.inf

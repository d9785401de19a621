"""What can be said in advance about a simulated Glance: its good and bad days."""

from dataclasses import dataclass
from enum import StrEnum

from cowpath.core.errors import CowpathError, UnavailableError
from cowpath.core.model import Seconds, StoreName


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the steps of a copy take.

    Attributes:
        spawn: From the 202 until `importing` shows and old failures are cleared.
        staging: Reading the image from its source; nothing can be seen meanwhile.
        storing: Writing it to one store.
        unlock: From the last store until the lock is gone.
    """

    spawn: Seconds = 0.5
    staging: Seconds = 5
    storing: Seconds = 10
    unlock: Seconds = 0.3


class Stage(StrEnum):
    """Where a copy is."""

    PENDING = "pending"
    STAGING = "staging"
    STORING = "storing"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Stored:
    """The copy succeeds."""


@dataclass(frozen=True, slots=True)
class StoreBreaks:
    """The store fails after the fraction `at` of the bytes.

    Glance removes the partial image, or leaves it behind (`leftover`), and then
    every later copy to that store fails too, even where it is empty (`at=0`).
    """

    at: float = 0.5
    leftover: bool = False


@dataclass(frozen=True, slots=True)
class StoreStalls:
    """The store takes no byte for `seconds` after the fraction `at`, then goes on."""

    at: float = 0.5
    seconds: Seconds = 600


@dataclass(frozen=True, slots=True)
class WrongHash:
    """The bytes in the store are not the image's, as Glance's hash tells at the end.

    They stay, whole and with all that a base has, and block every later copy.
    """


@dataclass(frozen=True, slots=True)
class StagingDies:
    """Staging fails and Glance says nothing: no failed store, no lock.

    The importing flag stays for ever, or goes (`flag_stays=False`).
    """

    at: float = 0.5
    flag_stays: bool = True


@dataclass(frozen=True, slots=True)
class WorkerDies:
    """Glance is killed after the fraction `at` of `stage`: everything stays as it is.

    `PENDING`: the task never begins. Lock, flags and partial bytes remain.
    """

    stage: Stage = Stage.STORING
    at: float = 0.5


Fate = Stored | StoreBreaks | StoreStalls | WrongHash | StagingDies | WorkerDies
"""How one copy to one store ends."""


class Verb(StrEnum):
    """The requests that Catalog makes."""

    GET = "get"
    FIND = "find"
    IMAGES = "images"
    STORES = "stores"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Trouble:
    """The next requests fail.

    Attributes:
        error: What they raise.
        verbs: Which requests; none named means every one.
        times: How many.
        reply_lost: The request takes effect; only its reply is lost.
    """

    error: type[CowpathError] = UnavailableError
    verbs: frozenset[Verb] = frozenset()
    times: int = 1
    reply_lost: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What this Glance allows.

    Attributes:
        copy_enabled: `copy-image` is among its enabled_import_methods.
        admins_only: The `copy_image` policy, at its default.
        quota_left: The project may store more.
        staging_quota_left: It may stage more: otherwise a copy is accepted, begins and
            ends without a word.
    """

    copy_enabled: bool = True
    admins_only: bool = True
    quota_left: bool = True
    staging_quota_left: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """One request that was made; `subject` is an id or a name, "" for lists.

    `stores` are those of a request for a copy.
    """

    verb: Verb
    when: Seconds
    subject: str = ""
    stores: tuple[StoreName, ...] = ()

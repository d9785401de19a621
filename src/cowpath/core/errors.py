"""Every way Cowpath can fail, in one place.

A class answers two questions for the caller: whose fault is it (the class), and is
the same call worth trying again (`retryable`)? Adapters translate what they catch
into one of these and keep the original as `__cause__`. A message says what
happened, to which image, store or disk, and what to do now.
"""

from typing import ClassVar


class CowpathError(Exception):
    """Base of everything raised on purpose; doors catch this."""

    retryable: ClassVar[bool] = False


class UsageError(CowpathError):
    """The caller asked for something that makes no sense; ask differently."""


class ConfigError(UsageError):
    """A configuration file or credential source is wrong or incomplete."""


class AmbiguousError(UsageError):
    """A name fits several images; an id is needed."""


class NotFoundError(CowpathError):
    """The image, store, disk or guest does not exist, or is not ours to see."""


class UnsuitableError(CowpathError):
    """The image exists but no disk can be made of it: status, format or size."""


class UntrustedError(CowpathError):
    """A location or name leads out of this site's own store; it is not followed."""


class ConflictError(CowpathError):
    """Something of that name is there already, or is in use."""


class BusyError(ConflictError):
    """Somebody has the disk open; it may be free later."""

    retryable = True


class ForbiddenError(CowpathError):
    """Who we are may not do this: policy, quota or access rights."""


class CredentialsError(ForbiddenError):
    """The image service does not accept our credentials (HTTP 401)."""


class QuotaError(ForbiddenError):
    """A quota of the image service is used up (HTTP 413)."""


class CopyError(CowpathError):
    """The image could not be brought to this site."""


class CopyBusyError(CopyError):
    """Another import of the image holds Glance's lock; ours was not asked for."""

    retryable = True


class CopyFailedError(CopyError):
    """The copy was tried and given up; Glance's log says why."""


class CopyAbandonedError(CopyFailedError):
    """All or none of several copies were wanted, and another one of them failed."""


class CopyStalledError(CopyError):
    """Bytes stopped arriving. The copy may go on once its store takes bytes again."""

    retryable = True


class LeftoverError(CopyError):
    """What a broken copy left in the store keeps Glance from copying there again."""


class CopyTimeoutError(CopyError):
    """Patience ran out. The copy may still be running in Glance."""

    retryable = True


class NoSpaceError(CowpathError):
    """The site's store is full."""


class HypervisorError(CowpathError):
    """libvirt or QEMU refused to run the guest."""


class UnavailableError(CowpathError):
    """A service did not answer, or answered nonsense; it may work later."""

    retryable = True

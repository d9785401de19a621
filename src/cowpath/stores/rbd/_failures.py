"""What an errno of Ceph means, in Cowpath's words. Knows no Ceph library."""

import errno
from dataclasses import dataclass

from cowpath.core.errors import (
    ConfigError,
    ConflictError,
    CowpathError,
    ForbiddenError,
    NoSpaceError,
    NotFoundError,
    UnavailableError,
    UsageError,
)

_AWAY = frozenset(
    {
        errno.ETIMEDOUT,
        errno.ECONNREFUSED,
        errno.ECONNABORTED,
        errno.EHOSTUNREACH,
        errno.EIO,
        # What librbd makes of a monitor that does not answer a snapshot's creation.
        errno.EROFS,
    }
)
_CUT_OFF = frozenset({errno.ESHUTDOWN, errno.ENOTCONN})
_DENIED = frozenset({errno.EPERM, errno.EACCES})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_BUSY = frozenset({errno.EBUSY, errno.ENOTEMPTY})
# Of connecting; what is no keyring gives EIO.
_UNREADABLE = frozenset({errno.ENOENT, errno.EINVAL, errno.EIO})
_REFUSED = _DENIED | _FULL | {errno.EEXIST, errno.ENOENT, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class Doing:
    """What is being done, for messages.

    Attributes:
        what: `clone images/x@snap to vms/y`, …
        cluster: The cluster and the user, in words.
        caps: The capabilities that it takes.
    """

    what: str
    cluster: str
    caps: str = ""


def meaning(number: int, said: str, doing: Doing) -> CowpathError:
    """Return one of our errors for an errno of librados or librbd.

    Args:
        number: The errno, positive.
        said: The library's own words.
        doing: What was being done.
    """
    told = f"cannot {doing.what} ({doing.cluster}): {said}"
    if number in _AWAY:
        return UnavailableError(
            f"{told}. The cluster did not answer in time: look at `ceph -s` (monitors "
            f"in quorum, OSDs up) and at the network, then try again"
        )
    if number in _CUT_OFF:
        return UnavailableError(
            f"{told}. The cluster has cut this connection off (`ceph osd blocklist "
            f"ls`), or it was closed: try again, the next call opens a new one"
        )
    if number in _DENIED:
        need = f" It takes these caps: {doing.caps}." if doing.caps else ""
        return ForbiddenError(
            f"{told}.{need} See `ceph auth get` for what the user has"
        )
    if number in _FULL:
        return NoSpaceError(
            f"{told}. The pool or the cluster is full: delete disks that are no longer "
            f"needed, raise the pool's quota (`ceph osd pool get-quota`) or give the "
            f"cluster more room (`ceph df`)"
        )
    if number in _BUSY:
        return ConflictError(f"{told}: it is in use, or others depend on it")
    return _named(number, told)


def not_connected(number: int, said: str, who: str) -> CowpathError:
    """Return one of our errors for an errno of connecting.

    Args:
        number: The errno, positive.
        said: The library's own words.
        who: The user and the ceph.conf, in words.
    """
    told = f"cannot connect to the cluster ({who}): {said}"
    if number in _DENIED:
        return ForbiddenError(
            f"{told}. The user's keyring is not there or not readable for us, or its "
            f"key is not the one that `ceph auth get` shows: ceph.conf names the file "
            f"(`keyring`)"
        )
    if number in _UNREADABLE:
        return ConfigError(
            f"{told}. ceph.conf or the user's keyring is missing, not readable for us "
            f"or malformed, or ceph.conf names no monitors (`mon_host`)"
        )
    return meaning(number, said, Doing("connect to the cluster", who))


def surely_refused(number: int) -> bool:
    """Tell whether nothing was done: no answer in time says nothing about that.

    Args:
        number: The errno, positive.
    """
    return number in _REFUSED


def _named(number: int, told: str) -> CowpathError:
    if number == errno.EEXIST:
        return ConflictError(f"{told}: choose another name, or delete that first")
    if number == errno.ENOENT:
        return NotFoundError(told)
    if number == errno.EINVAL and told.startswith("cannot clone "):
        return UsageError(
            f"{told}. A snapshot that is not protected can be cloned in format 2 only: "
            f"protect it (`rbd snap protect`), or set rbd_default_clone_format = 2"
        )
    if number in {errno.EINVAL, errno.EDOM, errno.ERANGE}:
        return UsageError(told)
    if number == errno.ENOEXEC:
        return ConfigError(told)
    return UnavailableError(told)

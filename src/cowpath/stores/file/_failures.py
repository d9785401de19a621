"""What the operating system says, in Cowpath's words."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cowpath.core.errors import (
    ConfigError,
    CowpathError,
    ForbiddenError,
    NoSpaceError,
    UnavailableError,
)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})


@contextmanager
def translated(doing: str, directory: Path) -> Iterator[None]:
    """Raise what the operating system refuses inside as one of our errors.

    Args:
        doing: What is being done to which disk or image, for the message.
        directory: Where it happens.
    """
    try:
        yield
    except OSError as error:
        raise translation(error, doing, directory) from error


def translation(error: OSError, doing: str, directory: Path) -> CowpathError:
    """Return `error` as one of ours."""
    said = f"{doing}: {error.strerror or error}"
    if error.errno in _FULL:
        return no_space(doing, directory)
    if error.errno in _DENIED:
        return ForbiddenError(
            f"{said} ({error.filename or directory}): check who owns {directory} and "
            f"which user runs this"
        )
    if error.errno in _ABSENT:
        return ConfigError(
            f"{said} ({error.filename or directory}): create the directory, or correct "
            f"its name in the configuration"
        )
    return UnavailableError(f"{said} ({error.filename or directory})")


def no_space(doing: str, directory: Path) -> NoSpaceError:
    """Return the error of a full store."""
    return NoSpaceError(
        f"{doing}: no space left in {directory}, nothing was left behind: delete disks "
        f"that are no longer needed, or give it more room"
    )

"""Our errors as Nova's, by what its compute manager makes of them.

ImageUnacceptable ends the build with the reason in the server's fault, or has the
image downloaded where the operator allows that. Anything else sends the build to
another host. So the first is for what fails everywhere at this site, and the second
for what is wrong with this host or for the moment.
"""

import re

from nova import exception
from oslo_log import log as logging

from cowpath.core.errors import (
    ConfigError,
    CopyError,
    CopyTimeoutError,
    CowpathError,
    UnavailableError,
)

LOG = logging.getLogger(__name__)

_ELSEWHERE = (ConfigError, UnavailableError)


_THE_IMAGE = re.compile(r"\bimage [0-9a-fA-F-]{36}( \((?!HTTP )[^()]*\))?")
_QUOTED = re.compile(r' \("[^"]*"\)')


class NotBroughtError(exception.ImageUnacceptable):
    """An image did not come, in no more words than that takes.

    Of a fault Nova keeps 255 bytes, and the first 64 name the server. With Nova's own
    words for ImageUnacceptable, which name the image, our cures were cut off.
    """

    msg_fmt = "%(reason)s"


def as_novas(error: CowpathError, image: str, store: str) -> Exception:
    """Return what Nova is to be told.

    Args:
        error: What happened; all of it is logged.
        image: Its id.
        store: This site's.
    """
    LOG.warning("%s", error)
    reason = _short(str(error))
    if isinstance(error, _ELSEWHERE):
        elsewhere: Exception = exception.StorageError(reason=reason)
        return elsewhere
    # Nova's own words first: people look for them in logs.
    if isinstance(error, CopyTimeoutError):
        reason = f"Copy to store {store} timed out: {reason}"
    elif isinstance(error, CopyError):
        reason = f"Copy to store {store} unsuccessful because: {reason}"
    final: Exception = NotBroughtError(image_id=image, reason=reason)
    return final


def _short(words: str) -> str:
    """Return words without what stands beside the fault, and what Glance said."""
    return _THE_IMAGE.sub("the image", _QUOTED.sub("", words))

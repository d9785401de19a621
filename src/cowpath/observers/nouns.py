"""Nouns and errors as JSON, the same in results and in JSON lines; sizes are bytes."""

from dataclasses import asdict

from cowpath.core.errors import CowpathError
from cowpath.core.model import Base, Disk, Leftover

Fields = dict[str, object]


def base(found: Base) -> Fields:
    """Return a base."""
    return {"image": found.image, "where": found.where, "size": found.size}


def disk(made: Disk) -> Fields:
    """Return a disk."""
    return {
        "name": made.name,
        "size": made.size,
        "used": made.used,
        "image": made.image,
        "base": made.base,
        "made_by_cowpath": made.marked,
        "source": asdict(made.source),
    }


def leftover(found: Leftover) -> Fields:
    """Return a leftover; its image is named beside it."""
    return {"where": found.where, "present": found.present, "cure": found.cure}


def error(raised: CowpathError) -> Fields:
    """Return an error."""
    return {
        "class": type(raised).__name__,
        "message": str(raised),
        "retryable": raised.retryable,
    }

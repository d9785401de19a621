"""The capabilities that a repair takes, for messages; pure."""

_WRITES = {
    # Taking an image's name away, and giving it back.
    "rbd_id.": "wx",
    "rbd_directory": "x",
    "rbd_trash": "x",
    # librbd takes the image's own lock, and says in its header whose trash it is.
    "rbd_header.": "rwx",
    # Our lock.
    "cowpath.": "x",
}
"""What may be done to a pool's objects beside reading, by the prefix of their names."""


def repair(pool: str) -> str:
    """Return the least with which a leftover in `pool` is moved to its trash.

    It does not allow to write to an image's data, nor to remove images by librbd. Below
    librbd it does allow to destroy them: to remove their headers, and, as any grant to
    write in the pool does, their snapshots. Tried with Ceph 16.2.
    """
    may = [f"profile rbd-read-only pool={pool}"]
    may += [
        f"allow {what} pool={pool} object_prefix {prefix}"
        for prefix, what in _WRITES.items()
    ]
    return f"mon 'profile rbd' osd '{', '.join(may)}'"

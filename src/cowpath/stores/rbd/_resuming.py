"""What is there when a copy begins: nothing, a draft, or a copy that nobody took."""

from collections.abc import Collection
from contextlib import ExitStack
from functools import partial

from cowpath.core.errors import BusyError, ConflictError
from cowpath.core.model import Bytes, ImageId, image_id
from cowpath.stores.rbd import _imaging, _marks
from cowpath.stores.rbd import _librbd as librbd
from cowpath.stores.rbd._drafts import RbdDraft, Target
from cowpath.stores.rbd._leases import Lease
from cowpath.stores.rbd._places import draft_name


def begin(target: Target, lease: Lease) -> RbdDraft:
    """Return the draft of an image, new or gone on with.

    A copy of ours that was published and that Glance does not know becomes a draft
    again. A draft of another size is removed.

    Raises:
        ConflictError: Something else has either name, and is no leftover.
    """
    name = image_id(target.image.id)
    draft = draft_name(name)
    published, begun = _ids(target, name, draft)
    if published and published == begun:
        # A call was killed while it renamed.
        _imaging.mend_names(target.pool, begun, name, draft)
        published, begun = _ids(target, name, draft)
    if published and not begun and _take_back(target, name, lease):
        begun = published
    begun_before = bool(begun) and _goes_on(target, lease)
    lease.note()
    return RbdDraft(target, lease, resumed=begun_before)


def is_ours(opened: librbd.Opened) -> bool:
    """Tell whether an image bears the mark of what we copy."""
    return bool(_marks.read(librbd.metadata(opened, _marks.COPY), opened.id()))


def _ids(target: Target, *names: str) -> tuple[str, ...]:
    look = partial(_imaging.id_behind, target.pool)
    return tuple(target.lanes.map(look, names))


def _take_back(target: Target, name: ImageId, lease: Lease) -> bool:
    """Make a draft of a published copy; tell whether it was ours.

    Raises:
        ConflictError: It has clones, or something that is not ours has.
        BusyError: Somebody has it open.
    """
    where = f"{target.pool_name}/{name}"
    if _imaging.draft_layout(target.pool, name, 0, Bytes(0)) is None:
        # A name without an image: a leftover, if anything.
        return False
    with target.cluster.image(target.pool_name, name) as seen:
        check_unneeded(seen, where)
        if not is_ours(seen):
            return False
        check_closed(seen, where, {target.instance, lease.dead})
    _free(target, name)
    _imaging.rename(target.pool, name, draft_name(name))
    return True


def check_closed(
    opened: librbd.Opened, where: str, known: Collection[int | None]
) -> None:
    """Accept an image that nobody has open but these clients.

    Raises:
        BusyError: Somebody has.
    """
    if any(each["id"] not in known for each in opened.watchers_list()):
        raise BusyError(
            f"{where} stays, for somebody has it open (`rbd status {where}`): try "
            f"again when it is closed. What a killed client had open stays so for 30 "
            f"seconds"
        )


def check_unneeded(opened: librbd.Opened, where: str) -> None:
    """Accept an image without clones.

    Raises:
        ConflictError: It has some, or we may not see whether it has.
    """
    refusal = ConflictError(
        f"{where} is there and has clones, so no copy takes its place and it stays: "
        f"see which (`rbd children --descendants {where}`), and have Glance know of "
        f"it, or delete or flatten them"
    )
    librbd.check_unneeded(opened, refusal)


def _goes_on(target: Target, lease: Lease) -> bool:
    """Tell whether the draft that is there can be gone on with; else remove it.

    Raises:
        ConflictError: It is none of ours.
    """
    name, pool = draft_name(target.image.id), target.pool_name
    marked = whole = begun = False
    # Where somebody was killed in the first steps of making it, it is but a name.
    openable = _imaging.draft_layout(target.pool, name, 0, Bytes(0)) is not None
    if openable:
        with target.cluster.image(pool, name) as seen:
            marked, whole = is_ours(seen), seen.size() == target.image.size
            begun = marked or bool(librbd.snapshots(seen))
    if not marked and not lease.noted():
        raise ConflictError(
            f"{pool}/{name} is there, and Cowpath did not make it: rename or remove it "
            f"(`rbd rename`, `rbd rm`), then have image {target.image.id} copied again"
        )
    if whole and begun:
        return True
    if not begun:
        if openable:
            _free(target, name)
        return not _imaging.remove_stump(target.pool, name) and whole
    RbdDraft(target, lease, resumed=True).discard()
    return False


def _free(target: Target, name: str) -> None:
    """Take the draft from a client that was killed: else removing it waits for 28 s."""
    opened = librbd.open_image(target.pool, name, writable=True)
    with ExitStack() as leaving:
        leaving.callback(target.cluster.close_image, opened)
        _imaging.break_dead_lock(opened, target.instance)

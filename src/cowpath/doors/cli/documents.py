"""Nouns as JSON documents and as tables. Sizes are bytes in JSON."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cowpath.config import Setting
from cowpath.core.errors import CowpathError
from cowpath.core.model import (
    Disk,
    DiskSource,
    FileSource,
    Image,
    Leftover,
    RbdSource,
    Seconds,
    Sight,
    StoreName,
)
from cowpath.doors.cli.exits import exit_code
from cowpath.doors.cli.exits import table as exit_table
from cowpath.doors.cli.output import Document, add_row, error_body, grid
from cowpath.observers import nouns
from cowpath.observers.words import printable, size

_VALUES = 48
"""Columns before the origin of a setting."""


def image(sight: Sight) -> Document:
    """Return an image with what this site's store shows of it."""
    seen = sight.image
    return {
        "id": seen.id,
        "name": seen.name,
        "status": seen.status,
        "disk_format": seen.disk_format,
        "size": seen.size,
        "min_disk_gib": seen.min_disk,
        "visibility": seen.visibility,
        "hash": seen.hash,
        "stores": sorted(seen.stores),
        "importing": sorted(seen.importing),
        "failed": sorted(seen.failed),
        "import_lock": seen.lock,
        "stuck": _stuck(seen),
        "locations": [{"url": at.shown, "store": at.store} for at in seen.locations],
        "here": {
            "base": nouns.base(sight.base) if sight.base else None,
            "arrived": sight.arrival.present if sight.arrival else None,
            "leftover": nouns.leftover(sight.leftover) if sight.leftover else None,
            "doubt": sight.doubt,
        },
    }


def error(raised: CowpathError) -> Document:
    """Return an error that is one of several results."""
    code = exit_code(raised)
    return error_body(type(raised).__name__, str(raised), code, raised)


def image_table(sights: Iterable[Sight], store: StoreName) -> Table:
    """Return images, a row each; the last column is this site's store."""
    made = grid("ID", "NAME", "FORMAT", "SIZE", "STATUS", "STORES", f"AT {store}")
    for sight in sights:
        seen = sight.image
        add_row(
            made,
            seen.id,
            seen.name,
            seen.disk_format,
            size(seen.size) if seen.size else None,
            seen.status,
            ",".join(sorted(seen.stores)),
            _here(sight),
        )
    return made


def image_facts(sight: Sight, store: StoreName) -> RenderableType:
    """Return all of one image."""
    seen = sight.image
    return facts(
        ("id", seen.id),
        ("name", seen.name),
        ("status", seen.status),
        ("disk format", seen.disk_format),
        ("size", _bytes(seen.size)),
        ("minimal disk", f"{seen.min_disk} GiB" if seen.min_disk else None),
        ("visibility", seen.visibility),
        ("hash", seen.hash),
        ("in stores", ", ".join(sorted(seen.stores))),
        ("being copied to", ", ".join(sorted(seen.importing)) if seen.lock else None),
        ("stuck flag", _stuck_flag(seen)),
        ("last copy failed to", ", ".join(sorted(seen.failed))),
        ("import lock", seen.lock),
        (f"at {store}", _here(sight)),
        ("base", sight.base.where if sight.base else None),
        *_leftover(sight.leftover, store),
        ("not trusted", sight.doubt),
        *(("location", f"{at.shown} ({at.store or '?'})") for at in seen.locations),
    )


def disk_table(disks: Iterable[Disk]) -> Table:
    """Return disks, a row each."""
    made = grid("NAME", "SIZE", "USED", "IMAGE", "BASE")
    for each in disks:
        add_row(
            made, each.name, size(each.size), size(each.used), each.image, each.base
        )
    return made


def disk_facts(made: Disk) -> RenderableType:
    """Return all of one disk."""
    return facts(
        ("name", made.name),
        ("size", _bytes(made.size)),
        ("used", _bytes(made.used)),
        ("image", made.image),
        ("base", made.base or "none"),
        ("made by cowpath", "yes" if made.marked else "no"),
        *_source(made.source),
    )


def setting_lines(settings: Sequence[Setting]) -> RenderableType:
    """Return effective values as a configuration file, with where each came from."""
    lines, group = [], ""
    for each in settings:
        if each.group != group:
            group = each.group
            lines.append(f"[{group}]")
        lines.append(
            f"{each.name} = {each.value}".ljust(_VALUES) + f"  # {each.origin}"
        )
    return plain(*lines)


def exits() -> str:
    """Return the exit codes as the end of the help text."""
    rows = [f"{code:>3}  {kind}: {meaning}" for code, kind, meaning in exit_table()]
    return "\n".join(["Exit codes:", *rows])


def steps(seconds: Mapping[str, Seconds]) -> str:
    """Return when each step was done, in seconds from the command's start."""
    return ", ".join(f"{step} {at:.1f} s" for step, at in seconds.items())


def plain(*lines: str) -> RenderableType:
    """Return lines that are printed as they are, without markup."""
    return Text("\n".join(printable(line) for line in lines))


def xml(text: str) -> RenderableType:
    """Return XML that means the same; what acts on a terminal is a reference."""
    return Text(
        "".join(
            each if each.isprintable() or each == "\n" else f"&#{ord(each)};"
            for each in text
        )
    )


def question(disk: Disk) -> str:
    """Return what a person is asked before `disk` is deleted."""
    return printable(f"Delete disk {disk.name} ({disk.base or 'no base'})?")


def facts(*rows: tuple[str, str | None]) -> Table:
    """Return names and values in two columns; empty values are left out."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in rows:
        if value:
            made.add_row(printable(name), printable(value))
    return made


def _source(source: DiskSource) -> list[tuple[str, str | None]]:
    match source:
        case FileSource():
            backing = ("raw base below", source.backing)
            return [("file", source.path), ("format", source.format), backing]
        case RbdSource():
            monitors = ", ".join(f"{host.name}:{host.port}" for host in source.hosts)
            return [
                ("RBD image", f"{source.pool}/{source.image}"),
                ("monitors", monitors),
                ("cephx user", source.user),
                ("libvirt secret", source.secret),
            ]


def _stuck(image: Image) -> list[StoreName]:
    return [] if image.lock else sorted(image.importing)


def _stuck_flag(image: Image) -> str | None:
    stores = ", ".join(_stuck(image))
    if not stores:
        return None
    return (
        f"Glance lists it as being copied to {stores}, but no import runs: a copy "
        f"died. This keeps no new copy from running"
    )


def _leftover(found: Leftover | None, store: StoreName) -> list[tuple[str, str | None]]:
    if found is None:
        return []
    what = f"{found.where}, {_bytes(found.present)}: blocks every copy to {store}"
    cure = [("cure", line) for line in found.cure.splitlines()]
    return [("leftover", what), *cure]


def _here(sight: Sight) -> str:
    if sight.doubt:
        return "not trusted"
    if sight.base:
        return "here"
    if sight.leftover:
        return f"leftover, {size(sight.leftover.present)}"
    if sight.arrival:
        total = sight.image.size
        of = f" of {size(total)}" if total else ""
        return f"{size(sight.arrival.present)}{of}"
    return ""


def _bytes(number: int | None) -> str | None:
    return f"{size(number)} ({number} bytes)" if number is not None else None

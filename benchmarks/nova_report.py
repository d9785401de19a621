"""The faults inside Nova as a table, and the versions that it is of."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path

from benchmarks.nova_stage import COPY_TIMEOUT_SECONDS, NOVA, OURS, Fault, Row


def table(
    rows: Sequence[Row], faults: Mapping[str, Fault], version: str
) -> Iterator[str]:
    """Give the lines of a table in Markdown."""
    by = {(row.fault, row.side): row for row in rows}
    yield f"| fault | Nova {version} | s | Cowpath | s |"
    yield "|---|---|---|---|---|"
    for name, fault in faults.items():
        cells = [cell for side in (NOVA, OURS) for cell in _cells(by, name, side)]
        what = (fault.__doc__ or name).splitlines()[0].rstrip(".")
        yield f"| {' | '.join([what, *cells])} |"


def _cells(by: dict[tuple[str, str], Row], name: str, side: str) -> tuple[str, str]:
    row = by.get((name, side), Row(name, side, "not played"))
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    return row.outcome.replace("|", "\\|"), seconds


def versions(python: str) -> dict[str, str]:
    """Return the versions of what was measured."""
    home = Path(python).parents[1].glob("lib/python3*/site-packages")
    has = {d.name: d.version for d in distributions(path=[str(each) for each in home])}
    found = {name: has.get(name, "?") for name in ("nova", "glance", "cowpath")}
    return found | {"Ceph": _version("ceph", 2), "QEMU": _version("qemu-img", 2)}


def _version(program: str, word: int) -> str:
    command = [program, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    words = done.stdout.split()
    return words[word] if len(words) > word else "?"


def report(
    rows: Sequence[Row], faults: Mapping[str, Fault], known: Mapping[str, str]
) -> None:
    """Print the table, and one JSON line if JSON=1."""
    print("", *table(rows, faults, known["nova"]), "", sep="\n")
    told = ", ".join(f"{name} {version}" for name, version in known.items())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}; {told}; two clusters of one OSD each; "
        f"images of 33 MiB; copy timeout {COPY_TIMEOUT_SECONDS} s (Nova's default is "
        "600), poll interval 15 s; each fault once"
    )
    if os.environ.get("JSON") == "1":
        print(json.dumps([asdict(row) for row in rows]))

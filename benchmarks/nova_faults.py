"""The same faults on Nova's own RBD backend and on Cowpath's, in one lab and one run.

Both computes of the lab of kind openstack run Nova's own program first, then
cowpath-nova-compute; everything else is the same, the settings of the computes too.
Each fault is played once a side. Seconds go from the request to the state that Nova
leaves the server in, by a monotonic clock; those of a rescue are the seconds that the
guest was off.

    python -m benchmarks.nova_faults [--side nova] [--fault warm] [--raw FILE]

It takes eight minutes, and leaves the computes with Cowpath.
"""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.nova_boots import (
    caching,
    cold,
    copy_fails,
    iso,
    member,
    one_500,
    snapshot,
    two_sites,
    warm,
)
from benchmarks.nova_losses import evacuate, glance_restarts, rescue, switched_off
from benchmarks.nova_report import report, versions
from benchmarks.nova_stage import NOVA, OURS, Fault, Play, Row, Stage
from benchmarks.signals import leave_in_order
from tests.lab.ceph.cluster import Ceph
from tests.lab.openstack.cloud import SITES, Cloud, RefusedError
from tests.lab.openstack.computes import Computes, alone

_LAB = Path(__file__).parents[1] / "lab" / "run" / "openstack" / "lab.json"
# The slow ones that change nothing for others first, those that stop services last.
FAULTS: dict[str, Fault] = {
    "cold": cold,
    "warm": warm,
    "copy fails": copy_fails,
    "member": member,
    "two sites": two_sites,
    "iso": iso,
    "caching": caching,
    "snapshot": snapshot,
    "one 500": one_500,
    "rescue": rescue,
    "glance restarts": glance_restarts,
    "evacuate": evacuate,
    "switched off": switched_off,
}
# They stop what others wait for.
_ALONE = frozenset({"glance restarts", "evacuate", "switched off"})


def play_all(stage: Stage, chosen: Sequence[str], tell: Callable[[Row], None]) -> None:
    """Play faults on a side, one after the other; those that only wait go on beside."""
    for site in SITES:
        stage.restart(site)
    running: list[Future[None]] = []
    with ThreadPoolExecutor(4) as plays:
        for name in chosen:
            if name in _ALONE:
                _join(running)
            play = Play(stage)
            running.append(plays.submit(_play, play, name, tell))
            play.alone.wait()
        _join(running)
    stage.cloud.clear()


def _join(running: list[Future[None]]) -> None:
    while running:
        running.pop().result()


def _play(play: Play, name: str, tell: Callable[[Row], None]) -> None:
    """Play one fault; whatever goes wrong is its own."""
    side = play.stage.side
    try:
        outcome, seconds, told = FAULTS[name](play)
        play.stage.check()
        rounded = None if seconds is None else round(seconds, 1)
        tell(Row(name, side, outcome, rounded, told))
    except Exception as error:  # noqa: BLE001  # the others are still to be played
        traceback.print_exc()
        tell(Row(name, side, f"not played: {type(error).__name__}: {error}"[:300]))
    finally:
        with suppress(AssertionError, RefusedError):
            play.clear()
        play.alone.set()


def main() -> int:
    """Play everything and print the table."""
    leave_in_order()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=(NOVA, OURS), action="append")
    parser.add_argument("--fault", choices=FAULTS, action="append")
    parser.add_argument("--raw", type=Path, help="append a JSON line for each")
    asked = parser.parse_args()
    lab = json.loads(_LAB.read_text())
    with alone(lab):
        _run(lab, asked)
    return 0


def _run(lab: dict[str, Any], asked: argparse.Namespace) -> None:
    clusters = {site: Ceph(lab["sites"][site]["cluster"]) for site in SITES}
    cloud, computes = Cloud(lab, clusters), Computes(lab)
    rows: list[Row] = []

    def tell(row: Row) -> None:
        rows.append(row)
        line = json.dumps(asdict(row))
        print(f"{row.side:8} {row.fault:16} {row.seconds} {row.outcome}", flush=True)
        if asked.raw:
            with asked.raw.open("a") as file:
                file.write(f"{line}\n")

    before = cloud.listing()
    try:
        for side in asked.side or (NOVA, OURS):
            with ThreadPoolExecutor(8) as pool:
                stage = Stage(side, cloud, computes, lab["proxy"]["url"], pool)
                play_all(stage, asked.fault or [*FAULTS], tell)
    finally:
        with suppress(AssertionError, RefusedError):
            cloud.clear()
        for site in SITES:
            computes.restart(site)
    if cloud.listing() != before:
        print("the clusters do not list what they did before", file=sys.stderr)
    report(rows, FAULTS, versions(lab["python"]))


if __name__ == "__main__":
    sys.exit(main())

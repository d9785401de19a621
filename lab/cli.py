"""`python -m lab`: the command line."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from lab import guest, packages, verbs
from lab.errors import LabError
from lab.files import alone
from lab.files_lab import FilesLab
from lab.glance import DOOR
from lab.kinds import KINDS, Lab, best
from lab.layout import standard
from lab.nova import STOCK
from lab.services import State
from lab.waiting import Stopwatch

_DESCRIPTION = """\
Real services on this machine, below lab/run/ and on the loopback address only.

  python -m lab packages             what this machine lacks
  sudo python3 -m lab packages --install
  python -m lab up                   start what is not running; prints where it is
  python -m lab down                 stop everything, keep the data
  python -m lab wipe                 stop everything, remove the data
"""
_OK, _FAILED = 0, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words of the command line; the process's by default.

    Returns:
        0: done; 1: not done, or `status` and `packages` found something missing.
        argparse itself ends the process with 2 where the words make no sense.
    """
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except (LabError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("lab: interrupted; `python -m lab up` goes on from here", file=sys.stderr)
        return _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs_of = parser.add_subparsers(required=True, metavar="COMMAND")
    add = partial(_add, verbs_of)
    _packages_words(add("packages", _packages, "what this machine lacks"))
    add("best", _best, "print the best kind that this machine can have")
    up = add("up", _up, "make what is missing, start what is not running")
    _kind_word(up)
    _stock_word(up)
    up.add_argument(
        "--in-memory",
        action="store_true",
        help="a lab that is not made yet is made in memory, if there is room",
    )
    _kind_word(add("down", _down, "stop everything; the data stays"))
    keeps = "stop everything and remove the data; lab/run/cache/ stays"
    _kind_word(add("wipe", _wipe, keeps))
    status = add("status", _status, "each service: state, pid, address, log")
    _kind_word(status)
    status.add_argument("--json", action="store_true", help="one JSON document")
    _service_words(add("service", _service, "do something to one service"))
    _guest_words(add("guest", _guest, "make a guest image; prints one JSON line"))
    return parser


def _add(
    verbs_of: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = verbs_of.add_parser(name, help=summary, description=f"{summary}.")
    parser.set_defaults(run=run)
    return parser


def _kind_word(parser: argparse.ArgumentParser, flag: str = "--kind") -> None:
    parser.add_argument(
        flag,
        dest="kind",
        choices=sorted(KINDS),
        default=FilesLab.kind,
        help="which lab",
    )


def _packages_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for",
        dest="kind",
        choices=sorted(packages.NEEDS),
        default=FilesLab.kind,
        help="which lab; check: only what the project's own checks need",
    )
    parser.add_argument(
        "--install",
        action="store_true",
        help="install what is missing with apt-get; needs root on Debian or Ubuntu",
    )


def _service_words(parser: argparse.ArgumentParser) -> None:
    _kind_word(parser)
    parser.add_argument("name", metavar="NAME", help="as `status` names it")
    parser.add_argument(
        "action",
        choices=verbs.ACTIONS,
        help="kill is SIGKILL, pause SIGSTOP, resume SIGCONT, for all its processes",
    )
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="with start: for this start only; a running service is started again",
    )
    _stock_word(parser)
    _door_word(parser)


def _stock_word(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stock",
        action="store_true",
        help="computes run Nova's own nova-compute, not cowpath-nova-compute",
    )


def _door_word(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--door",
        choices=("stock", "cowpath"),
        default="stock",
        help="with start, of glance: serve Glance's own application, or Cowpath's",
    )


def _guest_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT.raw", help="the file to make")
    parser.add_argument("--uuid", help="what it calls itself; a new one by default")
    parser.add_argument(
        "--stay", action="store_true", help="it stays up, reading and writing"
    )
    parser.add_argument(
        "--data-mib", type=int, default=8, metavar="N", help="random data (8)"
    )
    parser.add_argument(
        "--total-mib", type=int, default=0, metavar="N", help="disk size (as needed)"
    )


def _packages(chosen: argparse.Namespace) -> int:
    absent = packages.missing(packages.NEEDS[chosen.kind])
    if not absent:
        print(f"This machine has all that {chosen.kind} needs.")
        return _OK
    if not chosen.install:
        print(packages.describe(absent))
        return _FAILED
    print("Installing what is missing with apt-get.", file=sys.stderr)
    packages.install(absent)
    left = packages.missing(absent)
    if left:
        raise LabError("Still missing:\n" + packages.describe(left))
    return _OK


def _best(_chosen: argparse.Namespace) -> int:
    print(best())
    return _OK


def _up(chosen: argparse.Namespace) -> int:
    watch = Stopwatch()
    lab = KINDS[chosen.kind]()
    with alone(lab.layout.lock):
        verbs.up(lab, _say, stock=chosen.stock, in_memory=chosen.in_memory)
    for service in lab.services:
        _say(f"{service.name} is at {service.address}")
    _say(f"{lab.layout.manifest} has the rest; up in {watch.seconds:.1f} s")
    return _OK


def _say(line: str) -> None:
    # Whoever read us may be gone (`| head -1`); the lab comes up all the same.
    with suppress(BrokenPipeError):
        print(line, flush=True)


def _down(chosen: argparse.Namespace) -> int:
    return _changed(KINDS[chosen.kind](), verbs.down)


def _wipe(chosen: argparse.Namespace) -> int:
    return _changed(KINDS[chosen.kind](), verbs.wipe)


def _changed(lab: Lab, change: Callable[[Lab], None]) -> int:
    with alone(lab.layout.lock):
        change(lab)
    return _OK


def _status(chosen: argparse.Namespace) -> int:
    lab = KINDS[chosen.kind]()
    services = verbs.survey(lab)
    all_up = all(service["state"] == State.UP for service in services)
    if chosen.json:
        facts = {"kind": chosen.kind, "up": all_up, "services": services}
        print(json.dumps(facts, indent=2))
    else:
        for each in services:
            pid = each["pid"] or "-"
            print(f"{each['name']:12} {each['state']:7} {pid!s:>8} {each['address']}")
            print(f"{'':29} {each['log']}")
    return _OK if all_up else _FAILED


def _service(chosen: argparse.Namespace) -> int:
    def change(lab: Lab) -> None:
        settings = [*chosen.settings, *([STOCK] if chosen.stock else [])]
        settings += [DOOR] if chosen.door == "cowpath" else []
        verbs.act(lab, chosen.name, chosen.action, settings)

    return _changed(KINDS[chosen.kind](), change)


def _guest(chosen: argparse.Namespace) -> int:
    wish = guest.wanted(
        chosen.uuid,
        stay=chosen.stay,
        data_mib=chosen.data_mib,
        total_mib=chosen.total_mib,
    )
    made = guest.make(standard(FilesLab.kind).cache, chosen.out, wish)
    print(json.dumps(asdict(made)))
    return _OK

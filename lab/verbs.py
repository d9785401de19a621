"""What can be done with a lab."""

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lab import memory
from lab.daemon import Daemon
from lab.errors import LabError
from lab.kinds import Lab
from lab.layout import Layout
from lab.nova import STOCK, Compute
from lab.processes import end
from lab.services import Service, State, Step, ensure, signal_all, state
from lab.waiting import Stopwatch

_PAUSING = {"pause": signal.SIGSTOP, "resume": signal.SIGCONT, "kill": signal.SIGKILL}
ACTIONS = ("start", "stop", *_PAUSING)
_OF_BENCHES = ("gunicorn", "qemu-system")
_BENCH_WITHIN_SECONDS = 5.0


def up(
    lab: Lab,
    say: Callable[[str], None],
    *,
    stock: bool = False,
    in_memory: bool = False,
) -> None:
    """Make what is missing and start what is not running, side by side.

    Args:
        lab: Which lab.
        say: What is told about each step.
        stock: Whether computes that are started run Nova's own program.
        in_memory: Whether a lab that is not made yet is made in memory, if it fits.

    Raises:
        LabError: Steps that failed, all of them.
    """
    memory.prepare(lab.layout.home, say, wanted=in_memory)
    lab.begin()
    for service in lab.services:
        if isinstance(service, Daemon):
            service.is_coming = True
    steps = [*_starts(lab, stock=stock), *lab.goods]
    with ThreadPoolExecutor(len(steps)) as pool:
        complaints = list(pool.map(partial(_timed, say=say), steps))
    failed = [complaint for complaint in complaints if complaint]
    if failed:
        raise LabError("\n".join(failed))
    lab.publish()


def _starts(lab: Lab, *, stock: bool) -> list[Step]:
    settings = {
        each.name: [STOCK] for each in lab.services if stock and is_compute(each)
    }
    return [
        Step(each.name, partial(ensure, each, settings.get(each.name, ())))
        for each in lab.services
    ]


def is_compute(service: Service) -> bool:
    """Tell whether a service can run Nova's own program in the place of ours."""
    return isinstance(service, Compute)


def _timed(step: Step, say: Callable[[str], None]) -> str:
    """Run a step; return what went wrong, so that the other steps come to an end."""
    watch = Stopwatch()
    try:
        step.make()
    except (LabError, OSError) as error:
        return f"{step.name}: {error}"
    say(f"{step.name:14} {watch.seconds:6.1f} s")
    return ""


def down(lab: Lab) -> None:
    """Stop everything and withdraw what clients read; keep the data."""
    lab.layout.manifest.unlink(missing_ok=True)
    clear_benches(lab.layout)
    foundations = {service.name for service in lab.foundations}
    others = [each for each in lab.services if each.name not in foundations]
    # A guest or a copy that is to end writes its last blocks first.
    _clear(others)
    _clear(lab.foundations)


def _clear(services: Sequence[Service]) -> None:
    with ThreadPoolExecutor(len(services) or 1) as pool:
        list(pool.map(lambda service: service.clear(), services))


def clear_benches(layout: Layout) -> None:
    """End and remove what benchmarks run beside a lab, or have left when killed.

    Args:
        layout: The lab's.

    Raises:
        LabError: Something of it cannot be ended.
    """
    for bench in layout.benches:
        for program in _OF_BENCHES:
            if not end(program, bench.home, grace_seconds=_BENCH_WITHIN_SECONDS):
                raise LabError(f"A {program} of {bench.home} cannot be ended.")
        memory.remove(bench.home)


def wipe(lab: Lab) -> None:
    """Stop everything and remove the kind's folder; keep the cache."""
    down(lab)
    memory.remove(lab.layout.home)
    if lab.layout.home.exists():
        message = (
            f"Not all of {lab.layout.home} could be removed: whose files are they?"
        )
        raise LabError(message)


def act(lab: Lab, name: str, action: str, settings: Sequence[str]) -> None:
    """Do something to one service, as fault tests do.

    Args:
        lab: Which lab.
        name: Which of its services.
        action: One of `ACTIONS`.
        settings: For start: SECTION.KEY=VALUE each.

    Raises:
        LabError: No such service, settings for another action, or it failed.
    """
    if settings and action != "start":
        raise LabError("--set goes with `start` only.")
    if action == "start":
        lab.begin()
    service = service_of(lab, name)
    if action == "start":
        signal_all(service, signal.SIGCONT)
        service.start(settings)
        # Its address may be another one now.
        if lab.layout.manifest.exists():
            lab.publish()
    elif action == "stop":
        service.stop()
    else:
        signal_all(service, _PAUSING[action])


def service_of(lab: Lab, name: str) -> Service:
    """Return a service by its name.

    Raises:
        LabError: The lab has none of that name.
    """
    for service in lab.services:
        if service.name == name:
            return service
    names = ", ".join(service.name for service in lab.services)
    message = f"The lab {lab.layout.kind!r} has no service {name!r}; it has {names}."
    raise LabError(message)


def survey(lab: Lab) -> list[dict[str, object]]:
    """Return how each service is doing."""
    return [_describe(service) for service in lab.services]


def _describe(service: Service) -> dict[str, object]:
    now = state(service)
    processes = [] if now is State.DOWN else service.processes()
    return {
        "name": service.name,
        "state": now.value,
        "pid": processes[0].pid if processes else None,
        "address": service.address,
        "log": str(service.log),
    }

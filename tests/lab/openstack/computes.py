"""The lab's services: which run, and which nova-compute with what configuration."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.processes import find
from lab.waiting import wait_until
from tests.lab.services import service as _service

_OURS = "cowpath-nova-compute"

service = partial(_service, "openstack")
"""Does something to a service of the lab, as in `compute-edge stop`."""


class Computes:
    """Starts and ends the services of the lab, computes above all."""

    def __init__(self, lab: Mapping[str, Any]) -> None:
        self._sites: Mapping[str, Mapping[str, str]] = lab["sites"]

    def ensure(self) -> None:
        """Have a nova-compute with Cowpath at every site."""
        for site in self._sites:
            if not self.runs(site, _OURS):
                self.restart(site)

    def runs(self, site: str, program: str) -> bool:
        """Tell whether a site's compute is a run of a program."""
        return bool(find(program, self._home(site)))

    def restart(self, site: str, *settings: str, stock: bool = False) -> None:
        """Kill a compute, whatever it is at, and start it again.

        Args:
            site: Whose.
            settings: SECTION.KEY=VALUE each, for this run of it.
            stock: Run Nova's own program.
        """
        self.kill(site)
        chosen = [word for each in settings for word in ("--set", each)]
        chosen += ["--stock"] if stock else []
        service(f"compute-{site}", "start", *chosen)
        assert self.runs(site, _OURS) is not stock

    def kill(self, site: str) -> None:
        """Kill a compute as the kernel would, and return when it is dead."""
        service(f"compute-{site}", "kill")
        gone = wait_until(
            lambda: (
                not find("nova-compute", self._home(site))
                and not self.runs(site, _OURS)
            ),
            within_seconds=10,
        )
        assert gone, f"compute-{site} does not die"

    @contextmanager
    def set(self, *settings: str, sites: tuple[str, ...] = ()) -> Iterator[None]:
        """Have computes with some settings of their own; of all sites by default."""
        chosen = sites or tuple(self._sites)
        try:
            for site in chosen:
                self.restart(site, *settings)
            yield
        finally:
            for site in chosen:
                self.restart(site)

    def log(self, site: str) -> str:
        """Return all that a compute has logged."""
        return Path(self._sites[site]["log"]).read_text(errors="replace")

    def _home(self, site: str) -> Path:
        return Path(self._sites[site]["nova_conf"]).parent


@contextmanager
def alone(lab: Mapping[str, Any]) -> Iterator[None]:
    """Use the lab as the only one who restarts its computes; others fail at once."""
    with Path(lab["clouds_yaml"]).with_name("in-use").open("w") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pytest.fail("other tests or a benchmark use the lab: wait for their end")
        yield

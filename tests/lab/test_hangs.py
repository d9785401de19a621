"""Services that stand still: what waits for them says so, and goes on afterwards."""

from typing import Any

import pytest

from cowpath.core.errors import UnavailableError
from cowpath.hypervisor.config import LibvirtConfig
from tests.lab.bench import Bench

pytestmark = pytest.mark.lab

domain = pytest.importorskip("cowpath.hypervisor.domain")


@pytest.mark.parametrize("known", [True, False], ids=["connected", "not connected"])
def test_a_libvirtd_that_is_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    hypervisor: Any = domain.LibvirtHypervisor(LibvirtConfig(bench.lab["libvirt_uri"]))
    name = bench.name()
    if known:
        hypervisor.check_name(name)
    bench.service("libvirtd", "pause")
    try:
        with monkeypatch.context() as hurry:
            hurry.setattr(domain, "_ANSWER", 0.5)
            for _ in range(2):
                with pytest.raises(UnavailableError, match=f"{name}.*did not answer"):
                    hypervisor.check_name(name)
    finally:
        bench.service("libvirtd", "resume")
    hypervisor.check_name(name)

"""The network service that has nothing, as a service of the lab."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.daemon import Daemon, refuse
from lab.port_block import PortBlock
from lab.ports import is_free
from lab.programs import clean_environment

_PROGRAM = Path(__file__).with_name("neutron_stub.py")


class Neutron(Daemon):
    """A stub."""

    programs = (_PROGRAM.name,)

    def __init__(self, home: Path, ports: PortBlock) -> None:
        super().__init__("neutron", home)
        self._ports = ports

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._ports.url("neutron")

    def answers(self) -> bool:
        """Tell whether somebody listens."""
        return not is_free(self._ports.port("neutron"))

    def prepare(self) -> None:
        """It needs nothing."""

    def configuration(self, settings: Sequence[str]) -> Mapping[Path, str]:
        """Nothing."""
        refuse(self.name, settings)
        return {}

    def command(self) -> Sequence[str]:
        """Return the script, which needs no environment."""
        port = str(self._ports.port("neutron"))
        # Our own folder must not come first: its modules have common names.
        return [sys.executable, str(_PROGRAM), port, str(self.log)]

    def environment(self) -> Mapping[str, str]:
        """Nothing but a home."""
        return clean_environment(self.home, PYTHONSAFEPATH="1")

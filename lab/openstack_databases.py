"""What the services' databases hold at first: made once, kept in the cache.

Making it takes most of the time of the first start: a thousand tables, and who and
what the cloud has.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import keystone, mariadb
from lab.errors import LabError
from lab.files import alone, ini, write
from lab.mariadb import MariaDb
from lab.port_block import PortBlock
from lab.processes import end
from lab.programs import clean_environment, need, run
from lab.venv import Venv

FLAVORS: Mapping[str, Mapping[str, int]] = {
    "lab.tiny": {"memory_mib": 256, "disk_gib": 1},
    "lab.small": {"memory_mib": 256, "disk_gib": 2},
}

_SETUP = Path(__file__).with_name("openstack_site")
_PREFIX = "openstack-databases-"
_PROGRAMS = ("keystone_setup", "nova_setup", "placement-manage", "glance-manage")


class Databases:
    """The databases as they are when nobody has used the cloud yet."""

    def __init__(
        self, cache: Path, ports: PortBlock, venv: Venv, hosts: Sequence[str]
    ) -> None:
        self._cache = cache
        self._ports = ports
        self._venv = venv
        self._hosts = hosts

    def put(self, data: Path) -> None:
        """Make a server's data.

        Args:
            data: The folder of a server that is not running.

        Raises:
            LabError: It cannot be made.
        """
        self._venv.ensure()
        kept = self._cache / f"{_PREFIX}{self._key()}"
        with alone(self._cache / "openstack-databases.lock"):
            if not kept.exists():
                self._make(kept)
            half_made = data.with_suffix(".new")
            shutil.rmtree(half_made, ignore_errors=True)
            shutil.copytree(kept, half_made)
        half_made.replace(data)

    def _key(self) -> str:
        """Say what it is made from: another source makes another one."""
        digest = hashlib.sha256(self._venv.recipe.encode())
        digest.update(run([need("mariadbd"), "--version"]).encode())
        digest.update(json.dumps([self._catalogue(), self._compute()]).encode())
        modules = [Path(mariadb.__file__), Path(__file__), *_SETUP.glob("*.py")]
        for source in sorted(modules):
            digest.update(source.read_bytes())
        return digest.hexdigest()[:12]

    def _catalogue(self) -> dict[str, object]:
        url = self._ports.url
        return {
            "password": keystone.PASSWORD,
            "region": keystone.REGION,
            "member": keystone.MEMBER,
            "auth_url": url("keystone", "/v3"),
            "endpoints": {
                "image": url("glance"),
                "placement": url("placement"),
                "compute": url("nova-api", "/v2.1"),
                "network": url("neutron"),
            },
        }

    def _compute(self) -> dict[str, object]:
        cell0 = MariaDb(Path(), self._ports).url("nova_cell0")
        return {"cell0": cell0, "hosts": list(self._hosts), "flavors": FLAVORS}

    def _make(self, kept: Path) -> None:
        # One of these may be there still, of a command that was killed.
        for old in self._cache.glob(f"{_PREFIX}*"):
            for program in ("mariadbd", *_PROGRAMS):
                end(program, old, grace_seconds=0)
            shutil.rmtree(old)
        folder = self._cache / f"{_PREFIX}new"
        folder.mkdir()
        server = MariaDb(folder / "mariadb", self._ports)
        server.start()
        try:
            self._fill(folder, server)
        finally:
            server.stop()
        server.data.replace(kept)
        shutil.rmtree(folder)

    def _fill(self, folder: Path, server: MariaDb) -> None:
        tasks = (self._keystone, self._nova, self._placement, self._glance)
        with ThreadPoolExecutor(len(tasks)) as pool:
            made = [pool.submit(task, folder, server) for task in tasks]
        for each in made:
            each.result()

    def _keystone(self, folder: Path, server: MariaDb) -> None:
        service = keystone.Keystone(
            folder / "keystone", self._ports, self._venv, server
        )
        service.write_keys()
        write(service.conf, ini(service.sections()))
        self._run_setup(folder, "keystone_setup.py", service.conf, self._catalogue())

    def _nova(self, folder: Path, server: MariaDb) -> None:
        broker = f"rabbit://guest:guest@127.0.0.1:{self._ports.port('rabbitmq')}/"
        sections = {
            "DEFAULT": {"transport_url": broker, "use_stderr": "true"},
            "database": {"connection": server.url("nova_cell1")},
            "api_database": {"connection": server.url("nova_api")},
        }
        conf = folder / "nova.conf"
        write(conf, ini(sections))
        self._run_setup(folder, "nova_setup.py", conf, self._compute())

    def _placement(self, folder: Path, server: MariaDb) -> None:
        conf = folder / "placement/placement.conf"
        connection = server.url("placement")
        write(conf, ini({"placement_database": {"connection": connection}}))
        words = ["--config-dir", str(conf.parent), "db", "sync"]
        self._run(folder, self._venv.program("placement-manage"), *words)

    def _glance(self, folder: Path, server: MariaDb) -> None:
        conf = folder / "glance.conf"
        write(conf, ini({"database": {"connection": server.url("glance")}}))
        words = ["--config-file", str(conf), "db_sync"]
        self._run(folder, self._venv.program("glance-manage"), *words)

    def _run_setup(
        self, folder: Path, script: str, conf: Path, facts: Mapping[str, object]
    ) -> None:
        python = self._venv.program("python")
        self._run(folder, python, str(_SETUP / script), str(conf), json.dumps(facts))

    def _run(self, folder: Path, *command: str) -> None:
        env = clean_environment(folder, PYTHONDONTWRITEBYTECODE="1")
        run(command, env=env, cwd=folder)


def check_root(user: int) -> None:
    """See that this kind can run at all.

    Raises:
        LabError: It is not root who asks.
    """
    if user:
        raise LabError(
            "The lab of kind openstack needs root: each of its hosts has a system's "
            "libvirtd and a host name of its own. Kinds ceph and files do without."
        )

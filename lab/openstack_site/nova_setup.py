"""Make Nova's tables, its cells, its hosts' places in them, and the flavors.

Run in the environment of the services: `nova_setup.py NOVA.CONF FACTS`, where FACTS is
JSON: `cell0`, the URL of its database, `hosts`, and `flavors` by name.
"""

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any


def main(conf: str, facts: Mapping[str, Any]) -> None:
    """Make everything.

    Args:
        conf: The path of a controller's nova.conf.
        facts: What there is to be.
    """
    manage = importlib.import_module("nova.cmd.manage")
    config = importlib.import_module("nova.config")
    config.parse_args(["nova-manage", "--config-file", conf])
    importlib.import_module("nova.objects").register_all()
    manage.ApiDbCommands().sync()
    cells = manage.CellV2Commands()
    _check(cells.map_cell0(database_connection=facts["cell0"]))
    _check(cells.create_cell(name="cell1"))
    _check(manage.DbCommands().sync())
    _hosts(facts["hosts"])
    _flavors(facts["flavors"])


def _check(status: int | None) -> None:
    if status:
        message = f"nova-manage answered with status {status}; see above."
        raise SystemExit(message)


def _hosts(hosts: list[str]) -> None:
    """Map the hosts before they are there: nobody has to discover them then."""
    objects = importlib.import_module("nova.objects")
    context = importlib.import_module("nova.context").get_admin_context()
    cells = objects.CellMappingList.get_all(context)
    cell = next(each for each in cells if not each.is_cell0())
    for host in hosts:
        objects.HostMapping(context, host=host, cell_mapping=cell).create()


def _flavors(flavors: Mapping[str, Mapping[str, int]]) -> None:
    objects = importlib.import_module("nova.objects")
    context = importlib.import_module("nova.context").get_admin_context()
    for name, size in flavors.items():
        objects.Flavor(
            context,
            name=name,
            flavorid=name,
            memory_mb=size["memory_mib"],
            vcpus=1,
            root_gb=size["disk_gib"],
            ephemeral_gb=0,
            swap=0,
            rxtx_factor=1.0,
            is_public=True,
            disabled=False,
            extra_specs={},
            projects=[],
        ).create()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))

"""Make Keystone's tables, and who and what the lab's cloud has.

Run in the environment of the services: `keystone_setup.py KEYSTONE.CONF FACTS`, where
FACTS is JSON: `password`, `region`, `member` (user and project), `auth_url`, and
`endpoints`, the URLs by type of service.
"""

import importlib
import json
import sys
import uuid
from collections.abc import Mapping
from typing import Any

_INTERFACES = ("public", "internal", "admin")


def main(conf: str, facts: Mapping[str, Any]) -> None:
    """Make everything.

    Args:
        conf: The path of keystone.conf.
        facts: What there is to be.
    """
    bootstrap = importlib.import_module("keystone.cmd.bootstrap")
    upgrades = importlib.import_module("keystone.common.sql.upgrades")
    server = importlib.import_module("keystone.server")
    # It would take our arguments for its own.
    sys.argv[1:] = []
    server.configure(config_files=[conf])
    upgrades.offline_sync_database_to_version()
    bootstrapper = bootstrap.Bootstrapper()
    bootstrapper.admin_username = bootstrapper.project_name = "admin"
    bootstrapper.admin_role_name = "admin"
    bootstrapper.admin_password = facts["password"]
    bootstrapper.region_id = facts["region"]
    bootstrapper.service_name = "keystone"
    bootstrapper.public_url = bootstrapper.internal_url = facts["auth_url"]
    bootstrapper.admin_url = facts["auth_url"]
    bootstrapper.bootstrap()
    _grant(bootstrapper, facts)
    _catalogue(facts)


def _providers() -> Any:
    return importlib.import_module("keystone.common.provider_api").ProviderAPIs


def _grant(bootstrapper: Any, facts: Mapping[str, Any]) -> None:
    """Let the admin speak for services, and make somebody who is no admin."""
    assign = _providers().assignment_api.add_role_to_user_and_project
    ours = bootstrapper.project_id
    assign(
        user_id=bootstrapper.admin_user_id,
        project_id=ours,
        role_id=bootstrapper.service_role_id,
    )
    name, domain = facts["member"], bootstrapper.default_domain_id
    project = {"id": uuid.uuid4().hex, "name": name, "domain_id": domain}
    project |= {"enabled": True, "description": ""}
    _providers().resource_api.create_project(project["id"], project)
    user = {"name": name, "domain_id": domain, "enabled": True}
    made = _providers().identity_api.create_user(
        {**user, "password": facts["password"]}
    )
    role = bootstrapper.member_role_id
    assign(user_id=made["id"], project_id=project["id"], role_id=role)


def _catalogue(facts: Mapping[str, Any]) -> None:
    catalogue = _providers().catalog_api
    for kind, url in facts["endpoints"].items():
        service = {"id": uuid.uuid4().hex, "type": kind, "name": kind, "enabled": True}
        catalogue.create_service(service["id"], service)
        for interface in _INTERFACES:
            endpoint = {
                "id": uuid.uuid4().hex,
                "service_id": service["id"],
                "region_id": facts["region"],
                "interface": interface,
                "url": url,
                "enabled": True,
            }
            catalogue.create_endpoint(endpoint["id"], endpoint)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))

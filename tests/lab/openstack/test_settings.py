"""A host in Nova's other mode, with credentials of its own for copies."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab.openstack.cloud import CENTRAL, EDGE, IMAGES, MEMBER, Cloud
from tests.lab.openstack.computes import Computes

pytestmark = pytest.mark.openstack

_GREEN = "DEFAULT.concurrency_backend=eventlet"


@pytest.fixture(scope="module", autouse=True)
def _settings(computes: Computes, openstack_lab: Mapping[str, Any]) -> Iterator[None]:
    """Have the compute at edge run so: under Glance's default policy."""
    login = {
        "auth_type": "v3password",
        "auth_url": openstack_lab["keystone"]["auth_url"],
        "username": "admin",
        "password": "lab",
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    copier = [f"cowpath_copy.{key}={value}" for key, value in login.items()]
    with computes.set(_GREEN, *copier, sites=(EDGE,)):
        yield


def test_a_member_boots_what_the_host_may_copy(
    cloud: Cloud, openstack_lab: Mapping[str, Any]
) -> None:
    """Five at once, in green threads: one copy, by credentials that members lack."""
    image = cloud.upload(store=CENTRAL)
    servers = cloud.create(image, EDGE, count=5, user=MEMBER)
    for server in servers:
        cloud.active(server)
        assert cloud.parent(server, EDGE) == f"{IMAGES}/{image}@snap"
    assert cloud.copies(image) == 1
    conf = Path(openstack_lab["sites"][EDGE]["nova_conf"]).read_text(encoding="utf-8")
    assert "concurrency_backend = eventlet" in conf
    cloud.delete(*servers)

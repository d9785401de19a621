"""What a lab tells its clients: `lab.json`, clouds.yaml, a site's configuration."""

import json
from collections.abc import Mapping, Sequence

from lab.files import write
from lab.keystone import REGION, credentials
from lab.layout import DEFAULT_STORE, Layout

CLOUDS = {
    "lab-admin": "admin:admin-project:admin",
    "lab-member": "member:member-project:member,reader",
}
_PRIVATE = 0o600


def compute_host(store: str, libvirt_uri: str) -> dict[str, str]:
    """Return what every compute host's configuration has in [libvirt]."""
    return {
        "images_rbd_glance_store_name": store,
        "images_rbd_glance_copy_poll_interval": "15",
        "images_rbd_glance_copy_timeout": "600",
        "virt_type": "qemu",
        "connection_uri": libvirt_uri,
    }


def clouds_yaml(url: str) -> str:
    """Return a clouds.yaml for a Glance without Keystone.

    JSON is YAML. The endpoint is Glance's root: openstacksdk asks it for its
    versions, and fails at one that ends in /v2.
    """
    clouds = {
        name: {
            "auth_type": "admin_token",
            "auth": {"endpoint": url, "token": token},
            "image_endpoint_override": url,
        }
        for name, token in CLOUDS.items()
    }
    return json.dumps({"clouds": clouds}, indent=2) + "\n"


def keystone_clouds(auth_url: str, users: Sequence[str]) -> Mapping[str, object]:
    """Return clouds named after users, whose projects have their names too.

    Args:
        auth_url: Of Keystone.
        users: Who they are.
    """
    return {
        f"lab-{user}": {
            "auth": {**credentials(auth_url), "username": user, "project_name": user},
            "region_name": REGION,
            "identity_api_version": 3,
            # Servers without networks, and volumes that nobody has.
            "compute_api_version": "2.90",
        }
        for user in users
    }


def publish_cloud(
    layout: Layout, clouds: Mapping[str, object], facts: Mapping[str, object]
) -> None:
    """Write clouds.yaml, then lab.json.

    Args:
        layout: Where the lab lies.
        clouds: By name; JSON is YAML.
        facts: What the kind has to say.
    """
    text = json.dumps({"clouds": clouds}, indent=2) + "\n"
    write(layout.clouds_yaml, text, mode=_PRIVATE)
    described = {
        "kind": layout.kind,
        **facts,
        "clouds_yaml": str(layout.clouds_yaml),
        "clouds": list(clouds),
    }
    write(layout.manifest, json.dumps(described, indent=2) + "\n")


def publish(
    layout: Layout, *, url: str, sites: Mapping[str, str], facts: Mapping[str, object]
) -> None:
    """Write everything a client reads; lab.json last.

    Args:
        layout: Where the lab lies.
        url: Glance's root.
        sites: The configuration of a compute host, by site.
        facts: What the kind itself has to say.
    """
    for site, conf in sites.items():
        write(layout.site_conf(site), conf)
    write(layout.clouds_yaml, clouds_yaml(url), mode=_PRIVATE)
    described = {
        "kind": layout.kind,
        **facts,
        "default_store": DEFAULT_STORE,
        "sites": {site: str(layout.site_conf(site)) for site in sites},
        "clouds_yaml": str(layout.clouds_yaml),
        "clouds": list(CLOUDS),
    }
    write(layout.manifest, json.dumps(described, indent=2) + "\n")

"""What a lab tells its clients: `lab.json`, clouds.yaml, a site's configuration."""

import json
from collections.abc import Mapping

from lab.files import ini, write
from lab.layout import DEFAULT_STORE, SITES, Layout

CLOUDS = {
    "lab-admin": "admin:admin-project:admin",
    "lab-member": "member:member-project:member,reader",
}
_PRIVATE = 0o600


def site_conf(layout: Layout, site: str, libvirt_uri: str) -> str:
    """Return what a compute host at a site would have in its configuration."""
    return ini(
        {
            "libvirt": {
                "images_rbd_glance_store_name": site,
                "images_rbd_glance_copy_poll_interval": "15",
                "images_rbd_glance_copy_timeout": "600",
                "virt_type": "qemu",
                "connection_uri": libvirt_uri,
            },
            "cowpath": {
                "store_kind": "file",
                "images_dir": str(layout.store(site)),
                "disks_dir": str(layout.disks(site)),
            },
        }
    )


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


def describe(
    layout: Layout,
    *,
    glance: Mapping[str, str],
    libvirt_uri: str,
    guest: Mapping[str, object],
) -> dict[str, object]:
    """Return what lab.json holds."""
    return {
        "kind": layout.kind,
        "glance": dict(glance),
        "default_store": DEFAULT_STORE,
        "stores": {site: str(layout.store(site)) for site in SITES},
        "disks": {site: str(layout.disks(site)) for site in SITES},
        "sites": {site: str(layout.site_conf(site)) for site in SITES},
        "clouds_yaml": str(layout.clouds_yaml),
        "clouds": list(CLOUDS),
        "libvirt_uri": libvirt_uri,
        "guest": dict(guest),
    }


def publish(
    layout: Layout,
    *,
    glance: Mapping[str, str],
    libvirt_uri: str,
    guest: Mapping[str, object],
) -> None:
    """Write everything a client reads; lab.json last."""
    for site in SITES:
        write(layout.site_conf(site), site_conf(layout, site, libvirt_uri))
    write(layout.clouds_yaml, clouds_yaml(glance["url"]), mode=_PRIVATE)
    facts = describe(layout, glance=glance, libvirt_uri=libvirt_uri, guest=guest)
    write(layout.manifest, json.dumps(facts, indent=2) + "\n")

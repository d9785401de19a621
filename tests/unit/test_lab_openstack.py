import configparser
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from lab import bindings, glance_config, keystone, manifest, nova_conf, verbs, wsgi
from lab.ceph_cluster import Cluster
from lab.ceph_conf import Identity, port_blocks
from lab.cli import main
from lab.errors import LabError
from lab.files import ini, write
from lab.layout import CLUSTERS, Layout
from lab.libvirt_modes import System
from lab.mariadb import MariaDb
from lab.neutron_stub import answer
from lab.nova import STOCK
from lab.nova_conf import Cloud
from lab.openstack_databases import FLAVORS, Databases, check_root
from lab.openstack_glance import WithKeystone
from lab.openstack_lab import OpenstackLab
from lab.packages import NEEDS
from lab.port_block import PortBlock
from lab.venv import Venv

HOME = Path("/srv/lab/run/openstack")
LAB = Path(verbs.__file__).parent
CLOUD = Cloud("rabbit://guest:guest@127.0.0.1:20001/", "http://127.0.0.1:20004/v3")
NAMES = ("mariadb", "rabbitmq", "keystone", "placement", "glance", "nova-api")
PORTS = (*NAMES, "neutron")


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    parser.read_string(text)
    return parser


def compute(folder: Path, site: str) -> configparser.ConfigParser:
    cluster = Cluster(folder / site, [])
    identity = Identity(f"fsid-{site}", "osd", f"secret-{site}", 15000)
    write(cluster.folder / "cluster.json", json.dumps(asdict(identity)))
    home = HOME / f"compute-{site}"
    uri = f"qemu:///system?socket=/{site}"
    return parsed(ini(nova_conf.compute(home, CLOUD, cluster, uri)))


def test_a_compute_has_its_own_site_in_every_place(tmp_path: Path) -> None:
    one, other = (compute(tmp_path, site) for site in CLUSTERS)
    for section, key in (
        ("DEFAULT", "host"),
        ("DEFAULT", "my_ip"),
        ("DEFAULT", "state_path"),
        ("DEFAULT", "instances_path"),
        ("DEFAULT", "log_file"),
        ("oslo_concurrency", "lock_path"),
        ("libvirt", "connection_uri"),
        ("libvirt", "images_rbd_ceph_conf"),
        ("libvirt", "images_rbd_glance_store_name"),
        ("libvirt", "rbd_secret_uuid"),
    ):
        assert one[section][key] != other[section][key], key
    assert one["DEFAULT"]["host"] == "central"


def test_a_compute_reads_what_an_operator_would_have_written(tmp_path: Path) -> None:
    conf = compute(tmp_path, "edge")
    assert dict(conf["libvirt"]) == {
        "images_type": "rbd",
        "images_rbd_pool": "vms",
        "images_rbd_ceph_conf": str(tmp_path / "edge/etc/ceph.conf"),
        "images_rbd_glance_store_name": "edge",
        "images_rbd_glance_copy_poll_interval": "15",
        "images_rbd_glance_copy_timeout": "600",
        "rbd_user": "nova",
        "rbd_secret_uuid": "secret-edge",
        "virt_type": "qemu",
        "cpu_mode": "none",
        "connection_uri": "qemu:///system?socket=/edge",
    }
    assert conf["workarounds"]["never_download_image_if_on_rbd"] == "true"
    assert (
        dict(conf["service_user"]).items()
        >= {
            "send_service_user_token": "true",
            "auth_url": CLOUD.auth_url,
        }.items()
    )
    assert conf["DEFAULT"]["allow_resize_to_same_host"] == "true"
    # It may not look into the databases itself: Nova would refuse to.
    assert "database" not in conf
    assert "api_database" not in conf


def test_a_compute_run_by_root_asks_no_sudo() -> None:
    sections = nova_conf.privileged("/v/privsep-helper", Path("/e/nova.conf"))
    commands = {keys["helper_command"] for keys in sections.values()}
    assert commands == {"/v/privsep-helper --config-file /e/nova.conf"}
    assert {"privsep", "nova_sys_admin", "privsep_osbrick"} <= set(sections)


def test_controllers_have_the_databases_and_no_quota() -> None:
    databases = {"database": {"connection": "mysql://x"}}
    sections = nova_conf.controller(HOME, "nova-conductor", CLOUD, databases)
    conf = parsed(ini(sections))
    assert conf["database"]["connection"] == "mysql://x"
    assert conf["quota"]["driver"] == "nova.quota.NoopQuotaDriver"
    assert conf["DEFAULT"]["log_file"] == f"{HOME}/nova-conductor.log"
    assert "nova.service=DEBUG" in conf["DEFAULT"]["default_log_levels"]
    assert {"service"} <= set(conf["keystone_authtoken"].values())


def test_each_service_is_there_and_the_clusters_end_last() -> None:
    lab = OpenstackLab()
    names = [service.name for service in lab.services]
    daemons = [f"{name}-{kind}" for name in CLUSTERS for kind in ("mon", "osd", "mgr")]
    assert [service.name for service in lab.foundations] == daemons
    assert names == [
        *daemons,
        *("mariadb", "rabbitmq", "keystone", "placement", "glance"),
        *("nova-api", "nova-scheduler", "nova-conductor", "neutron"),
        *(f"libvirtd-{name}" for name in CLUSTERS),
        *(f"compute-{name}" for name in CLUSTERS),
        "proxy",
    ]
    assert [each.name for each in lab.services if verbs.is_compute(each)] == [
        "compute-central",
        "compute-edge",
    ]


def test_computes_run_ours_unless_nova_s_own_is_asked_for() -> None:
    lab = OpenstackLab()
    steps = {
        stock: [step.make for step in verbs._starts(lab, stock=stock)]
        for stock in (True, False)
    }
    for stock, makes in steps.items():
        given = [make.args[1] for make in makes if hasattr(make, "args")]
        assert given.count([STOCK]) == (2 if stock else 0)


def test_hosts_of_a_cloud_are_not_the_same_machine(tmp_path: Path) -> None:
    confs = {}
    for site in CLUSTERS:
        home = tmp_path / site
        confs[site] = System(site).configure(home, home).read_text()
        assert (home / "view/etc/hostname").read_text() == f"{site}\n"
        assert site in (home / "view/etc/hosts").read_text()
    uuids = [re.findall('host_uuid = "(.*)"', conf) for conf in confs.values()]
    assert all(len(found) == 1 for found in uuids)
    assert uuids[0] != uuids[1]
    own = System().configure(tmp_path / "own", tmp_path / "own").read_text()
    assert "host_uuid" not in own


def test_the_kinds_with_clusters_share_no_port() -> None:
    ceph = {port for which in (0, 1) for port in sum_of(port_blocks(which, 2))}
    ours = {port for which in (0, 1) for port in sum_of(port_blocks(which, 2, 15000))}
    assert not ceph & ours


def sum_of(blocks: Sequence[range]) -> list[int]:
    return [port for block in blocks for port in block]


def test_databases_are_made_again_when_a_url_in_them_changes(tmp_path: Path) -> None:
    venv = Venv(tmp_path, "openstack")
    keys = set()
    for first in (20000, 20000, 20100):
        ports = PortBlock(tmp_path / "none", PORTS, first)
        keys.add(Databases(tmp_path, ports, venv, CLUSTERS)._key())
    ports = PortBlock(tmp_path / "none", PORTS, 20000)
    keys.add(Databases(tmp_path, ports, venv, ("central",))._key())
    assert len(keys) == 3


def test_glance_asks_keystone_and_has_rules_to_change(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "openstack")
    ports = PortBlock(tmp_path / "none", PORTS, 20000)
    database = MariaDb(tmp_path / "mariadb", ports)
    kit = WithKeystone(layout, ports, Venv(tmp_path, "openstack"), database)
    standard = glance_config.standard(layout, "http://x", [])
    conf = parsed(ini(glance_config.merge(standard, kit.sections)))
    assert conf["paste_deploy"]["flavor"] == "keystone"
    assert conf["oslo_policy"]["policy_file"] == str(kit.policy)
    assert conf["keystone_authtoken"]["auth_url"] == "http://127.0.0.1:20002/v3"
    assert "127.0.0.1:20000/glance" in conf["database"]["connection"]
    assert conf["DEFAULT"]["enabled_import_methods"] == "[glance-direct,copy-image]"
    paste = parsed(kit.paste())
    assert "keystonemiddleware" in paste["filter:whoisit"]["paste.filter_factory"]
    assert "pipeline:glance-api-keystone" in paste


def test_clouds_are_an_administrator_and_a_plain_member() -> None:
    clouds = manifest.keystone_clouds("http://k/v3", (keystone.ADMIN, keystone.MEMBER))
    assert set(clouds) == {"lab-admin", "lab-demo"}
    demo = json.loads(json.dumps(clouds["lab-demo"]))
    assert demo["auth"]["username"] == demo["auth"]["project_name"] == "demo"
    # Servers without networks can be asked for from 2.37 on.
    assert float(demo["compute_api_version"]) >= 2.37


def test_the_guests_fit_the_flavors() -> None:
    assert set(FLAVORS) == {"lab.tiny", "lab.small"}
    assert FLAVORS["lab.small"]["disk_gib"] > FLAVORS["lab.tiny"]["disk_gib"]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/v2.0/ports?device_id=1", "ports"),
        ("/v2.0/security-groups", "security_groups"),
        ("/v2.0/networks/", "networks"),
    ],
)
def test_the_network_service_has_nothing(path: str, key: str) -> None:
    assert answer(path, "http://n") == {key: []}


def test_the_network_service_says_where_it_is() -> None:
    said = json.dumps(answer("/", "http://n"))
    assert '"http://n/v2.0/"' in said
    assert answer("/v2.0", "http://n") == {"resources": []}


def test_a_service_s_application_does_not_read_gunicorn_s_arguments(
    tmp_path: Path,
) -> None:
    ports = PortBlock(tmp_path / "none", PORTS, 20000)
    venv = Venv(tmp_path, "openstack")
    database = MariaDb(tmp_path / "mariadb", ports)
    service: wsgi.Wsgi = keystone.Keystone(tmp_path / "keystone", ports, venv, database)
    files = service.configuration(["token.provider=jws"])
    assert parsed(files[service.conf])["token"]["provider"] == "jws"
    text = files[service.home / "gunicorn.conf.py"]
    assert "sys.argv[1:] = []" in text
    assert "'keystone.wsgi.api:application'" in text
    assert f"{service.home}/" in text


def test_keys_of_tokens_are_made_once_and_private(tmp_path: Path) -> None:
    ports = PortBlock(tmp_path / "none", PORTS, 20000)
    venv = Venv(tmp_path, "openstack")
    service = keystone.Keystone(
        tmp_path, ports, venv, MariaDb(tmp_path / "mariadb", ports)
    )
    service.write_keys()
    key = tmp_path / "fernet-keys/1"
    text = key.read_text()
    assert len(text) == 44
    assert key.stat().st_mode & 0o777 == 0o600
    service.write_keys()
    assert key.read_text() == text


def test_a_binding_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no-such-binding"):
        bindings.link(tmp_path / "bindings", ["no-such-binding"])


@pytest.mark.parametrize("name", ["glance", "openstack"])
def test_requirements_are_pinned_and_name_no_host(name: str) -> None:
    text = (LAB / f"{name}-requirements.txt").read_text()
    assert "://" not in text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all("==" in line for line in lines)


def test_the_services_named_in_the_requirements_are_the_newest_that_are_tested() -> (
    None
):
    text = (LAB / "openstack-requirements.txt").read_text()
    for pin in ("nova==34.0.0", "keystone==30.0.0", "glance==33.0.0"):
        assert f"\n{pin}\n" in text


def test_the_kind_needs_root() -> None:
    check_root(0)
    with pytest.raises(LabError, match="needs root"):
        check_root(1000)


def test_what_the_kind_needs_has_debian_packages() -> None:
    more = {need.package for need in NEEDS["openstack"]}
    assert more - {need.package for need in NEEDS["ceph"]} == {
        "mariadb-server",
        "rabbitmq-server",
    }


def test_settings_go_with_start_only(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["service", "--kind", "openstack", "compute-edge", "stop", "--stock"]
    assert main(arguments) == 1
    assert "`start` only" in capsys.readouterr().err


def test_nobody_is_root_of_the_database_over_the_network(tmp_path: Path) -> None:
    server = MariaDb(tmp_path, PortBlock(tmp_path / "ports", PORTS, 20000))
    (first,) = server.configuration(()).values()
    assert "DELETE FROM mysql.global_priv WHERE User='root'" in first
    assert f"--secure-file-priv={server.data}" in server.command()

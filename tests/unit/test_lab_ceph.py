import base64
import configparser
import json
import os
import socket
import struct
import subprocess
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lab import ceph_conf, ceph_lab, glance_config
from lab.admin_socket import ask
from lab.ceph_cluster import Cluster
from lab.ceph_conf import CLIENT_BOUNDS, Identity, port_blocks
from lab.ceph_daemons import Monitor
from lab.ceph_users import DAEMONS, USERS, entities, keyring, new_key
from lab.errors import LabError
from lab.files import ini, write
from lab.glance_stores import RbdStores
from lab.layout import CLUSTERS, Layout
from lab.ports import first_free, holder

FOLDER = Path("/srv/lab/run/ceph/clusters/edge")
EDGE = Identity("f51d", "05d0", "5ec4", 17040)
LAYOUT = Layout(Path("/srv/lab/run"), "ceph")
FIRST_EPHEMERAL_PORT = 32768


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    parser.read_string(text)
    return parser


def test_a_key_is_cephx_s_own_and_new_every_time() -> None:
    one, other = new_key(), new_key()
    assert one != other
    kind, _, _, length = struct.unpack_from("<HIIH", base64.b64decode(one))
    assert (kind, length) == (1, 16)
    assert len(base64.b64decode(one)) == struct.calcsize("<HIIH") + length


def test_a_compute_host_reads_images_and_writes_its_own_pool_only() -> None:
    caps = USERS["cowpath"].caps
    assert caps["mon"] == "profile rbd"
    assert caps["osd"] == "profile rbd pool=vms, profile rbd-read-only pool=images"


def test_every_user_is_bound_to_pools_and_none_is_an_administrator() -> None:
    assert set(USERS) == {"glance", "cowpath", "cowpath-ro", "cowpath-repair", "nova"}
    for user in USERS.values():
        assert user.purpose
        assert not any("*" in words for words in user.caps.values())
        for grant in user.caps["osd"].split(", "):
            assert "pool=" in grant or grant.startswith("allow class-read ")


def test_who_only_looks_is_granted_nothing_but_reading() -> None:
    caps = USERS["cowpath-ro"].caps
    assert caps["mon"] == "allow r"
    for grant in caps["osd"].split(", "):
        assert grant.startswith(("profile rbd-read-only ", "allow class-read "))


def test_the_monitors_learn_caps_from_a_keyring_and_others_see_a_key_only() -> None:
    caps = entities()
    assert set(caps) == {*DAEMONS, *(f"client.{name}" for name in USERS)}
    seed = parsed(keyring(dict.fromkeys(caps, "k=="), caps))
    assert seed["client.glance"]["caps osd"] == '"profile rbd pool=images"'
    own = parsed(keyring({"client.glance": "k=="}))
    assert dict(own["client.glance"]) == {"key": "k=="}


def test_a_compute_host_waits_for_a_bounded_time_and_glance_as_long_as_it_takes() -> (
    None
):
    host = parsed(ceph_conf.client(FOLDER / "etc", EDGE, CLIENT_BOUNDS))["client"]
    assert {name: host[name] for name in CLIENT_BOUNDS} == CLIENT_BOUNDS
    assert host["keyring"] == f"{FOLDER}/etc/ceph.$name.keyring"
    for other in (
        ceph_conf.client(FOLDER / "etc", EDGE, {}),
        ceph_conf.daemons(FOLDER, EDGE),
    ):
        assert "timeout" not in other.replace("osd_mon_shutdown_timeout", "")


def test_a_cluster_s_daemons_stay_in_its_folder_on_the_loopback_address() -> None:
    conf = parsed(ceph_conf.daemons(FOLDER, EDGE))
    assert conf["global"]["mon_host"] == "[v2:127.0.0.1:17040/0,v1:127.0.0.1:17041/0]"
    assert conf["global"]["public_network"] == "127.0.0.1/32"
    assert conf["osd"]["ms_bind_port_min"] == "17042"
    assert conf["osd"]["ms_bind_port_max"] == "17079"
    for section in ("mon", "mgr", "osd"):
        assert conf[section][f"{section}_data"] == f"{FOLDER}/{section}"
    assert conf["global"]["auth_client_required"] == "cephx"


def test_clusters_never_share_a_port_and_stay_below_the_ephemeral_ones() -> None:
    blocks = [*port_blocks(0, 2), *port_blocks(1, 2)]
    ports = [port for block in blocks for port in block]
    assert len(ports) == len(set(ports))
    assert max(ports) < FIRST_EPHEMERAL_PORT


def test_a_block_with_a_port_in_use_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        busy = range(port, port + 1)
        assert first_free([busy, range(1024, 1024)]) == range(1024, 1024)
        with pytest.raises(LabError, match=str(port)):
            first_free([busy])


def test_a_half_made_cluster_is_none(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "edge", port_blocks(0, 1))
    write(cluster.client_conf, "")
    assert cluster.known() is None
    write(cluster.folder / "cluster.json", json.dumps(asdict(EDGE)))
    assert cluster.known() == EDGE
    assert cluster.identity == EDGE


def test_a_user_s_key_is_read_from_its_keyring(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, port_blocks(0, 1))
    write(cluster.keyring("cowpath"), keyring({"client.cowpath": "abc=="}))
    assert cluster.keyring("cowpath").name == "ceph.client.cowpath.keyring"
    assert cluster.key("cowpath") == "abc=="


def test_glance_has_a_pool_on_each_cluster_and_a_folder_with_its_own_defaults() -> None:
    clusters = [Cluster(LAYOUT.cluster(name), []) for name in CLUSTERS]
    stores = RbdStores(LAYOUT, {each: Monitor(each) for each in clusters})
    text = ini(glance_config.standard(LAYOUT, "http://x", stores.backends))
    conf = parsed(text)
    kinds = "central:rbd,edge:rbd,files:file"
    assert conf["DEFAULT"]["enabled_backends"] == kinds
    assert conf["glance_store"]["default_backend"] == "central"
    assert dict(conf["edge"]) == {
        "rbd_store_ceph_conf": f"{FOLDER}/etc/ceph-glance.conf",
        "rbd_store_user": "glance",
        "rbd_store_pool": "images",
    }


def test_a_site_has_nova_s_names_and_its_own_cluster(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "edge", [])
    write(cluster.folder / "cluster.json", json.dumps(asdict(EDGE)))
    conf = parsed(ceph_lab.site_conf(cluster, "qemu:///system?socket=/s"))
    nova = conf["libvirt"]
    assert nova["images_type"] == "rbd"
    assert nova["images_rbd_pool"] == "vms"
    assert nova["images_rbd_ceph_conf"] == str(cluster.client_conf)
    assert nova["images_rbd_glance_store_name"] == "edge"
    assert (nova["rbd_user"], nova["rbd_secret_uuid"]) == ("cowpath", EDGE.secret_uuid)
    assert nova["connection_uri"] == "qemu:///system?socket=/s"
    assert dict(conf["cowpath"]) == {"store_kind": "rbd", "images_pool": "images"}


def test_the_clusters_end_after_those_who_need_them() -> None:
    lab = ceph_lab.CephLab()
    names = [service.name for service in lab.services]
    daemons = [f"{name}-{kind}" for name in CLUSTERS for kind in ("mon", "osd", "mgr")]
    assert names == [*daemons, "glance", "libvirtd", "proxy"]
    assert [service.name for service in lab.foundations] == daemons


def test_a_daemon_answers_on_a_socket_whose_path_is_too_long_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    monkeypatch.chdir(folder)
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("osd.asok")
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(100))
                answer = b'{"state": "active"}'
                connection.sendall(struct.pack(">I", len(answer)) + answer)

        daemon = threading.Thread(target=serve)
        daemon.start()
        assert ask(folder / "osd.asok", "status") == {"state": "active"}
        daemon.join()
    assert asked == [b'{"prefix": "status"}\0']


def test_a_daemon_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert ask(tmp_path / "osd.asok", "status") == {}
    assert ask(tmp_path / "gone" / "osd.asok", "status") == {}


def test_what_makes_a_cluster_is_kept_as_it_was(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, [])
    other = replace(EDGE, port=18000)
    write(tmp_path / "cluster.json", json.dumps(asdict(other)))
    Monitor(cluster)._prepare()
    assert cluster.known() == other
    assert "18000" in cluster.client_conf.read_text()


def test_ports_that_another_program_has_are_not_changed_under_daemons_that_run(
    tmp_path: Path,
) -> None:
    cluster = Cluster(tmp_path, [])
    osd = ["ceph-osd", "-c", "read line", f"{tmp_path}/daemons.conf"]
    with (
        subprocess.Popen(osd, executable="/bin/sh", stdin=subprocess.PIPE),
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        port = taken.getsockname()[1]
        before = json.dumps(asdict(replace(EDGE, port=port)))
        write(tmp_path / "cluster.json", before)
        with pytest.raises(LabError) as refused:
            Monitor(cluster)._prepare()
    told = str(refused.value)
    assert f"Port {port} of {cluster.name}'s monitor is taken by python" in told
    assert f"(process {os.getpid()})" in told
    assert "while ceph-osd of the same cluster runs" in told
    assert (tmp_path / "cluster.json").read_text() == before


def test_who_cannot_be_seen_has_no_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert holder(port) == "a program that only root can see"

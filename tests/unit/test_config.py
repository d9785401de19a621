"""Configuration files as hosts have them, and as people get them wrong."""

import os
from pathlib import Path

import pytest
from keystoneauth1 import loading
from oslo_config import cfg

from cowpath import config, options
from cowpath.catalog.config import GlanceConfig
from cowpath.config import Config, Setting
from cowpath.core.errors import ConfigError, UsageError
from cowpath.core.model import StoreName
from cowpath.hypervisor.config import DiskOptions, LibvirtConfig
from cowpath.stores.file.config import FileConfig
from cowpath.stores.memory import MemoryConfig

NOVA = """\
[DEFAULT]
my_ip = 192.0.2.10
compute_driver = libvirt.LibvirtDriver
transport_url = rabbit://nova:s3cret@controller
instances_path = /var/lib/nova/instances

[glance]
num_retries = 3

[libvirt]
virt_type = kvm
cpu_mode = host-passthrough
inject_partition = -2
images_type = rbd
images_rbd_pool = vms
images_rbd_ceph_conf = /etc/ceph/ceph.conf
images_rbd_glance_store_name = edge1
images_rbd_glance_copy_poll_interval = 5
images_rbd_glance_copy_timeout = 1200
rbd_user = nova
rbd_secret_uuid = 457eb676-33da-42ec-9a8c-9293d545c337
disk_cachemodes = "file=none,network=writeback"
hw_disk_discard = unmap
live_migration_uri = qemu+tcp://%s/system

[workarounds]
never_download_image_if_on_rbd = True
"""
OWN = """\
[cowpath]
store_kind = file
images_dir = /srv/glance/edge1
disks_dir = /srv/disks
"""
STORE = "[libvirt]\nimages_rbd_glance_store_name = edge1\n"
KEYSTONE = """\
[cowpath]
auth_type = v3password
auth_url = https://keystone.example.org/v3
username = cowpath
password = s3cret-pass
project_name = service
user_domain_name = Default
project_domain_name = Default
"""


@pytest.fixture(autouse=True)
def _nobody_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(config, "DEFAULT_FILES", ("/nonexistent/cowpath.conf",))


@pytest.fixture
def load(tmp_path: Path) -> "Loader":
    return Loader(tmp_path)


class Loader:
    """Writes files and loads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *texts: str, cloud: str = "") -> Config:
        return config.load([*map(self.file, texts, range(9))], cloud=cloud)

    def file(self, text: str, number: int = 0) -> str:
        path = self.folder / f"{number}.conf"
        path.write_text(text, encoding="utf-8")
        return str(path)


def setting(loaded: Config, name: str, *, copy: bool = False) -> Setting:
    (found,) = [
        one
        for one in loaded.settings
        if one.name == name and (one.group == "cowpath_copy") == copy
    ]
    return found


def test_a_compute_host_s_nova_conf_serves_as_it_is(load: Loader) -> None:
    loaded = load(NOVA, OWN)
    assert loaded.kind == "file"
    assert loaded.store == FileConfig(
        StoreName("edge1"), "/srv/glance/edge1", "/srv/disks"
    )
    assert (loaded.patience.poll, loaded.patience.timeout) == (5, 1200)
    assert loaded.hypervisor == LibvirtConfig(
        "qemu:///system", "kvm", DiskOptions("none", "unmap")
    )
    assert loaded.glance == GlanceConfig()
    assert len(loaded.files) == 2


def test_defaults_are_nova_s(load: Loader) -> None:
    loaded = load(STORE + OWN)
    patience = loaded.patience
    assert (patience.poll, patience.timeout) == (15, 600)
    assert (patience.queue, patience.grace) == (3600, 30)
    assert loaded.hypervisor == LibvirtConfig("qemu:///system", "kvm", DiskOptions())


def test_a_timeout_of_0_keeps_nova_s_meaning(load: Loader) -> None:
    loaded = load(STORE + "images_rbd_glance_copy_timeout = 0\n" + OWN)
    assert loaded.patience.timeout == 0


def test_later_files_win(load: Loader) -> None:
    loaded = load(NOVA, OWN, "[cowpath]\ndisks_dir = /srv/other\ncopy_grace = 7\n")
    assert isinstance(loaded.store, FileConfig)
    assert loaded.store.disks_dir == "/srv/other"
    assert loaded.store.images_dir == "/srv/glance/edge1"
    assert loaded.patience.grace == 7


def test_a_memory_store_needs_no_directories(load: Loader) -> None:
    loaded = load(STORE + "[cowpath]\nstore_kind = memory\n")
    assert loaded.store == MemoryConfig(StoreName("edge1"))


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("image_dir", "images_dir"),
        ("disk_dir", "disks_dir"),
        ("copy_queue_time", "copy_queue_timeout"),
        ("endpoint", "endpoint_override"),
    ],
)
def test_an_unknown_key_of_ours_is_an_error_that_names_the_nearest(
    load: Loader, key: str, near: str
) -> None:
    with pytest.raises(ConfigError, match=rf"unknown key {key}; did you mean {near}\?"):
        load(STORE + OWN + f"{key} = /x\n")


def test_an_unknown_key_that_is_near_to_none_is_an_error_too(load: Loader) -> None:
    with pytest.raises(ConfigError, match=r"unknown key zzz \(cowpath config"):
        load(STORE + OWN + "zzz = 1\n")


def test_a_key_of_an_auth_plugin_without_auth_type_is_unknown(load: Loader) -> None:
    with pytest.raises(ConfigError, match="unknown key password") as caught:
        load(STORE + OWN + "password = s3cret-pass\n")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("group", "line"),
    [
        ("libvirt", "images_rbd_glance_copy_poll_interval = 0"),
        ("libvirt", "images_rbd_glance_copy_poll_interval = -5"),
        ("libvirt", "images_rbd_glance_copy_poll_interval = 3601"),
        ("libvirt", "images_rbd_glance_copy_poll_interval = soon"),
        ("libvirt", "images_rbd_glance_copy_timeout = -1"),
        ("libvirt", "images_rbd_glance_copy_timeout = 10m"),
        ("libvirt", "hw_disk_discard = maybe"),
        ("libvirt", "virt_type = xen"),
        ("libvirt", "disk_cachemodes = none"),
        ("libvirt", "disk_cachemodes = file=fast"),
        ("cowpath", "store_kind = tape"),
        ("cowpath", "copy_queue_timeout = -1"),
        ("cowpath", "copy_grace = -1"),
        ("cowpath", "interface = private"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_file(
    load: Loader, group: str, line: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(STORE, OWN, f"[{group}]\n{line}\n")
    assert line.partition(" ")[0] in str(caught.value)


@pytest.mark.parametrize("missing", ["images_dir", "disks_dir"])
def test_a_file_store_needs_its_directories(load: Loader, missing: str) -> None:
    kept = [line for line in OWN.splitlines() if missing not in line]
    with pytest.raises(ConfigError, match=rf"\[cowpath\] {missing} is not set"):
        load(STORE + "\n".join(kept) + "\n")


@pytest.mark.parametrize(
    ("images", "disks", "words"),
    [
        ("srv/images", "/srv/disks", "images_dir is 'srv/images': give an absolute"),
        ("/srv/images", "/srv/../etc", "disks_dir is '/srv/../etc'"),
        ("/srv/both", "/srv/both/", "both"),
    ],
)
def test_directories_that_cannot_serve_are_refused(
    load: Loader, images: str, disks: str, words: str
) -> None:
    own = f"store_kind = file\nimages_dir = {images}\ndisks_dir = {disks}\n"
    with pytest.raises(ConfigError, match=words):
        load(STORE + "[cowpath]\n" + own)


def test_without_a_store_name_the_file_to_put_it_in_is_named(load: Loader) -> None:
    with pytest.raises(ConfigError, match="images_rbd_glance_store_name is not set"):
        load(OWN)


@pytest.mark.parametrize("name", ["edge1,edge2", "../edge1", "edge 1"])
def test_a_store_name_that_cannot_be_one_is_refused(load: Loader, name: str) -> None:
    with pytest.raises(ConfigError, match="is not a Glance store id"):
        load(STORE.replace("edge1", name) + OWN)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nova.conf", tmp_path):
        with pytest.raises(ConfigError, match=f"no configuration file {path}"):
            config.load([str(path)])


@pytest.mark.parametrize("text", ["nonsense\n", "[libvirt\n", "= 1\n", " a = 1\n"])
def test_a_file_that_is_no_ini_file_is_named(load: Loader, text: str) -> None:
    with pytest.raises(ConfigError, match=r"1\.conf"):
        load(STORE + OWN, text)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    path.write_bytes(b"[libvirt]\nvirt_type = \xff\xfe\n")
    with pytest.raises(ConfigError, match=r"nova\.conf"):
        config.load([str(path)])


def test_a_reference_to_an_option_that_only_nova_has_is_told(load: Loader) -> None:
    with pytest.raises(ConfigError, match="my_ip"):
        load(STORE + "connection_uri = qemu+tls://$my_ip/system\n" + OWN)


def test_every_config_error_is_a_usage_error() -> None:
    assert issubclass(ConfigError, UsageError)


def test_the_default_file_is_read_where_it_exists(
    load: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = load.file(STORE + OWN)
    monkeypatch.setattr(config, "DEFAULT_FILES", (path,))
    assert config.load().files == (path,)


def test_without_any_file_the_environment_is_named() -> None:
    with pytest.raises(ConfigError, match="images_rbd_glance_store_name"):
        config.load()


def test_the_environment_goes_over_files(
    load: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_LIBVIRT__IMAGES_RBD_GLANCE_STORE_NAME", "edge2")
    monkeypatch.setenv("OS_COWPATH__DISKS_DIR", "/srv/env")
    loaded = load(NOVA, OWN)
    assert isinstance(loaded.store, FileConfig)
    assert (loaded.store.store, loaded.store.disks_dir) == ("edge2", "/srv/env")
    origin = setting(loaded, "disks_dir").origin
    assert origin == "environment OS_COWPATH__DISKS_DIR"


def test_the_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_LIBVIRT__IMAGES_RBD_GLANCE_STORE_NAME", "edge2")
    monkeypatch.setenv("OS_COWPATH__STORE_KIND", "memory")
    assert config.load().store == MemoryConfig(StoreName("edge2"))


def test_a_bad_value_in_the_environment_is_told(
    load: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_COWPATH__COPY_GRACE", "soon")
    with pytest.raises(ConfigError, match="soon"):
        load(STORE + OWN)


def test_a_cloud_on_the_command_line_goes_over_files(load: Loader) -> None:
    text = STORE + OWN + "cloud = edge\n"
    assert load(text).glance.cloud == "edge"
    chosen = load(text, cloud="lab")
    assert chosen.glance.cloud == "lab"
    assert setting(chosen, "cloud").origin == "command line"


def test_where_glance_is_can_be_told(load: Loader) -> None:
    place = "endpoint_override = https://glance\nregion_name = R1\ninterface = admin\n"
    assert load(STORE + OWN + place).glance == GlanceConfig(
        endpoint="https://glance", region="R1", interface="admin"
    )


def test_an_auth_plugin_s_options_stand_in_our_group(load: Loader) -> None:
    glance = load(STORE + OWN, KEYSTONE).glance
    assert glance.auth_type == "v3password"
    assert glance.auth["username"] == "cowpath"
    assert glance.auth["password"] == "s3cret-pass"  # noqa: S105
    assert "store_kind" not in glance.auth


def test_a_misspelt_option_of_an_auth_plugin_is_an_error(load: Loader) -> None:
    text = KEYSTONE.replace("username", "user_nam")
    with pytest.raises(ConfigError, match="unknown key user_nam; did you mean user"):
        load(STORE + OWN, text)


def test_an_auth_plugin_that_is_not_there_is_told_with_those_that_are(
    load: Loader,
) -> None:
    with pytest.raises(ConfigError, match=r"plugin v9magic: .*v3password"):
        load(STORE + OWN + "auth_type = v9magic\n")


def test_the_group_of_a_plugin_that_is_not_there_is_told(load: Loader) -> None:
    with pytest.raises(ConfigError, match=r"v9magic: set \[cowpath_copy\] auth_type"):
        load(STORE + OWN + "[cowpath_copy]\nauth_type = v9magic\n")


@pytest.mark.parametrize("name", ["code", "authorization_code", "client_secret"])
def test_what_a_plugin_calls_a_secret_is_masked(load: Loader, name: str) -> None:
    loaded = load(STORE + OWN + f"auth_type = v3oidcauthcode\n{name} = sesame\n")
    assert setting(loaded, name).value == "****"
    assert "sesame" not in repr(loaded)


def test_no_secret_of_any_plugin_is_shown(load: Loader) -> None:
    for kind, plugin in sorted(loading.get_available_plugin_loaders().items()):
        secret = [each.dest for each in plugin.get_options() if each.secret]
        told = [f"auth_type = {kind}", *(f"{name} = sesame" for name in secret)]
        loaded = load(STORE + OWN + "\n".join(told) + "\n")
        assert "sesame" not in repr(loaded.settings), kind
        assert {setting(loaded, name).value for name in secret} <= {"****"}, kind


def test_secrets_are_masked_and_everything_else_is_shown(load: Loader) -> None:
    loaded = load(NOVA, OWN, KEYSTONE)
    assert setting(loaded, "password").value == "****"
    assert setting(loaded, "username").value == "cowpath"
    assert setting(loaded, "images_dir").value == "/srv/glance/edge1"
    assert "s3cret" not in repr(loaded)


def test_every_setting_has_its_origin(load: Loader) -> None:
    loaded = load(NOVA, OWN + KEYSTONE.removeprefix("[cowpath]\n"))
    assert setting(loaded, "images_rbd_glance_store_name").origin.endswith("0.conf")
    assert setting(loaded, "disks_dir").origin.endswith("1.conf")
    assert setting(loaded, "copy_grace").origin == "default"
    assert setting(loaded, "username").origin.endswith("1.conf")


def test_a_malformed_line_is_not_quoted(load: Loader) -> None:
    """It may hold a secret."""
    with pytest.raises(ConfigError, match=r"0\.conf, line 3") as caught:
        load("[cowpath]\nstore_kind = file\npassword s3cret\n")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_setting_s_origin_is_the_file_that_has_it(load: Loader) -> None:
    loaded = load(NOVA, OWN, KEYSTONE)
    assert setting(loaded, "disks_dir").origin.endswith("1.conf")


def test_every_option_is_shown_once_with_its_help(load: Loader) -> None:
    loaded = load(STORE + OWN)
    shown = [(one.group, one.name) for one in loaded.settings]
    listed = [
        (group, option.dest) for group, opts in options.list_opts() for option in opts
    ]
    assert shown == listed
    assert len(set(shown)) == len(shown)
    assert all(one.help for one in loaded.settings)
    assert setting(loaded, "disk_cachemodes").value == ""
    assert setting(loaded, "hw_disk_discard").value == ""


def test_a_rbd_site_s_cache_mode_is_the_network_s(load: Loader) -> None:
    """Nova's keys are libvirt's source types; ours of store_kind file is `file`."""
    loaded = load(NOVA + "[cowpath]\nstore_kind = memory\n")
    assert loaded.hypervisor.disks.cache == "writeback"


def test_nobody_else_asks_for_copies_unless_told(load: Loader) -> None:
    assert load(OWN, STORE).copier is None


def test_credentials_for_copies_are_a_group_of_their_own(load: Loader) -> None:
    told = load(
        OWN,
        STORE,
        "[cowpath_copy]\nauth_type = v3password\nauth_url = http://keystone/v3\n"
        "username = copier\npassword = hush\nregion_name = west\n",
    )
    assert told.copier is not None
    assert told.copier.auth_type == "v3password"
    assert told.copier.auth["username"] == "copier"
    assert told.copier.region == "west"
    assert told.glance.auth_type != "v3password"
    assert setting(told, "password", copy=True).value == "****"
    assert "hush" not in repr(told)


def test_an_unknown_key_among_the_copier_s_is_an_error(load: Loader) -> None:
    with pytest.raises(ConfigError, match=r"\[cowpath_copy\] has an unknown key clod"):
        load(OWN, STORE, "[cowpath_copy]\nclod = service\n")


def test_a_copier_without_credentials_is_an_error(load: Loader) -> None:
    with pytest.raises(ConfigError, match="not who asks it"):
        load(OWN, STORE, "[cowpath_copy]\nregion_name = west\n")


@pytest.mark.parametrize(
    ("text", "size"), [("", None), ("0", None), ("10G", 10 * 2**30), ("512", 512)]
)
def test_room_that_copies_must_leave(load: Loader, text: str, size: int | None) -> None:
    assert load(OWN, STORE, f"[cowpath]\nmin_free = {text}\n").min_free == size


def test_room_that_is_no_size_is_an_error(load: Loader) -> None:
    with pytest.raises(
        ConfigError, match=r"\[cowpath\] min_free: 'much' is not a size"
    ):
        load(OWN, STORE, "[cowpath]\nmin_free = much\n")


def test_bounds_of_following_reach_the_patience(load: Loader) -> None:
    told = load(
        OWN,
        STORE,
        "[cowpath]\ncopy_stall = 300\npass_dead_lock_after = 3600\n"
        "set_aside_leftovers = true\n",
    )
    assert (told.patience.stall, told.patience.dead_lock) == (300, 3600)
    assert told.repair
    assert not load(OWN, STORE).repair


def test_what_nova_has_read_itself_goes_over_its_files(tmp_path: Path) -> None:
    nova_conf = tmp_path / "nova.conf"
    nova_conf.write_text(
        "[libvirt]\nimages_rbd_glance_store_name = edge1\n"
        "images_rbd_glance_copy_poll_interval = 0\nconnection_uri = qemu+tcp://$my_ip\n",
        encoding="utf-8",
    )
    novas = {"images_rbd_glance_copy_poll_interval": 1, "connection_uri": ""}

    found = config.load([str(nova_conf)], nova=novas)

    assert found.patience.poll == 1
    assert not found.images_pool_told
    assert not found.evacuate_rebuilds


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nova_conf = tmp_path / "nova.conf"
    nova_conf.write_text("[libvirt]\n", encoding="utf-8")

    def refused(_: object) -> None:
        raise PermissionError(13, "Permission denied", str(nova_conf))

    # Root may read everything, and runs the tests at times.
    monkeypatch.setattr(cfg.ConfigParser, "parse", refused)
    with pytest.raises(ConfigError, match=f"Permission denied.*{nova_conf.name}"):
        config.load([str(nova_conf)])

"""Read configuration files into frozen dataclasses.

A compute host's own nova.conf serves as it is: groups `[libvirt]` and others keep
Nova's names and meanings (specification, "Other deployer impact"), and keys there
that are not ours are ignored. What Nova has no name for is in `[cowpath]`, where an
unknown key is an error. Our own ConfigOpts object; nothing is registered on Nova's.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from oslo_config import cfg

from cowpath.catalog.config import GlanceConfig
from cowpath.catalog.session import auth_option_names, auth_secret_names
from cowpath.core.errors import ConfigError, UsageError
from cowpath.core.model import Bytes, Patience, StoreName, parse_bytes, store_name
from cowpath.hypervisor.config import DEFAULT_URI, DiskOptions, LibvirtConfig
from cowpath.options import COPY_GROUP, GROUP, LIBVIRT, list_opts
from cowpath.stores import StoreConfig
from cowpath.stores.file.config import FileConfig
from cowpath.stores.memory import MemoryConfig
from cowpath.stores.rbd.config import RbdConfig

DEFAULT_FILES = ("/etc/cowpath/cowpath.conf",)
_SECRET_WORDS = ("password", "secret", "token", "passcode", "key")
_MASK = "****"
_USER_IN_URL = re.compile(r"(?<=//)[^/@]*@")
_CACHE_MODES = ("default", "none", "writethrough", "writeback", "directsync", "unsafe")

_Key = tuple[str, str]
_Written = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value, for `cowpath config`.

    Attributes:
        value: As text; secrets are masked.
        origin: Where it came from: a file, the environment, the default.
    """

    group: str
    name: str
    value: str
    origin: str
    help: str


@dataclass(frozen=True, slots=True)
class Config:
    """All that wiring needs to build a site.

    Attributes:
        kind: A key of `STORES`.
        store: What that kind must be told; its `store` is this site's Glance store.
        glance: Where Glance is, and who we are.
        copier: Who asks for copies; None: we do.
        min_free: Bytes that a copy must leave free here; None: any number.
        repair: Leftovers in this site's store may be set aside.
        evacuate_rebuilds: An instance whose disk is in another cluster may be
            evacuated here, with a new disk of its image.
        images_pool_told: `images_pool` is set, not assumed.
        files: The configuration files that were read.
        settings: Every effective value, for people to read.
    """

    kind: str
    store: StoreConfig
    patience: Patience
    glance: GlanceConfig
    hypervisor: LibvirtConfig
    copier: GlanceConfig | None = None
    min_free: Bytes | None = None
    repair: bool = False
    evacuate_rebuilds: bool = False
    images_pool_told: bool = False
    files: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()


def load(
    files: Sequence[str] = (),
    *,
    cloud: str = "",
    nova: Mapping[str, object] | None = None,
) -> Config:
    """Read `files` (later ones win), or the default file where it exists.

    Args:
        files: Paths of oslo.config INI files, such as /etc/nova/nova.conf.
        cloud: Overrides `[cowpath] cloud`.
        nova: Overrides options of `[libvirt]`: what a nova-compute that we run inside
            of has read itself.

    Raises:
        ConfigError: A file is missing or malformed, a value is out of bounds, or
            `[cowpath]` has an unknown key.
    """
    chosen = tuple(files) or tuple(f for f in DEFAULT_FILES if Path(f).is_file())
    try:
        conf = _parse(chosen)
        if cloud:
            conf.set_override("cloud", cloud, group=GROUP)
        written = _written(chosen)
        if nova is not None:
            _stand_inside(conf, nova, written)
        return _config(conf, chosen, written, inside=nova is not None)
    except ConfigError:
        raise
    except cfg.ParseError as error:
        # Its own words quote the line, and the line may hold a secret.
        raise ConfigError(
            f"{error.filename}, line {error.lineno}: {error.msg}: write KEY = VALUE "
            f"below a [GROUP]"
        ) from None
    except (cfg.Error, OSError, UsageError, ValueError) as error:
        where = ", ".join(chosen) or "the environment and defaults"
        raise ConfigError(f"configuration from {where}: {error}") from error


def _stand_inside(
    conf: cfg.ConfigOpts, nova: Mapping[str, object], written: Mapping[_Key, _Written]
) -> None:
    """Have a configuration be that of a nova-compute with images_type rbd.

    A file that the command line shares may say another kind of store. A build waits
    under Nova's lock of the server: for the queue no longer than for the copy,
    unless somebody asked for that.
    """
    for name, value in nova.items():
        conf.set_override(name, value, group=LIBVIRT)
    conf.set_override("store_kind", "rbd", group=GROUP)
    limit = conf[LIBVIRT].images_rbd_glance_copy_timeout
    if limit and (GROUP, "copy_queue_timeout") not in written:
        conf.set_override("copy_queue_timeout", limit, group=GROUP)


def _parse(files: Sequence[str]) -> cfg.ConfigOpts:
    for name in files:
        if not Path(name).is_file():
            raise ConfigError(f"there is no configuration file {name}")
    _written(files)
    conf = cfg.ConfigOpts()
    for group, options in list_opts():
        conf.register_opts(options, group=group)
    # Only what was named is read: no drop-in directories that nobody sees here.
    conf(
        args=[],
        project="cowpath",
        default_config_files=list(files),
        default_config_dirs=[],
    )
    return conf


def _config(
    conf: cfg.ConfigOpts,
    files: tuple[str, ...],
    written: Mapping[_Key, _Written],
    *,
    inside: bool,
) -> Config:
    own = conf[GROUP]
    auths = {group: _auth(conf, group, written) for group in (GROUP, COPY_GROUP)}
    # Reading every value checks every bound, also of those that are not used.
    settings = tuple(_settings(conf, auths, written))
    return Config(
        kind=own.store_kind,
        store=_store(conf, written, inside=inside),
        patience=_patience(conf),
        glance=_glance(conf, GROUP, auths),
        hypervisor=_hypervisor(conf),
        copier=_copier(conf, auths),
        min_free=_min_free(conf),
        repair=own.set_aside_leftovers,
        evacuate_rebuilds=own.evacuate_rebuilds,
        images_pool_told=(GROUP, "images_pool") in written,
        files=files,
        settings=settings,
    )


def _patience(conf: cfg.ConfigOpts) -> Patience:
    nova, own = conf[LIBVIRT], conf[GROUP]
    return Patience(
        timeout=nova.images_rbd_glance_copy_timeout,
        poll=nova.images_rbd_glance_copy_poll_interval,
        queue=own.copy_queue_timeout,
        stall=own.copy_stall,
        dead_lock=own.pass_dead_lock_after,
        grace=own.copy_grace,
        busy_retries=nova.rbd_destroy_volume_retries if own.store_kind == "rbd" else 0,
        busy_interval=max(1, nova.rbd_destroy_volume_retry_interval),
    )


def _glance(
    conf: cfg.ConfigOpts, group: str, auths: Mapping[str, Mapping[str, str]]
) -> GlanceConfig:
    told = conf[group]
    return GlanceConfig(
        told.cloud,
        told.auth_type,
        auths[group],
        told.endpoint_override,
        told.region_name,
        told.interface,
        group=group,
    )


def _copier(
    conf: cfg.ConfigOpts, auths: Mapping[str, Mapping[str, str]]
) -> GlanceConfig | None:
    told = conf[COPY_GROUP]
    if told.cloud or told.auth_type:
        return _glance(conf, COPY_GROUP, auths)
    if told.endpoint_override or told.region_name or told.interface:
        raise ConfigError(
            f"[{COPY_GROUP}] says where Glance is but not who asks it: set its cloud, "
            f"or auth_type and that plugin's options, or empty the group"
        )
    return None


def _min_free(conf: cfg.ConfigOpts) -> Bytes | None:
    told = conf[GROUP].min_free.strip()
    try:
        return None if told in {"", "0"} else parse_bytes(told)
    except UsageError as error:
        raise ConfigError(f"[{GROUP}] min_free: {error}") from error


def _store(
    conf: cfg.ConfigOpts, written: Mapping[_Key, _Written], *, inside: bool
) -> StoreConfig:
    own = conf[GROUP]
    name = _store_name(conf)
    if own.store_kind == "memory":
        return MemoryConfig(name)
    if own.store_kind == "rbd":
        found = _rbd_store(conf, name, makes_disks=not inside)
        told = (GROUP, "images_pool") in written
        return replace(found, any_images_pool=inside and not told)
    for option in ("images_dir", "disks_dir"):
        if not own[option]:
            raise ConfigError(
                f"[{GROUP}] {option} is not set: store_kind {own.store_kind} needs it"
            )
    return FileConfig(name, own.images_dir, own.disks_dir)


def _rbd_store(
    conf: cfg.ConfigOpts, name: StoreName, *, makes_disks: bool
) -> RbdConfig:
    nova, own = conf[LIBVIRT], conf[GROUP]
    return RbdConfig(
        name,
        nova.images_rbd_pool,
        (own.images_pool, *own.more_images_pools),
        conf=nova.images_rbd_ceph_conf,
        user=nova.rbd_user or "",
        secret=nova.rbd_secret_uuid or "",
        connect_timeout=nova.rbd_connect_timeout,
        op_timeout=own.rbd_op_timeout,
        repair_user=own.repair_rbd_user,
        makes_disks=makes_disks,
    )


def _store_name(conf: cfg.ConfigOpts) -> StoreName:
    name = conf[LIBVIRT].images_rbd_glance_store_name
    if not name:
        raise ConfigError(
            f"[{LIBVIRT}] images_rbd_glance_store_name is not set: name the Glance "
            f"store of this site, in a file given by --config-file or in "
            f"{DEFAULT_FILES[0]}"
        )
    return store_name(name)


def _hypervisor(conf: cfg.ConfigOpts) -> LibvirtConfig:
    nova = conf[LIBVIRT]
    modes = dict(_mode(entry) for entry in nova.disk_cachemodes)
    # Nova's keys are libvirt's disk source types.
    cache = modes.get("file" if conf[GROUP].store_kind == "file" else "network")
    return LibvirtConfig(
        uri=nova.connection_uri or DEFAULT_URI,
        virt_type=nova.virt_type,
        disks=DiskOptions(cache, nova.hw_disk_discard),
    )


def _mode(entry: str) -> tuple[str, str]:
    kind, equals, mode = entry.partition("=")
    if not equals or mode not in _CACHE_MODES:
        raise ConfigError(
            f"[{LIBVIRT}] disk_cachemodes has {entry!r}: write TYPE=MODE with a mode "
            f"of {', '.join(_CACHE_MODES)}"
        )
    return kind.strip(), mode


def _written(files: Sequence[str]) -> dict[_Key, _Written]:
    """Return what stands in the files, and in which; the last one wins.

    oslo.config itself knows only the last file that has the option's group.
    """
    found: dict[_Key, _Written] = {}
    for name in files:
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(name, sections).parse()
        for group, keys in sections.items():
            found |= {(group, key): (values[-1], name) for key, values in keys.items()}
    return found


def _auth(
    conf: cfg.ConfigOpts, group: str, written: Mapping[_Key, _Written]
) -> dict[str, str]:
    """Return the auth plugin's options; any other key that is not ours is an error."""
    section = {
        key: value for (where, key), (value, _) in written.items() if where == group
    }
    kind = conf[group].auth_type
    plugin = auth_option_names(kind, group) if kind else frozenset[str]()
    ours = {option.dest for option in dict(list_opts())[group]}
    for key in section:
        if key not in ours | plugin:
            near = difflib.get_close_matches(key, sorted(ours | plugin), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"[{group}] has an unknown key {key}{hint} (cowpath config lists all)"
            )
    return {key: value for key, value in section.items() if key in plugin}


def _settings(
    conf: cfg.ConfigOpts,
    auths: Mapping[str, Mapping[str, str]],
    written: Mapping[_Key, _Written],
) -> list[Setting]:
    made = [
        Setting(
            group,
            option.dest,
            _text(conf[group][option.dest]),
            _origin(conf, option.dest, group, written),
            option.help,
        )
        for group, options in list_opts()
        for option in options
    ]
    return made + [
        Setting(group, key, value, written[group, key][1], "auth_type's")
        for group, auth in auths.items()
        for key, value in _masked(auth, conf[group].auth_type, group)
    ]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(str(entry) for entry in value)
    # A URL may have been given a password.
    return "" if value is None else _USER_IN_URL.sub(f"{_MASK}@", str(value))


def _masked(auth: Mapping[str, str], kind: str, group: str) -> list[tuple[str, str]]:
    """Return an auth plugin's options in order, the secret ones as stars."""
    told = auth_secret_names(kind, group) if kind else frozenset[str]()
    return [
        (name, _MASK if value and _is_secret(name, told) else _text(value))
        for name, value in sorted(auth.items())
    ]


def _is_secret(name: str, told: frozenset[str]) -> bool:
    # Of keystoneauth's own plugins, v3oauth1 does not say that its keys are secret.
    return name in told or any(word in name for word in _SECRET_WORDS)


def _origin(
    conf: cfg.ConfigOpts, name: str, group: str, written: Mapping[_Key, _Written]
) -> str:
    place = conf.get_location(name, group)
    if place is None:
        return "default"
    match place.location:
        case cfg.Locations.user:
            return written.get((group, name), ("", str(place.detail)))[1]
        case cfg.Locations.environment:
            return f"environment {place.detail}"
        case cfg.Locations.set_override:
            return "command line"
        case _:
            return "default"

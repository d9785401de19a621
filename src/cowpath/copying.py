"""What a glance-api's own files say about its copies."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oslo_config import cfg

from cowpath.core.errors import ConfigError, UsageError
from cowpath.core.model import Bytes, Seconds, StoreName, parse_bytes, store_name
from cowpath.core.transfer import Terms, Verify
from cowpath.options import GLANCE_OPTS, GROUP

_ANY = "*"


@dataclass(frozen=True, slots=True)
class FileImages:
    """A file store of Glance's.

    Attributes:
        folder: Its directory.
        permissions: Of its files, such as 0o640; 0: as the process makes them.
    """

    store: StoreName
    folder: str
    permissions: int = 0

    @property
    def place(self) -> str:
        """Return where it is: two stores of one place are one store."""
        return f"file:{Path(self.folder).resolve()}"

    def has(self, url: str, image: str) -> bool:
        """Tell whether a location is where this store has an image."""
        return url == f"file://{self.folder.rstrip('/')}/{image}"


@dataclass(frozen=True, slots=True)
class RbdImages:
    """An RBD store of Glance's.

    Attributes:
        conf: ceph.conf of the cluster; empty: librados' own default.
        user: The cephx user without `client.`; empty: librados' own default.
        order: Of new images: their objects have 2**order bytes.
        connect_timeout: Seconds to wait for the monitors.
    """

    store: StoreName
    pool: str
    conf: str = ""
    user: str = ""
    order: int = 23
    connect_timeout: Seconds = 30

    @property
    def place(self) -> str:
        """Return where it is: two stores of one place are one store."""
        return f"rbd:{self.conf}:{self.pool}"

    def has(self, url: str, image: str) -> bool:
        """Tell whether a location is where this store has an image, in its cluster."""
        return url.partition("://")[2].split("/")[1:] == [self.pool, image, "snap"]


CopyStore = FileImages | RbdImages


@dataclass(frozen=True, slots=True)
class Limit:
    """How many bytes a second may flow between two stores; `*` is any."""

    source: str
    target: str
    bandwidth: Bytes

    def fits(self, source: StoreName, target: StoreName) -> bool:
        """Tell whether it is about these two."""
        return self.source in (_ANY, source) and self.target in (_ANY, target)


@dataclass(frozen=True, slots=True)
class CopySettings:
    """How images are copied.

    Attributes:
        costs: Of reading a store; those that are not in it cost nothing.
        limits: The first that fits a pair of stores counts.
        copies_dir: Where running copies are noted; empty: below Glance's staging.
        refuse_unknown: A Glance that we do not know must not start.
    """

    verify: Verify = Verify.IMAGE
    costs: Mapping[StoreName, float] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    lanes: int = 16
    copies_dir: str = ""
    refuse_unknown: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """Return what tells these settings from others."""
        costs = tuple(sorted(self.costs.items()))
        return self.verify, costs, self.limits, self.lanes, self.copies_dir

    def terms(self, source: StoreName, target: StoreName) -> Terms:
        """Return how a store's image is copied to another."""
        fitting = (each.bandwidth for each in self.limits if each.fits(source, target))
        return Terms(self.verify, next(fitting, None), self.lanes)


def load(files: Sequence[str]) -> CopySettings:
    """Return what `[cowpath]` of glance-api's files says; later ones win.

    Raises:
        ConfigError: A value is wrong, or the group has an unknown key.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(GLANCE_OPTS, group=GROUP)
    there = [name for name in files if Path(name).is_file()]
    try:
        conf(args=[], project="glance", default_config_files=there)
        _check_keys(there)
        return _settings(conf[GROUP])
    except ConfigError:
        raise
    except (cfg.Error, UsageError, ValueError) as error:
        where = ", ".join(there) or "defaults"
        raise ConfigError(f"[{GROUP}] of {where}: {error}") from error


def _settings(told: cfg.ConfigOpts.GroupAttr) -> CopySettings:
    return CopySettings(
        verify=Verify(told.verify),
        costs=dict(_costs(told.source_costs)),
        limits=tuple(_limits(told.bandwidth)),
        lanes=told.copy_lanes,
        copies_dir=_folder(told.copies_dir),
        refuse_unknown=told.unknown_glance == "refuse",
    )


def _costs(entries: Iterable[str]) -> Iterator[tuple[StoreName, float]]:
    for entry in entries:
        name, equals, cost = entry.partition("=")
        try:
            number = float(cost)
        except ValueError:
            number = -1.0
        if not (equals and 0 <= number < float("inf")):
            raise ConfigError(
                f"[{GROUP}] source_costs has {entry!r}: write STORE=NUMBER, such as "
                f"central=10"
            )
        yield store_name(name.strip()), number


def _limits(entries: Iterable[str]) -> Iterator[Limit]:
    for entry in entries:
        pair, equals, amount = entry.partition("=")
        source, colon, target = (each.strip() for each in pair.partition(":"))
        if not (equals and colon):
            raise ConfigError(
                f"[{GROUP}] bandwidth has {entry!r}: write SOURCE:TARGET=BYTES, such "
                f"as central:edge1=100M"
            )
        for name in {source, target} - {_ANY}:
            store_name(name)
        yield Limit(source, target, parse_bytes(amount))


def _folder(path: str) -> str:
    if path and not Path(path).is_absolute():
        raise ConfigError(f"[{GROUP}] copies_dir is {path!r}: give an absolute path")
    return path


def _check_keys(files: Sequence[str]) -> None:
    ours = {option.dest for option in GLANCE_OPTS}
    for name in files:
        sections: dict[str, dict[str, list[str]]] = {}
        cfg.ConfigParser(name, sections).parse()
        for key in sections.get(GROUP, {}).keys() - ours:
            near = difflib.get_close_matches(key, sorted(ours), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"[{GROUP}] of {name} has an unknown key {key}{hint}")

"""Which configuration files this glance-api has read."""

from pathlib import Path

from oslo_config import cfg

CONF = cfg.CONF


def read_by_glance() -> list[str]:
    """Return them; later ones win."""
    folders = [Path(name) for name in CONF.config_dir or ()]
    dropped = [str(path) for each in folders for path in sorted(each.glob("*.conf"))]
    return [*(CONF.config_file or ()), *dropped]

"""A Glance for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_db import options
from oslo_log import log

from cowpath.doors.glance import later
from tests.glance.inside import world as worlds


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[worlds.World]:
    """Return one with a database and three file stores."""
    # The looks after a copy would come in the midst of another test.
    monkeypatch.setattr(later, "_AFTER", ())
    options.set_defaults(cfg.CONF)
    try:
        log.register_options(cfg.CONF)
    except cfg.ArgsAlreadyParsedError:
        cfg.CONF.reset()
    yield worlds.made(tmp_path)
    cfg.CONF.reset()
    cfg.CONF.clear()

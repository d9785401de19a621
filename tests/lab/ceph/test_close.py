"""A site lets go of its cluster when it is closed, and comes back when it is asked."""

from pathlib import Path
from typing import Any

import pytest

from cowpath import open_site

pytestmark = pytest.mark.ceph


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_closed_site_leaves_no_thread_and_no_descriptor(
    ceph_lab: dict[str, Any],
) -> None:
    with open_site([ceph_lab["sites"]["edge"]]) as site:
        list(site.disks("none-is-called-so"))
    before = _threads(), _descriptors()
    for _ in range(3):
        with open_site([ceph_lab["sites"]["edge"]]) as site:
            for _ in range(2):
                assert list(site.disks("none-is-called-so")) == []
                assert _threads() > before[0]
                site.close()
                assert _threads() == before[0]
    assert (_threads(), _descriptors()) == before

"""A copy takes little memory, however large the image."""

import os
import subprocess
import sys

import pytest

from cowpath.testing.store_fixtures import IMAGE
from tests.lab.ceph.copy_doors import RbdImageDoors

pytestmark = pytest.mark.ceph

_MIB = 2**20
_SIZE = 320 * _MIB
_MOST = 256

_CHILD = """
from pathlib import Path
from cowpath.core.model import Image
from cowpath.core.transfer import Terms
from cowpath.stores.rbd.config import RbdConfig
from cowpath.stores.rbd.copy import RbdImageStore

source, target = RbdImageStore({source!r}), RbdImageStore({target!r})
image, terms = Image({image!r}, size={size!r}), Terms()
for _ in range(3):
    with source.original(image, terms) as original, target.draft(image, terms) as draft:
        assert draft.take(original)
        assert not list(draft.differing(original, original.extents()))
        draft.publish()
    target.withdraw(image)
for line in Path("/proc/self/status").read_text().splitlines():
    if line.startswith("VmHWM:"):
        print(int(line.split()[1]) // 1024)
"""


def test_copies_in_a_row_stay_small(
    copy_source: RbdImageDoors, copy_target: RbdImageDoors
) -> None:
    copy_source.make(IMAGE, os.urandom(_SIZE), order=23)
    copy_source.snapshot(IMAGE)
    program = _CHILD.format(
        source=copy_source.config, target=copy_target.config, image=IMAGE, size=_SIZE
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    peak = int(done.stdout)
    assert peak < _MOST, f"{peak} MiB"

"""A copy takes little memory, however large the image."""

import hashlib
import os
import subprocess
import sys

import pytest

from cowpath.core.transfer import Verify
from cowpath.testing.store_fixtures import IMAGE
from tests.lab.ceph.copy_doors import RbdImageDoors

pytestmark = pytest.mark.ceph

_MIB = 2**20
_SIZE = 320 * _MIB
_MOST = 256

_CHILD = """
from pathlib import Path
from cowpath.clock import SystemClock
from cowpath.core.errors import ConflictError
from cowpath.core.model import Image
from cowpath.core.transfer import Terms, Verify
from cowpath.observers.silence import Silence
from cowpath.provision.transfer import Transfer
from cowpath.stores.rbd.config import RbdConfig
from cowpath.stores.rbd.copy import RbdImageStore

source, target = RbdImageStore({source!r}), RbdImageStore({target!r})
here, there = {source!r}.store, {target!r}.store
image = Image({image!r}, size={size!r}, stores=frozenset([here]), hash={digest!r})
terms = Terms(verify=Verify({verify!r}))
stores = {{here: source, there: target}}
transfer = Transfer(stores, {{}}, lambda *_: terms, SystemClock(), Silence())


def refuse(*_):
    # So that the next one is copied again.
    raise ConflictError("whole, and taken back")


for _ in range(3):
    outcome = transfer.copy(image, [there], all_or_none=True, register=refuse)[there]
    assert "whole, and taken back" in str(outcome), outcome
for line in Path("/proc/self/status").read_text().splitlines():
    if line.startswith("VmHWM:"):
        print(int(line.split()[1]) // 1024)
"""


@pytest.mark.parametrize("verify", [Verify.IMAGE, Verify.TRANSFER])
def test_copies_in_a_row_stay_small(
    copy_source: RbdImageDoors, copy_target: RbdImageDoors, verify: Verify
) -> None:
    data = os.urandom(_SIZE)
    copy_source.make(IMAGE, data, order=23)
    copy_source.snapshot(IMAGE)
    program = _CHILD.format(
        source=copy_source.config,
        target=copy_target.config,
        image=IMAGE,
        size=_SIZE,
        digest=f"sha512:{hashlib.sha512(data).hexdigest()}",
        verify=verify.value,
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.splitlines()[-1])
    assert peak < _MOST, f"{peak} MiB"

"""A guest that does nothing but use its disk, and says how long each use takes.

QEMU as libvirt would start it: an RBD disk by virtio, without a cache. Its initramfs is
the one of the lab's guests, with `guest_probe.c` as its only program.
"""

import gzip
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import rbd

from benchmarks.cold_clusters import Cluster
from benchmarks.guest_figures import Latencies, told
from lab.guest_boot import FIRST_MIB, boot_part, cpio
from lab.layout import Layout
from lab.waiting import wait_until

_DISK, _POOL = "bench-probe", "vms"
_MIB = 1024**2
_DISK_BYTES = 64 * _MIB
_UP_WITHIN_SECONDS = 120
_PROBE = Path(__file__).with_name("guest_probe.c")
_RUNNABLE = 0o100755
_KERNEL = "console=ttyS0 quiet nokaslr mitigations=off tsc=unstable panic=5"


class Probe:
    """A running guest; it says a line for every few uses of its disk."""

    def __init__(self, console: Path, qemu: "subprocess.Popen[bytes]") -> None:
        self._console, self._qemu = console, qemu

    def wait_for_lines(self, number: int) -> None:
        """Return when it has said so many lines.

        Raises:
            RuntimeError: It does not.
        """
        if not wait_until(
            lambda: self._qemu.poll() is not None or len(self._lines()) >= number,
            within_seconds=_UP_WITHIN_SECONDS,
        ):
            raise RuntimeError(f"The guest is silent: see {self._console}")
        if self._qemu.poll() is not None:
            raise RuntimeError(f"The guest ended: {self._console.read_text()[-500:]}")

    def wait_for_uses(self, mark: int, number: int) -> None:
        """Return when it has used its disk so often since a mark."""
        wait_until(
            lambda: self._qemu.poll() is not None or self._uses(mark) >= number,
            within_seconds=_UP_WITHIN_SECONDS,
        )

    def _uses(self, mark: int) -> int:
        felt = self.since(mark)
        return len(felt.reads) + len(felt.writes)

    def mark(self) -> int:
        """Return which line will be the first of uses that begin from now on."""
        # What it is about to say began before.
        return len(self._lines()) + 1

    def since(self, mark: int) -> Latencies:
        """Return what it felt since a mark, as far as it has said so."""
        return told(self._lines()[mark:])

    def _lines(self) -> list[str]:
        text = self._console.read_text(errors="replace")
        return [line for line in text.splitlines() if line.startswith("LATENCY")]


@contextmanager
def probe(cluster: Cluster, lab: Layout) -> Iterator[Probe]:
    """Give a running guest whose disk lies in a cluster.

    Args:
        cluster: Which one.
        lab: The cluster's.
    """
    with _folder(lab.bench("probe").home) as folder, _disk(cluster):
        console = folder / "console"
        console.touch()
        kernel, initrd = _boot(folder, boot_part(lab.cache))
        with subprocess.Popen(  # noqa: S603
            _qemu(cluster, kernel, initrd, console),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        ) as qemu:
            try:
                running = Probe(console, qemu)
                running.wait_for_lines(3)
                yield running
            finally:
                qemu.kill()


@contextmanager
def _folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder, where the lab looks for what was left."""
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        rmtree(folder)


@contextmanager
def _disk(cluster: Cluster) -> Iterator[None]:
    """Give a disk that is written all over."""
    cluster.drop(_POOL, _DISK)
    with cluster.pool(_POOL) as pool:
        rbd.RBD().create(pool, _DISK, _DISK_BYTES)
        with rbd.Image(pool, _DISK) as opened:
            for offset in range(0, _DISK_BYTES, _MIB):
                opened.write(b"\1" * _MIB, offset)
    try:
        yield
    finally:
        cluster.drop(_POOL, _DISK)


def _boot(folder: Path, boot: Path) -> tuple[Path, Path]:
    """Return a kernel, and an initramfs that begins with the probe."""
    program, initrd = folder / "probe", folder / "initrd.gz"
    compiler = ["cc", "-O2", "-static", "-o", str(program), str(_PROBE)]
    partition = f"{boot}@@{FIRST_MIB}M"
    copy = ["mcopy", "-i", partition, "::vmlinuz", "::initrd.gz", str(folder)]
    for command in (compiler, copy):
        subprocess.run(command, check=True)  # noqa: S603
    ours = cpio([("init", _RUNNABLE, program.read_bytes())])
    # The kernel unpacks one archive after the other; a later file replaces an earlier.
    with initrd.open("ab") as whole:
        whole.write(gzip.compress(ours))
    return folder / "vmlinuz", initrd


def _qemu(cluster: Cluster, kernel: Path, initrd: Path, console: Path) -> list[str]:
    disk = f"rbd:{_POOL}/{_DISK}:id=cowpath:conf={cluster.conf}"
    # As the lab's guests: /dev/kvm of a machine that is a guest itself may hang.
    accelerator = ("-accel", "tcg")
    return [
        *("qemu-system-x86_64", *accelerator, "-m", "128", "-nodefaults"),
        *("-display", "none", "-serial", f"file:{console}"),
        *("-kernel", str(kernel), "-initrd", str(initrd), "-append", _KERNEL),
        *("-drive", f"file={disk},format=raw,if=virtio,cache=none"),
    ]

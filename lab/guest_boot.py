"""The part that all guest images share: a boot loader, a kernel and an initramfs.

It is the first 25 MiB of a disk: an MBR and a FAT16 partition with syslinux. Made
without root, mounts or loop devices, and once: it lies in the lab's cache.
"""

import gzip
import hashlib
import lzma
import platform
import stat
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab.errors import LabError
from lab.files import alone
from lab.packages import busybox, kernel_package
from lab.programs import clean_environment, need, run

MIB = 1024 * 1024
FIRST_MIB = 1
FAT_MIB = 24
SIZE_MIB = FIRST_MIB + FAT_MIB

_SECTORS_IN_MIB = 2048
_BOOT_CODE_BYTES = 440
_PARTITION_TABLE_AT = 446
_INIT = Path(__file__).with_name("guest_init.sh")
# In the order in which they depend on each other; a kernel may have them built in.
_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
)
_SYSLINUX_CFG = """\
SERIAL 0 115200
DEFAULT guest
PROMPT 0
TIMEOUT 1
LABEL guest
 KERNEL vmlinuz
 APPEND initrd=initrd.gz console=ttyS0 quiet nokaslr mitigations=off \
tsc=unstable random.trust_cpu=on panic=5
"""

Files = dict[str, bytes]


def boot_part(cache: Path) -> Path:
    """Return the shared first part of a guest's disk; make it where it is missing.

    Args:
        cache: The lab's cache.

    Raises:
        LabError: A tool is missing, or no kernel can be downloaded.
    """
    folder = cache / "guest"
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / "boot.lock"):
        return _boot_part(folder)


def _boot_part(folder: Path) -> Path:
    recipe = Path(__file__).read_bytes() + _INIT.read_bytes()
    image = folder / f"boot-{hashlib.sha256(recipe).hexdigest()[:12]}.img"
    if not image.exists():
        if platform.machine() != "x86_64":
            raise LabError("Guests can be made on x86_64 only: they boot by syslinux.")
        kernel, modules = _unpack(_kernel_deb(folder))
        with tempfile.TemporaryDirectory(dir=folder) as name:
            half_made = _assemble(Path(name), kernel, initramfs(modules))
            half_made.replace(image)
    return image


def _kernel_deb(folder: Path) -> Path:
    """Return Debian's kernel package, downloaded but not installed."""
    known = sorted(folder.glob("linux-image-*.deb"))
    if known:
        return known[-1]
    package = kernel_package()
    if package is None:
        raise LabError(
            "apt knows no kernel package for the guests. "
            "Fetch its package lists first: sudo apt-get update"
        )
    with tempfile.TemporaryDirectory(dir=folder) as name:
        run([need("apt-get"), "download", package], cwd=Path(name))
        downloaded = next(Path(name).glob("*.deb"))
        return downloaded.replace(folder / downloaded.name)


def _unpack(deb: Path) -> tuple[bytes, Files]:
    """Return the kernel and the modules that a guest needs of a package."""
    kernel = b""
    modules: Files = {}
    for name, content in _members(deb):
        if name.startswith("vmlinuz-"):
            kernel = content
        else:
            modules[name.partition(".ko")[0]] = _plain(name, content)
    if not kernel:
        message = f"{deb} holds no kernel. Remove it; it will be downloaded again."
        raise LabError(message)
    return kernel, modules


def _members(deb: Path) -> Iterator[tuple[str, bytes]]:
    """Go through what a guest needs of a package: name without folders, content."""
    argv = [need("dpkg-deb"), "--fsys-tarfile", str(deb)]
    with (
        subprocess.Popen(argv, stdout=subprocess.PIPE) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive,
    ):
        for member in archive:
            name = Path(member.name).name
            file = archive.extractfile(member) if _is_needed(name) else None
            if file:
                yield name, file.read()


def _is_needed(name: str) -> bool:
    module, dot, _ = name.partition(".ko")
    return name.startswith("vmlinuz-") or bool(dot and module in _MODULES)


def _plain(name: str, content: bytes) -> bytes:
    return lzma.decompress(content) if name.endswith(".xz") else content


def initramfs(modules: Files) -> bytes:
    """Return a compressed initramfs with busybox, our init and kernel modules.

    Args:
        modules: By name, those that the kernel has not built in.

    Raises:
        LabError: There is no static busybox.
    """
    program = busybox()
    if program is None:
        raise LabError("Guests need a static busybox: Debian's busybox-static has it.")
    order = [name for name in _MODULES if name in modules]
    folder = stat.S_IFDIR | 0o755
    runnable = stat.S_IFREG | 0o755
    entries = [
        *((name, folder, b"") for name in ("bin", "proc", "sys", "dev", "modules")),
        ("bin/busybox", runnable, program.read_bytes()),
        ("init", runnable, _INIT.read_bytes()),
        ("modules/order", runnable, "".join(f"{name}\n" for name in order).encode()),
        *((f"modules/{name}", runnable, modules[name]) for name in order),
    ]
    return gzip.compress(cpio(entries), mtime=0)


def cpio(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """Return an archive in cpio's `newc` format.

    Args:
        entries: Name, mode and content of each file and folder.
    """
    archive = bytearray()
    for inode, (name, mode, content) in enumerate(
        [*entries, ("TRAILER!!!", 0, b"")], start=1
    ):
        path = name.encode() + b"\0"
        # inode mode uid gid nlink mtime size devmajor devminor rmajor rminor name check
        numbers = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        archive += b"070701" + b"".join(b"%08X" % number for number in numbers) + path
        archive += bytes(-len(archive) % 4)
        archive += content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


def partition_table() -> bytes:
    """Return the table of an MBR with one active FAT16 partition, and the MBR's end."""
    # Cylinder, head and sector are given as out of range: LBA counts.
    out_of_range = b"\xfe\xff\xff"
    first = FIRST_MIB * _SECTORS_IN_MIB
    sectors = FAT_MIB * _SECTORS_IN_MIB
    entry = b"\x80" + out_of_range + b"\x0e" + out_of_range
    return entry + struct.pack("<II", first, sectors) + bytes(48) + b"\x55\xaa"


def _assemble(folder: Path, kernel: bytes, initrd: bytes) -> Path:
    """Make the boot part in a folder of its own."""
    image = folder / "boot.img"
    with image.open("wb") as disk:
        disk.write(_boot_code())
        disk.seek(_PARTITION_TABLE_AT)
        disk.write(partition_table())
        disk.truncate(SIZE_MIB * MIB)
    (folder / "vmlinuz").write_bytes(kernel)
    (folder / "initrd.gz").write_bytes(initrd)
    (folder / "syslinux.cfg").write_text(_SYSLINUX_CFG, encoding="ascii")
    env = clean_environment(folder, MTOOLS_SKIP_CHECK="1", TMPDIR=str(folder))
    partition = f"{image}@@{FIRST_MIB}M"
    sectors = str(FAT_MIB * _SECTORS_IN_MIB)
    hidden = str(FIRST_MIB * _SECTORS_IN_MIB)
    shape = ["-T", sectors, "-h", "16", "-s", "63", "-H", hidden, "-c", "4"]
    run([need("mformat"), "-i", partition, *shape, "-v", "GUEST", "::"], env=env)
    names = ("vmlinuz", "initrd.gz", "syslinux.cfg")
    sources = [str(folder / name) for name in names]
    run([need("mcopy"), "-i", partition, *sources, "::"], env=env)
    run([need("syslinux"), "-t", str(FIRST_MIB * MIB), "-i", str(image)], env=env)
    return image


def _boot_code() -> bytes:
    places = (Path("/usr/lib/SYSLINUX/mbr.bin"), Path("/usr/lib/syslinux/mbr/mbr.bin"))
    for place in places:
        if place.exists():
            return place.read_bytes()[:_BOOT_CODE_BYTES]
    raise LabError("syslinux's mbr.bin is missing: Debian's package syslinux has it.")

"""A file store in two directories, and hands that do not lead through it."""

import subprocess
from pathlib import Path

from cowpath.clock import SystemClock
from cowpath.core.model import (
    Bytes,
    Disk,
    FileSource,
    Image,
    ImageId,
    Location,
    StoreName,
)
from cowpath.stores.file.config import FileConfig
from cowpath.stores.file.store import FileStore

EDGE = StoreName("edge1")


class Site:
    def __init__(self, home: Path) -> None:
        self.images = home / "images of 100%"
        self.disks = home / "disks"
        self.bases = self.disks / "bases"
        self.images.mkdir()
        config = FileConfig(EDGE, str(self.images), str(self.disks))
        self.store = FileStore(config, SystemClock())

    def put(self, image: ImageId, data: bytes) -> None:
        (self.images / image).write_bytes(data)

    def remove(self, image: ImageId) -> None:
        (self.images / image).unlink()

    def image(self, image: ImageId, size: int, *, shown: bool = True) -> Image:
        place = Location(f"file://{self.images}/{image}", EDGE)
        places = (place,) if shown else ()
        return Image(image, size=Bytes(size), locations=places)

    def read(self, disk: Disk) -> bytes:
        raw = self.disks.with_name("raw")
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path_of(disk), raw)
        return raw.read_bytes()


def path_of(disk: Disk) -> str:
    assert isinstance(disk.source, FileSource)
    return disk.source.path


def run(*command: str | Path) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout

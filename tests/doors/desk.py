"""A site in a temporary directory, and commands there."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cowpath.doors.cli.main import main
from tests.doors.canned import TOKEN, CannedGlance

IMAGE = "6f2e1c0a-0000-4000-8000-00000000000a"


@dataclass(frozen=True, slots=True)
class Ran:
    """What one command left.

    Attributes:
        code: Its exit code.
    """

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return the one JSON document on stdout; anything more is an error."""
        return json.loads(self.out)


class Desk:
    """The command line at a site of its own."""

    def __init__(self, home: Path, glance: CannedGlance) -> None:
        self.images, self.disks = home / "store", home / "disks"
        self.images.mkdir()
        self.disks.mkdir()
        self.conf = home / "site.conf"
        self.clouds = home / "clouds.yaml"
        self.glance = glance
        self.write_conf()
        self.write_clouds()

    def write_conf(self, libvirt: str = "", **own: str) -> None:
        """Write the site's configuration; `own` goes into [cowpath]."""
        keys = {
            "store_kind": "file",
            "images_dir": str(self.images),
            "disks_dir": str(self.disks),
            "auth_type": "admin_token",
            "endpoint": self.glance.url,
            "token": TOKEN,
            "endpoint_override": self.glance.url,
        } | own
        lines = [f"{key} = {value}" for key, value in keys.items() if value]
        self.conf.write_text(
            f"[libvirt]\nimages_rbd_glance_store_name = edge1\n{libvirt}\n"
            "[cowpath]\n" + "\n".join(lines) + "\n",
            encoding="utf-8",
        )

    def write_clouds(self, token: str = TOKEN) -> None:
        """Write clouds.yaml with the one cloud `canned`."""
        cloud = {
            "auth_type": "admin_token",
            "auth": {"endpoint": self.glance.url, "token": token},
            "image_endpoint_override": self.glance.url,
        }
        told = json.dumps({"clouds": {"canned": cloud}})
        self.clouds.write_text(told, encoding="utf-8")

    def place(self, ident: str = IMAGE, content: bytes = bytes(2**20)) -> None:
        """Put an image's bytes where this site's Glance store has them."""
        (self.images / ident).write_bytes(content)

    def let_copies_arrive(self, *refused: str) -> None:
        """Have copies come by themselves, half and then all, but to `refused`."""
        one_at_a_time = threading.Lock()

        def take(image: dict[str, Any], store: str) -> None:
            image["os_glance_import_task"] = "task-1"
            told = [*_names(image, "os_glance_importing_to_stores"), store]
            image["os_glance_importing_to_stores"] = ",".join(told)
            if store == "edge1":
                self.place(image["id"], bytes(2**19))
            # Cowpath looks at the store, then at Glance, and half a second later again:
            # that half of it is there is seen, however slow the machine is.
            soon = threading.Timer(0.1, end, (image, store))
            self.glance.looks.append(soon.start)

        def end(image: dict[str, Any], store: str) -> None:
            with one_at_a_time:
                if store == "edge1" and store not in refused:
                    self.place(image["id"])
                word = "os_glance_failed_import" if store in refused else "stores"
                image[word] = ",".join([*_names(image, word), store])
                going = _names(image, "os_glance_importing_to_stores")
                going.remove(store)
                image["os_glance_importing_to_stores"] = ",".join(going)
                if not going:
                    del image["os_glance_import_task"]

        self.glance.taken = take

    def hold_copies(self) -> None:
        """Have every copy begin and never end."""

        def hold(image: dict[str, Any], store: str) -> None:
            image["os_glance_import_task"] = "task-1"
            told = [*_names(image, "os_glance_importing_to_stores"), store]
            image["os_glance_importing_to_stores"] = ",".join(told)

        self.glance.taken = hold

    def argv(self, *words: str | bytes) -> list[str | bytes]:
        """Return a command of a process of its own."""
        given = [sys.executable, "-m", "cowpath", "--config-file", str(self.conf)]
        return [*given, *words]

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of such a process."""
        return clean() | {"OS_CLIENT_CONFIG_FILE": str(self.clouds), "COLUMNS": "200"}

    def spawn(self, *words: str | bytes) -> Ran:
        """Run a command in a process of its own."""
        done = subprocess.run(
            self.argv(*words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def everything(self) -> list[tuple[str, int]]:
        """Return what is in both directories, to see whether it changed."""
        found = [*self.images.rglob("*"), *self.disks.rglob("*")]
        return sorted((str(path), path.lstat().st_size) for path in found)


class Cowpath:
    """Runs commands in this process, which is quick."""

    def __init__(self, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
        self._desk = desk
        self._capsys = capsys

    def __call__(self, *words: str) -> Ran:
        """Run a command at the site."""
        return self.bare("--config-file", str(self._desk.conf), *words)

    def bare(self, *words: str) -> Ran:
        """Run a command as it is."""
        code = main([*words])
        said = self._capsys.readouterr()
        return Ran(code, said.out, said.err)


def _names(image: dict[str, Any], key: str) -> list[str]:
    return list(filter(None, image.get(key, "").split(",")))


def clean() -> dict[str, str]:
    """Return our environment without anything that a cloud's user may have set.

    Nor what the terminal is that the tests run in: Rich draws no bars on a dumb one.
    """
    ours = ("OS_", "COWPATH_", "TERM")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}

"""`make demo`: an image in another store becomes a running guest at this site."""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from lab import verbs
from lab.errors import LabError
from lab.files import alone
from lab.files_lab import FilesLab
from lab.image_service import ImageService
from lab.kinds import KINDS
from lab.programs import need, run
from lab.waiting import Stopwatch, wait_until

_CLOUD = "lab-admin"
_MEMORY = "192M"
_MIB = 1024**2
_SETTLED_WITHIN_SECONDS = 5
_KINDS = {
    "ceph": "two Ceph clusters, one Glance",
    "files": "file stores; where Ceph can be had (`python3 -m lab best` says so, "
    "`python3 -m lab packages --for ceph` what is missing), KIND=ceph",
}


@dataclass(frozen=True, slots=True)
class Boot:
    """What one boot took and cost.

    Attributes:
        seconds: From the command to the guest's power-off.
        steps: When each step was done, as cowpath says.
        requests: That Glance answered meanwhile.
        copies: That Glance was asked to make meanwhile.
        used: Bytes the disk takes on disk.
        base: The path of its base.
    """

    name: str
    seconds: float
    steps: str
    requests: int
    copies: int
    used: int
    base: str


class Demo:
    """One run, on a lab that is up."""

    def __init__(self, facts: Mapping[str, object]) -> None:
        self._facts = json.loads(json.dumps(facts))
        glance = self._facts["glance"]
        self._glance = ImageService(glance["url"], Path(glance["access_log"]))
        # One that the image is not uploaded to.
        elsewhere = set(self._facts["sites"]) - {self._facts["default_store"]}
        self._site = min(elsewhere)
        self._image = f"demo-{uuid4().hex[:6]}"

    def play(self) -> None:
        """Upload, boot, boot again, and print what it took."""
        watch = Stopwatch()
        guest = self._facts["guest"]
        store = self._facts["default_store"]
        say(f"uploading the guest as qcow2 to store {store} only")
        image = self._glance.upload(
            self._image, Path(guest["qcow2"]), disk_format="qcow2", store=store
        )
        uploaded = watch.seconds
        before = self._glance.show(image)
        say(f"Glance has it as {before['disk_format']}, in stores: {before['stores']}")
        first = self._boot(1)
        second = self._boot(2)
        after = self._glance.show(image)
        self._check(first, second)
        third = self._another_disk()
        _table(
            ("image", f"{self._image} ({image})"),
            ("uploaded", f"as qcow2, kept as {after['disk_format']}"),
            ("was in", before["stores"]),
            ("is in", after["stores"]),
            ("upload and conversion", f"{uploaded:.1f} s"),
            *_rows("first guest", first),
            *_rows("second guest", second),
            ("a third disk, not booted", f"{third['used']} bytes beyond the base"),
            ("base of all three", first.base),
            *self._parents(first, second),
            ("marker and data md5", f"as uploaded ({guest['data_md5']})"),
        )
        self._farewell()

    def _boot(self, number: int) -> Boot:
        name = f"{self._image}-{number}"
        say(f"booting guest {number} at site {self._site}")
        requests, copies = self._glance.requests(), self._copies()
        watch = Stopwatch()
        boot = self._cowpath("boot", self._image, "--name", name)
        steps = self._watch_console(boot)
        seconds = watch.seconds
        disk = self._disk(name)
        return Boot(
            name,
            seconds,
            steps,
            self._glance.requests() - requests,
            self._copies() - copies,
            int(disk["used"]),
            str(disk["base"]),
        )

    def _another_disk(self) -> Mapping[str, Any]:
        """Make a disk that nobody boots: what a clone costs before it is written."""
        say("making a third disk")
        name = f"{self._image}-3"
        run(self._cowpath("disk", "create", self._image, name), env=self._environment())
        return self._disk(name)

    def _parents(self, *boots: Boot) -> list[tuple[str, object]]:
        """Return each disk's parent in the words of the storage's own tool."""
        return [(f"{boot.name} lies on", self._parent(boot.name)) for boot in boots]

    def _parent(self, name: str) -> str:
        clusters = self._facts.get("clusters")
        if not clusters:
            path = Path(self._facts["disks"][self._site]) / f"{name}.qcow2"
            info = ["qemu-img", "info", "-f", "qcow2", "--output=json", str(path)]
            found = json.loads(run([need(info[0]), *info[1:]]))
            return f"{found['backing-filename']} (qemu-img info)"
        who = ["-c", clusters[self._site]["conf"], "--id", "cowpath"]
        told = run([need("rbd"), *who, "info", f"vms/{name}", "--format=json"])
        parent = json.loads(told)["parent"]
        snapshot = f"{parent['pool']}/{parent['image']}@{parent['snapshot']}"
        return f"{snapshot} (rbd info)"

    def _watch_console(self, command: list[str]) -> str:
        """Run a boot, show and check the guest's console; return the last line."""
        command += ["--memory", _MEMORY, "--console"]
        print(f"$ cowpath {' '.join(command[command.index('boot') :])}")
        sys.stdout.flush()
        seen = bytearray()
        with subprocess.Popen(
            command, env=self._environment(), stdout=subprocess.PIPE
        ) as running:
            while running.stdout and (chunk := os.read(running.stdout.fileno(), 4096)):
                seen += chunk
                sys.stdout.buffer.write(chunk)
                sys.stdout.flush()
        if running.returncode:
            raise LabError(f"cowpath boot failed with exit code {running.returncode}.")
        console = seen.decode(errors="replace")
        self._prove(console)
        return console.rstrip().rpartition("\n")[2].partition(": ")[2]

    def _prove(self, console: str) -> None:
        guest = self._facts["guest"]
        booted = re.search(rf"{guest['marker']} (\S+)", console)
        data = re.search(r"GUEST-DATA-MD5 \S+ ([0-9a-f]{32})", console)
        if not booted or booted[1] != guest["uuid"]:
            raise LabError(
                f"The guest did not print {guest['marker']} {guest['uuid']}."
            )
        if not data or data[1] != guest["data_md5"]:
            raise LabError(
                f"The guest's data is not what was uploaded: {data and data[1]}."
            )

    def _check(self, first: Boot, second: Boot) -> None:
        if (first.copies, second.copies) != (1, 0):
            raise LabError(
                f"Expected one copy and then none: {first.copies}, {second.copies}."
            )
        if first.base != second.base:
            raise LabError(f"Two bases: {first.base} and {second.base}.")

    def _copies(self) -> int:
        text = self._glance.access_log.read_text()
        return len(re.findall(r"^POST \S+/import 202 ", text, re.MULTILINE))

    def _disk(self, name: str) -> Mapping[str, Any]:
        # QEMU may hold the disk for a moment after the guest's power-off.
        show = self._cowpath("disk", "show", name, "--json")
        said: list[str] = []

        def readable() -> bool:
            try:
                said.append(run(show, env=self._environment()))
            except LabError:
                return False
            return True

        if not wait_until(readable, within_seconds=_SETTLED_WITHIN_SECONDS):
            raise LabError(f"Disk {name} cannot be shown: {' '.join(show)}")
        found: Mapping[str, Any] = json.loads(said[-1])
        return found

    def _cowpath(self, *words: str) -> list[str]:
        here = Path(sys.executable).parent / "cowpath"
        conf = self._facts["sites"][self._site]
        return [str(here), "--config-file", conf, "--os-cloud", _CLOUD, *words]

    def _environment(self) -> dict[str, str]:
        clouds = {"OS_CLIENT_CONFIG_FILE": self._facts["clouds_yaml"]}
        return {**os.environ, **clouds}

    def _farewell(self) -> None:
        conf = self._facts["sites"][self._site]
        print(
            f"\nThe lab goes on (make lab-down stops it). Try:\n"
            f"  export OS_CLIENT_CONFIG_FILE={self._facts['clouds_yaml']} "
            f"OS_CLOUD={_CLOUD} COWPATH_CONFIG_FILE={conf}\n"
            f"  .venv/bin/cowpath image list\n"
            f"  .venv/bin/cowpath disk list"
        )


def say(text: str) -> None:
    """Print a step."""
    print(f"\n=== {text}", flush=True)


def _rows(which: str, boot: Boot) -> list[tuple[str, object]]:
    copied = "one copy, " if boot.copies else "no copy, "
    requests = f"{boot.requests} Glance request{'s' if boot.requests != 1 else ''}"
    return [
        (which, f"{copied}{requests}"),
        (f"{which}'s steps", f"{boot.steps}, powered off {boot.seconds:.1f} s"),
        (f"{which}'s disk", f"{boot.used / _MIB:.1f} MiB beyond the base"),
    ]


def _table(*rows: tuple[str, object]) -> None:
    say("what was where, what it took, what it cost")
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"  {name:{width}}  {value}")


def main() -> int:
    """Start the lab where it is not up, and play."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=sorted(_KINDS), default=FilesLab.kind)
    lab = KINDS[parser.parse_args().kind]()
    say(f"starting the lab, kind {lab.layout.kind}: {_KINDS[lab.layout.kind]}")
    try:
        with alone(lab.layout.lock):
            verbs.up(lab, print)
        Demo(json.loads(lab.layout.manifest.read_text())).play()
    except (LabError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

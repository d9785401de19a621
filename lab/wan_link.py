"""A long and narrow link: two TUN devices, and this program between them.

Run as a script, as root, in a network namespace of its own, which becomes the far
end: `wan_link.py SHAPE NEAR`. NEAR is the id of a process in the near end's namespace.
The file SHAPE says how long and how narrow, and is read again at SIGHUP: megabits per
second, milliseconds in each direction; without it the link only passes packets on.

The kernel's own netem would do. Many kernels of small machines lack it.
"""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

NEAR_DEVICE, FAR_DEVICE = "wan-near", "wan-far"
NEAR_ADDRESS, FAR_ADDRESS = "10.77.0.1", "10.77.0.2"
# As on the lines between sites that storage has to itself: 0.6 % is headers, not 3.5 %.
MTU = 9000
# Packets, before the program has read them: it may be kept from running for a while.
QUEUE = 4000

CONTROL = "reno"
"""What every kernel has and lets a namespace choose; the machine's own may be another.

With a queue this long it keeps the link full: 199 of 200 Mbit/s, where BBR had 191.
"""

_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_HEADERS = 0x0001 | 0x1000
_BUFFER = MTU + 100
# As a router has it: what comes while so much waits is dropped.
_MOST_WAITING_SECONDS = 0.25
# By so much this program may be late without making the link narrower.
LATE_SECONDS = 0.02
_NICENESS = -15
# What came meanwhile is read, and then what is due is sent.
_BURST = 64
_IDLE_SECONDS = 1.0


class Direction:
    """Packets on their way from one device to the other."""

    def __init__(self, source: int, target: int) -> None:
        self._source, self._target = source, target
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._free_at = 0.0

    @property
    def due(self) -> float | None:
        """When its next packet has arrived; None where none is on its way."""
        return self._waiting[0][0] if self._waiting else None

    def take(self, seconds_per_byte: float, delay: float) -> None:
        """Read what has come; say when it will have arrived."""
        for _ in range(_BURST):
            try:
                packet = os.read(self._source, _BUFFER)
            except BlockingIOError:
                return
            now = time.monotonic()  # noqa: TID251 - the lab's own clock
            begins = max(self._free_at, now - LATE_SECONDS)
            if begins - now > _MOST_WAITING_SECONDS:
                continue
            self._free_at = begins + len(packet) * seconds_per_byte
            self._waiting.append((max(self._free_at, now) + delay, packet))

    def give(self) -> None:
        """Write what has arrived."""
        waiting, now = self._waiting, time.monotonic()  # noqa: TID251
        while waiting and waiting[0][0] <= now:
            # A device that is not up yet takes nothing: the packet is lost.
            with suppress(OSError):
                os.write(self._target, waiting.popleft()[1])


class Shape:
    """How narrow and how long the link is, as its file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.seconds_per_byte = self.delay = 0.0
        self.read()

    def read(self, *_: object) -> None:
        """Read the file."""
        words = self._file.read_text().split() if self._file.exists() else []
        mbit, milliseconds = map(float, words or ("0", "0"))
        self.seconds_per_byte = 8e-6 / mbit if mbit else 0.0
        self.delay = milliseconds / 1000


def carry(near: int, far: int, shape: Shape) -> None:
    """Carry packets for ever."""
    ways = {near: Direction(near, far), far: Direction(far, near)}
    while True:
        dues = [way.due for way in ways.values() if way.due is not None]
        now = time.monotonic()  # noqa: TID251
        pause = max(0.0, min(dues) - now) if dues else _IDLE_SECONDS
        ready, _, _ = select.select([near, far], [], [], pause)
        for device in ready:
            ways[device].take(shape.seconds_per_byte, shape.delay)
        for way in ways.values():
            way.give()


def _open(device: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH22x", device.encode(), _TUN_WITHOUT_HEADERS)
    fcntl.ioctl(descriptor, _TUNSETIFF, request)
    return descriptor


def ip(*words: str) -> None:
    """Run `ip`."""
    subprocess.run(["/sbin/ip", *words], check=True)


def settle(device: str, address: str) -> None:
    """Give a device of this namespace its address."""
    _CONTROL.write_text(CONTROL)
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{address}/24", "dev", device)
    ip("link", "set", device, "mtu", str(MTU), "txqueuelen", str(QUEUE), "up")


def main(file: Path, near_end: int) -> None:
    """Make the devices and carry packets.

    Args:
        file: Which says the link's shape.
        near_end: A process in the other namespace.
    """
    shape = Shape(file)
    signal.signal(signal.SIGHUP, shape.read)
    os.nice(_NICENESS)
    near, far = _open(NEAR_DEVICE), _open(FAR_DEVICE)
    ip("link", "set", NEAR_DEVICE, "netns", str(near_end))
    settle(FAR_DEVICE, FAR_ADDRESS)
    carry(near, far, shape)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

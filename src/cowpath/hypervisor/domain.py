"""Guests under libvirt; the only module that imports libvirt."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Generic, TypeVar

import libvirt

from cowpath.core.errors import (
    ConflictError,
    CowpathError,
    ForbiddenError,
    HypervisorError,
    NotFoundError,
    UnavailableError,
)
from cowpath.core.model import Disk, Guest, Seconds
from cowpath.hypervisor import xml
from cowpath.hypervisor.config import LibvirtConfig

_CHUNK_BYTES = 4096
_ANSWER: Seconds = 30
"""For what libvirtd knows by itself: who exists."""
_WORK: Seconds = 180
"""For what QEMU must do: a large guest takes its time to start."""

_Answer = TypeVar("_Answer")

_AWAY = frozenset(
    {
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_INVALID_CONN,
    }
)
_REFUSED = frozenset(
    {
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
        libvirt.VIR_ERR_ACCESS_DENIED,
        libvirt.VIR_ERR_OPERATION_DENIED,
    }
)
_TAKEN = frozenset({libvirt.VIR_ERR_DOM_EXIST})


class LibvirtHypervisor:
    """Runs guests through one libvirt connection, opened when first needed."""

    def __init__(self, config: LibvirtConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._open: libvirt.virConnect | None = None
        # Without this libvirt prints every error to stderr by itself.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)

    def __repr__(self) -> str:
        return f"LibvirtHypervisor({self._config.uri})"

    def disk_xml(self, disk: Disk) -> str:
        """Return libvirt's `<disk>` element of `disk`; asks nobody."""
        return xml.disk_xml(disk, self._config.disks)

    def check_name(self, name: str) -> None:
        """Accept a name that no domain has yet.

        Raises:
            ConflictError: A domain of that name exists.
        """
        with suppress(NotFoundError):
            self._result(f"looking for guest {name}", _Call(lambda: self._domain(name)))
            raise ConflictError(
                f"a domain {name} exists at {self._config.uri}: choose another name, "
                f"or remove it first (virsh undefine {name})"
            )

    def start(self, guest: Guest) -> None:
        """Define a domain and start it paused; all or nothing.

        Raises:
            ConflictError: A domain of that name exists.
            HypervisorError: libvirt or QEMU refuses it.
        """
        self.check_name(guest.name)
        described = xml.domain_xml(
            guest, self._config.disks, virt_type=self._config.virt_type
        )
        given_up = threading.Event()
        call = _Call(lambda: self._start(described, given_up))
        try:
            self._result(f"starting guest {guest.name}", call, _WORK)
        except BaseException:
            # We were interrupted, or time is up: what still starts is removed again.
            given_up.set()
            call.wait(_ANSWER)
            raise

    def resume(self, name: str) -> None:
        """Let a paused domain run.

        Raises:
            NotFoundError: There is no such domain.
        """
        call = _Call(lambda: self._domain(name).resume())
        self._result(f"resuming guest {name}", call, _WORK)

    def console(self, name: str) -> Iterator[bytes]:
        """Attach to the domain's serial console; yield what it writes until it ends.

        Raises:
            NotFoundError: There is no such domain.
            ConflictError: Somebody else is attached.
        """
        call = _Call(lambda: self._stream(name))
        stream = self._result(f"opening the console of guest {name}", call)
        return _Console(stream).chunks()

    def discard(self, name: str) -> None:
        """Stop and undefine the domain; absent is fine. Its disk stays."""
        with suppress(NotFoundError):
            call = _Call(lambda: _remove(self._domain(name)))
            self._result(f"removing guest {name}", call, _WORK)

    def _start(self, described: str, given_up: threading.Event) -> None:
        domain = self._connection().defineXML(described)
        try:
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        except BaseException:
            # Why it did not start is what counts.
            with suppress(libvirt.libvirtError):
                domain.undefine()
            raise
        if given_up.is_set():
            _remove(domain)

    def _stream(self, name: str) -> libvirt.virStream:
        # A connection of its own: where one thread waits in recv(), a call of
        # another on the same connection may wait for ever. Seen with libvirt
        # 9.0 in one boot of nine: resume() hung and the guest stayed paused.
        connection = libvirt.open(self._config.uri)
        stream = connection.newStream()
        connection.lookupByName(name).openConsole(None, stream)
        return stream

    def _domain(self, name: str) -> libvirt.virDomain:
        return self._connection().lookupByName(name)

    def _connection(self) -> libvirt.virConnect:
        with self._lock:
            if self._open is None or not self._open.isAlive():
                self._open = libvirt.open(self._config.uri)
            return self._open

    def _result(
        self, doing: str, call: "_Call[_Answer]", within: Seconds | None = None
    ) -> _Answer:
        bound = _ANSWER if within is None else within
        try:
            return call.result(bound)
        except TimeoutError as error:
            uri = self._config.uri
            raise UnavailableError(
                f"{doing}: libvirt at {uri} did not answer within {bound:.0f} s, and "
                f"may still do it: see whether libvirtd is stopped or overloaded, "
                f"then look what there is (virsh -c '{uri}' list --all)"
            ) from error
        except libvirt.libvirtError as error:
            raise self._meaning(doing, error) from error

    def _meaning(self, doing: str, error: libvirt.libvirtError) -> CowpathError:
        code, uri = error.get_error_code(), self._config.uri
        words = error.get_error_message() or str(error)
        if code == libvirt.VIR_ERR_NO_DOMAIN:
            return NotFoundError(f"{doing}: there is no such domain at {uri}")
        if code in _TAKEN:
            return ConflictError(f"{doing}: {words}")
        if code in _REFUSED:
            return ForbiddenError(f"{doing}: libvirt at {uri} refuses us: {words}")
        if code in _AWAY:
            return UnavailableError(
                f"{doing}: libvirt at {uri} did not do it: {words}. Is libvirtd "
                f"running, and is connection_uri right?"
            )
        return HypervisorError(f"{doing}: libvirt at {uri} says: {words}")


def _remove(domain: libvirt.virDomain) -> None:
    if domain.isActive():
        domain.destroy()
    domain.undefine()


class _Call(Generic[_Answer]):
    """A call of libvirt in a thread of its own, so that we need not wait for ever.

    Keepalive messages would not do: they begin when the connection stands, and a
    libvirtd that is stopped lets us wait for that already. They also need libvirt's
    event loop, of which a process has one, and it may be another's.
    """

    def __init__(self, work: Callable[[], _Answer]) -> None:
        self._done: Future[_Answer] = Future()
        # No executor: a process waits for its threads when it ends.
        threading.Thread(
            target=self._run, args=(work,), daemon=True, name="libvirt"
        ).start()

    def result(self, within: Seconds) -> _Answer:
        """Return what the call returns, or raise what it raises.

        Raises:
            TimeoutError: It goes on.
        """
        return self._done.result(within)

    def wait(self, within: Seconds) -> None:
        """Wait until it has ended, or time is up."""
        wait([self._done], within)

    def _run(self, work: Callable[[], _Answer]) -> None:
        try:
            self._done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the waiting thread's to judge
            self._done.set_exception(error)


class _Console:
    """A console stream, read by a thread so that the reader can be interrupted.

    libvirt's blocking recv() does not return on a signal, and Ctrl-C must work.
    """

    def __init__(self, stream: libvirt.virStream) -> None:
        self._stream = stream
        self._chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True, name="console").start()

    def chunks(self) -> Iterator[bytes]:
        """Yield what arrives until the stream ends."""
        while (chunk := self._chunks.get()) is not None:
            yield chunk

    def _read(self) -> None:
        try:
            # A guest that powers off may end the stream by an error: the same to us.
            with suppress(libvirt.libvirtError):
                while chunk := self._stream.recv(_CHUNK_BYTES):
                    self._chunks.put(chunk)
        finally:
            self._chunks.put(None)

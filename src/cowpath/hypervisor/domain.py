"""Guests under libvirt; the only module that imports libvirt."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import libvirt

from cowpath.core.errors import (
    ConflictError,
    CowpathError,
    ForbiddenError,
    HypervisorError,
    NotFoundError,
    UnavailableError,
)
from cowpath.core.model import Disk, Guest
from cowpath.hypervisor import xml
from cowpath.hypervisor.config import LibvirtConfig

_CHUNK_BYTES = 4096
_AWAY = {
    libvirt.VIR_ERR_NO_CONNECT,
    libvirt.VIR_ERR_SYSTEM_ERROR,
    libvirt.VIR_ERR_RPC,
    libvirt.VIR_ERR_INVALID_CONN,
}
_REFUSED = {
    libvirt.VIR_ERR_AUTH_FAILED,
    libvirt.VIR_ERR_AUTH_CANCELLED,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    libvirt.VIR_ERR_ACCESS_DENIED,
    libvirt.VIR_ERR_OPERATION_DENIED,
}
_TAKEN = {libvirt.VIR_ERR_DOM_EXIST}


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
            self._domain(name)
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
        with self._translated(f"starting guest {guest.name}"):
            domain = self._connection().defineXML(described)
            try:
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
            except BaseException:
                domain.undefine()
                raise

    def resume(self, name: str) -> None:
        """Let a paused domain run.

        Raises:
            NotFoundError: There is no such domain.
        """
        with self._translated(f"resuming guest {name}"):
            self._domain(name).resume()

    def console(self, name: str) -> Iterator[bytes]:
        """Attach to the domain's serial console; yield what it writes until it ends.

        Raises:
            NotFoundError: There is no such domain.
            ConflictError: Somebody else is attached.
        """
        with self._translated(f"opening the console of guest {name}"):
            # A connection of its own: where one thread waits in recv(), a call of
            # another on the same connection may wait for ever. Seen with libvirt
            # 9.0 in one boot of nine: resume() hung and the guest stayed paused.
            connection = libvirt.open(self._config.uri)
            stream = connection.newStream()
            connection.lookupByName(name).openConsole(None, stream)
        return _Console(stream).chunks()

    def discard(self, name: str) -> None:
        """Stop and undefine the domain; absent is fine. Its disk stays."""
        with suppress(NotFoundError), self._translated(f"removing guest {name}"):
            domain = self._domain(name)
            if domain.isActive():
                domain.destroy()
            domain.undefine()

    def _domain(self, name: str) -> libvirt.virDomain:
        with self._translated(f"looking for guest {name}"):
            return self._connection().lookupByName(name)

    def _connection(self) -> libvirt.virConnect:
        with self._lock:
            if self._open is None or not self._open.isAlive():
                self._open = libvirt.open(self._config.uri)
            return self._open

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
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

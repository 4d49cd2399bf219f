"""A line to a server on this host that can be cut: as good as a server that ends and starts, and there again at once."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self

from tests.processes import free_port

CHUNK_BYTES = 1 << 16


class Line:
    """A port whose connections are passed on to another one; while it is cut, nobody answers there."""

    def __init__(self, to: int) -> None:
        self._to, self._port = to, free_port()
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def mend(self) -> None:
        """Answer."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Answer no more, also not to those who are being answered."""
        for each in (self._listener, *self._open):
            _close(each)
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        for near in _connections(listener):
            with contextlib.suppress(OSError):
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _connections(listener: socket.socket) -> Iterator[socket.socket]:
    with contextlib.suppress(OSError):
        while True:
            yield listener.accept()[0]


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(CHUNK_BYTES):
            other.sendall(data)
    _close(one)
    _close(other)


def _close(line: socket.socket) -> None:
    """Close a socket, and wake whoever waits for it."""
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()

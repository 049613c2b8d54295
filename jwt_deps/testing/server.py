"""An HTTP server on the loopback interface, from the standard library."""

import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Event, Thread, current_thread
from typing import Any, TypeAlias

from jwt_deps.keys import is_loopback_host

from .answers import Answer

#: Maps path and query, and headers, their names in lower case, to an answer.
Respond: TypeAlias = Callable[[str, Mapping[str, str]], Answer]

_POLL = 0.005  # seconds in which `shutdown` takes effect
_WITHOUT_BODY = frozenset({204, 304})


class LoopbackServer:
    """A server that can refuse connections, stop and start again on the same port.

    Args:
        respond: returns the answer to a request; called by many threads.
        host: the loopback address to listen on, or `localhost`.
        port: the port to listen on; 0 picks a free one, which further starts keep.
        ssl_context: serves HTTPS; `None` serves HTTP.

    Raises:
        ValueError: the host is not a loopback address.
    """

    def __init__(
        self,
        respond: Respond,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if not is_loopback_host(host):
            raise ValueError("host is not a loopback address: give 127.0.0.1, ::1 or localhost")
        self._host, self._port = host, port
        self._respond, self._ssl_context = respond, ssl_context
        self._listener: _Listener | None = None

    @property
    def origin(self) -> str:
        """The URL without a path.

        Raises:
            RuntimeError: it was never started, so the port is not known.
        """
        if self._port == 0:
            raise RuntimeError("the port is not known before the start")
        scheme = "https" if self._ssl_context else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}"

    def listen(self) -> None:
        """Answer requests.

        Raises:
            OSError: the port is in use.
        """
        self._bound().start()

    def refuse(self) -> None:
        """Close all connections and refuse new ones; the port stays bound.

        Raises:
            OSError: the port is in use.
        """
        self.close()
        self._bound()

    def close(self) -> None:
        """Close all connections and the port, and end all threads."""
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def _bound(self) -> "_Listener":
        if self._listener is None:
            address = (self._host, self._port)
            self._listener = _Listener(address, self._respond, self._ssl_context)
            self._port = self._listener.server_address[1]
        return self._listener


class _Listener(ThreadingTCPServer):
    """A bound port, which refuses connections until it is started.

    Not `HTTPServer`: it asks the name service for the name of 127.0.0.1.
    """

    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(
        self, address: tuple[str, int], respond: Respond, ssl_context: ssl.SSLContext | None
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._ended = Event()
        super().__init__(address, partial(_Handler, respond, self._ended), bind_and_activate=False)
        self._ssl_context = ssl_context
        self._connections: dict[Thread, socket.socket] = {}
        self._thread: Thread | None = None
        try:
            self.server_bind()
        except OSError:
            self.server_close()
            raise

    def start(self) -> None:
        if self._thread is None:
            self.server_activate()
            self._thread = Thread(target=self.serve_forever, args=(_POLL,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()
        for thread, connection in self._connections.copy().items():
            with suppress(OSError):  # already closed
                # SSLSocket.shutdown would clear the TLS state that the handler's thread is using.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            thread.join()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._ssl_context is not None:
            # The handler's thread does the handshake, because a client may be slow.
            connection = self._ssl_context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        arguments = (request, client_address)
        thread = Thread(target=self.process_request_thread, args=arguments, daemon=True)
        self._connections[thread] = request
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        self._connections.pop(current_thread(), None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # the connection was closed
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, respond: Respond, ended: Event, *connection: Any) -> None:
        self._respond, self._ended = respond, ended
        super().__init__(*connection)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing into the test's output."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self._respond(self.path, headers)
        if self._ended_within(None if answer.hang else answer.delay):
            return
        length = answer.length
        self.send_response(answer.status)
        for name, value in _headers(answer, length).items():
            self.send_header(name, value)
        self.end_headers()
        if answer.status not in _WITHOUT_BODY:
            self._send_body(answer, chunked=length is None)

    def _send_body(self, answer: Answer, *, chunked: bool) -> None:
        for piece in filter(None, answer.pieces()):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if self._ended_within(answer.drip):
                return
        if answer.cut:
            self.close_connection = True
        elif chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _ended_within(self, seconds: float | None) -> bool:
        """Wait, without a limit if `None`, and return whether the server ended meanwhile."""
        if self._ended.wait(seconds):
            self.close_connection = True
            return True
        return False


def _headers(answer: Answer, length: int | None) -> dict[str, str]:
    headers = {}
    if answer.status not in _WITHOUT_BODY:
        if length is None:
            headers["transfer-encoding"] = "chunked"
        else:
            headers["content-length"] = str(length)
        if answer.gzip:
            headers["content-encoding"] = "gzip"
    return {**headers, **answer.headers}

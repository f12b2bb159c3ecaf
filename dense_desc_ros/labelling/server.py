"""The web server behind `dense-desc label`, for one user of this machine.

Other programs, users and web pages of the same machine can reach it too. So it answers only who
knows the token in its address, which is nowhere but there; only if the browser asked for this very
host, which a page of another site that has its name point here did not; and writes only what its
own page sends. The page itself may load nothing from elsewhere and not be framed.
"""

import json
import re
import secrets
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from threading import Lock
from typing import Any

from dense_desc_ros.data.indexed_recording import IndexedFrame
from dense_desc_ros.errors import DataError, InvalidInputError
from dense_desc_ros.labelling.frames import FrameServer
from dense_desc_ros.labelling.label_file import ChangedError, LabelFile, from_json, to_json
from dense_desc_ros.names import NAME

HOST = "127.0.0.1"
MOST_BYTES = 16_000_000  # of what a page may send
IDLE_SECONDS = 30.0  # after which a silent connection is closed
PAGE = "label.html"
FILES = (PAGE, "label.css", "label.js", "drawing.js", "pictures.js", "saving.js")
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class LabelServer(ThreadingHTTPServer):
    """Serves one recording and one file of labels, on this machine only.

    Args:
        port: 0 for any that is free.
        recording: name of the recording, for people.
        frames: of the recording.
        shown: those to label.
        file: of the labels.

    Attributes:
        url: of the page; whoever knows it can label.

    Raises:
        InvalidInputError: the port is taken.
    """

    daemon_threads = True

    def __init__(
        self,
        port: int,
        recording: str,
        frames: FrameServer,
        shown: Sequence[IndexedFrame],
        file: LabelFile,
    ) -> None:
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InvalidInputError(
                f"cannot listen on port {port}: {error}; choose another --port, 0 for any"
            ) from error
        self.recording, self.frames, self.shown, self.file = recording, frames, shown, file
        self.writing = Lock()
        self.token = secrets.token_urlsafe(24)
        self.authority = f"{HOST}:{self.server_port}"
        self.origin = f"http://{self.authority}"
        self.url = f"{self.origin}/{self.token}/"

    def session(self) -> dict[str, Any]:
        """What a page needs to know at first."""
        labels, revision = self.file.read()
        return {
            "recording": self.recording,
            "file": str(self.file.path),
            "names": NAME.pattern,
            "frames": [{"number": each.number, "seconds": each.seconds} for each in self.shown],
            "labels": to_json(labels),
            "revision": revision,
        }

    def save(self, request: Any) -> dict[str, Any]:
        """Write what a page sent: `labels`, and the `revision` that they are to replace.

        Raises:
            DataError: it cannot be used, or not be written.
        """
        if not isinstance(request, dict) or request.keys() != {"labels", "revision"}:
            raise DataError("expected an object of labels and revision")
        labels = from_json(request["labels"], len(self.frames))
        with self.writing:
            return {"revision": self.file.write(labels, request["revision"])}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers close connections whenever they like; anything else is a bug to print."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer
    timeout = IDLE_SECONDS
    server_version, sys_version = "dense-desc", ""

    def do_GET(self) -> None:
        if (path := self._path()) is None:
            return
        if (name := path or PAGE) in FILES:
            file = resources.files("dense_desc_ros.labelling").joinpath("page", name)
            self._send(file.read_bytes(), f"{KINDS[name.rpartition('.')[2]]}; charset=utf-8")
            return
        try:
            if path == "session":
                self._send_json(self.server.session())
            elif match := re.fullmatch(r"frames/(\d{1,9})\.(png|depth)", path, re.ASCII):
                frame = self.server.frames.get(int(match[1]))
                if match[2] == "png":
                    self._send(frame.png, "image/png")
                else:
                    self._send(frame.depth, "application/octet-stream")
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        except DataError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    def do_PUT(self) -> None:
        if (path := self._path()) is None:
            return
        if self.headers.get("Origin") != self.server.origin:
            self._refuse(HTTPStatus.FORBIDDEN, "only the page itself may write")
        elif path != "labels":
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        elif (content := self._content()) is not None:
            try:
                self._send_json(self.server.save(json.loads(content)))
            except ChangedError as error:
                self._refuse(HTTPStatus.CONFLICT, str(error))
            except (DataError, ValueError, RecursionError) as error:
                self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    def _path(self) -> str | None:
        """What is asked for, without the token; None if that is refused, and has been answered."""
        begin, token, path = (self.path.split("/", 2) + ["", ""])[:3]
        is_ours = self.headers.get("Host") == self.server.authority
        is_same = self.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        origin = self.headers.get("Origin", self.server.origin)
        if not (is_ours and is_same and origin == self.server.origin):
            self._refuse(HTTPStatus.FORBIDDEN, "only the page itself may ask")
        elif begin or not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that dense-desc label printed")
        else:
            return path
        return None

    def _content(self) -> bytes | None:
        """What was sent; None if that is refused, and has been answered."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected JSON")
        elif not (length.isascii() and length.isdecimal()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        elif int(length) > MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MOST_BYTES} bytes")
        else:
            return self.rfile.read(int(length))
        return None

    def _send_json(self, content: dict[str, Any]) -> None:
        self._send(json.dumps(content).encode(), "application/json")

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._send(json.dumps({"error": reason}).encode(), "application/json", status)

    def _send(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        headers = HEADERS | {"Content-Type": kind, "Content-Length": str(len(content))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: addresses hold the token."""

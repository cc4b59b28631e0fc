"""A Hugging Face hub of one folder on 127.0.0.1, for tests: what its client asks for and nothing more."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body=True, asked=asked.decode())

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, body: bool, asked: str = "") -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        kind, _, rest = path.removeprefix("/api/").partition("/")
        parts = (rest if path.startswith("/api/") else path.strip("/").removeprefix("datasets/")).split("/")
        repository = "/".join(parts[:2])
        if repository in self.server.refused:
            status, code = self.server.refused[repository]
            return self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code}, body)
        if repository not in self.server.folders:
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
        folder, what = self.server.folders[repository], parts[2] if len(parts) > 2 else ""
        revision = parts[3] if len(parts) > 3 else COMMIT
        if revision != COMMIT:
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
        if what == "resolve":
            return self._send_file(folder, "/".join(parts[4:]), body)
        entries = [_entry(folder, file) for file in sorted(folder.rglob("*")) if file.is_file()]
        if what == "tree":
            below = "/".join(parts[4:])
            return self._send_json([e for e in entries if e["path"].startswith(below)], body)
        if what == "paths-info":
            wanted = parse_qs(asked).get("paths") or json.loads(asked or "{}").get("paths", [])
            return self._send_json([e for e in entries if e["path"] in wanted], body)
        info = {"id": repository, "sha": COMMIT, "private": False, "gated": False, "tags": []}
        info |= {
            "siblings": [{"rfilename": e["path"]} for e in entries],
            "lastModified": "2026-01-01T00:00:00.000Z",
        }
        return self._send_json({**info, "kind": kind}, body)

    def _send_file(self, folder: Path, name: str, body: bool) -> None:
        file = folder / name
        if not file.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, body)
        content = file.read_bytes()
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        status = 200
        if (span := self.headers.get("Range")) and body:
            first, _, last = span.removeprefix("bytes=").partition("-")
            end = min(int(last or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
            content, status = content[int(first) : end + 1], 206
        self._send(status, content, headers | {"Accept-Ranges": "bytes"}, body)

    def _send_json(self, value: object, body: bool) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"}, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)


def _entry(folder: Path, file: Path) -> dict[str, object]:
    content = file.read_bytes()
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "oid": oid, "size": len(content), "path": file.relative_to(folder).as_posix()}


class Hub(ThreadingHTTPServer):
    """Serves folders as repositories at the one commit ``COMMIT``.

    Attributes
    ----------
    folders : folder by name of the repository, for models and data sets alike.
    refused : status and hub error code by name of the repository.
    requests : method and path of all requests so far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folders: dict[str, Path] = {}
        self.refused: dict[str, tuple[int, str]] = {}
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that serves until the end of the context."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()

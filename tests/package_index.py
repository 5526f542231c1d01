"""A package index for tests: what pip's own index has, newer releases of it all, and a record of
who asked."""

from __future__ import annotations

import hashlib
import html
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urljoin

import httpx
from pip._internal.models.index import PyPI

NEWER = "9999"  # a release of every project that only this index has; nobody gets it


def pip_setting(name: str) -> str | None:
    """What this machine's pip is told about *name*, by a file or its environment."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    found: list[str] = re.findall(rf"^\S+\.{name}='(.*)'$", listed.stdout, re.MULTILINE)
    return found[-1] if found else None


class RecordingIndex:
    """Serves /simple/ as PEP 503 has it; links lead back here, so that files are recorded too."""

    def __init__(self) -> None:
        self.projects: set[str] = set()
        self.files: dict[str, str] = {}  # name of each file that was asked for → its SHA-256
        self.url = ""
        self._origin = (pip_setting("index-url") or PyPI.simple_url).rstrip("/")
        context = ssl.create_default_context(cafile=pip_setting("cert"))
        self._client = httpx.Client(verify=context, follow_redirects=True, timeout=60)

    @contextmanager
    def serving(self) -> Iterator[RecordingIndex]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{server.server_port}/simple/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with self._client:
                yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def page(self, project: str) -> bytes:
        """The links of *project*, each leading to :meth:`file`, and one to its newer release."""
        self.projects.add(project)
        answer = self._client.get(f"{self._origin}/{project}/", headers={"Accept": "text/html"})
        answer.raise_for_status()

        def here(link: re.Match[str]) -> str:
            url = urljoin(str(answer.url), html.unescape(link["url"]))
            name = url.rpartition("/")[2]
            return f'href="/file/{url.encode().hex()}/{name}{link["hash"]}"'

        links = re.sub(r'href="(?P<url>[^"#]*)(?P<hash>[^"]*)"', here, answer.text)
        links = re.sub(r' data-(core|dist-info)-metadata="[^"]*"', "", links)
        newer = f"{project.replace('-', '_')}-{NEWER}-py3-none-any.whl"
        return f'{links}<a href="/file/-/{newer}">{newer}</a>'.encode()

    def file(self, encoded: str, name: str) -> bytes:
        self.files[name] = "nowhere"
        if encoded == "-":
            raise FileNotFoundError(name)
        answer = self._client.get(bytes.fromhex(encoded).decode())
        answer.raise_for_status()
        self.files[name] = hashlib.sha256(answer.content).hexdigest()
        return answer.content

    def answer(self, path: str) -> bytes:
        match path.strip("/").split("/"):
            case ["simple", project]:
                return self.page(project)
            case ["file", encoded, name]:
                return self.file(encoded, name)
        raise FileNotFoundError(path)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    body = index.answer(self.path)
                except (FileNotFoundError, httpx.HTTPError) as exc:
                    self.send_error(404, type(exc).__name__)
                    return
                self.send_response(200)
                kind = (
                    "text/html" if self.path.startswith("/simple") else "application/octet-stream"
                )
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """The record is in the index, not on the terminal."""

        return Handler

"""A web app's origin: a server with an empty page, the npm packages and scripts."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.browser import modules

PAGE = """<!doctype html><html lang="en"><title>An app</title><link rel="icon" href="data:,">
<script type="importmap">{import_map}</script><p id="shown"></p>"""


class Site:
    """A server that runs until `stop`; `url` is its origin."""

    def __init__(self) -> None:
        self._scripts: dict[str, bytes] = {}
        self._page = PAGE.format(import_map=modules.import_map()).encode()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                """Serve a file."""
                content, media_type = site._find(self.path) or (b"", "")
                self.send_response(200 if media_type else 404)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "max-age=600")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - named by the base class
                """Do not log."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # a page requests hundreds of modules at once

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def publish(self, name: str, script: str) -> str:
        """Serve `script` as a module and return its path."""
        self._scripts[f"/{name}.js"] = script.encode()
        return f"/{name}.js"

    def stop(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _find(self, path: str) -> tuple[bytes, str] | None:
        if path == "/":
            return self._page, "text/html; charset=utf-8"
        if path in self._scripts:
            return self._scripts[path], "text/javascript"
        return modules.read(path.removeprefix("/npm/")) if path.startswith("/npm/") else None

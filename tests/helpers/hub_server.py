"""A local server that answers as the Hugging Face Hub does, for one repository."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _digest(data):
    return hashlib.sha1(data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer(is_head=True)

    def do_GET(self):
        self._answer(is_head=False)

    def _answer(self, *, is_head):
        name, files = self.server.name, self.server.files
        self.server.requests.append(self.path)
        path = self.path.partition("?")[0]
        info = [f"/api/models/{name}/revision/{r}" for r in ("main", "v1", COMMIT)]
        if path in info:
            siblings = [{"rfilename": file} for file in files]
            content = {"id": name, "sha": COMMIT, "siblings": siblings, "private": False}
            self._send(200, json.dumps(content).encode(), is_head)
            return
        if path == f"/api/models/{name}/tree/{COMMIT}":
            tree = [
                {"type": "file", "path": file, "size": len(data), "oid": _digest(data)}
                for file, data in files.items()
            ]
            self._send(200, json.dumps(tree).encode(), is_head)
            return
        file = path.removeprefix(f"/{name}/resolve/{COMMIT}/")
        if file not in files:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(200, files[file], is_head)

    def _send(self, status, body, is_head):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{_digest(body)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if not is_head:
            self.wfile.write(body)


@contextmanager
def serve_hub(name, folder):
    """Serve a folder as the repository ``name``; yields the server's URL and its requests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.name, server.requests = name, []
    server.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.requests
    finally:
        server.shutdown()
        server.server_close()

"""A server on this machine that speaks what huggingface_hub asks of the Hub."""

import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(BaseHTTPRequestHandler):
    """Answers for the repositories of its server: {"models/owner/name": {file: content}}."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Say nothing."""

    def do_HEAD(self):
        """Headers only."""
        self.answer(with_body=False)

    def do_GET(self):
        """The list of a repository, or a file of one."""
        self.answer(with_body=True)

    def answer(self, with_body):
        path = unquote(self.path.partition("?")[0]).strip("/")
        self.server.asked.append(f"{self.command} {path}")
        if path.startswith("api/"):
            return self.about(*path.removeprefix("api/").split("/", 4)[:3], path)
        repo, _, rest = (path if path.startswith("datasets/") else f"models/{path}").partition("/resolve/")
        revision, _, name = rest.partition("/")
        content = self.server.repos.get(repo, {}).get(name)
        if content is None or revision not in ("main", "v1", COMMIT):
            return self.send(
                404, b"", {"X-Error-Code": "EntryNotFound" if repo in self.server.repos else "RepoNotFound"}
            )
        self.send(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}, with_body)

    def about(self, kind, owner, name, path):
        files = self.server.repos.get(f"{kind}/{owner}/{name}")
        known = path.rpartition("/")[2] in (name, "main", "v1", COMMIT)
        if files is None or not known:
            code = "RepoNotFound" if files is None else "RevisionNotFound"
            return self.send(404, b'{"error": "not here"}', {"X-Error-Code": code})
        if "/tree/" in path:
            listed = [{"type": "file", "path": name, "oid": "0" * 40, "size": len(files[name])} for name in files]
            return self.send(200, json.dumps(listed).encode(), {})
        siblings = [{"rfilename": name} for name in files]
        found = {"_id": "0", "id": f"{owner}/{name}", "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}
        self.send(200, json.dumps({**found, "downloads": 0, "likes": 0, "gated": False}).encode(), {})

    def send(self, status, content, headers, with_body=True):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content)), "Content-Type": "application/json"}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body and self.command != "HEAD":
            self.wfile.write(content)


@contextlib.contextmanager
def serving(repos):
    """The server while it runs: `server_address`, and `asked`, what it was asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.repos, server.asked, server.daemon_threads = repos, [], True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

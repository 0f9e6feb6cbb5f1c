"""A model hub on loopback: as much of its protocol as uploading a folder and downloading a snapshot take."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import yaml

COMMIT = "0" * 40


class _Hub(BaseHTTPRequestHandler):
    repositories: ClassVar[dict[str, dict[str, bytes]]]

    def log_message(self, *words: Any) -> None:
        pass

    def _answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: Any, status: int = 200) -> None:
        self._answer(json.dumps(value).encode(), status, Content_Type="application/json")

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.strip("/").split("/")
        if path[-2:] == ["repos", "create"]:
            wanted = json.loads(sent)
            name = "/".join(part for part in (wanted.get("organization"), wanted["name"]) if part)
            self.repositories.setdefault(name, {})
            self._json({"url": f"http://{self.headers['Host']}/{name}", "name": name, "id": name})
        elif path[-1] == "validate-yaml":  # a model card's metadata
            metadata = yaml.safe_load(json.loads(sent)["content"].split("---")[1])
            errors = [] if isinstance(metadata, dict) else [{"message": "the card has no metadata"}]
            self._json({"errors": errors, "warnings": []}, 400 if errors else 200)
        elif "preupload" in path:
            files = json.loads(sent)["files"]
            self._json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        elif "commit" in path:
            repository = self.repositories["/".join(path[2:4])]
            for line in sent.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    repository[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            url = f"http://{self.headers['Host']}/{'/'.join(path[2:4])}/commit/{COMMIT}"
            self._json({"commitUrl": url, "commitOid": COMMIT, "success": True})
        else:
            self._json({"error": self.path}, 404)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/").split("/")
        name = "/".join(path[2:4] if path[0] == "api" else path[:2])
        if name not in self.repositories:
            self._answer(b"", 404, X_Error_Code="RepoNotFound", X_Error_Message=f"no repository {name}")
        elif "tree" in path:
            listed = self.repositories[name].items()
            self._json(
                [{"type": "file", "path": file, "size": len(content), "oid": COMMIT} for file, content in listed]
            )
        elif path[0] == "api":
            files = [{"rfilename": file} for file in self.repositories[name]]
            self._json({"id": name, "sha": COMMIT, "siblings": files, "private": False, "tags": [], "downloads": 0})
        else:
            content = self.repositories[name].get("/".join(path[4:]))
            if content is None:
                self._answer(b"", 404, X_Error_Code="EntryNotFound")
                return
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            self._answer(content, ETag=etag, X_Repo_Commit=COMMIT, Accept_Ranges="bytes")

    do_HEAD = do_GET


@contextmanager
def hub_server() -> Iterator[tuple[str, dict[str, dict[str, bytes]]]]:
    """The hub's address, and what it holds: files by name, by repository."""
    handler = type("Hub", (_Hub,), {"repositories": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.repositories  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

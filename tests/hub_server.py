"""Serve a model hub on loopback that supports uploading a folder and downloading a snapshot.

Models are stored as `org/name`, datasets as `datasets/org/name@revision`.
"""

import base64
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

import yaml

COMMIT = "0" * 40


class Repositories(dict[str, dict[str, bytes]]):
    """Contents of the hub: repository -> file name -> bytes.

    Attributes:
        requests: paths of all requested files.
        stalled: files (`org/name@revision/path`) of which only the first half is sent.
        lying: files that are sent with other contents than listed.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.stalled: set[str] = set()
        self.lying: set[str] = set()

    def add_dataset(self, folder: Path, name: str, revision: str) -> None:
        """Add a copy of `folder` as a dataset repository."""
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        self[f"datasets/{name}@{revision}"] = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


class _Hub(BaseHTTPRequestHandler):
    repositories: ClassVar[Repositories]

    def log_message(self, *args: Any) -> None:
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
        if "paths-info" in path:  # api, datasets, org, name, paths-info, revision
            files = self.repositories["datasets/{}/{}@{}".format(*path[2:4], unquote(path[5]))]
            wanted = parse_qs(sent.decode())["paths"] if b"=" in sent else json.loads(sent)["paths"]
            self._json([_listed(name, files[name]) for name in wanted if name in files])
        elif path[-2:] == ["repos", "create"]:
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

    def _get_dataset(self, path: list[str]) -> None:
        """Answer a dataset request; `path` is org, name, kind of request, revision and file name."""
        if len(path) == 2:  # the newest commit
            commits = [known for known in self.repositories if known.startswith(f"datasets/{path[0]}/{path[1]}@")]
            path = [*path, "revision", commits[-1].partition("@")[2] if commits else "main"]
        name, kind, revision, file = f"datasets/{path[0]}/{path[1]}", path[2], unquote(path[3]), "/".join(path[4:])
        if not any(known.startswith(f"{name}@") for known in self.repositories):
            self._answer(b"", 404, X_Error_Code="RepoNotFound", X_Error_Message=f"no dataset {name}")
            return
        files = self.repositories.get(f"{name}@{revision}")
        if files is None:
            self._answer(b"", 404, X_Error_Code="RevisionNotFound", X_Error_Message=f"no revision {revision}")
        elif kind == "tree":
            self._json(_tree(files, below=f"{file}/" if file else "", recursive="recursive=true" in self.path.lower()))
        elif kind == "revision":
            siblings = [{"rfilename": path, "size": len(content)} for path, content in files.items()]
            self._json({"id": name.removeprefix("datasets/"), "sha": revision, "siblings": siblings, "tags": []})
        elif file not in files:
            self._answer(b"", 404, X_Error_Code="EntryNotFound")
        else:
            key = f"{name}@{revision}/{file}".removeprefix("datasets/")
            content = bytes(len(files[file])) if key in self.repositories.lying else files[file]
            self._send(content, revision, stall=key in self.repositories.stalled)

    def _send(self, content: bytes, revision: str, *, stall: bool) -> None:
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": etag, "X_Linked_Etag": etag, "X_Linked_Size": str(len(content)), "X_Repo_Commit": revision}
        if self.command == "GET":
            self.repositories.requests.append(self.path)
        if self.command == "GET" and stall:
            self.send_response(200)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            time.sleep(60)
            return
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
            headers["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
            self._answer(content[first : last + 1], 206, **headers)
            return
        self._answer(content, **headers)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/").split("/")
        if "datasets" in path[:2]:
            self._get_dataset(path[path.index("datasets") + 1 :])
            return
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


def _tree(files: dict[str, bytes], *, below: str, recursive: bool) -> list[dict[str, Any]]:
    """List the files of a folder and, unless `recursive`, its subfolders."""
    inside = {path: content for path, content in files.items() if path.startswith(below)}
    if recursive:
        return [_listed(path, content) for path, content in inside.items()]
    direct = [_listed(path, content) for path, content in inside.items() if "/" not in path.removeprefix(below)]
    folders = {path.removeprefix(below).split("/")[0] for path in inside if "/" in path.removeprefix(below)}
    return [*direct, *({"type": "directory", "path": below + name, "oid": COMMIT} for name in sorted(folders))]


def _listed(path: str, content: bytes) -> dict[str, Any]:
    """Return a file's entry in a listing; data files are in large file storage, with a content hash."""
    entry = {"type": "file", "path": path, "size": len(content), "oid": COMMIT}
    if path.endswith(".parquet"):
        entry["lfs"] = {"size": len(content), "oid": hashlib.sha256(content).hexdigest(), "pointerSize": 134}
    return entry


def hub_environment(address: str, home: Path) -> dict[str, str]:
    """Return the environment of a process that uses the hub at `address` and stores downloads in `home`."""
    settings = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    return {**os.environ, **settings, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


@contextmanager
def hub_server() -> Iterator[tuple[str, Repositories]]:
    """Start a hub, and yield its address and contents."""
    handler = type("Hub", (_Hub,), {"repositories": Repositories()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.repositories  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""A loopback double of the Hub's HTTP API, as far as pushing and reading datasets and models call it, in memory.

A client process needs HF_ENDPOINT=<url>, HF_TOKEN=hf_test and HF_HUB_DISABLE_XET=1 before it imports huggingface_hub.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_test"  # noqa: S105
USER = "tester"
LFS_SUFFIX = (".parquet", ".arrow", ".gz")  # all else is committed inline
_KIND = r"(?P<kind>models|datasets)"
_REPO = r"(?P<repo>[^/]+/[^/]+)"
ROUTES = [
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/validate-yaml", "validate_yaml"),
    ("POST", r"/api/repos/create", "create"),
    ("GET", rf"/api/{_KIND}/{_REPO}", "info"),
    ("GET", rf"/api/{_KIND}/{_REPO}/revision/(?P<revision>[^/]+)", "info"),
    ("GET", rf"/api/{_KIND}/{_REPO}/tree/(?P<revision>[^/]+)(?P<folder>/.*)?", "tree"),
    ("POST", rf"/api/{_KIND}/{_REPO}/paths-info/(?P<revision>[^/]+)", "paths_info"),
    ("POST", rf"/api/{_KIND}/{_REPO}/preupload/(?P<revision>[^/]+)", "preupload"),
    ("POST", rf"/api/{_KIND}/{_REPO}/commit/(?P<revision>[^/]+)", "commit"),
    ("POST", rf"/(?:(?P<kind>datasets)/)?{_REPO}\.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", r"/_lfs/(?P<oid>[0-9a-f]{64})", "lfs_put"),
    ("GET", rf"/(?:(?P<kind>datasets)/)?{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
]


@dataclass
class Repo:
    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # in order; the last one is main

    def commit(self, files: dict[str, bytes]) -> str:
        oid = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()  # noqa: S324
        self.commits[oid] = files
        return oid

    @property
    def head(self) -> str:
        return list(self.commits)[-1]


class HubDouble:
    """`with HubDouble() as hub:` serves at `hub.url`; `hub.log` holds (method, path, status)."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.log: list[tuple[str, str, int]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class NoSuchThing(Exception):  # noqa: N818
    """Answered as the Hub does: 404 with an error code in a header."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubDouble

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        address = urlsplit(self.path)
        self.query = parse_qs(address.query)
        self.body = self.read_body()
        method = "GET" if self.command == "HEAD" else self.command
        for route_method, pattern, name in ROUTES:
            found = re.fullmatch(pattern, address.path)
            if method == route_method and found:
                if method != "GET" and name != "lfs_put" and self.headers["authorization"] != f"Bearer {TOKEN}":
                    return self.send(401, {"error": "Invalid username or password."})
                try:
                    return getattr(self, name)(
                        **{key: unquote(value or "") for key, value in found.groupdict().items()}
                    )
                except NoSuchThing as error:
                    return self.send(404, {"error": str(error)}, {"X-Error-Code": str(error)})
        return self.send(404, {"error": "no such route in the double"}, {"X-Error-Code": "EntryNotFound"})

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send(self, status: int, content: object = None, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.hub.log.append((self.command, self.path, status))

    def files(self, kind: str, repo: str, revision: str = "main") -> tuple[str, dict[str, bytes]]:
        found = self.hub.repos.get((kind or "models", repo))
        if found is None or (found.private and self.headers["authorization"] != f"Bearer {TOKEN}"):
            raise NoSuchThing("RepoNotFound")
        oid = found.head if revision in ("main", "") else revision
        if oid not in found.commits:
            raise NoSuchThing("RevisionNotFound")
        return oid, found.commits[oid]

    def whoami(self) -> None:
        if self.headers["authorization"] != f"Bearer {TOKEN}":
            return self.send(401, {"error": "Invalid username or password."})
        return self.send(200, {"type": "user", "name": USER, "orgs": []})

    def validate_yaml(self) -> None:
        self.send(200, {"errors": [], "warnings": []})

    def create(self) -> None:
        asked = json.loads(self.body)
        kind, name = asked.get("type", "model") + "s", f"{asked.get('organization') or USER}/{asked['name']}"
        url = f"{self.hub.url}/{'' if kind == 'models' else kind + '/'}{name}"
        if (kind, name) in self.hub.repos:
            return self.send(409, {"error": "You already created this repo", "url": url})
        repo = self.hub.repos[kind, name] = Repo(asked.get("visibility") == "private" or bool(asked.get("private")))
        repo.commit({})
        return self.send(200, {"url": url, "name": name})

    def info(self, kind: str, repo: str, revision: str = "main") -> None:
        oid, files = self.files(kind, repo, revision)
        siblings = [{"rfilename": path} for path in sorted(files)]
        private = self.hub.repos[kind, repo].private
        self.send(200, {"_id": "0", "id": repo, "sha": oid, "private": private, "tags": [], "siblings": siblings})

    def tree(self, kind: str, repo: str, revision: str, folder: str) -> None:
        _, files = self.files(kind, repo, revision)
        prefix = folder.strip("/") + "/" if folder.strip("/") else ""
        below = {path: data for path, data in sorted(files.items()) if path.startswith(prefix)}
        if prefix and not below:
            raise NoSuchThing("EntryNotFound")
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("1", "true")
        folders = {
            prefix + path.removeprefix(prefix).rpartition("/")[0] for path in below if "/" in path[len(prefix) :]
        }
        direct = [path for path in below if recursive or "/" not in path[len(prefix) :]]
        self.send(
            200,
            [*({"type": "directory", "path": path, "oid": "0"} for path in sorted(folders))]
            + [entry(path, files[path]) for path in direct],
        )

    def paths_info(self, kind: str, repo: str, revision: str) -> None:
        _, files = self.files(kind, repo, revision)
        sent = self.headers.get("Content-Type", "").startswith("application/json")
        asked = json.loads(self.body)["paths"] if sent else parse_qs(self.body.decode()).get("paths", [])
        self.send(200, [entry(path, files[path]) for path in asked if path in files])

    def preupload(self, kind: str, repo: str, revision: str) -> None:
        oid, _ = self.files(kind, repo, revision)
        modes = {
            f["path"]: "lfs" if f["path"].endswith(LFS_SUFFIX) else "regular" for f in json.loads(self.body)["files"]
        }
        files = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
        self.send(200, {"files": files, "commitOid": oid})

    def commit(self, kind: str, repo: str, revision: str) -> None:
        files = dict(self.files(kind, repo, revision)[1])
        for line in self.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        oid = self.hub.repos[kind, repo].commit(files)
        url = f"{self.hub.url}/{'' if kind == 'models' else kind + '/'}{repo}/commit/{oid}"
        self.send(200, {"success": True, "commitOid": oid, "commitUrl": url})

    def lfs_batch(self, **_: str) -> None:
        objects = [{"oid": o["oid"], "size": o["size"]} for o in json.loads(self.body)["objects"]]
        for asked in objects:
            if asked["oid"] not in self.hub.blobs:
                asked["actions"] = {"upload": {"href": f"{self.hub.url}/_lfs/{asked['oid']}"}}
        self.send(200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"})

    def lfs_put(self, oid: str) -> None:
        self.hub.blobs[oid] = self.body
        self.send(200, b"")

    def resolve(self, kind: str, repo: str, revision: str, path: str) -> None:
        oid, files = self.files(kind, repo, revision)
        if path not in files:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": oid}
            return self.send(404, {"error": "Entry not found"}, headers)
        data = files[path]
        etag = f'"{entry(path, data)["oid"]}"'
        headers = {"X-Repo-Commit": oid, "ETag": etag, "X-Linked-Etag": etag, "X-Linked-Size": str(len(data))}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if part and self.command == "GET":
            start, last = int(part[1]), min(int(part[2] or len(data)), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{last}/{len(data)}"
            return self.send(206, data[start : last + 1], headers)
        return self.send(200, data, headers)


def entry(path: str, data: bytes) -> dict[str, object]:
    if not path.endswith(LFS_SUFFIX):
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324
        return {"type": "file", "path": path, "oid": oid, "size": len(data)}
    oid = hashlib.sha256(data).hexdigest()
    lfs = {"oid": oid, "size": len(data), "pointerSize": 130}
    return {"type": "file", "path": path, "oid": oid, "size": len(data), "lfs": lfs}

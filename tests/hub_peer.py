"""A server on loopback that speaks the part of the Hugging Face hub's HTTP interface that huggingface_hub uses.

It keeps repositories in memory and records each request, so tests see what the real client sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_" + "s" * 34
"""The only token that the server accepts."""


@dataclass
class Repository:
    """A model on the server: the files of each branch, and whether others may see it."""

    private: bool = False
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {".gitattributes": b""}})

    def commit(self, branch: str) -> str:
        """The name of the newest commit of a branch."""
        content = sorted(
            (name, hashlib.sha256(data).hexdigest()) for name, data in self.branches[branch].items()
        )
        return hashlib.sha1(json.dumps(content).encode()).hexdigest()

    def files(self, revision: str) -> dict[str, bytes] | None:
        """The files at a branch or a commit; None if there is none."""
        names = {name: name for name in self.branches} | {self.commit(name): name for name in self.branches}
        return self.branches[names[revision]] if revision in names else None


class HubPeer(ThreadingHTTPServer):
    """The server, with its repositories and the requests that it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.refusals: dict[str, int] = {}
        """Status to answer with, by the beginning of a path."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def paths(self, method: str) -> list[str]:
        """The paths of all requests with this method."""
        return [path for used, path in self.requests if used == method]


@contextmanager
def running() -> Iterator[HubPeer]:
    """A server that ends with the block."""
    peer = HubPeer()
    thread = threading.Thread(target=peer.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield peer
    finally:
        peer.shutdown()
        peer.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubPeer

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((method, path))
        self.server.bodies.append(body)
        for start, status in self.server.refusals.items():
            if path.startswith(start):
                return self._send(status, {"error": "refused by the test"})
        is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        needs_token = method in ("POST", "PUT") or path == "/api/whoami-v2"
        if needs_token and not is_known and path != "/api/validate-yaml" and "/lfs/" not in path:
            return self._send(401, {"error": "Invalid credentials"})
        return self._route(method, path, parse_qs(parts.query), body, is_known)

    def _route(
        self, method: str, path: str, query: dict[str, list[str]], body: bytes, is_known: bool
    ) -> None:
        if path == "/api/whoami-v2":
            return self._send(200, {"name": "me", "type": "user", "orgs": []})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        if path.startswith("/lfs/"):
            self.server.large[path.rpartition("/")[2]] = body
            return self._send(200, {})
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        if path.count("/") < 3:
            return self._send(404, {"error": "Not found"})
        if path.startswith("/api/models/"):
            user, name, *rest = path.removeprefix("/api/models/").split("/")
        else:
            user, name, *rest = path.removeprefix("/").split("/")
        repository = self.server.repositories.get(f"{user}/{name}")
        if repository is None or (repository.private and not is_known):
            return self._send(
                404 if is_known else 401, {"error": "Repository not found"}, code="RepoNotFound"
            )
        if not path.startswith("/api/"):
            return self._file(method, repository, rest[1], "/".join(rest[2:]))
        return self._repository(f"{user}/{name}", repository, rest, query, body)

    def _repository(
        self, name: str, repository: Repository, rest: list[str], query: dict[str, list[str]], body: bytes
    ) -> None:
        action, revision = (rest[0], "/".join(rest[1:])) if rest else ("revision", "main")
        if action == "branch":
            repository.branches.setdefault(revision, dict(repository.branches["main"]))
            return self._send(200, {})
        revision, _, below = revision.partition("/")
        files = repository.files(revision)
        if files is None:
            return self._send(404, {"error": "Revision not found"}, code="RevisionNotFound")
        if below and not any(each.startswith(f"{below}/") for each in files):
            return self._send(404, {"error": "Entry not found"}, code="EntryNotFound")
        if action == "revision":
            siblings = [{"rfilename": each} for each in sorted(files)]
            values = {"id": name, "private": repository.private, "siblings": siblings, "tags": []}
            branch = next(each for each in repository.branches if repository.branches[each] is files)
            return self._send(200, {**values, "sha": repository.commit(branch)})
        if action == "tree":
            chosen = {each: data for each, data in sorted(files.items()) if each.startswith(below)}
            return self._send(200, [_entry(each, data) for each, data in chosen.items()])
        if action == "preupload":
            return self._send(200, {"files": [_mode(each) for each in json.loads(body)["files"]]})
        return self._commit(name, repository, revision, body)

    def _create(self, values: dict[str, Any]) -> None:
        name = f"{values['organization']}/{values['name']}"
        if name in self.server.repositories:
            return self._send(409, {"error": "You already created this model repo"})
        self.server.repositories[name] = Repository(private=values.get("visibility") == "private")
        return self._send(200, {"url": f"{self.server.url}/{name}", "name": name})

    def _validate(self, card: str) -> None:
        """Refuse one licence, as the hub refuses those that it does not know."""
        is_wrong = "\nlicense: no-such-licence\n" in card
        errors = [{"message": '"license" must be one of [apache-2.0, …]'}] if is_wrong else []
        self._send(400 if is_wrong else 200, {"errors": errors, "warnings": []})

    def _batch(self, values: dict[str, Any]) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.server.url}/lfs/{each['oid']}", "header": {}}}}
            for each in values["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _commit(self, name: str, repository: Repository, revision: str, body: bytes) -> None:
        files = dict(repository.branches[revision])
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        repository.branches[revision] = files
        commit = repository.commit(revision)
        url = f"{self.server.url}/{name}/commit/{commit}"
        self._send(200, {"commitUrl": url, "commitOid": commit, "success": True})

    def _file(self, method: str, repository: Repository, revision: str, path: str) -> None:
        files = repository.files(revision)
        if files is None:
            return self._send(404, {"error": "Revision not found"}, code="RevisionNotFound")
        branch = next(each for each in repository.branches if repository.branches[each] is files)
        headers = {"X-Repo-Commit": repository.commit(branch)}
        if path not in files:
            return self._send(404, {"error": "Entry not found"}, code="EntryNotFound", headers=headers)
        headers["ETag"] = f'"{hashlib.sha1(files[path]).hexdigest()}"'
        return self._send_bytes(200, files[path], headers, with_body=method != "HEAD")

    def _send(
        self, status: int, value: Any, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        headers = {"Content-Type": "application/json", **(headers or {})}
        if code is not None:
            headers |= {"X-Error-Code": code, "X-Error-Message": value["error"]}
        self._send_bytes(status, json.dumps(value).encode(), headers, with_body=self.command != "HEAD")

    def _send_bytes(self, status: int, data: bytes, headers: dict[str, str], *, with_body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data)


def _entry(name: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    """Weights are large files, everything else is part of the commit."""
    is_large = file["path"].endswith((".safetensors", ".onnx"))
    return {"path": file["path"], "uploadMode": "lfs" if is_large else "regular", "shouldIgnore": False}

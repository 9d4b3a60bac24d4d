"""The few endpoints of the Hugging Face hub that uploading and downloading a model takes, on a real server."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from huggingface_hub import constants

from cvzoo.weights.hub import snapshot

TOKEN = "hf_of_the_test"


@dataclass
class Hub:
    """A running hub."""

    url: str = ""
    models: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """OWNER/NAME to path to content."""
    private: dict[str, bool] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    """sha256 to the content of large files."""
    sent: list[str] = field(default_factory=list)
    """Files that were downloaded."""

    def environment(self, home: Path) -> dict[str, str]:
        """Variables with which the hub's own library talks to this server."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_TOKEN": TOKEN,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def use(self, patch: pytest.MonkeyPatch, home: Path, offline: bool = False) -> None:
        """The same in this process, where the hub's library has read its variables already."""
        patch.setattr(constants, "ENDPOINT", self.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", self.url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_OFFLINE", offline)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(home))
        patch.setenv("HF_TOKEN", TOKEN)
        snapshot.cache_clear()

    def commit(self, model: str) -> str:
        """The name of the state that a model is in: 40 hexadecimal digits."""
        content = json.dumps(sorted((path, sha256(data)) for path, data in self.models[model].items()))
        return hashlib.sha1(content.encode()).hexdigest()

    def take(self, model: str, operations: list[dict[str, Any]]) -> None:
        """Carry out a commit."""
        files = self.models[model]
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.stored[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve a hub that has no models yet."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.refuse(401, "Invalid credentials in Authorization header")
            elif self.path == "/api/repos/create":
                asked = json.loads(body)
                model = f"{asked['organization']}/{asked['name']}"
                hub.models.setdefault(model, {})
                hub.private[model] = asked.get("visibility") == "private"
                self.answer({"url": f"{hub.url}/{model}"})
            elif self.path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                self.answer({"files": [mode(file["path"]) for file in json.loads(body)["files"]]})
            elif self.path.endswith("/info/lfs/objects/batch"):
                self.answer({"transfer": "basic", "objects": [upload(x) for x in json.loads(body)["objects"]]})
            elif "/commit/" in self.path:
                model = "/".join(self.path.split("/")[3:5])
                hub.take(model, [json.loads(line) for line in body.splitlines()])
                commit = hub.commit(model)
                self.answer({"commitUrl": f"{hub.url}/{model}/commit/{commit}", "commitOid": commit, "success": True})
            else:
                self.refuse(404, self.path)

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            hub.stored[sha256(content)] = content
            self.answer({})

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            words = self.path.partition("?")[0].strip("/").split("/")
            is_api = words[:2] == ["api", "models"]
            model = "/".join(words[2:4] if is_api else words[:2])
            if model not in hub.models:
                self.refuse(404, "Repository not found", "RepoNotFound")
            elif is_api and "tree" in words:
                self.answer([entry(path, data) for path, data in hub.models[model].items()])
            elif is_api:
                siblings = [{"rfilename": path} for path in hub.models[model]]
                self.answer({"id": model, "sha": hub.commit(model), "siblings": siblings})
            else:
                self.send_file(model, unquote("/".join(words[4:])))

        def send_file(self, model: str, path: str) -> None:
            content = hub.models[model][path]
            self.send_response(200)
            self.send_header("X-Repo-Commit", hub.commit(model))
            self.send_header("ETag", f'"{sha256(content)}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                hub.sent.append(path)
                self.wfile.write(content)

        def answer(self, values: Any, status: int = 200) -> None:
            body = json.dumps(values).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def refuse(self, status: int, message: str, code: str = "") -> None:
            self.send_response(status)
            self.send_header("X-Error-Message", message)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Be quiet."""

    def mode(path: str) -> dict[str, Any]:
        is_large = path.endswith(".safetensors")
        return {"path": path, "uploadMode": "lfs" if is_large else "regular", "shouldIgnore": False}

    def upload(asked: dict[str, Any]) -> dict[str, Any]:
        return {**asked, "actions": {"upload": {"href": f"{hub.url}/large/{asked['oid']}", "header": {}}}}

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    hub.url = f"http://127.0.0.1:{running.server_port}"
    try:
        yield hub
    finally:
        running.shutdown()
        running.server_close()


def entry(path: str, content: bytes) -> dict[str, Any]:
    """A file in the listing of a model."""
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

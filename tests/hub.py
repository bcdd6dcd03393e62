"""A hub on loopback: a server that speaks what huggingface_hub asks of one."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789" * 4


class Hub:
    """A hub of models and datasets.

    Args:
        files: what repositories hold: by name (`ORG/NAME` of a model, `datasets/ORG/NAME`) the files by path.
        private: whether a repository that was made here is.
        refuses: the status that every request gets; 0 for none.
        asked: method and path of every request so far.
    """

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.refuses = 0
        self.asked: list[tuple[str, str]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                hub.asked.append((self.command, path))
                self._send(*((hub.refuses, {"error": "no"}, "") if hub.refuses else hub.content(path)))

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                hub.asked.append((self.command, self.path))
                self._send(*((hub.refuses, {"error": "no"}) if hub.refuses else (200, hub.answer(self.path, raw))))

            def _send(self, status: int, value: Any, error_code: str = "") -> None:
                raw = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.send_header("etag", f'"{hashlib.sha256(raw).hexdigest()}"')
                self.send_header("x-repo-commit", COMMIT)
                if error_code:
                    self.send_header("x-error-code", error_code)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def content(self, path: str) -> tuple[int, Any, str]:
        """Status, content and error code of an address: a file, a repository, or the list of its files."""
        name, is_file, rest = path.removeprefix("/").partition("/resolve/")
        if is_file:
            revision, _, file = rest.partition("/")
            missing = self._missing(name, revision)
            if not missing and file not in self.files.get(name, {}):
                missing = "EntryNotFound"
            return (404, {"error": missing}, missing) if missing else (200, self.files[name][file], "")
        if not path.startswith("/api/") or path.count("/") < 4:
            return 200, {}, ""
        name, is_tree, revision = path.removeprefix("/api/").removeprefix("models/").partition("/tree/")
        if not is_tree:
            name, _, revision = name.partition("/revision/")
        missing = self._missing(name, revision or "main")
        if missing:
            return 404, {"error": missing}, missing
        files = self.files.get(name, {})
        if is_tree:
            return (
                200,
                [{"type": "file", "path": each, "size": len(raw), "oid": COMMIT} for each, raw in files.items()],
                "",
            )
        siblings = [{"rfilename": each} for each in files]
        return 200, {"id": name.removeprefix("datasets/"), "sha": COMMIT, "private": True, "siblings": siblings}, ""

    def _missing(self, name: str, revision: str) -> str:
        if name not in self.files and name not in self.private:
            return "RepoNotFound"
        return "" if revision in ("main", COMMIT) else "RevisionNotFound"

    def answer(self, path: str, raw: bytes) -> Any:
        """What a request that changes something gets."""
        if path == "/api/repos/create":
            asked = json.loads(raw)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.private[name] = asked.get("private", asked.get("visibility") == "private")
            return {"url": f"{self.address}/{name}", "id": name}
        if "/preupload/" in path:
            files = json.loads(raw)["files"]
            return {"files": [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]}
        if "/commit/" in path:
            name = path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in raw.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.files.setdefault(name, {})[entry["value"]["path"]] = content
            return {"commitOid": COMMIT, "commitUrl": f"{self.address}/{name}/commit/{COMMIT}", "hookOutput": ""}
        return {}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

"""A server with the batch API of OpenAI, without a model: for tests of judging by batch. It counts what would be paid."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from workbench.fake_provider import Behaviour, Request, graded

Fault = Callable[[dict[str, Any]], dict[str, Any] | str | None]
"""(a line of requests) -> what stands in the output instead of its answer: a line's object, raw text, or None for no
line at all."""


def line_error(status: int, message: str) -> Fault:
    """A request that the provider answered with an HTTP error: a line of the file of errors."""
    body = {"error": {"message": message, "code": None}}
    return lambda line: {
        "id": "x",
        "custom_id": line["custom_id"],
        "response": {"status_code": status, "request_id": "r", "body": body},
        "error": None,
    }


class BatchServer:
    """Serves on 127.0.0.1 in threads; a context manager.

    Attributes:
        keys, headers: Authorization headers, and names of headers, that came in.
        uploads, created, answered: files taken, batches made, requests answered (and so paid for).
        polls_needed: looks at a batch before it has ended.
        ends: how the next batches end, each (status, requests answered before); by default all are answered.
        refusals: (method, path pattern, status, after): statuses for the next requests that fit; ``after``: the work
            is done all the same.
        faults: by the place of a request in all that were answered.
        before_answer: called with method and path when the work is done and the answer has not left.
    """

    def __init__(
        self, behave: Behaviour | None = None, *, polls_needed: int = 1, delay_s: float = 0.0
    ) -> None:
        self.behave = behave or graded()
        self.polls_needed = polls_needed
        self.delay_s = delay_s
        self.files: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []
        self.ends: deque[tuple[str, int]] = deque()
        self.error_code = "invalid_request"
        self.refusals: list[tuple[str, str, int, bool]] = []
        self.faults: dict[int, Fault] = {}
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.headers: set[str] = set()
        self.uploads = self.created = self.answered = self.polls = 0
        self.before_answer: Callable[[str, str], None] = lambda method, path: None
        self._lock = threading.RLock()

    def __enter__(self) -> BatchServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def take(self, method: str, path: str, content_type: str, body: bytes) -> tuple[int, bytes]:
        """Answer one request."""
        with self._lock:
            refused = next((r for r in self.refusals if r[0] == method and re.search(r[1], path)), None)
            if refused:
                self.refusals.remove(refused)
                if refused[3]:
                    self._work(method, path, content_type, body)
                error = {"error": {"message": "scripted refusal", "code": None, "type": "error"}}
                return refused[2], json.dumps(error).encode()
            return self._work(method, path, content_type, body)

    def _work(self, method: str, path: str, content_type: str, body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(path)
        name = parts.path.removeprefix("/v1/").strip("/").split("/")
        if (method, name) == ("POST", ["files"]):
            self.uploads += 1
            return self._file(_uploaded(content_type, body))
        if method == "GET" and name[0] == "files" and name[2:] == ["content"]:
            return (200, self.files[name[1]]) if name[1] in self.files else (404, b"{}")
        if (method, name) == ("POST", ["batches"]):
            return 200, json.dumps(self._create(json.loads(body))).encode()
        if (method, name) == ("GET", ["batches"]):
            after = parse_qs(parts.query).get("after", [""])[0]
            newest = [_shown(b) for b in reversed(self.batches)]
            start = next((i + 1 for i, b in enumerate(newest) if b["id"] == after), 0)
            page = newest[start : start + 2]  # small pages, so that following them is tested
            found = {"object": "list", "data": page, "has_more": start + 2 < len(newest)}
            return 200, json.dumps(found).encode()
        if name[0] == "batches":
            batch = next((b for b in self.batches if b["id"] == name[1]), None)
            if batch is None:
                return 404, b'{"error": {"message": "No such batch"}}'
            if name[2:] == ["cancel"]:
                self._finish(batch, "cancelled", batch["request_counts"]["completed"])
            elif method == "GET":
                self.polls += 1
                self._advance(batch)
            return 200, json.dumps(_shown(batch)).encode()
        return 404, b'{"error": {"message": "no such place"}}'

    def _file(self, data: bytes) -> tuple[int, bytes]:
        name = f"file-{len(self.files) + 1}"
        self.files[name] = data
        sent = {"id": name, "object": "file", "bytes": len(data), "created_at": int(time.time())}
        return 200, json.dumps(
            sent | {"filename": "f.jsonl", "purpose": "batch", "status": "processed"}
        ).encode()

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["endpoint"] == "/v1/chat/completions"
        assert asked["completion_window"] == "24h"
        self.created += 1
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        self.requests += lines
        now = int(time.time())
        batch = {
            "id": f"batch-{self.created}", "object": "batch", "endpoint": asked["endpoint"],
            "completion_window": "24h", "input_file_id": asked["input_file_id"], "status": "in_progress",
            "created_at": now, "metadata": asked.get("metadata"), "output_file_id": None, "error_file_id": None,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "_lines": lines, "_polls": 0, "_end": self.ends.popleft() if self.ends else ("completed", 10**9),
        }  # fmt: skip
        self.batches.append(batch)
        return _shown(batch)

    def _advance(self, batch: dict[str, Any]) -> None:
        if batch["status"] != "in_progress":
            return
        batch["_polls"] += 1
        status, most = batch["_end"]
        if batch["_polls"] > self.polls_needed:
            self._finish(batch, status, most)
        else:
            total = batch["request_counts"]["total"]
            batch["request_counts"]["completed"] = total * batch["_polls"] // (self.polls_needed + 1)

    def _finish(self, batch: dict[str, Any], status: str, most: int) -> None:
        time.sleep(self.delay_s)
        good: list[str] = []
        bad: list[str] = []
        if status == "failed":
            message = "The scripted batch failed."
            batch["errors"] = {"object": "list", "data": [{"code": self.error_code, "message": message}]}
            most = 0
        for line in batch["_lines"][:most]:
            fault = self.faults.get(self.answered)
            self.answered += 1
            answer = self._answer(line) if fault is None else fault(line)
            if answer is None:
                continue
            text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
            failed = isinstance(answer, dict) and (answer.get("response") or {}).get("status_code") != 200
            (bad if failed else good).append(text)
        good.reverse()  # the order of the answers is not that of the requests
        for name, found in (("output_file_id", good), ("error_file_id", bad)):
            if found:
                batch[name] = json.loads(self._file(("\n".join(found) + "\n").encode())[1])["id"]
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}
        batch["status"] = status
        batch[f"{status}_at"] = batch["created_at"] + 60

    def _answer(self, line: dict[str, Any]) -> dict[str, Any]:
        assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
        reply = self.behave(Request(line["url"], {}, line["body"]))
        response = {"status_code": reply.status, "request_id": "r", "body": json.loads(reply.body)}
        return {"id": "x", "custom_id": line["custom_id"], "response": response, "error": None}


def _shown(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if not name.startswith("_")}


def _uploaded(content_type: str, body: bytes) -> bytes:
    message = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    parts = {
        str(part.get_param("name", header="content-disposition")): part for part in message.get_payload()
    }
    assert parts["purpose"].get_payload(decode=True).strip() == b"batch"
    return parts["file"].get_payload(decode=True)


def _handler(server: BatchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # headers and body leave in one packet

        def do_GET(self) -> None:
            self._do("GET")

        def do_POST(self) -> None:
            self._do("POST")

        def _do(self, method: str) -> None:
            server.keys.add(str(self.headers.get("Authorization")))
            server.headers |= {name.lower() for name in self.headers}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if method == "POST" else b""
            if method == "POST" and self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            status, answer = server.take(method, self.path, str(self.headers.get("Content-Type")), body)
            server.before_answer(method, self.path)
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                self.wfile.flush()
            except OSError:
                self.close_connection = True  # a client that was killed

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    return Handler

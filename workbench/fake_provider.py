"""A language model provider that needs no key and knows nothing: for trying the workbench, and for tests.

``python -m workbench.fake_provider --port 8100`` starts an OpenAI-compatible server on 127.0.0.1 whose model
``fake-hash-grader`` answers in the right form. **Its grades are meaningless**: they come from a hash of the pair's
text, and a good agreement with it is chance. A model name that begins with ``fake-hash-grader``, such as
``fake-hash-grader-b``, hashes differently, so that two judges can be compared.

In tests, :class:`FakeProvider` is a context manager with a free port and a script: what to answer, what to break::

    with FakeProvider([error(429, headers={"Retry-After": "1"}), text("no JSON")]) as provider:
        judge = LlmJudge("fake-hash-grader", base_url=provider.base_url)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from workbench.policy import Body
from workbench.prompt import reply_schema

MODEL = "fake-hash-grader"

Grade = int | str
Grader = Callable[["Request", str, Sequence[Grade]], Grade]
"""(request, dimension key, the grades allowed) -> the grade."""


@dataclass(frozen=True)
class Request:
    """One request as it came in; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    def message(self, role: str) -> str:
        """Return the text of the first message of ``role``, "" without one."""
        found = (m for m in self.body.get("messages", []) if isinstance(m, dict) and m.get("role") == role)
        return str(next(found, {}).get("content", ""))


@dataclass(frozen=True)
class Reply:
    """What goes back.

    ``cut_after`` resets the connection after so many bytes of the body; ``drip_s`` waits so long before each of its
    bytes; ``endless`` repeats the body until nobody listens.
    """

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    delay_s: float = 0.0
    cut_after: int | None = None
    drip_s: float = 0.0
    endless: bool = False


Behaviour = Callable[[Request], Reply]


def by_hash(request: Request, dimension: str, grades: Sequence[Grade]) -> Grade:
    """Return one of ``grades``, drawn by a hash of model, dimension and user message: stable and meaningless."""
    seed = f"{request.body.get('model')}\n{dimension}\n{request.message('user')}"
    digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()
    return grades[int.from_bytes(digest[:8], "big") % len(grades)]


def graded(
    grader: Grader = by_hash,
    *,
    policy: Body | None = None,
    edit: Callable[[dict[str, Any]], Any] = lambda answer: answer,
    write: Callable[[str], str] = lambda text: text,
) -> Behaviour:
    """Return the behaviour that grades every dimension.

    Args:
        grader: says the grade of each dimension.
        policy: says which dimensions there are; by default the response schema of the request does.
        edit: changes the answer before it is written as JSON (returns the changed one).
        write: changes the text of the answer.
    """

    def behave(request: Request) -> Reply:
        try:
            schema = reply_schema(policy) if policy else _schema_of(request)
            if schema is None:
                told = f"{MODEL} needs response_format json_schema; it reads the scale there."
                return error(400, told)(request)
            answer = _answer(schema, request, grader)
        except (KeyError, TypeError, AttributeError, ValueError):
            return error(400, f"{MODEL} grades pairs, and this request asks for something else.")(request)
        return text(write(json.dumps(edit(answer), ensure_ascii=False)))(request)

    return behave


def _answer(schema: Mapping[str, Any], request: Request, grader: Grader) -> dict[str, Any]:
    """Return the answer that a schema of :mod:`workbench.prompt_modes` asks for: about one pair, or about several.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: for a schema of anything else.
    """
    if "$defs" in schema:
        one = schema["$defs"]["answer"]
        return {label: _answer(one, _about(request, label), grader) for label in schema["properties"]}
    return {
        key: _graded(key, answer["properties"], request, grader)
        for key, answer in schema["properties"].items()
    }


def _graded(key: str, wanted: Mapping[str, Any], request: Request, grader: Grader) -> dict[str, Any]:
    """Return the answer about one dimension, its parts in the order asked for."""
    grade = wanted["grade"]
    grades = [*grade.get("enum", ()), *(g for part in grade.get("anyOf", ()) for g in part["enum"])]
    if not grades:
        raise ValueError("no grades are named")
    given = grader(request, key, grades)
    values: dict[str, Any] = {"reason": f"A hash of the text gives {given}.", "cites": [], "grade": given}
    return {part: values[part] for part in wanted}


def _about(request: Request, label: str) -> Request:
    """Return the request as if its user message were about the pair called ``label`` alone.

    So that a pair gets the same grade whatever pairs it is asked with.
    """
    message = request.message("user")
    found = re.search(
        rf"^BEGIN (\S+) {re.escape(label)}\n(.*?)^END \1 {re.escape(label)}$",
        message,
        re.MULTILINE | re.DOTALL,
    )
    own = {"role": "user", "content": found[2] if found else f"{label}\n{message}"}
    return replace(request, body={**request.body, "messages": [own, *request.body.get("messages", [])]})


def text(content: str | None, *, finish_reason: str = "stop", refusal: str | None = None) -> Behaviour:
    """Return the behaviour that answers with ``content``, whatever is asked."""

    def behave(request: Request) -> Reply:
        message = {"role": "assistant", "content": content, "refusal": refusal}
        prompt = sum(_tokens(str(m.get("content", ""))) for m in request.body.get("messages", []))
        answered = _tokens(content or refusal or "")
        completion = {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": request.body.get("model", MODEL),
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": answered,
                "total_tokens": prompt + answered,
                # As real providers do: the shared beginning (the system message) comes from their cache.
                "prompt_tokens_details": {"cached_tokens": _tokens(request.message("system"))},
            },
        }
        return Reply(json.dumps(completion).encode())

    return behave


def error(
    status: int, message: str = "scripted error", *, code: str = "", headers: Mapping[str, str] | None = None
) -> Behaviour:
    """Return the behaviour that answers with an HTTP error in OpenAI's form."""
    body = json.dumps({"error": {"message": message, "type": "error", "code": code or None}}).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    return lambda request: Reply(body, status, sent)


def late(delay_s: float, behaviour: Behaviour | None = None) -> Behaviour:
    """Return ``behaviour`` (by default, grading) after a wait."""
    behaviour = behaviour or graded()
    return lambda request: replace(behaviour(request), delay_s=delay_s)


def cut(after: int, behaviour: Behaviour | None = None) -> Behaviour:
    """Return ``behaviour`` (by default, grading), with the connection reset after ``after`` bytes of the body."""
    behaviour = behaviour or graded()
    return lambda request: replace(behaviour(request), cut_after=after)


def dripping(drip_s: float, behaviour: Behaviour | None = None) -> Behaviour:
    """Return ``behaviour`` (by default, grading), with a wait before each byte of the body."""
    behaviour = behaviour or graded()
    return lambda request: replace(behaviour(request), drip_s=drip_s)


def endless(body: bytes = b" " * 65536) -> Behaviour:
    """Return the behaviour that sends ``body`` again and again and never ends."""
    return lambda request: Reply(body, endless=True)


class FakeProvider:
    """An OpenAI-compatible server on 127.0.0.1 in threads of this process; a context manager.

    Attributes:
        calls: chat completions asked for.
        most_at_once: the most that were being answered at one time.
        requests: the newest of them, at most ``keep``.
    """

    def __init__(
        self,
        script: Iterable[Behaviour] = (),
        *,
        otherwise: Behaviour | None = None,
        delay_s: float = 0.0,
        port: int = 0,
        keep: int = 1000,
    ) -> None:
        """Prepare the server; it starts on entering the context.

        Args:
            script: behaviours for the first requests, one each, in the order in which they come in.
            otherwise: behaviour for the others; by default, grading by hash.
            delay_s: seconds that every answer takes besides.
            port: 0 for a free one.
            keep: requests kept for assertions; a long prompt is some 50 kB.
        """
        self._script = deque(script)
        self._otherwise = otherwise or graded()
        self._delay_s = delay_s
        self._port = port
        self._lock = threading.Lock()
        self._now = 0
        self.calls = 0
        self.most_at_once = 0
        self.requests: deque[Request] = deque(maxlen=keep)

    @property
    def base_url(self) -> str:
        """The address for ``base_url`` of a client."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> FakeProvider:
        """Start listening."""
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        # The short poll makes leaving the context fast.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: Request) -> Reply:
        """Return the reply to one request, and count it."""
        if not request.path.endswith("/chat/completions"):
            return error(404, f"There is no {request.path} here; ask /v1/chat/completions.")(request)
        with self._lock:
            self.calls += 1
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            self.requests.append(request)
            behaviour = self._script.popleft() if self._script else self._otherwise
        try:
            reply = behaviour(request)
            time.sleep(self._delay_s + reply.delay_s)
        finally:
            with self._lock:
                self._now -= 1
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that gave up (a timeout under test) is no problem of the server."""


def _handler(provider: FakeProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # headers and body leave in one packet

        def do_GET(self) -> None:
            models = {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "nobody"}]}
            known = self.path.rstrip("/").endswith("/models")
            self._send(Reply(json.dumps(models if known else {}).encode(), 200 if known else 404))

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.path, {k.lower(): v for k, v in self.headers.items()}, {})
            try:
                body = json.loads(raw)
            except ValueError:
                body = None
            if isinstance(body, dict):
                self._send(provider.answer(replace(request, body=body)))
            else:
                self._send(error(400, "The body is not a JSON object.")(request))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if not reply.endless:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            while reply.endless:  # ends with the write that finds the connection closed
                self.wfile.write(reply.body)
            if reply.drip_s:
                for i in range(len(reply.body)):
                    time.sleep(reply.drip_s)
                    self.wfile.write(reply.body[i : i + 1])
                    self.wfile.flush()
                return
            self.wfile.write(reply.body[: reply.cut_after])
            self.wfile.flush()
            if reply.cut_after is not None:
                # With a linger time of 0, closing sends a reset instead of an orderly end.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet; whoever uses the server looks at its counters."""

    return Handler


def _schema_of(request: Request) -> Any:
    wanted = request.body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        return wanted["json_schema"]["schema"]
    return None


def _tokens(content: str) -> int:
    return len(content) // 4  # a rule of thumb for English; real tokenizers differ


def _only_fake_models(request: Request) -> Reply:
    model = str(request.body.get("model", ""))
    if model.startswith(MODEL):
        return graded()(request)
    return error(404, f"There is no model '{model}' here, only {MODEL}.")(request)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m workbench.fake_provider",
        description="An OpenAI-compatible server without a model: its grades are hashes and mean nothing.",
    )
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that an answer takes")
    chosen = parser.parse_args(arguments)
    with FakeProvider(
        otherwise=_only_fake_models, port=chosen.port, delay_s=chosen.delay, keep=0
    ) as provider:
        print(
            f"Serving {MODEL} at {provider.base_url} (grades are hashes and mean nothing). Ctrl-C ends it.",
            flush=True,
        )
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("Ended.")


if __name__ == "__main__":
    main()

"""Transport to a language model: one request, one completion, and what can go wrong in between.

OpenAI and OpenAI-compatible endpoints are read raw (:mod:`workbench.judges.endpoint`); every other provider goes
through litellm, whose exceptions are subclasses of openai's. Keys come from the environment, and nothing that
leaves this module holds one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from workbench.errors import BadInput, Unavailable
from workbench.judges.endpoint import LARGEST_ANSWER, Answer, Endpoint, NoAnswer, TooLarge
from workbench.judges.keys import checked_url, key_in, one_line, refuse_secrets, secrets, without
from workbench.run import Usage

OPENAI_URL = "https://api.openai.com/v1"
RETRIED = {408, 409, 425, 429}
"""Statuses besides 5xx that may pass when asked again."""

_log = logging.getLogger(__name__)
_ABOUT_FORMAT = re.compile(r"response.?format|json.?schema|json.?object|structured.?output", re.IGNORECASE)
_REFUSAL_BY_LITELLM = ("provider_specific_fields", "refusal")
_MARKED = {"anthropic", "bedrock", "bedrock_converse", "vertex_ai"}
"""Providers of Claude, which keep no prompt unless a request asks for it."""
_RESERVED = {"model", "messages", "response_format", "stream", "n", "timeout", "base_url", "api_base"}


@dataclass(frozen=True)
class Completion:
    """One answer of a provider. ``cost_usd`` is None where no price is known.

    ``logprobs`` is what it says of each token of the text (``choices[0].logprobs.content``), unchecked; None without.
    """

    text: str
    finish_reason: str = ""
    refusal: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cost_usd: float | None = None
    logprobs: list[Any] | None = None

    def usage(self) -> Usage:
        """Return what this answer took."""
        return Usage(input_tokens=self.input_tokens, output_tokens=self.output_tokens, cost_usd=self.cost_usd)


class RequestFailed(Exception):
    """A request without a usable answer."""

    def __init__(
        self,
        reason: str,
        *,
        again: bool,
        wait_s: float | None = None,
        provider_down: bool = True,
        reply: str = "",
    ) -> None:
        """Keep what the judge needs to go on.

        Args:
            reason: short and scrubbed.
            again: whether the same request may succeed later.
            wait_s: seconds that the provider asks to wait.
            provider_down: whether the provider gave no answer at all, as against one that cannot be used.
            reply: what it answered.
        """
        super().__init__(reason)
        self.reason = reason
        self.again = again
        self.wait_s = wait_s
        self.provider_down = provider_down
        self.reply = reply


class FormatRefused(Exception):
    """The endpoint does not know the response format that was asked for."""


class Provider:
    """One model at one endpoint; an async context manager that holds the connections."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str | None = None,
        params: Mapping[str, Any],
        timeout_s: float,
    ) -> None:
        """See :class:`workbench.judges.llm.LlmJudge`.

        Raises:
            BadInput: for an address, a model name or parameters that cannot be used.
        """
        if not model.strip():
            raise BadInput("A judge needs the name of a model.", "Write it like openai/gpt-4o-mini.")
        self.model = model.strip()
        self.base_url = checked_url(base_url) if base_url else None
        self._key_name = api_key_env
        self.params = self._checked(params)
        self._timeout_s = timeout_s
        self._by_openai = self.base_url is not None or self.model.startswith("openai/")
        self._endpoint: Endpoint | None = None
        self._priced: Any = None
        self._secrets: tuple[str, ...] = ()
        self._marks = False
        sent_as = self.model if self.base_url else self.model.removeprefix("openai/")
        self._head = {**self.params, "model": sent_as}

    @property
    def name(self) -> str:
        """The provider as people know it: a host, or the first part of the model's name."""
        return urlsplit(self.base_url).netloc if self.base_url else self.model.partition("/")[0]

    async def __aenter__(self) -> Provider:
        """Open the connections.

        Raises:
            Unavailable: when the environment variable of the key is not set.
        """
        # Once a run: nobody changes the environment of a process at work, and a look through it takes longer than
        # reading a reply.
        self._secrets = secrets(self._key_name)
        if self._by_openai:
            self._endpoint = Endpoint(self.base_url or OPENAI_URL, self._key())
        else:
            if self._key_name:
                self._key()
            try:
                _, by, _, _ = _litellm().get_llm_provider(self.model)
                self._marks = by in _MARKED and "claude" in self.model.lower()
            except Exception:
                raise BadInput(
                    f"The model name '{self.model}' does not say who provides it.",
                    "Write it like anthropic/claude-sonnet-4-5, or give the address of the endpoint (base_url).",
                ) from None
        # Prices are known for what a provider itself sells; what a private endpoint costs, nobody here knows.
        self._priced = None if self.base_url else _litellm()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        if self._endpoint is not None:
            await self._endpoint.close()
            self._endpoint = None

    async def complete(
        self, messages: Sequence[Mapping[str, str]], response_format: Mapping[str, Any] | None
    ) -> Completion:
        """Send one request and return its answer.

        Raises:
            RequestFailed: when there is none this time.
            FormatRefused: when the endpoint does not support ``response_format``.
            Unavailable: when no request can succeed (the key, the model, the account).
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._endpoint is not None:
                    answer = await self._endpoint.ask(self._head, messages, response_format)
                    data = self._read(answer, response_format is not None)
                else:
                    data = await self._ask_litellm(messages, response_format)
        except TimeoutError:
            raise self._too_late() from None
        except NoAnswer as error:
            raise self._no_connection(str(error)) from None
        except TooLarge:
            reason = f"the answer has more than {LARGEST_ANSWER // 1024**2} MB"
            raise RequestFailed(reason, again=False, provider_down=False) from None
        return self._completion(data)

    def _scrub(self, text: str) -> str:
        return without(self._secrets, text)

    def _short(self, text: str) -> str:
        return one_line(text, self._key_name)

    def _too_late(self) -> RequestFailed:
        return RequestFailed(f"no answer within {self._timeout_s:g} s", again=True)

    def _no_connection(self, told: str) -> RequestFailed:
        return RequestFailed(f"the connection failed ({self._short(told)})", again=True)

    def _read(self, answer: Answer, with_format: bool) -> Any:
        try:
            data = answer.json()
        except ValueError:
            data = None
        if answer.status >= 400:
            text = answer.body[:2000].decode("utf-8", "replace")
            raise self._refused(answer.status, data, text, answer.headers, with_format)
        if data is None:
            kind = answer.headers.get("content-type", "no content type")
            reason = f"the answer is not a chat completion but {self._short(kind)}"
            raise RequestFailed(reason, again=True)
        return data

    async def _ask_litellm(
        self, messages: Sequence[Mapping[str, str]], response_format: Mapping[str, Any] | None
    ) -> Any:
        import openai

        options: dict[str, Any] = dict(self.params)
        if response_format is not None:
            options["response_format"] = response_format
        if self._key_name:
            options["api_key"] = self._key()
        try:
            response = await _litellm().acompletion(
                model=self.model,
                messages=[_marked(messages[0]), *messages[1:]] if self._marks else list(messages),
                timeout=self._timeout_s,
                num_retries=0,
                max_retries=0,
                **options,
            )
        except openai.APIStatusError as error:
            if type(error).__name__ == "ContentPolicyViolationError":
                raise _filtered() from None
            # litellm keeps the headers of the answer here, and an empty response beside them.
            headers = getattr(error, "litellm_response_headers", None) or error.response.headers
            told = error.message
            raise self._refused(
                int(error.status_code), error.body, told, headers, response_format is not None
            ) from None
        except (openai.OpenAIError, OSError) as error:
            # The root decides: litellm's transport reports a connection that was cut as a timeout.
            root: BaseException = error
            while root.__cause__ is not None and not isinstance(root, TimeoutError):
                root = root.__cause__
            if isinstance(root, TimeoutError | openai.APITimeoutError):
                raise self._too_late() from None
            raise self._no_connection(f"{type(root).__name__}: {root}".removesuffix(": ")) from None
        return response.model_dump(mode="json", warnings=False)

    def _completion(self, data: Any) -> Completion:
        choice = _at(data, "choices", 0)
        message = _at(choice, "message")
        if not isinstance(message, dict):
            told = _at(data, "error", "message")
            reason = f": {self._short(told)}" if isinstance(told, str) else ""
            raise RequestFailed(f"the answer has no message{reason}", again=True)
        usage = _at(data, "usage")
        logprobs = _at(choice, "logprobs", "content")
        return Completion(
            text=self._scrub(_text(message.get("content"))),
            finish_reason=_text(_at(choice, "finish_reason")),
            refusal=self._scrub(_text(message.get("refusal") or _at(message, *_REFUSAL_BY_LITELLM))),
            input_tokens=_count(_at(usage, "prompt_tokens")),
            output_tokens=_count(_at(usage, "completion_tokens")),
            cached_input_tokens=_count(_at(usage, "prompt_tokens_details", "cached_tokens")),
            cost_usd=self._cost(data, usage),
            logprobs=logprobs if isinstance(logprobs, list) else None,
        )

    def _cost(self, data: Any, usage: Any) -> float | None:
        if self._priced is None or not isinstance(usage, dict):
            return None
        bill = {
            "model": _text(_at(data, "model")),
            "usage": {k: v for k, v in usage.items() if v is not None},
        }
        try:
            cost = float(self._priced.completion_cost(completion_response=bill, model=self.model))
        except Exception as error:  # litellm raises many types for models without a price
            _log.debug("No price for %s (%s).", self.model, type(error).__name__)
            return None
        # The price map lists models that run on one's own machines with 0, which is no price.
        return cost or None

    def _refused(
        self, status: int, body: Any, otherwise: str, headers: Mapping[str, str], with_format: bool
    ) -> Exception:
        """Return what a status above 399 means; ``otherwise`` is said where the body has no message."""
        told = _at(body, "message") or _at(body, "error", "message") or otherwise
        text = self._short(str(told))
        code = _text(_at(body, "code") or _at(body, "error", "code"))
        if status in {401, 403}:
            return Unavailable(f"{self.name} refused the key for {self.model} ({status}).", self._key_hint())
        if status == 404:
            also = ", and that the address ends as the server documents it, often in /v1"
            hint = f"Check the model's name{also if self.base_url else ''}."
            return Unavailable(f"{self.name} has no model {self.model} (404).", hint)
        if "insufficient_quota" in f"{code} {told}":
            return Unavailable(f"The account at {self.name} has no quota left: {text}", self._key_hint())
        if status in {400, 422, 501} and with_format and _ABOUT_FORMAT.search(str(told)):
            return FormatRefused(text)
        if "content_filter" in code:
            return _filtered()
        wait_s = retry_after(headers) if status in {429, 503} else None
        return RequestFailed(
            f"HTTP {status}: {text}", again=status in RETRIED or status >= 500, wait_s=wait_s
        )

    def _key(self) -> str:
        name = self._key_name or (None if self.base_url else "OPENAI_API_KEY")
        if name is None:
            return "no-key"  # never the OpenAI key: it would go to whoever runs the endpoint
        key = key_in(name)
        if not key:
            raise Unavailable(f"There is no key for {self.model} at {self.name}.", self._key_hint())
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise Unavailable(f"{name} holds characters that no key has.", self._key_hint())
        return key

    def _key_hint(self) -> str:
        if self._key_name:
            return f"Set the environment variable {self._key_name} to a key that may use it."
        if self.base_url:
            return "Give the judge the name of the environment variable that holds the key (api_key_env)."
        names = ["OPENAI_API_KEY"]
        if not self._by_openai:
            # litellm tells only those that are not set; the others follow its convention.
            names = _litellm().validate_environment(self.model)["missing_keys"]
            names = names or [f"{self.name.upper().replace('-', '_')}_API_KEY"]
        return f"Set the environment variable {' or '.join(names)} to a key that may use it."

    def _checked(self, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            text = json.dumps(dict(params), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise BadInput(
                f"The model parameters are not JSON ({error}).", "Use numbers and texts."
            ) from None
        reserved = sorted(_RESERVED & set(params))
        if reserved:
            raise BadInput(
                f"'{reserved[0]}' is not a model parameter of a judge.", "Leave it out; it is set."
            )
        refuse_secrets(list(params), text, self._key_name)
        checked: dict[str, Any] = json.loads(text)
        return checked


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (a number or an HTTP date), None without one."""
    value = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value)) if float(value) < float("inf") else None
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def _marked(message: Mapping[str, str]) -> dict[str, Any]:
    """Return the message with the mark up to which these providers keep a prompt: the policy, in every call."""
    part = {"type": "text", "text": message["content"], "cache_control": {"type": "ephemeral"}}
    return {**message, "content": [part]}


def _filtered() -> RequestFailed:
    return RequestFailed("stopped by the provider's content filter", again=False, provider_down=False)


def _litellm() -> Any:
    # Read at import: without it litellm fetches its price map from the network.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm


def _at(data: Any, *path: str | int) -> Any:
    for step in path:
        if isinstance(step, str):
            data = data.get(step) if isinstance(data, dict) else None
        else:
            data = data[step] if isinstance(data, list) and len(data) > step else None
    return data


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0

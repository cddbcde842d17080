"""One question to a model, for trying whether a judge works: no cache, no second attempt, no caps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.errors import Unavailable
from workbench.golden import Pair
from workbench.judges.asking import Asker, Bill, Form
from workbench.judges.provider import Completion, Provider, RequestFailed
from workbench.level_probabilities import NoProbabilities, with_probabilities
from workbench.policy import Policy
from workbench.prompt_modes import read, requests
from workbench.run import Judgement, LlmSpec, Usage


@dataclass(frozen=True)
class OneAnswer:
    """What came back.

    Attributes:
        usage: what all requests for it took; more than one where the first reply did not fit.
        response_mode: how the form of the reply was enforced in the end.
        model: what the server calls the model that answered, "" where it does not say.
        lacks_logprobs: why there are no probabilities though log-probabilities were asked for, "" otherwise.
    """

    judgements: tuple[Judgement, ...]
    usage: Usage
    response_mode: str
    model: str
    lacks_logprobs: str = ""


class _NamedProvider(Provider):
    """Notes what the server calls its model, which a run has no use for."""

    served = ""

    def _completion(self, data: Any) -> Completion:
        completion = super()._completion(data)
        name = data.get("model")  # a completion was read from it, so it is an object
        self.served = self._short(name) if isinstance(name, str) else ""
        return completion


async def ask_once(spec: LlmSpec, policy: Policy, pair: Pair, *, timeout_s: float) -> OneAnswer:
    """Return the answer to the first question that a run of this judge would ask about ``pair``.

    Raises:
        Unavailable: when there is none, with the reason that a run would give.
        BadInput: for an address, a model name or parameters that cannot be used.
    """
    provider = _NamedProvider(
        spec.model,
        base_url=spec.base_url,
        api_key_env=spec.api_key_env,
        params=spec.params,
        timeout_s=timeout_s,
    )
    asker = Asker(provider, max_attempts=1)
    request = next(requests(policy, [pair], spec.mode, repeat=spec.repeat))
    bill = Bill()
    async with provider:
        try:
            found, text = await asker.answer(
                request.messages,
                Form("grades", request.schema),
                lambda reply: read(request, reply),
                bill,
                again=request.again,
            )
        except RequestFailed as failure:
            raise Unavailable(
                f"{provider.name} gave no answer that can be used: {failure.reason}",
                "Check the model, its parameters and the address, and try again.",
            ) from None
    judgements, lacks = found[pair.id], ""
    if spec.params.get("logprobs") is True:
        try:
            judgements = with_probabilities(
                policy, judgements, bill.answers[-1].logprobs, text, label=request.labels[0]
            )
        except NoProbabilities as problem:
            lacks = str(problem)
    return OneAnswer(judgements, bill.usage(), asker.response_mode, provider.served, lacks)

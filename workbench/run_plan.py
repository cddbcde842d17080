"""What a judge run would send, known before it is started: pairs, the size of the prompt, the key, the cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from workbench.evaluation import checked_llm
from workbench.judges.keys import key_in
from workbench.prompt import pair_text, system_prompt
from workbench.run import JudgeSpec, LlmSpec, Run
from workbench.store import Store
from workbench.workspace import Workspace

CHARACTERS_A_TOKEN = 4
"""A rule of thumb for English; tokenizers differ."""
MEASURED_PAIRS = 200
"""Pairs whose text is measured; the others are taken to be as long on average."""


@dataclass(frozen=True)
class RunPlan:
    """What is known of a run before it starts. Counts of tokens are estimates; a judge of our own sends nothing."""

    pairs: int
    dev_pairs: int
    sends: bool
    prompt_characters: int = 0  # of the system message: the policy, the same in every call
    pair_characters: int = 0  # of the user message, on average
    key_variable: str = ""  # environment variable of the key; "" where no key is sent
    key_set: bool = False
    key_needed: bool = (
        False  # the run cannot work without it; else the provider may take its key from elsewhere
    )
    priced_by: Run | None = None  # the newest run of this model with a known cost
    cost_usd: float | None = None  # at what a call cost in that run

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the system message, estimated."""
        return self.prompt_characters // CHARACTERS_A_TOKEN

    @property
    def input_tokens(self) -> int:
        """Tokens sent in all, estimated, if nothing is answered from the cache."""
        return self.pairs * ((self.prompt_characters + self.pair_characters) // CHARACTERS_A_TOKEN)


def run_plan(
    workspace: Workspace,
    judge: JudgeSpec,
    *,
    policy: str,
    version: int | None = None,
    golden: str,
    golden_version: int | None = None,
) -> RunPlan:
    """Return what starting ``judge`` would send. Nothing is sent and no price list is loaded.

    Raises:
        NotFound: for a policy version or golden set that does not exist.
        BadInput: for a judge that cannot be run.
    """
    store = workspace.store
    document = store.policy(policy, version)
    number = golden_version or max(store.golden(golden).snapshots, default=None)
    pairs, dev, prompt, text = _sizes(store, policy, document.version, golden, number)
    if not isinstance(judge, LlmSpec):
        return RunPlan(pairs, dev, sends=False)
    judge = checked_llm(judge)
    variable, needed = key_variable(judge)
    priced = _priced(workspace, judge)
    return RunPlan(
        pairs,
        dev,
        sends=True,
        prompt_characters=prompt,
        pair_characters=text,
        key_variable=variable,
        key_set=bool(variable and key_in(variable)),
        key_needed=needed,
        priced_by=priced,
        cost_usd=pairs * (priced.totals.cost_usd or 0.0) / priced.totals.calls if priced else None,
    )


def key_variable(judge: LlmSpec) -> tuple[str, bool]:
    """Return the environment variable that the key comes from, and whether the run is bound to need it.

    A server of one's own gets no key unless a variable is named. Where none is named for a provider, its own
    is used; for others than OpenAI the name follows the common form and may differ (cloud accounts).
    """
    if judge.api_key_env:
        return judge.api_key_env, True
    if judge.base_url:
        return "", False
    provider = judge.model.partition("/")[0]
    return f"{provider.upper().replace('-', '_')}_API_KEY", provider == "openai"


def _priced(workspace: Workspace, judge: LlmSpec) -> Run | None:
    for run in workspace.store.runs():
        same = (run.judge.kind, run.judge.name) == ("llm", judge.model)
        if same and run.totals.calls and run.totals.cost_usd is not None:
            return run
    return None


@lru_cache(maxsize=16)
def _sizes(
    store: Store, policy: str, version: int, golden: str, number: int | None
) -> tuple[int, int, int, int]:
    """Return pairs, dev pairs, characters of the system message and of an average pair; versions never change."""
    document = store.policy(policy, version)
    snapshot = store.snapshot(golden, number)
    measured = snapshot.pairs[:MEASURED_PAIRS]
    text = sum(len(pair_text(document, pair)) for pair in measured) // max(len(measured), 1)
    dev = sum(split == "dev" for split in snapshot.splits.values())
    return len(snapshot.pairs), dev, len(system_prompt(document)), text

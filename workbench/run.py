"""Judges' answers and the runs they belong to; jobs and their folders' contract, as values.

A judge answers in *verdicts*: one call's answer about one pair, with one :class:`Judgement` a dimension and what
the call cost. The verdict, not the judgement, is what is cached, paid for and retried.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import Field

from workbench.errors import WorkbenchError
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.identity import Value, content_hash
from workbench.policy import Policy
from workbench.prompt_mode import PromptMode

RunStatus = Literal["queued", "running", "finished", "failed", "cancelled", "capped"]
JobKind = Literal["judge_run", "training", "trial", "suggestion", "lint", "probe", "ablation", "dataset"]


class CapReached(WorkbenchError):
    """A run took what it was allowed to take; what it did is kept, and it can be continued."""


class JudgeIdentity(Value):
    """What a judge is: everything that can change its answers, and so part of the cache key."""

    kind: Literal[
        "llm", "baseline", "recorded", "checkpoint", "plugin", "repeats", "calibrated", "ensemble", "cascade"
    ]
    name: str
    params: dict[str, Any] = {}

    @property
    def is_model(self) -> bool:
        """Whether one language model answers, once or several times; its name is the model's then."""
        return self.kind in ("llm", "repeats")

    @property
    def hash(self) -> str:
        """Identity of the judge by content."""
        return content_hash("judge", {"kind": self.kind, "name": self.name, "params": self.params})


class LlmSpec(Value):
    """How to reach a language model and how it is asked."""

    kind: Literal["llm"] = "llm"
    model: str = Field(
        min_length=1, description="Model id, such as openai/gpt-5-mini or anthropic/claude-haiku-4-5."
    )
    base_url: str | None = Field(
        default=None, description="Address of an OpenAI-compatible server, for own servers."
    )
    api_key_env: str | None = Field(default=None, description="Environment variable that holds the key.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="Sampling parameters sent with each call."
    )
    concurrency: int = Field(default=16, ge=1, le=512, description="Calls in flight at once.")
    timeout_s: float = Field(default=120.0, gt=0, description="Longest wait for one answer, in seconds.")
    repeat: int = Field(
        default=0, ge=0, description="Repeat index; another index samples anew instead of the cache."
    )
    repeats: int = Field(
        default=1, ge=1, le=20, description="Answers that are drawn for each question and settled as one."
    )
    delivery: Literal["calls", "batch"] = Field(
        default="calls",
        description="batch: through the provider's batch API, at half price and within 24 hours.",
    )
    mode: PromptMode = Field(default=PromptMode(), description="How its questions are put to calls.")
    requests_per_minute: int | None = Field(default=None, ge=1, description="Most requests in any minute.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Most tokens, sent and received, in any minute."
    )
    cap_usd: float | None = Field(
        default=None, gt=0, description="The run stops before it has cost more, in US dollars."
    )
    cap_tokens: int | None = Field(
        default=None, ge=1, description="The run stops before it has taken more tokens."
    )
    cap_seconds: float | None = Field(
        default=None, gt=0, description="No request is sent after so many seconds of one start of the run."
    )


class BaselineSpec(Value):
    """The judge that needs no key: similarities, calibrated on the golden dev labels."""

    kind: Literal["baseline"] = "baseline"
    use_embeddings: bool | None = Field(
        default=None, description="MiniLM features; null uses them where installed."
    )


class RecordedSpec(Value):
    """Answers made elsewhere, kept as verdict lines in the job's folder."""

    kind: Literal["recorded"] = "recorded"
    name: str = Field(min_length=1)
    source: str = ""


class CheckpointSpec(Value):
    """A trained model of ours."""

    kind: Literal["checkpoint"] = "checkpoint"
    checkpoint: str = Field(min_length=1, description="Checkpoint id or recipe name.")
    folder: str = Field(default="", description="Folder of the weights; filled in when a run starts.")


class PluginSpec(Value):
    """A judge of somebody else's, from an installed package."""

    kind: Literal["plugin"] = "plugin"
    plugin: str = Field(min_length=1, description="Name under which the package offers the judge.")
    params: dict[str, Any] = Field(default_factory=dict, description="What its factory is called with.")


BasicSpec = Annotated[LlmSpec | BaselineSpec | CheckpointSpec | PluginSpec, Field(discriminator="kind")]
"""A judge that grades by itself."""


class CalibratedSpec(Value):
    """A judge whose probabilities are calibrated on the dev labels; its grades stay as they are."""

    kind: Literal["calibrated"] = "calibrated"
    judge: BasicSpec
    method: Literal["temperature", "isotonic"] = "temperature"


Member = Annotated[
    LlmSpec | BaselineSpec | CheckpointSpec | PluginSpec | CalibratedSpec, Field(discriminator="kind")
]


class EnsembleSpec(Value):
    """Several judges that vote on each grade."""

    kind: Literal["ensemble"] = "ensemble"
    name: str = Field(default="", description="What it is called; by default, its members' names.")
    members: tuple[Member, ...] = Field(min_length=2, max_length=10)
    weights: tuple[float, ...] = Field(default=(), description="One a member; none: all alike.")


class CascadeSpec(Value):
    """A cheap judge first; a dear one for the pairs of which the cheap one is not sure."""

    kind: Literal["cascade"] = "cascade"
    name: str = Field(default="", description="What it is called; by default, both names.")
    first: Member
    second: Member
    sure_at: float = Field(
        default=0.8, gt=0, le=1, description="The first judge's answer stands from this probability on."
    )


JudgeSpec = Annotated[
    LlmSpec
    | BaselineSpec
    | RecordedSpec
    | CheckpointSpec
    | PluginSpec
    | CalibratedSpec
    | EnsembleSpec
    | CascadeSpec,
    Field(discriminator="kind"),
]
"""What a person chooses when starting a run."""


class Judgement(Value):
    """A judge's answer about one dimension: a level, N/A, or NOT_GRADED with an ``error``."""

    dimension: str
    grade: int
    expected: float | None = None  # mean grade, where the judge knows more than one level
    probabilities: tuple[float, ...] | None = None  # over the declared levels, ascending; sums to 1
    rationale: str = ""
    cites: tuple[str, ...] = ()
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether the judge gave no usable answer."""
        return self.grade == NOT_GRADED

    @property
    def not_applicable(self) -> bool:
        """Whether the judge said that the dimension does not apply."""
        return self.grade == NOT_APPLICABLE


class Usage(Value):
    """What one call took. A cost that is unknown is None, never 0."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cost_usd: float | None = None
    latency_ms: float = 0.0
    from_cache: bool = False


class Attempt(Value):
    """One request and what became of it."""

    at: datetime
    seconds: float
    outcome: str = ""  # "" where an answer came, else why none did


class Trace(Value):
    """How the answer to one question came about: one pair under the dimensions that were asked together."""

    judge: str = ""  # which member answered, where the judge consists of several
    dimensions: tuple[str, ...]
    repeat: int = 0
    key: str = ""  # of the verdict cache
    from_cache: bool = False  # then the attempts are those of the run that paid
    response_mode: str = ""  # how the form of the reply was enforced
    together: int = 1  # pairs that the call asked about
    attempts: tuple[Attempt, ...] = ()
    raw: str = ""


class Verdict(Value):
    """One finished call: the judgements about one pair, what it took, and the raw reply where there was one."""

    pair_id: str
    judgements: tuple[Judgement, ...]
    usage: Usage = Usage()
    raw: str = ""
    traces: tuple[Trace, ...] = ()


class Judge(Protocol):
    """Anything that grades pairs under a policy."""

    @property
    def identity(self) -> JudgeIdentity:
        """What goes into the run record and the cache key."""
        ...

    def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield verdicts as they finish, in any order, every dimension of every pair exactly once.

        A dimension that cannot be graded is yielded as a failed judgement, never dropped and never guessed.

        Raises:
            WorkbenchError: when nothing at all can be graded (a wrong key, a missing model).
        """
        ...


@runtime_checkable
class Charged(Protocol):
    """A judge with caps: it is told what the run had spent before it was started again."""

    def charge(self, usage: Usage) -> None:
        """Count ``usage`` against the caps."""
        ...


class RunTotals(Value):
    """Sums over a run's verdicts."""

    pairs: int = 0
    judgements: int = 0
    failed: int = 0
    calls: int = 0
    cache_hits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0  # of input_tokens, what the provider still held
    cost_usd: float | None = None
    seconds: float = 0.0


class Run(Value):
    """One judge, one policy version, one golden set. Immutable once finished."""

    id: str
    judge: JudgeIdentity
    policy: str
    policy_version: int
    policy_hash: str
    golden: str
    golden_version: int
    golden_hash: str
    status: RunStatus
    author: str = ""
    created_at: datetime
    finished_at: datetime | None = None
    code_revision: str = ""
    totals: RunTotals = RunTotals()
    error: str = ""
    sample: bool = False

    @property
    def label(self) -> str:
        """Judge and policy version, as the columns of a comparison call it."""
        return f"{self.judge.name} · {self.policy} v{self.policy_version}"


class Needs(Value):
    """What a job wants of the machine that it runs on."""

    slots: Literal["none", "cpu", "gpu"] = Field(
        default="none", description="none: it waits for the network above all, and starts at once."
    )
    gpus: int = Field(default=0, ge=0, description="GPUs that it uses.")
    memory_gb: float | None = Field(default=None, gt=0, description="Main memory, in GB; null: unknown.")


class JobSpec(Value):
    """One long piece of work. ``payload`` is what the worker needs besides the files in the job's folder."""

    id: str
    kind: JobKind
    title: str
    author: str = ""
    created_at: datetime
    payload: dict[str, Any] = Field(default_factory=dict)
    needs: Needs = Needs()
    priority: int = 0  # of jobs that wait, the higher goes first


class JobState(Value):
    """What an executor can say about a job from its folder and its process."""

    status: Literal["queued", "running", "finished", "failed", "cancelled", "capped", "lost"]
    done: int = 0
    total: int = 0
    note: str = ""
    error: str = ""
    started_at: datetime | None = None
    updated_at: datetime | None = None


class Reporter(Protocol):
    """What an engine tells while it works. The worker's reporter writes the job folder; tests use a list."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far the work is."""
        ...

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        """Append one row of measurements (a step's losses, an evaluation)."""
        ...

    def log(self, line: str) -> None:
        """Append one line to the log."""
        ...

    def stopping(self) -> bool:
        """Whether somebody asked to stop; the engine then ends at the next safe point."""
        ...

    def stopping_after_epoch(self) -> bool:
        """Whether somebody asked a training to end with the epoch that it is in."""
        ...


class Silent:
    """A reporter that hears nothing and never asks to stop: for work whose progress nobody watches."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Do nothing."""

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        """Do nothing."""

    def log(self, line: str) -> None:
        """Do nothing."""

    def stopping(self) -> bool:
        """Never."""
        return False

    def stopping_after_epoch(self) -> bool:
        """Never."""
        return False

"""Verbs of probes: plan one, start it as a job, find what earlier ones measured; and the pairs of a run to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from workbench import jobs
from workbench.errors import BadInput, Refused
from workbench.golden import GoldenSet, Pair
from workbench.injection import Suspicion, flagged
from workbench.jobfolder import JobFolder
from workbench.judge_choice import filled, judge_name, preliminary_identity
from workbench.judge_runs import write_inputs
from workbench.policy import Body, Policy
from workbench.prices import model_price
from workbench.probe_job import ProbeSpec, read_report
from workbench.probe_measures import ProbeReport
from workbench.probe_paraphrase import Reworded, messages, reworded, sections
from workbench.probing import (
    ALL,
    PROBES,
    ProbeName,
    asked_again,
    changed,
    models_in,
    not_applicable,
    with_models,
)
from workbench.prompt_costs import answer_tokens
from workbench.run import CheckpointSpec, JobState, JudgeIdentity, Judgement, JudgeSpec, LlmSpec, Run
from workbench.run_plan import CHARACTERS_A_TOKEN, calls_left
from workbench.store import StoredJob
from workbench.workspace import Workspace, code_revision

USUAL, MOST = 40, 500
"""Pairs of one probe: by default, and at most; more pairs are paid for nine times."""


@dataclass(frozen=True)
class ProbePlan:
    """What is known of a probe before it starts. A cost that is unknown is None, never 0."""

    pairs: int
    passes: int  # over the sample: as it is, again, and one a probe
    skipped: Mapping[ProbeName, str]  # probes that say nothing about this judge, and why
    calls: int = 0  # left to make, the rewording of the policy included
    known: int = 0  # answers in the verdict cache
    input_tokens: int = 0
    output_tokens: int = 0  # expected
    cost_usd: float | None = None  # at list prices, nothing saved by the provider's prompt cache
    cost_unknown: str = ""


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """One probe job, and what it has measured so far."""

    job: StoredJob
    state: JobState
    spec: ProbeSpec
    report: ProbeReport | None  # None before the first probe is done

    @property
    def judge(self) -> JudgeIdentity:
        """Who was probed, exactly as soon as the worker said so."""
        return self.report.judge if self.report else preliminary_identity(self.spec.judge)


@dataclass(frozen=True)
class FlaggedPair:
    """A pair whose texts look as if they speak to the judge, with what a run answered about it."""

    pair: Pair
    suspicions: tuple[Suspicion, ...]
    judgements: Mapping[str, Judgement]  # by dimension; {} where the run has none


def start_probe(
    workspace: Workspace,
    judge: JudgeSpec,
    *,
    policy: str,
    version: int | None = None,
    golden: str,
    author: str,
    key: str = "",
    pairs: int = USUAL,
    which: Sequence[ProbeName] = ALL,
    noise: bool = True,
    paraphraser: LlmSpec | None = None,
) -> str:
    """Start probing ``judge`` on dev pairs of a golden set's newest snapshot, and return the job's id.

    Args:
        version: of the policy; the newest where None.
        key: makes the call repeatable: the same key starts one probe only (a double click).
        pairs: how many are taken; the same ones every time, so that probes can be compared.
        which: the probes.
        noise: ask a second time without any change, to know how far the judge moves by itself.
        paraphraser: who says the policy in other words; the judge's own model where None.

    Raises:
        NotFound: for a policy, golden set or checkpoint that does not exist.
        Refused: for a golden set of another policy, or one without dev pairs.
        BadInput: for a judge that cannot be run, or pairs and probes that cannot be used.
    """
    job_id = f"job-probe-{key}" if key else jobs.new_id("job-probe")
    if key and jobs.exists(workspace, job_id):
        return job_id
    document, snapshot, sample = _chosen(workspace, policy, version, golden, pairs)
    judge, which = _ready(workspace, judge), _checked(which)
    if paraphraser is not None:
        filled(workspace, paraphraser)
    given = ProbeSpec(
        judge=judge,
        policy=policy,
        policy_version=document.version,
        golden=golden,
        golden_version=snapshot.version,
        pairs=tuple(pair.id for pair in sample),
        which=which,
        noise=noise,
        paraphraser=paraphraser,
        cache=str(workspace.cache_folder),
        code_revision=code_revision(),
    )
    spec, folder = jobs.prepare(
        workspace,
        "probe",
        job_id=job_id,
        title=f"Probe of {judge_name(judge)} · {document.label}",
        author=author,
        payload=given.model_dump(mode="json"),
    )
    write_inputs(folder.path, document, _inputs(judge, snapshot, sample))
    jobs.submit(workspace, spec, folder)
    return job_id


def plan_probe(
    workspace: Workspace,
    judge: JudgeSpec,
    *,
    policy: str,
    version: int | None = None,
    golden: str,
    pairs: int = USUAL,
    which: Sequence[ProbeName] = ALL,
    noise: bool = True,
    paraphraser: LlmSpec | None = None,
) -> ProbePlan:
    """Return what probing ``judge`` would send, answers in the verdict cache deducted. Nothing is sent.

    Raises:
        NotFound, Refused, BadInput: as :func:`start_probe`.
        Unavailable: if the tokenizer or the price list is missing, or the verdict cache cannot be used.
    """
    document, _, sample = _chosen(workspace, policy, version, golden, pairs)
    judge, which = _ready(workspace, judge), _checked(which)
    skipped = {name: reason for name in which if (reason := not_applicable(name, judge, document))}
    probes = [name for name in which if name not in skipped]
    passes = 1 + noise + len(probes)
    if not models_in(judge):
        return ProbePlan(len(sample), passes, skipped, cost_usd=0.0)
    body = document.body()
    asked: list[tuple[JudgeSpec, Body, Sequence[Pair]]] = [(judge, body, sample)]
    asked += [(asked_again(judge), body, sample)] if noise else []
    asked += [changed(name, judge, body, sample) for name in probes if name != "paraphrase"]
    bill = _Bill(workspace, body)
    if "paraphrase" in probes:
        asked.append((judge, _in_other_words(body), sample))
        bill.add_rewording(paraphraser or models_in(judge)[0], body)
    for one, under, those in asked:
        for model in models_in(one):
            bill.add(model, under, those)
    return ProbePlan(
        len(sample),
        passes,
        skipped,
        calls=bill.calls,
        known=bill.known,
        input_tokens=bill.sent,
        output_tokens=round(bill.answered),
        cost_usd=None if bill.unknown else bill.cost,
        cost_unknown=bill.unknown,
    )


def probe_results(
    workspace: Workspace, judge: JudgeIdentity | str = "", policy: str | None = None
) -> list[ProbeResult]:
    """Return probe jobs, newest first, each with what it has measured so far.

    Args:
        judge: exactly this judge, or all of this name; "" for every judge.
        policy: under any version of this policy.

    Raises:
        BadInput: if a report is damaged.
    """
    found = []
    for job in workspace.store.jobs("probe"):
        spec = ProbeSpec.model_validate(job.spec.payload)
        if policy not in (None, spec.policy):
            continue
        report = read_report(JobFolder(Path(job.folder)))
        result = ProbeResult(job, jobs.state(workspace, job), spec, report)
        same = result.judge.name == judge if isinstance(judge, str) else result.judge.hash == judge.hash
        if same or not judge:
            found.append(result)
    return found


def flagged_pairs(workspace: Workspace, run: Run) -> list[FlaggedPair]:
    """Return the dev pairs of a run's golden set whose texts look as if they speak to the judge, most places first.

    Pairs of the holdout are left out: showing what a run answered about them would be a look at it.

    Raises:
        NotFound: if the policy version or the snapshot is gone.
    """
    places, pairs = _flagged(workspace, run.policy, run.policy_version, run.golden, run.golden_version)
    answers = workspace.store.judgements(run.id, list(places))
    found = [FlaggedPair(pairs[id], places[id], answers.get(id, {})) for id in places]
    return sorted(found, key=lambda one: -len(one.suspicions))


@lru_cache(maxsize=16)
def _flagged(
    workspace: Workspace, policy: str, version: int, golden: str, golden_version: int
) -> tuple[dict[str, tuple[Suspicion, ...]], dict[str, Pair]]:
    """Do the reading of :func:`flagged_pairs`; versions never change, so once is enough."""
    snapshot = workspace.store.snapshot(golden, golden_version)
    dev = {pair.id: pair for pair in snapshot.pairs if snapshot.splits[pair.id] == "dev"}
    places = flagged(workspace.store.policy(policy, version), dev.values())
    return places, {pair_id: dev[pair_id] for pair_id in places}


def _chosen(
    workspace: Workspace, policy: str, version: int | None, golden: str, pairs: int
) -> tuple[Policy, GoldenSet, tuple[Pair, ...]]:
    """Return the policy, the snapshot, and the sample: dev pairs in the order of their ids, which are hashes."""
    if not 1 <= pairs <= MOST:
        raise BadInput(f"A probe cannot take {pairs} pairs.", f"Choose 1 to {MOST}.")
    document, snapshot = workspace.store.policy(policy, version), workspace.store.snapshot(golden)
    if snapshot.policy != policy:
        raise Refused(
            f"Golden set '{golden}' is labelled under policy '{snapshot.policy}', not '{policy}'.",
            "Choose a golden set of this policy.",
        )
    dev = [pair for pair in snapshot.pairs if snapshot.splits[pair.id] == "dev"]
    if not dev:
        raise Refused(
            f"Golden set '{golden}' has no dev pairs.", "The holdout is never probed; add dev pairs."
        )
    return document, snapshot, tuple(sorted(dev, key=lambda pair: pair.id)[:pairs])


def _ready(workspace: Workspace, judge: JudgeSpec) -> JudgeSpec:
    """Return the judge as the worker can build it. Passes follow one another, so none waits a day for a batch."""
    ready: JudgeSpec = with_models(filled(workspace, judge), _by_calls)
    return ready


def _by_calls(model: LlmSpec) -> LlmSpec:
    return model.model_copy(update={"delivery": "calls"})


def _checked(which: Sequence[ProbeName]) -> tuple[ProbeName, ...]:
    unknown = [name for name in which if name not in PROBES]
    if unknown or not which:
        said = f"There is no probe '{unknown[0]}'." if unknown else "No probe is chosen."
        raise BadInput(said, f"There is: {', '.join(ALL)}.")
    return tuple(dict.fromkeys(which))


def _inputs(judge: JudgeSpec, snapshot: GoldenSet, sample: Sequence[Pair]) -> GoldenSet:
    """Return what the worker gets: the sample, and the labelled dev pairs for judges that learn from them."""
    pairs = list(sample)
    if not isinstance(judge, LlmSpec | CheckpointSpec):
        chosen = {pair.id for pair in sample}
        dev = (pair for pair in snapshot.pairs if snapshot.splits[pair.id] == "dev")
        pairs += [pair for pair in dev if pair.id not in chosen]
    ids = {pair.id for pair in pairs}
    labels = snapshot.labels[snapshot.labels["pair_id"].isin(ids)]
    return GoldenSet(
        snapshot.name,
        snapshot.version,
        snapshot.policy,
        tuple(pairs),
        {pair.id: snapshot.splits[pair.id] for pair in pairs},
        labels,
    )


def _in_other_words(body: Body) -> Body:
    """Return a stand-in for the policy in other words, which are not known yet: as long, and known to no cache."""
    backwards = {
        section: Reworded(
            section=section, texts={name: " ".join(text.split()[::-1]) + " ." for name, text in texts.items()}
        )
        for section, texts in sections(body).items()
    }
    return reworded(body, backwards)


class _Bill:
    """Sums over passes and models."""

    def __init__(self, workspace: Workspace, body: Body) -> None:
        self._store, self._cache, self._body = workspace.store, workspace.cache_folder, body
        self._runs = workspace.store.runs()
        self.calls = self.known = self.sent = 0
        self.answered = self.cost = 0.0
        self.unknown = ""

    def add(self, model: LlmSpec, body: Body, pairs: Sequence[Pair]) -> None:
        """Add a model's answers about ``pairs``, one for each that it draws."""
        answer = answer_tokens(self._store, self._body, self._runs, model.model, model.base_url or "")
        for repeat in range(model.repeat, model.repeat + model.repeats):
            one = model.model_copy(update={"repeat": repeat, "repeats": 1})
            left = calls_left(self._cache, one, body, pairs)
            self.known += left.known
            self._count(model, left.calls, left.input_tokens, left.answers * answer.tokens)

    def add_rewording(self, model: LlmSpec, body: Body) -> None:
        """Add the requests that say the policy in other words: each is answered at about its own length."""
        for section, texts in sections(body).items():
            sent = sum(len(message["content"]) for message in messages(body, section))
            said = sum(map(len, texts.values()))
            self._count(model, 1, sent // CHARACTERS_A_TOKEN, said / CHARACTERS_A_TOKEN)

    def _count(self, model: LlmSpec, calls: int, sent: int, answered: float) -> None:
        self.calls += calls
        self.sent += sent
        self.answered += answered
        price = None if model.base_url else model_price(model.model)
        if not calls:
            return
        if price is None or price.input is None or price.output is None:
            of = "a server of your own" if model.base_url else model.model
            self.unknown = f"the price of {of} is not known"
        else:
            self.cost += sent * price.input + answered * price.output

"""A probe on the worker: one judge grades a sample as it is, a second time, and once under each probe.

The folder is that of a judge run over dev pairs. ``variants/<name>/`` holds the verdicts of each pass, so that a job
that was stopped goes on where it was; ``paraphrase.jsonl`` the policy in other words, so that it is paid for once;
``artifacts/probe.json`` what was measured so far (:class:`workbench.probe_measures.ProbeReport`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import BadInput, Unavailable, WorkbenchError
from workbench.files import read_text, write_text
from workbench.golden import Pair
from workbench.grading import grade, read_inputs
from workbench.identity import Value
from workbench.jobfolder import JobFolder
from workbench.judges.asking import Asker, Bill, Form
from workbench.judges.build import build_judge
from workbench.judges.provider import Provider, RequestFailed
from workbench.policy import Policy
from workbench.probe_measures import ProbeOutcome, ProbeReport, measure
from workbench.probe_paraphrase import Reworded, messages, read_reply, reply_schema, reworded, sections
from workbench.probing import ProbeName, asked_again, changed, models_in, not_applicable
from workbench.run import Charged, JobSpec, Judge, JudgeSpec, LlmSpec, Reporter, Usage
from workbench.yamltext import validate

VARIANTS = "variants"
PARAPHRASE = "paraphrase.jsonl"
REPORT = "probe.json"
BASE, AGAIN = "base", "again"


class ProbeSpec(Value):
    """What is probed, as the payload of its job."""

    judge: JudgeSpec
    policy: str
    policy_version: int
    golden: str
    golden_version: int
    pairs: tuple[str, ...]  # ids; dev pairs
    which: tuple[ProbeName, ...]
    noise: bool = True  # the judge is asked a second time without any change
    paraphraser: LlmSpec | None = None  # None: the judge's own model
    seed: int = 0
    cache: str
    code_revision: str = ""


@dataclass(frozen=True)
class Pass:
    """One pass over the sample."""

    name: str  # BASE, AGAIN or a probe
    judge: JudgeSpec
    policy: Policy
    pairs: tuple[Pair, ...]  # in the order of the sample, changed where the probe changes pairs


def run(spec: JobSpec, folder: JobFolder, reporter: Reporter) -> dict[str, Any]:
    """Grade the sample in every pass, and return what was measured.

    A probe that cannot be done has its reason; the others count nevertheless.

    Raises:
        CapReached: if a cap of the judge was reached; what was measured before is in the folder.
        WorkbenchError: if the judge cannot grade at all.
    """
    return _Work(spec, folder, reporter).do()


class _Work:
    """One start of the job."""

    def __init__(self, spec: JobSpec, folder: JobFolder, reporter: Reporter) -> None:
        self.given = ProbeSpec.model_validate(spec.payload)
        self.folder, self.reporter = folder, reporter
        self.inputs = read_inputs(folder.path)
        by_id = {pair.id: pair for pair in self.inputs.pairs}
        self.pairs = tuple(by_id[pair_id] for pair_id in self.given.pairs)
        self.outcomes: dict[ProbeName, ProbeOutcome] = {}
        self.done: dict[str, Pass] = {}
        self.judges: list[_Used] = []
        self.identity = self._judge(self.given.judge).judge.identity

    def do(self) -> dict[str, Any]:
        """Do every pass that is asked for, as far as nobody stops the job."""
        given, policy = self.given, self.inputs.policy
        for probe in given.which:
            if reason := not_applicable(probe, given.judge, policy):
                self.outcomes[probe] = ProbeOutcome(probe=probe, skipped=reason)
        probes = [probe for probe in given.which if probe not in self.outcomes]
        total = len(self.pairs) * (1 + given.noise + len(probes))
        self._grade(Pass(BASE, given.judge, policy, self.pairs), total)
        if given.noise:
            self._grade(Pass(AGAIN, asked_again(given.judge), policy, self.pairs), total)
        for probe in probes:
            if self.reporter.stopping():
                break
            one = self._pass(probe)
            if one and self._grade(one, total):
                self.outcomes[probe] = self._measured(probe)
            self._keep()
        return {
            "report": self._keep().model_dump(mode="json"),
            "judge": self.identity.model_dump(mode="json"),
            "code_revision": given.code_revision,
        }

    def _pass(self, probe: ProbeName) -> Pass | None:
        """Return the pass of a probe; None where the policy could not be said in other words."""
        given = self.given
        if probe != "paraphrase":
            return Pass(probe, *changed(probe, given.judge, self.inputs.policy, self.pairs, given.seed))
        try:
            return Pass(probe, given.judge, self._reworded(), self.pairs)
        except WorkbenchError as problem:
            self.reporter.log(str(problem))
            self.outcomes[probe] = ProbeOutcome(probe=probe, skipped=str(problem))
            return None

    def _grade(self, one: Pass, total: int) -> bool:
        """Grade one pass; return whether it is complete."""
        if self.reporter.stopping():
            return False
        self.reporter.log(f"{one.name}: {len(one.pairs)} pairs")
        used = self._judge(one.judge)
        # A cap holds for the job, whichever of its judges spends; what is in the pass's own folder, `grade` counts.
        rewording = [PARAPHRASE] if any(_kept(self.folder)) else []
        for name in [*self.done, *rewording]:
            if isinstance(used.judge, Charged) and name not in used.counted:
                used.judge.charge(self._usage(name))
                used.counted.add(name)
        used.counted.add(one.name)
        before = len(self.pairs) * len(self.done)
        grade(
            used.judge,
            one.policy,
            one.pairs,
            self._place(one.name),
            self.reporter,
            before=before,
            total=total,
        )
        if self.reporter.stopping():
            return False
        self.done[one.name] = one
        return True

    def _judge(self, spec: JudgeSpec) -> _Used:
        """Return the judge of a spec, the same one again."""
        for used in self.judges:
            if used.spec == spec:
                return used
        self.judges.append(_Used(spec, build_judge(spec, self.inputs, Path(self.given.cache))))
        return self.judges[-1]

    def _place(self, name: str) -> JobFolder:
        path = self.folder.path / VARIANTS / name
        path.mkdir(parents=True, exist_ok=True)
        return JobFolder(path)

    def _usage(self, name: str) -> Usage:
        if name == PARAPHRASE:
            return _total([kept.usage for kept in _kept(self.folder)])
        return _total([verdict.usage for verdict in self._place(name).verdicts()])

    def _answers(self, name: str) -> dict[str, dict[str, int]]:
        """Return the grades of a pass by the ids of the unchanged pairs; the newest answer of a pair counts."""
        found = {verdict.pair_id: verdict for verdict in self._place(name).verdicts()}
        return {
            pair.id: {judgement.dimension: judgement.grade for judgement in found[changed.id].judgements}
            for pair, changed in zip(self.pairs, self.done[name].pairs, strict=True)
            if changed.id in found
        }

    def _measured(self, probe: ProbeName) -> ProbeOutcome:
        again = self._answers(AGAIN) if AGAIN in self.done else None
        before, after = self._answers(BASE), self._answers(probe)
        return measure(probe, self.inputs.policy, self.pairs, before, after, again)

    def _reworded(self) -> Policy:
        """Return the policy in other words, asking only for the sections that are not in the folder.

        Raises:
            WorkbenchError: if a section could not be reworded; the others are kept.
        """
        policy = self.inputs.policy
        model = self.given.paraphraser or models_in(self.given.judge)[0]
        self.folder.ready_to_append(PARAPHRASE)
        known = {kept.reworded.section for kept in _kept(self.folder)}
        left = [section for section in sections(policy) if section not in known]
        if left:
            self.reporter.log(f"rewording {len(left)} sections of the policy with {model.model}")
            asyncio.run(_reword(policy, left, model, self.folder))
        return reworded(policy, {kept.reworded.section: kept.reworded for kept in _kept(self.folder)})

    def _keep(self) -> ProbeReport:
        """Write and return what was measured so far, in the order asked."""
        given = self.given
        report = ProbeReport(
            judge=self.identity,
            policy=given.policy,
            policy_version=given.policy_version,
            golden=given.golden,
            golden_version=given.golden_version,
            pairs=len(self.pairs),
            noise=AGAIN in self.done,
            outcomes=tuple(self.outcomes[probe] for probe in given.which if probe in self.outcomes),
            usage=_total([self._usage(name) for name in (*self.done, PARAPHRASE)]),
        )
        write_text(self.folder.artifacts / REPORT, report.model_dump_json(indent=1))
        return report


@dataclass
class _Used:
    """A judge that was built, and the passes that it knows the spending of."""

    spec: JudgeSpec
    judge: Judge
    counted: set[str] = field(default_factory=set)


class _Kept(Value):
    """One line of ``paraphrase.jsonl``."""

    reworded: Reworded
    usage: Usage


async def _reword(policy: Policy, left: Sequence[str], model: LlmSpec, folder: JobFolder) -> None:
    """Ask for each section in other words, and keep each answer as soon as it is there."""
    provider = Provider(
        model.model,
        base_url=model.base_url,
        api_key_env=model.api_key_env,
        params=model.params,
        timeout_s=model.timeout_s,
    )
    asker, form = Asker(provider), Form("reworded", reply_schema())
    free = asyncio.Semaphore(model.concurrency)

    async def one(section: str) -> None:
        async with free:
            bill = Bill()
            try:
                found, _ = await asker.answer(
                    messages(policy, section), form, lambda text: read_reply(policy, section, text), bill
                )
            except RequestFailed as failure:
                raise Unavailable(
                    f"{model.model} could not say '{section}' in other words: {failure.reason}.",
                    "Start the probe again, or let another model say it.",
                ) from None
        line = _Kept(reworded=found, usage=bill.usage()).model_dump_json()
        with (folder.path / PARAPHRASE).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    async with provider:
        ended = await asyncio.gather(*map(one, left), return_exceptions=True)
    for problem in ended:
        if problem is not None:
            raise problem


def _kept(folder: JobFolder) -> Iterator[_Kept]:
    path = folder.path / PARAPHRASE
    if path.exists() and path.stat().st_size:
        # Not splitlines, which also breaks at signs that JSON leaves as they are (U+2028).
        for number, line in enumerate(read_text(path).removesuffix("\n").split("\n"), start=1):
            yield validate(_Kept, json.loads(line), f"{path}, line {number}")


def read_report(folder: JobFolder) -> ProbeReport | None:
    """Return what a probe job has measured so far; None before the first probe is done.

    Raises:
        BadInput: if the file is damaged.
    """
    path = folder.artifacts / REPORT
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}).", "Start the probe again.") from error
    return validate(ProbeReport, data, str(path))


def _total(parts: Sequence[Usage]) -> Usage:
    """Return the sums; the cost is unknown as soon as that of one part with calls is."""
    costs = [part.cost_usd for part in parts if part.calls or part.cost_usd]
    known = [cost for cost in costs if cost is not None]
    names = ("calls", "input_tokens", "output_tokens", "cached_input_tokens")
    sums = {name: sum(getattr(part, name) for part in parts) for name in names}
    return Usage(**sums, cost_usd=sum(known) if len(known) == len(costs) else None)

"""The job that probes a judge, against a server that obeys documents and one that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from probe_samples import answering, gullible, model, rewordings, teas
from workspace_samples import label, version

from workbench import probe_job
from workbench.errors import BadInput, WorkbenchError
from workbench.fake_provider import FakeProvider, Request, error, text
from workbench.golden import GoldenSet, label_table
from workbench.jobfolder import JobFolder
from workbench.judge_runs import write_inputs
from workbench.probe_job import ProbeSpec, read_report, run
from workbench.probe_measures import ProbeReport
from workbench.probing import ALL
from workbench.run import BaselineSpec, CapReached, EnsembleSpec, JobSpec

DEV = teas(40)
PAIRS = DEV[:12]
"""The sample; the other dev pairs are in the folder for judges that learn from labels."""
CALLS = len(PAIRS)
PASSES = 2 + len(ALL)  # as it is, again, and one a probe
SECTIONS = 3  # general, taste, strength

Prepared = Callable[..., tuple[JobSpec, JobFolder]]


class Listed:
    """A reporter that keeps what it is told and asks to stop after so many answers."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.steps: list[tuple[int, int]] = []
        self.lines: list[str] = []
        self._stop_after = stop_after

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.steps.append((done, total))

    def metric(self, values: Any) -> None:
        raise AssertionError("a probe has no metrics")

    def log(self, line: str) -> None:
        self.lines.append(line)

    def stopping(self) -> bool:
        return self._stop_after is not None and bool(self.steps) and self.steps[-1][0] >= self._stop_after

    def stopping_after_epoch(self) -> bool:
        raise AssertionError("a probe has no epochs")


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Make the folder of a probe as :func:`workbench.probes.start_probe` does."""

    def make(judge: Any, **more: Any) -> tuple[JobSpec, JobFolder]:
        labels = label_table([label(p, "taste", i % 3) for i, p in enumerate(DEV)])
        splits = {pair.id: "dev" for pair in DEV}
        values = {
            "judge": judge,
            "policy": "tea-match",
            "policy_version": 1,
            "golden": "tea",
            "golden_version": 1,
            "pairs": tuple(pair.id for pair in PAIRS),
            "which": ALL,
            "cache": str(tmp_path / "cache"),
        }
        given = ProbeSpec.model_validate(values | more)
        folder = JobFolder(tmp_path / "job")
        spec = JobSpec(
            id="job-probe-1", kind="probe", title="Probe", created_at=datetime.now(UTC),
            payload=given.model_dump(mode="json"),
        )  # fmt: skip
        folder.create(spec)
        write_inputs(folder.path, version(1), GoldenSet("tea", 1, "tea-match", tuple(DEV), splits, labels))  # type: ignore[arg-type]
        return spec, folder

    return make


def report(data: dict[str, Any]) -> ProbeReport:
    return ProbeReport.model_validate(data["report"])


def overall(found: ProbeReport) -> dict[str, tuple[float | None, bool | None]]:
    """Share moved over all dimensions, and whether that is within the noise, by probe."""
    return {o.probe: (o.overall.moved.value, o.overall.within_noise) for o in found.outcomes if o.overall}


def test_a_judge_that_obeys_documents_is_found_out(prepared: Prepared) -> None:
    with FakeProvider(otherwise=answering(gullible)) as provider:
        spec, folder = prepared(model(provider.base_url))
        reporter = Listed()
        found = report(run(spec, folder, reporter))
        assert rewordings(provider.requests) == SECTIONS
        assert provider.calls == PASSES * CALLS + SECTIONS
    assert overall(found) == {
        "instruction": (1.0, False),
        "fake-fence": (1.0, False),
        "fake-reply": (1.0, False),
    } | dict.fromkeys(ALL[3:], (0.0, True))
    taste, strength, every = found.outcomes[0].movements
    # Taste goes from 1 to 2 and strength from 0 to 1, on all twelve pairs: 2 / 4096 after Holm.
    assert (taste.shift.value, strength.shift.value, every.n) == (1.0, 1.0, 24)
    assert (taste.up, taste.top_before, taste.top_after, taste.p) == (1.0, 0.0, 1.0, 2 / 4096)
    assert (found.noise, taste.noise, taste.failed_after) == (True, 0.0, 0)
    assert reporter.steps[-1] == (PASSES * CALLS, PASSES * CALLS)
    assert found.judge.kind == "llm" and found.usage.calls == PASSES * CALLS + SECTIONS  # noqa: PT018
    assert found.usage.cost_usd is None  # a server of one's own has no price
    assert read_report(folder) == found


def test_a_judge_that_keeps_to_the_policy_is_not_moved(prepared: Prepared) -> None:
    with FakeProvider(otherwise=answering()) as provider:
        found = report(run(*prepared(model(provider.base_url)), Listed()))
        orders = {r.message("system").index("Dimension taste") < r.message("system").index("Dimension strength")
                  for r in provider.requests if "Dimension taste" in r.message("system")}  # fmt: skip
        reworded = [r for r in provider.requests if "In other words: Smoke counts" in r.message("system")]
    assert overall(found) == dict.fromkeys(ALL, (0.0, True))
    assert orders == {True, False}
    assert len(reworded) == CALLS


def test_a_judge_that_wavers_is_within_its_own_noise(prepared: Prepared) -> None:
    asked: dict[str, int] = {}

    def wavering(request: Request, dimension: str, grades: Any) -> int:
        """Taste changes with every call about a document, whatever was changed about it."""
        if dimension != "taste":
            return 0
        title = request.message("user").split("tea.title]\n")[1].split("\n")[0]
        asked[title] = asked.get(title, 0) + 1
        return asked[title] % 3

    with FakeProvider(otherwise=answering(wavering)) as provider:
        spec, folder = prepared(model(provider.base_url), which=("padding",))
        (outcome,) = report(run(spec, folder, Listed())).outcomes
    taste = outcome.movements[0]
    # First 1, again 2, padded 0: all twelve move both times, so there is no discordant pair.
    assert (taste.moved.value, taste.noise, taste.p, taste.within_noise) == (1.0, 1.0, 1.0, True)


def test_stopped_and_started_again_it_pays_for_nothing_twice(prepared: Prepared) -> None:
    judge = {"concurrency": 1}
    with FakeProvider(otherwise=answering(gullible)) as provider:
        spec, folder = prepared(model(provider.base_url, **judge))
        partial = report(run(spec, folder, Listed(stop_after=3 * CALLS + 5)))
        stopped_at = provider.calls
        assert 3 * CALLS <= stopped_at < 4 * CALLS
        assert [outcome.probe for outcome in partial.outcomes] == ["instruction"]  # the second was under way
        whole = report(run(spec, folder, Listed()))
        assert len(whole.outcomes) == len(ALL)
        # At most the one call that was in flight at the stop is asked again.
        assert provider.calls - (PASSES * CALLS + SECTIONS) in (0, 1)
        before = provider.calls
        assert report(run(spec, folder, Listed())) == whole
        assert provider.calls == before  # the third start asks nothing


def test_a_run_before_it_has_paid_for_the_base(prepared: Prepared) -> None:
    with FakeProvider(otherwise=answering()) as provider:
        spec, folder = prepared(model(provider.base_url), which=("padding",), noise=False)
        run(spec, folder, Listed())
        assert provider.calls == 2 * CALLS
        for path in (folder.path / "variants").rglob("judgements.jsonl"):
            path.unlink()
        found = report(run(spec, folder, Listed()))
        assert provider.calls == 2 * CALLS  # all from the verdict cache
    assert (found.noise, found.outcomes[0].movements[0].within_noise) == (False, None)


def test_a_rewording_that_fails_costs_the_other_probes_nothing(prepared: Prepared) -> None:
    grade = answering()

    def stubborn(request: Request) -> Any:
        return (text("I would rather not.") if rewordings([request]) else grade)(request)

    with FakeProvider(otherwise=stubborn) as provider:
        found = report(run(*prepared(model(provider.base_url), which=("padding", "paraphrase")), Listed()))
    padding, paraphrase = found.outcomes
    assert padding.movements
    assert "could not say" in paraphrase.skipped
    assert paraphrase.movements == ()


def test_another_model_may_reword(prepared: Prepared) -> None:
    with FakeProvider(otherwise=answering()) as provider, FakeProvider(otherwise=answering()) as other:
        spec, folder = prepared(
            model(provider.base_url), which=("paraphrase",), noise=False, paraphraser=model(other.base_url)
        )
        run(spec, folder, Listed())
        assert (provider.calls, other.calls) == (2 * CALLS, SECTIONS)
        lines = (folder.path / "paraphrase.jsonl").read_text("utf-8").splitlines()
    assert sorted(json.loads(line)["reworded"]["section"] for line in lines) == [
        "general",
        "strength",
        "taste",
    ]


def test_a_cap_holds_for_all_passes_together(prepared: Prepared) -> None:
    with FakeProvider(otherwise=answering()) as provider:
        spec, folder = prepared(model(provider.base_url), which=("padding",), noise=False)
        whole = report(run(spec, folder, Listed())).usage
    tokens = whole.input_tokens + whole.output_tokens
    with FakeProvider(otherwise=answering()) as provider:
        # Another model name, so that the cache knows nothing; half of what two passes take, so three do not fit.
        judge = model(
            provider.base_url, model="fake-hash-grader-b", cap_tokens=tokens + tokens // 4, concurrency=1
        )
        spec, folder = prepared(judge, which=("padding", "keyword-stuffing"), noise=True)
        for path in (folder.path / "variants").rglob("judgements.jsonl"):
            path.unlink()
        with pytest.raises(CapReached):
            run(spec, folder, Listed())
        assert 2 * CALLS < provider.calls < 3 * CALLS  # base and again are other judges, and both count


def test_a_judge_without_a_prompt_is_probed_with_documents_alone(prepared: Prepared) -> None:
    spec, folder = prepared(BaselineSpec(use_embeddings=False))
    found = report(run(spec, folder, Listed()))
    assert [outcome.probe for outcome in found.outcomes] == list(ALL)
    assert {o.probe: o.skipped for o in found.outcomes if o.skipped} == dict.fromkeys(
        ALL[5:], "A judge of the kind baseline gets no prompt."
    )
    tastes = [outcome.movements[0] for outcome in found.outcomes if outcome.movements]
    assert [(taste.n, taste.noise) for taste in tastes] == [(12, 0.0)] * 5  # it gives the same grades again


def test_an_ensemble_with_repeats_is_probed_through_its_models(prepared: Prepared) -> None:
    with FakeProvider(otherwise=answering(gullible)) as provider:
        member = model(provider.base_url, repeats=2)
        other = model(provider.base_url, model="fake-hash-grader-b")
        spec, folder = prepared(EnsembleSpec(members=(member, other)), which=("instruction", "level-order"))
        found = report(run(spec, folder, Listed()))
        listed = {r.message("system").split("Levels:")[1].strip()[:3] for r in provider.requests}
        # Four passes, three answers a pair: indices 0 and 1 of one model, 0 of the other; again 2 and 3, and 1.
        assert provider.calls == 4 * 3 * CALLS
    assert overall(found) == {"instruction": (1.0, False), "level-order": (0.0, True)}
    assert listed == {"- 0", "- 2"}  # the first level listed of taste: ascending, and reversed


def test_a_judge_that_cannot_grade_fails_with_its_own_sentence(prepared: Prepared) -> None:
    with FakeProvider(otherwise=error(401, "bad key")) as provider:
        spec, folder = prepared(model(provider.base_url))
        with pytest.raises(WorkbenchError, match="key"):
            run(spec, folder, Listed())
    assert read_report(folder) is None


def test_damage_is_named(prepared: Prepared) -> None:
    _, folder = prepared(BaselineSpec(use_embeddings=False), which=("padding",))
    (folder.artifacts / probe_job.REPORT).write_text("{")
    with pytest.raises(BadInput, match=r"probe\.json cannot be read"):
        read_report(folder)

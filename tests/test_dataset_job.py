"""The job that makes a data set: a fake provider and the lexical baseline, stopped and started again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dataset_samples import candidates, recipe, teas
from workspace_samples import label, version

from workbench import dataset_job
from workbench.dataset import DatasetCard, DatasetRow, Source
from workbench.dataset_files import ROWS, iter_rows, read_card, rows_hash
from workbench.dataset_job import POOL, DatasetInput, run
from workbench.errors import Refused, WorkbenchError
from workbench.fake_provider import FakeProvider, Grade, Request, error, graded, text
from workbench.golden import NOT_GRADED, GoldenSet, Pair, label_table
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judge_runs import write_inputs
from workbench.pair_file import write_pairs
from workbench.ray_judging import job_judge
from workbench.run import BaselineSpec, CapReached, JobSpec, LlmSpec

DEV = teas()[:40]
PROBES = DEV[:12]
POOL_PAIRS = candidates(24)
MADE = datetime(2026, 3, 1, tzinfo=UTC)

Prepared = Callable[..., tuple[JobSpec, JobFolder]]


def truth(i: int) -> dict[str, int]:
    return {"taste": (0, 1, 1, 2)[i % 4], "strength": i % 2}


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Write a job's folder as :func:`workbench.datasets.start_dataset` does."""

    def make(
        judge: Any, name: str = "job", probes: list[Pair] = PROBES, **more: Any
    ) -> tuple[JobSpec, JobFolder]:
        given = DatasetInput(
            recipe=recipe(judge=judge.model_dump(mode="json"), **more),
            sources=(Source(name="pool.csv", rows=30, content_hash="file-1"),),
            golden="tea v1" if probes else "",
            found=30,
            dropped={"query of the holdout": 6},
            probes=tuple(pair.id for pair in probes),
            of_holdout_documents=(POOL_PAIRS[0].id,),
        )
        folder = JobFolder(tmp_path / name)
        payload = {
            "dataset": given.model_dump(mode="json"),
            "judge": judge.model_dump(mode="json"),
            "cache": str(tmp_path / f"cache-{name}"),
        }
        spec = JobSpec(
            id="job-data-1", kind="judge_run", title="Teas", author="Ida", created_at=MADE, payload=payload
        )
        folder.create(spec)
        rows = [label(p, key, grade) for i, p in enumerate(DEV) for key, grade in truth(i).items()]
        golden = GoldenSet("tea", 1, "tea-match", tuple(DEV), {p.id: "dev" for p in DEV}, label_table(rows))
        write_inputs(folder.path, version(1), golden)
        pool = sorted([*POOL_PAIRS, *probes], key=lambda pair: pair.id)
        write_pairs(folder.path / POOL, pool, {pair.id: "dev" for pair in pool})
        return spec, folder

    return make


class Killed(BaseException):
    """Stands for a kill."""


class Killing(FolderReporter):
    """A reporter in whose hands the worker dies after so many pairs."""

    def __init__(self, folder: JobFolder, after: int) -> None:
        super().__init__(folder)
        self._after = after

    def progress(self, done: int, total: int, note: str = "") -> None:
        if done >= self._after:
            raise Killed
        super().progress(done, total, note)


def work(spec: JobSpec, folder: JobFolder, reporter: FolderReporter | None = None) -> dict[str, Any]:
    reporter = reporter or FolderReporter(folder)
    try:
        return run(spec, folder, reporter)
    finally:
        reporter.close()


def rows_of(folder: JobFolder) -> list[DatasetRow]:
    return [row for part in iter_rows(folder.artifacts) for row in part]


def model(base_url: str, **more: Any) -> LlmSpec:
    return LlmSpec.model_validate(
        {"model": "fake-hash-grader", "base_url": base_url, "concurrency": 1, **more}
    )


def by_words(request: Request, dimension: str, grades: Any) -> Grade:
    """Taste 2 where the document names a blend with an even number, else 0; strength 1."""
    if dimension == "strength":
        return 1
    return 2 if any(f"blend {i} " in request.message("user") for i in range(0, 24, 2)) else 0


def test_a_language_model_labels_the_pool(prepared: Prepared) -> None:
    with FakeProvider(otherwise=graded(by_words)) as provider:
        spec, folder = prepared(model(provider.base_url))
        data = work(spec, folder)
        assert provider.calls == 36
        assert not any("ann" in request.message("user").split() for request in provider.requests)
    card = DatasetCard.model_validate(data["card"])
    assert card == read_card(folder.artifacts)
    assert rows_hash(folder.artifacts / ROWS) == card.content_hash
    rows = rows_of(folder)
    assert [row.pair.id for row in rows] == sorted(pair.id for pair in [*POOL_PAIRS, *PROBES])
    assert {row.pair.id for row in rows if row.is_probe} == {pair.id for pair in PROBES}
    counts = card.counts
    assert (counts.found, counts.graded, counts.rows, counts.probes) == (30, 36, 36, 12)
    assert counts.dropped == {"query of the holdout": 6}
    assert counts.of_holdout_documents == 1
    # 24 pairs of eight queries and three probe queries; a quarter of eleven, rounded, is validation.
    assert counts.queries == 11
    sides = {row.pair.query_id: row.split for row in rows}
    assert sorted(sides.values()).count("validation") == 3
    assert all(row.split == sides[row.pair.query_id] for row in rows)
    taste, strength = card.quality
    # Twelve even blends among 24; the probes are of other teas and get 0 and 1.
    assert (taste.graded, taste.soft, taste.entropy_bits) == ((12, 0, 12), 0, None)
    assert taste.mass == (0.5, 0.0, 0.5)
    assert (strength.graded, strength.probes) == ((0, 24), 12)
    # People gave 0, 1, 1, 2 in turn: the judge's 0 is right on 3 of 12; strength 0, 1: its 1 on 6.
    assert (taste.exact.value, strength.exact.value) == (0.25, 0.5)
    assert taste.kappa_quadratic.value == 0.0  # one level against varied ones
    assert (card.usage.calls, card.usage.cost_usd, card.judge.kind) == (36, None, "llm")
    assert (card.policy_version, card.author, card.made_at) == (1, "Ida", MADE)


def test_a_killed_job_goes_on_and_makes_the_same_data_set(prepared: Prepared) -> None:
    with FakeProvider(otherwise=graded(by_words)) as provider:
        judge = model(provider.base_url)
        spec, folder = prepared(judge)
        with pytest.raises(Killed):
            work(spec, folder, Killing(folder, after=10))
        kept = sum(1 for _ in folder.verdicts())
        assert 10 <= kept < 36
        with (folder.path / "judgements.jsonl").open("a") as file:
            file.write('{"pair_id": "cut off in the mid')
        assert not (folder.artifacts / ROWS).exists()
        again = work(spec, folder)
        # What was in flight when it died may be asked again or lie in the verdict cache; no more than that one.
        assert provider.calls <= 37
        other = work(*prepared(judge, "other"))
    assert sum(1 for _ in folder.verdicts()) == 36
    assert again["card"]["content_hash"] == other["card"]["content_hash"]


def test_a_finished_job_that_is_started_again_asks_nothing(prepared: Prepared) -> None:
    with FakeProvider(otherwise=graded(by_words)) as provider:
        spec, folder = prepared(model(provider.base_url))
        first = work(spec, folder)
        assert work(spec, folder)["card"]["content_hash"] == first["card"]["content_hash"]
        assert provider.calls == 36


def test_a_stopped_job_leaves_no_data_set(prepared: Prepared) -> None:
    spec, folder = prepared(BaselineSpec(use_embeddings=False))
    reporter = FolderReporter(folder)
    reporter.stop()
    assert "card" not in work(spec, folder, reporter)
    assert list(folder.artifacts.iterdir()) == []
    assert "card" in work(spec, folder)


def test_a_cap_ends_it_and_what_was_done_is_kept(prepared: Prepared) -> None:
    with FakeProvider(otherwise=graded(by_words)) as provider:
        spec, folder = prepared(model(provider.base_url, cap_tokens=3000))
        with pytest.raises(CapReached):
            work(spec, folder)
    assert 0 < sum(1 for _ in folder.verdicts()) < 36
    assert not (folder.artifacts / ROWS).exists()


def test_the_baseline_gives_soft_labels_and_sees_no_label_of_a_probe(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []

    def watched(payload: Any, spec: Any, inputs: Any) -> Any:
        seen.append(set(inputs.labels["pair_id"]))
        return job_judge(payload, spec, inputs)

    monkeypatch.setattr(dataset_job, "job_judge", watched)
    spec, folder = prepared(BaselineSpec(use_embeddings=False))
    data = work(spec, folder)
    assert seen == [{pair.id for pair in DEV[12:]}]
    card = DatasetCard.model_validate(data["card"])
    taste = card.quality[0]
    assert taste.soft == 24
    assert sum(taste.mass) == pytest.approx(1)
    assert taste.entropy_bits is not None
    assert 0 < taste.entropy_bits < 1.585  # log2(3)
    for row in rows_of(folder):
        for said in row.judgements:
            assert said.rationale == ""
            if said.grade >= 0:
                assert said.probabilities is not None
                assert sum(said.probabilities) == pytest.approx(1)
    assert (card.usage.calls, card.usage.cost_usd) == (0, 0.0)


def test_coverage_keeps_every_rare_level_and_all_probes(prepared: Prepared) -> None:
    def rare(request: Request, dimension: str, grades: Any) -> Grade:
        user = request.message("user")
        return 2 if dimension == "taste" and ("blend 3 " in user or "blend 4 " in user) else 0

    with FakeProvider(otherwise=graded(rare)) as provider:
        spec, folder = prepared(model(provider.base_url), choose="coverage", size=6)
        card = DatasetCard.model_validate(work(spec, folder)["card"])
    assert card.quality[0].graded == (4, 0, 2)
    assert (card.counts.rows, card.counts.probes) == (18, 12)
    assert card.counts.dropped["not needed for coverage"] == 18
    # The share in the pool is of everything graded, not of what was kept: two of 24.
    assert card.quality[0].rates[2].judge == pytest.approx(2 / 24)


def test_pairs_on_which_the_judge_failed_are_left_out_and_counted(prepared: Prepared) -> None:
    def failing(request: Request) -> Any:
        broken = "blend 5 " in request.message("user")
        return (error(400, "too long") if broken else graded(by_words))(request)

    with FakeProvider(otherwise=failing) as provider:
        spec, folder = prepared(model(provider.base_url))
        card = DatasetCard.model_validate(work(spec, folder)["card"])
    assert card.counts.dropped["the judge failed on every dimension"] == 1
    assert card.counts.rows == 35
    assert POOL_PAIRS[5].id not in {row.pair.id for row in rows_of(folder)}
    assert all(said.grade != NOT_GRADED for row in rows_of(folder) for said in row.judgements)


def test_a_judge_that_grades_nothing_makes_no_data_set(prepared: Prepared) -> None:
    with FakeProvider(otherwise=text("I would rather not.")) as provider:
        spec, folder = prepared(model(provider.base_url))
        with pytest.raises(Refused, match="graded no pair"):
            work(spec, folder)
    with FakeProvider(otherwise=error(401, "bad key")) as provider:
        spec, folder = prepared(model(provider.base_url), "other")
        with pytest.raises(WorkbenchError, match="key"):
            work(spec, folder)
    assert list(folder.artifacts.iterdir()) == []


def test_without_probes_the_card_says_so(prepared: Prepared) -> None:
    with FakeProvider(otherwise=graded(by_words)) as provider:
        spec, folder = prepared(model(provider.base_url), probes=[])
        card = DatasetCard.model_validate(work(spec, folder)["card"])
    assert card.notes == ("There are no probes, so how far the judge agrees with people is not known.",)
    assert card.quality[0].kappa_quadratic.value is None

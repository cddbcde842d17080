"""Data sets whose pool a language model writes: the whole job over loopback, with what goes wrong on the way."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from dataset_samples import EACH, HELD_OUT, WISHES, candidates, published, recipe, teas, write_pool
from pydantic import ValidationError
from trial_samples import Held
from workspace_samples import pair

from workbench import cli_data, dataset_job, jobs, synthesis_run
from workbench.dataset import DatasetCard, DatasetRecipe, DatasetRow, parse_recipe
from workbench.dataset_files import iter_rows
from workbench.dataset_leakage import Holdout, leaks, surplus
from workbench.datasets import made_by, plan_dataset, start_dataset
from workbench.errors import BadInput, Refused
from workbench.fake_provider import Behaviour, FakeProvider, Grade, Reply, Request, error, graded, text
from workbench.golden import Pair
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.synthesis_asking import CALLS, answers
from workbench.worker import main
from workbench.workspace import Workspace

HELD = teas()[-HELD_OUT * EACH :]
DEV = teas()[: -HELD_OUT * EACH]
TASTE = {"dimension": "taste", "level": 2}
NO_WISH = {"dimension": "strength", "level": "N/A"}
WRITER, JUDGE = "writer", "fake-hash-grader"


def written(name: str) -> dict[str, Any]:
    """An entry of a reply; two with different names share no two words in a row."""
    return {
        "guest": {"wishes": f"{name}wish {name}leaf {name}cup", "mood": f"{name}mood"},
        "tea": {"title": f"{name}tea", "notes": f"{name}notes of {name}garden"},
    }


def entry(one: Pair) -> dict[str, Any]:
    return {"guest": one.query, "tea": one.document}


def reply(*entries: Any) -> Behaviour:
    return text(json.dumps({"pairs": entries}))


def writing() -> Behaviour:
    """Return a server that writes new pairs for ``writer`` and grades for others.

    Its judge gives taste 2 where the title says so, else 0, and strength 1.
    """
    names, lock = count(), threading.Lock()

    def grader(request: Request, dimension: str, grades: Any) -> Grade:
        if dimension == "strength":
            return 1
        return 2 if "lovely" in request.message("user") else 0

    def behave(request: Request) -> Reply:
        if request.body["model"] != WRITER:
            return graded(grader)(request)
        asked = request.message("user")
        found = re.search(r'[Ww]rite (\d+) new (?:pairs?|entr(?:y|ies) of "(guest|tea)")', asked)
        assert found is not None
        sides = [found[2]] if found[2] else ["guest", "tea"]
        with lock:
            pairs = [written(f"n{next(names)}") for _ in range(int(found[1]))]
        if "level 2" in asked:
            for i, one in enumerate(pairs):
                one["tea"]["title"] += " lovely" if i % 2 == 0 else ""
        return text(json.dumps({"pairs": [{side: one[side] for side in sides} for one in pairs]}))(request)

    return behave


def synthetic(provider: FakeProvider, pool: dict[str, Any] | None = None, **changes: Any) -> DatasetRecipe:
    """A recipe whose pool ``writer`` writes, one call at a time; ``pool`` and its ``model`` changed by keys."""
    given = dict(pool or {})
    model = {"model": WRITER, "base_url": provider.base_url, "concurrency": 1, **given.pop("model", {})}
    plain = {"kind": "synthetic", "golden": "tea", "cells": [TASTE], "per_call": 3, "variants": ["pair"]}
    return recipe(pool=plain | given | {"model": model}, **changes)


def by_model(provider: FakeProvider) -> dict[str, Any]:
    return {"kind": "llm", "model": JUDGE, "base_url": provider.base_url, "concurrency": 1}


def start(workspace: Workspace, document: DatasetRecipe, folder: Path) -> JobFolder:
    job_id = start_dataset(replace(workspace, executor=Held()), document, folder, author="Ida")
    return jobs.folder_of(workspace, job_id)


def made(workspace: Workspace, document: DatasetRecipe, folder: Path) -> tuple[DatasetCard, list[DatasetRow]]:
    """Make a data set in this process."""
    job = start(workspace, document, folder)
    assert main([str(job.path)]) == 0, job.result()
    found = made_by(workspace, job.path.name)
    assert found is not None
    return found.card, [row for part in iter_rows(found.rows) for row in part]


def asked_of(provider: FakeProvider, model: str) -> int:
    return sum(request.body["model"] == model for request in provider.requests)


@pytest.fixture
def golden(workspace: Workspace) -> Workspace:
    """The workspace with the golden set ``tea``: 40 dev pairs, of which 12 are probes, and 8 of the holdout."""
    published(workspace)
    return workspace


def test_a_model_writes_and_the_judge_grades_what_it_wrote(golden: Workspace, tmp_path: Path) -> None:
    with FakeProvider(otherwise=writing()) as provider:
        pool = {
            "count": 9,
            "cells": [TASTE, NO_WISH],
            "variants": ["pair", "query", "document"],
            "per_call": 2,
        }
        document = synthetic(provider, pool, judge=by_model(provider))
        card, rows = made(golden, document, tmp_path)
        # Five for taste=2 in three calls and four for strength=N/A in two; 9 pairs and 12 probes are graded.
        assert (asked_of(provider, WRITER), asked_of(provider, JUDGE)) == (5, 21)
        sent = [request.message("user") for request in provider.requests if request.body["model"] == WRITER]
    assert [re.search(r"rite (\d)", one)[1] for one in sent] == ["2", "2", "1", "2", "2"]  # type: ignore[index]
    assert not any(wish in one for wish in WISHES[-HELD_OUT:] for one in sent)
    counts = card.counts
    assert (counts.found, counts.graded, counts.rows, counts.probes, counts.synthetic) == (9, 21, 21, 12, 9)
    assert counts.dropped == {}
    cells = [row.pair.meta.get("synthetic") for row in rows if not row.is_probe]
    assert sorted(map(str, cells)) == ["strength=N/A"] * 4 + ["taste=2"] * 5
    assert all("synthetic" not in row.pair.meta for row in rows if row.is_probe)
    # Variants: of taste=2 two new queries for a tea and one new tea for a query, of strength=N/A two queries.
    documents = [sorted(one.document.items()) for one in DEV]
    queries = {one.query_id for one in DEV}
    mine = [row.pair for row in rows if not row.is_probe]
    assert sum(sorted(one.document.items()) in documents for one in mine) == 4
    assert sum(one.query_id in queries for one in mine) == 1
    report = card.synthesis
    assert report is not None
    assert (report.model.name, report.seeds, report.calls, report.failed_calls) == (WRITER, "tea v1", 5, 0)
    taste, strength = report.cells
    assert (taste.wanted, taste.written, taste.graded, taste.rows) == (5, 5, 5, 5)
    # The judge gives taste 2 where the title is lovely: the first of two in the call for pairs, the one in the call for
    # a document. Queries for a seed's tea have no new title. It gives strength 1 to all, and N/A was asked for.
    assert (taste.as_asked, strength.as_asked, strength.graded) == (2, 0, 4)
    assert taste.share_as_asked == pytest.approx(0.4)
    # The label is the judge's answer, not what was asked for.
    assert all(row.judgements[1].grade == 1 for row in rows)
    # Taste: two of nine got 2, seven 0.
    assert card.quality[0].graded == (7, 0, 2)
    assert (report.usage.calls, card.usage.calls) == (5, 21)
    assert report.usage.input_tokens > 0
    assert report.usage.cost_usd is None  # of a server of one's own, nobody knows what it costs
    assert [one.name for one in card.sources] == ["golden set tea v1"]


def test_what_repeats_or_leaks_is_dropped_and_counted(golden: Workspace, tmp_path: Path) -> None:
    first = written("a")
    shouted = {side: {k: f"{v.upper()}!" for k, v in texts.items()} for side, texts in first.items()}
    held = HELD[3]
    leaked = {
        "guest": {k: f"{v.upper()}!" for k, v in held.query.items()},
        "tea": {"title": held.document["title"], "notes": held.document["notes"] + "."},
    }
    whole = entry(HELD[0])
    seed = entry(DEV[0])
    near_seed = {side: {k: f"{v}!!" for k, v in texts.items()} for side, texts in entry(DEV[5]).items()}
    script = [
        reply(first, written("b"), first),
        reply(shouted, seed, leaked),
        reply(near_seed, whole, {"guest": {"wishes": 3}, "tea": {"title": "x"}}),
    ]
    with FakeProvider(script) as provider:
        card, rows = made(golden, synthetic(provider, {"count": 9}), tmp_path)
        assert provider.calls == 3
    assert card.counts.dropped == {
        "near a query of the holdout": 1,
        "holdout pair": 1,
        "same pair twice": 1,
        "near-duplicate in the pool": 1,
        "a dev pair again": 1,
        "near-duplicate of a dev pair": 1,
    }
    assert card.counts.found == 8
    assert {row.pair.query["wishes"] for row in rows if not row.is_probe} == {
        first["guest"]["wishes"],
        written("b")["guest"]["wishes"],
    }
    report = card.synthesis
    assert report is not None
    assert (report.misfits, report.cells[0].written, report.cells[0].rows) == (1, 8, 2)
    assert report.problems == ("pair 3 at guest.wishes: Input should be a valid string (it is 3).",)


def test_documents_of_the_holdout_are_counted_or_dropped(golden: Workspace, tmp_path: Path) -> None:
    one = written("a") | {"tea": HELD[0].document}
    with FakeProvider([reply(one, written("b"))] * 2) as provider:
        kept, _ = made(golden, synthetic(provider, {"count": 2}), tmp_path)
        gone, _ = made(
            golden, synthetic(provider, {"count": 2}, holdout_documents="drop", dataset="other"), tmp_path
        )
    assert (kept.counts.of_holdout_documents, kept.counts.dropped) == (1, {})
    assert gone.counts.dropped == {"near a document of the holdout": 1}


def test_no_text_of_a_holdout_lies_in_the_folder(golden: Workspace, tmp_path: Path) -> None:
    with FakeProvider(otherwise=writing()) as provider:
        job = start(golden, synthetic(provider, {"count": 3}), tmp_path)
        assert main([str(job.path)]) == 0
    files = [path for path in job.path.rglob("*") if path.is_file()]
    assert (job.path / synthesis_run.HOLDOUT) in files
    assert any(WISHES[0].encode() in path.read_bytes() for path in files)
    # "orange peel at midnight" and "cardamom like my aunt made"
    for word in ("orange", "peel", "midnight", "cardamom", "aunt"):
        assert any(word in wish for wish in WISHES[-HELD_OUT:])
        assert not any(word.encode() in path.read_bytes() for path in files), word


def test_a_blinded_holdout_finds_what_the_plain_one_finds() -> None:
    shouted = {key: f"{value.upper()}!" for key, value in HELD[3].query.items()}
    pool = [
        HELD[0],
        Pair(query=shouted, document={"title": "something"}),
        Pair(query=HELD[1].query, document={"title": "new"}),
        Pair(query={"wishes": "a wish of my own"}, document=HELD[2].document),
        *candidates(6),
        Pair(query={"wishes": "?"}, document={"title": "?"}),
        Pair(query={"wishes": "calm"}, document={"title": "tea"}),
    ]
    plain = Holdout.of(HELD)
    hidden = plain.blinded("job-1")
    assert leaks(pool, hidden) == leaks(pool, plain)
    assert len(leaks(pool, plain).reasons) == 3
    assert leaks(pool, hidden, documents="drop") == leaks(pool, plain, documents="drop")
    assert set(hidden.query_texts).isdisjoint(plain.blinded("job-2").query_texts)


def test_what_is_like_a_seed_is_nothing_new() -> None:
    seeds = [pair("smoke over pine", "Lapsang")]
    near = Pair(query={k: f"{v}!" for k, v in seeds[0].query.items()}, document=dict(seeds[0].document))
    other = Pair(query=seeds[0].query, document={"title": "Sencha"})
    found = surplus([near, other, seeds[0]], known=seeds)
    assert found == {0: "near-duplicate of a dev pair", 2: "a dev pair again"}
    assert surplus([near, other, seeds[0]], None, known=seeds) == {2: "a dev pair again"}


def test_replies_that_cannot_be_used_cost_their_call_alone(golden: Workspace, tmp_path: Path) -> None:
    script = [
        text("Here they are!"),
        reply(written("a"), written("b"), written("c")),  # the correction of the first
        text("no"),
        text("no"),
        reply(written("d")),
    ]
    with FakeProvider(script) as provider:
        job = start(golden, synthetic(provider, {"count": 7}), tmp_path)
        assert main([str(job.path)]) == 0
        assert provider.calls == 5
    result = job.result()
    assert result is not None
    card = DatasetCard.model_validate(result.data["card"])
    report = card.synthesis
    assert report is not None
    assert (report.calls, report.failed_calls, card.counts.found, report.usage.calls) == (3, 1, 4, 5)
    assert "the reply did not fit the policy, twice" in report.problems[0]


def test_a_model_that_writes_nothing_makes_no_data_set(golden: Workspace, tmp_path: Path) -> None:
    with FakeProvider(otherwise=text("I would rather not.")) as provider:
        job = start(golden, synthetic(provider, {"count": 3}), tmp_path)
        assert main([str(job.path)]) == 1
    result = job.result()
    assert result is not None
    assert "writer wrote no pair that could be used" in result.error
    with FakeProvider(otherwise=error(401, "bad key")) as provider:
        job = start(golden, synthetic(provider, {"count": 3}), tmp_path)
        assert main([str(job.path)]) == 1
    result = job.result()
    assert result is not None
    assert "refused the key" in result.error
    with FakeProvider([reply(entry(HELD[0]), entry(HELD[1]))]) as provider:
        job = start(golden, synthetic(provider, {"count": 2}), tmp_path)
        assert main([str(job.path)]) == 1
    result = job.result()
    assert result is not None
    assert result.error == "Of 2 written pairs none is left to grade (holdout pair 2)."


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_cap_ends_it_and_a_new_period_goes_on_without_paying_twice(
    golden: Workspace, tmp_path: Path, concurrency: int
) -> None:
    held = Held()
    workspace = replace(golden, executor=held)
    with FakeProvider(otherwise=writing()) as provider:
        model = {"cap_tokens": 3000, "params": {"max_tokens": 200}, "concurrency": concurrency}
        document = synthetic(provider, {"count": 18, "model": model})
        job_id = start_dataset(workspace, document, tmp_path, author="Ida")
        job = jobs.folder_of(golden, job_id)
        calls: list[int] = []
        # Calls in flight at once set more aside than they take, so a second start may fit one more; a third does not.
        for _ in range(3):
            assert main([str(job.path)]) == 0
            result = job.result()
            assert result is not None
            assert (result.status, "cap of 3,000 tokens" in result.error) == ("capped", True)
            calls.append(provider.calls)
        assert 0 < calls[0] < 6
        assert calls[0] <= calls[1] == calls[2] < 6
        usages = [answer.usage for answer in answers(job)]
        assert sum(usage.input_tokens + usage.output_tokens for usage in usages) <= 3000
        assert sum(len(answer.pairs) for answer in answers(job)) == 3 * calls[2]
        assert not (job.path / synthesis_run.DONE).exists()
        for _ in range(6):
            jobs.collect(golden)
            jobs.resume(workspace, job_id, "Ida", new_period=True)
            assert main([str(job.path)]) == 0
            result = job.result()
            assert result is not None
            if result.status == "finished":
                break
        assert result.status == "finished"
        assert provider.calls == 6  # 18 pairs, three a call: none was asked for twice
    card = DatasetCard.model_validate(result.data["card"])
    assert card.synthesis is not None
    assert (card.synthesis.usage.calls, card.counts.synthetic) == (6, 18)


class Killed(BaseException):
    """Stands for a kill."""


class Killing(FolderReporter):
    """A reporter in whose hands the worker dies after so many calls."""

    def __init__(self, folder: JobFolder, after: int) -> None:
        super().__init__(folder)
        self._after = after

    def progress(self, done: int, total: int, note: str = "") -> None:
        if done >= self._after:
            raise Killed
        super().progress(done, total, note)


def test_a_killed_job_goes_on_and_a_second_data_set_pays_nothing(golden: Workspace, tmp_path: Path) -> None:
    with FakeProvider(otherwise=writing()) as provider:
        document = synthetic(provider, {"count": 12})
        job = start(golden, document, tmp_path)
        reporter = Killing(job, after=2)
        with pytest.raises(Killed):
            dataset_job.run(job.spec(), job, reporter)
        reporter.close()
        assert provider.calls == 2
        with (job.path / CALLS).open("a") as file:
            file.write('{"number": 2, "at": "cut off in the mid')
        assert main([str(job.path)]) == 0
        assert provider.calls == 4
        first = made_by(golden, job.path.name)
        assert first is not None
        # Started once more, the job asks nothing and makes the same.
        (job.path / "result.json").unlink()
        assert main([str(job.path)]) == 0
        # What is asked in the same words has been answered.
        card, _ = made(golden, document.model_copy(update={"dataset": "again"}), tmp_path)
        assert provider.calls == 4
        assert card.synthesis is not None
        assert (card.synthesis.usage.calls, card.synthesis.usage.cost_usd) == (0, 0.0)
        assert card.content_hash == first.card.content_hash
        # Another sample is another question.
        other = synthetic(provider, {"count": 12, "model": {"repeat": 1}}, dataset="other")
        made(golden, other, tmp_path)
        assert provider.calls == 8


def test_a_kill_between_the_pool_and_its_record_changes_nothing(golden: Workspace, tmp_path: Path) -> None:
    with FakeProvider(otherwise=writing()) as provider:
        job = start(golden, synthetic(provider, {"count": 6}), tmp_path)
        assert main([str(job.path)]) == 0
        pool = (job.path / dataset_job.POOL).read_bytes()
        (job.path / synthesis_run.DONE).unlink()
        assert main([str(job.path)]) == 0
        assert (job.path / dataset_job.POOL).read_bytes() == pool
        assert provider.calls == 2


def test_a_stop_ends_it_at_a_call(golden: Workspace, tmp_path: Path) -> None:
    with FakeProvider(otherwise=writing()) as provider:
        job = start(golden, synthetic(provider, {"count": 6}), tmp_path)
        reporter = FolderReporter(job)
        reporter.stop()
        assert "card" not in dataset_job.run(job.spec(), job, reporter)
        reporter.close()
        assert provider.calls == 0


def test_the_pool_is_drawn_or_chosen_by_coverage_after_it_was_written(
    golden: Workspace, tmp_path: Path
) -> None:
    with FakeProvider(otherwise=writing()) as provider:
        card, _ = made(golden, synthetic(provider, {"count": 9}, size=4), tmp_path)
        assert (card.counts.graded, card.counts.synthetic) == (16, 4)
        assert card.counts.dropped == {"not drawn": 5}
        document = synthetic(
            provider, {"count": 9}, size=4, choose="coverage", dataset="chosen", judge=by_model(provider)
        )
        card, _ = made(golden, document, tmp_path)
    assert (card.counts.graded, card.counts.synthetic) == (21, 4)
    assert card.counts.dropped == {"not needed for coverage": 5}
    # Six lovely ones of nine, three others: two of either cover taste best.
    assert card.quality[0].graded == (2, 0, 2)
    assert card.synthesis is not None
    assert (card.synthesis.cells[0].graded, card.synthesis.cells[0].as_asked) == (9, 6)
    assert card.synthesis.cells[0].rows == 4


def test_cells_are_planned_by_the_dev_labels_and_nothing_is_sent(golden: Workspace, tmp_path: Path) -> None:
    with FakeProvider() as provider:
        plan = plan_dataset(golden, synthetic(provider, {"count": 12, "cells": "auto"}), tmp_path)
        assert provider.calls == 0
        # Dev: taste 0, 1, 1, 2 in turn and strength 0, 1 on 40 pairs; N/A has none and gets ten before the first of
        # those with ten.
        assert [(one.cell.name, one.have, one.wanted) for one in plan.cells] == [
            ("taste=0", 10, 1),
            ("taste=2", 10, 1),
            ("strength=N/A", 0, 10),
        ]
        assert (plan.found, plan.pool, plan.probes, plan.rows, plan.calls) == (12, 12, 12, 24, 0)
        assert plan.writing is not None
        # One call each for the single ones, four for ten at three a call.
        assert plan.writing.calls == 6
        assert plan.writing.input_tokens > 0
        assert plan.writing.cost_usd is None
        judged = plan_dataset(
            golden, synthetic(provider, {"count": 12}, judge=by_model(provider), size=5), tmp_path
        )
    # Five of those written and twelve probes.
    assert (judged.calls, judged.known, judged.estimated) == (17, 0, True)


def test_no_seed_is_a_probe_and_without_a_seed_nothing_starts(golden: Workspace, tmp_path: Path) -> None:
    with FakeProvider(otherwise=writing()) as provider:
        job = start(golden, synthetic(provider, {"count": 3}), tmp_path)
        probes = set(job.spec().payload["dataset"]["probes"])
        seeds = {json.loads(line)["query"]["wishes"] for line in (job.path / "seeds.jsonl").open()}
        assert len(probes) == 12
        assert seeds.isdisjoint(one.query["wishes"] for one in DEV if one.id in probes)
        assert len(seeds) == 7  # ten dev queries, three of them probes
        with pytest.raises(Refused, match="no dev pair that could be a seed"):
            start(golden, synthetic(provider, {"count": 3}, probes=1), tmp_path)
        with pytest.raises(BadInput, match="taste=7"):
            start(golden, synthetic(provider, {"cells": [{"dimension": "taste", "level": 7}]}), tmp_path)
        with pytest.raises(BadInput, match="cap on money"):
            start(golden, synthetic(provider, {"model": {"cap_usd": 1.0}}), tmp_path)


def test_a_pool_from_a_file_that_says_so_counts_as_synthetic(golden: Workspace, tmp_path: Path) -> None:
    write_pool(tmp_path, [*candidates(3), pair("made up", "by a model", synthetic="taste=2")])
    card, _ = made(golden, recipe(), tmp_path)
    assert (card.counts.synthetic, card.synthesis) == (1, None)


def test_the_recipe_is_read_from_yaml_with_its_place_in_errors() -> None:
    lines = """\
dataset: teas
policy: tea-match
pool:
  kind: synthetic
  model: {model: openai/gpt-5-mini, cap_usd: 5}
  golden: tea
  cells: [{dimension: taste, level: 2}, {dimension: strength, level: N/A}]
judge: {kind: baseline}
"""
    pool = parse_recipe(lines, "teas.yaml").pool
    assert pool.kind == "synthetic"
    assert (pool.count, pool.per_call, pool.seeds_per_call) == (500, 5, 3)
    assert [cell.name for cell in pool.cells] == ["taste=2", "strength=N/A"]  # type: ignore[union-attr]
    with pytest.raises(BadInput, match=r"teas\.yaml, line 3 at pool\.synthetic: .*'repeats', 'delivery'"):
        parse_recipe(lines.replace("cap_usd: 5", "repeats: 2"), "teas.yaml")
    with pytest.raises(ValidationError):
        DatasetRecipe.model_validate({"dataset": "x", "policy": "x", "pool": {"kind": "synthetic"}})


def test_the_plan_and_the_card_in_words(
    golden: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from workbench.yamltext import dump

    path = tmp_path / "teas.yaml"
    with FakeProvider(otherwise=writing()) as provider:
        document = synthetic(provider, {"count": 6}, judge=by_model(provider))
        path.write_text(dump(document.model_dump(mode="json")))
        cli_data.data_make(path, plan=True)
        told = capsys.readouterr().out.splitlines()
        assert told[0] == "6 pairs to be written: taste=2 6 (10 labelled)"
        assert told[1].startswith("at most 2 calls for that, about ")
        assert told[1].endswith("cost unknown: what a server of your own costs is not known here")
        assert told[2] == f"at most 6 of them to grade with {JUDGE}, 12 probes"
        cli_data.data_make(path, plan=True, as_json=True)
        plan = json.loads(capsys.readouterr().out)
        assert plan["cells"] == [{"cell": TASTE, "have": 10, "wanted": 6}]
        assert plan["writing"]["calls"] == 2
        made(golden, document, tmp_path)
    cli_data.data_show("teas")
    told = capsys.readouterr().out.splitlines()
    assert "synthetic 6 rows by writer, seeds from tea v1" in told
    at = next(i for i, line in enumerate(told) if line.startswith("written in 2 calls"))
    assert told[at].startswith("written in 2 calls (0 failed, 0 pairs did not fit); ")
    assert told[at + 1].split("  ")[0] == "asked for"
    # Two calls of three, of which the first and the third are lovely: four of six.
    assert told[at + 2].split() == ["taste=2", "10", "6", "6", "6", "4", "0.667", "6"]

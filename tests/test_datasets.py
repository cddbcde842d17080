"""Verbs of data sets: what is kept out, planned, started, brought in, and checked again later."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dataset_samples import (
    EACH,
    EXAMPLE,
    HELD_OUT,
    candidates,
    published,
    recipe,
    teas,
    write_pool,
)
from trial_samples import Held
from workspace_samples import NAME, label

from workbench import jobs
from workbench.dataset import DatasetCard
from workbench.dataset_files import CARD, ROWS, iter_rows
from workbench.dataset_inputs import prepare_inputs
from workbench.dataset_leakage import Holdout
from workbench.datasets import (
    check,
    dataset,
    datasets,
    made_by,
    plan_dataset,
    read_dataset_recipe,
    start_dataset,
)
from workbench.errors import BadInput, NotFound, Refused
from workbench.fake_provider import FakeProvider
from workbench.golden import Pair
from workbench.worker import main
from workbench.workspace import Workspace

HELD = teas()[-HELD_OUT * EACH :]


def leaking() -> list[Pair]:
    """A holdout pair, a near-duplicate of one, and a holdout query with another tea."""
    one = HELD[3]
    shouted = {key: f"{value.upper()}!" for key, value in one.query.items()}
    return [
        one,
        Pair(query=shouted, document={**one.document, "notes": one.document["notes"] + "."}),
        Pair(query=one.query, document={"title": "a tea that nobody has seen"}),
    ]


def made(workspace: Workspace, folder: Path, **changes: Any) -> str:
    """Make a data set in this process, and return the job's id."""
    held = Held()
    job_id = start_dataset(replace(workspace, executor=held), recipe(**changes), folder, author="Ida")
    assert held.started == [job_id]
    assert main([str(jobs.folder_of(workspace, job_id).path)]) == 0
    return job_id


def test_what_the_holdout_has_is_dropped_and_counted(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    pool = [
        *candidates(6),
        *leaking(),
        candidates(1)[0],
        Pair(query={"wishes": "!"}, document={"title": "x"}),
    ]
    write_pool(tmp_path, pool)
    found = prepare_inputs(workspace, recipe(), tmp_path)
    assert found.found == 11
    assert found.dropped == {
        "holdout pair": 1,
        "near a query of the holdout": 1,
        "query of the holdout": 1,
        "same pair twice": 1,
        "no text": 1,
    }
    assert {pair.id for pair in found.pool} == {pair.id for pair in candidates(6)}
    assert [(one.golden, one.holdout_pairs) for one in found.checked] == [("tea", 8)]
    # Of ten dev queries three are probes, whole queries of four pairs.
    assert len(found.probes) == 12
    assert len({pair.query_id for pair in found.probes}) == 3
    held = {pair.id for pair in HELD}
    assert held.isdisjoint(pair.id for pair in (*found.pairs, *found.golden.pairs))
    assert held.isdisjoint(found.golden.labels["pair_id"])


def test_a_holdout_of_any_golden_set_of_the_policy_counts(workspace: Workspace, tmp_path: Path) -> None:
    pairs = published(workspace)
    other = candidates(3)
    workspace.store.create_golden("more", NAME)
    # A dev query of the first set is held out in the second one: it is nobody's to learn from.
    both = [*other, *pairs[:EACH]]
    workspace.store.add_pairs("more", both, {pair.id: "holdout" for pair in both})
    write_pool(tmp_path, candidates(6))
    found = prepare_inputs(workspace, recipe(probes=1), tmp_path)
    assert found.dropped == {"holdout pair": 3}
    assert {pair.query_id for pair in found.probes}.isdisjoint({pairs[0].query_id})
    assert len(found.golden.pairs) == 36
    assert found.notes == ("4 dev pairs of tea v1 are like pairs of a holdout and were not used at all.",)


def test_documents_of_the_holdout_are_counted_or_dropped(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    shared = Pair(query={"wishes": "another wish altogether"}, document=HELD[0].document)
    write_pool(tmp_path, [*candidates(3), shared])
    assert prepare_inputs(workspace, recipe(), tmp_path).of_holdout_documents == (shared.id,)
    found = prepare_inputs(workspace, recipe(holdout_documents="drop"), tmp_path)
    assert found.dropped == {"near a document of the holdout": 1}


def test_the_pool_is_drawn_by_the_seed(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    write_pool(tmp_path, candidates(30))

    def drawn(**changes: Any) -> set[str]:
        return {pair.id for pair in prepare_inputs(workspace, recipe(**changes), tmp_path).pool}

    assert len(drawn(size=10)) == 10
    assert drawn(size=10) == drawn(size=10)
    assert drawn(size=10) != drawn(size=10, seed=1)
    assert len(drawn(size=10, choose="coverage")) == 30
    assert prepare_inputs(workspace, recipe(size=10), tmp_path).dropped == {"not drawn": 20}


def test_a_pool_of_unlabelled_pairs_and_a_pool_of_products(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    with pytest.raises(Refused, match="Of 0 pairs in the pool none is left"):
        prepare_inputs(workspace, recipe(pool={"kind": "golden", "golden": "tea"}), tmp_path)
    products = {"kind": "products", "queries": {"golden": "tea"}, "documents": {"golden": "tea"}}
    found = prepare_inputs(
        workspace, recipe(pool=products | {"near": 2, "random": 1, "neighbours": "words"}), tmp_path
    )
    # Ten dev queries, three teas each; some are dev pairs, of which those that are probes are left out of the pool.
    assert found.found == 30
    assert len(found.pool) + found.dropped.get("is a probe", 0) == 30
    assert Holdout.of(HELD).queries.isdisjoint(pair.query_id for pair in found.pool)
    assert [source.name for source in found.sources] == ["golden set tea v1"] * 2


def test_simulated_data_says_so(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    marked = [one.model_copy(update={"meta": {"simulated": "true"}}) for one in candidates(3)]
    write_pool(tmp_path, marked)
    assert prepare_inputs(workspace, recipe(), tmp_path).simulated
    write_pool(tmp_path, candidates(3))
    assert not prepare_inputs(workspace, recipe(), tmp_path).simulated
    assert prepare_inputs(workspace, recipe(simulated=True), tmp_path).simulated


def test_what_cannot_be_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    write_pool(tmp_path, candidates(3))
    with pytest.raises(NotFound, match=r"golden set.*'tea'"):
        plan_dataset(workspace, recipe(), tmp_path)
    with pytest.raises(NotFound, match="policy"):
        plan_dataset(workspace, recipe(policy="coffee"), tmp_path)
    with pytest.raises(NotFound, match=r"pool\.csv"):
        plan_dataset(workspace, recipe(golden=None), tmp_path / "elsewhere")
    # Without a golden set there are no probes, and nothing to check against.
    found = plan_dataset(workspace, recipe(golden=None), tmp_path)
    assert (found.pool, found.probes, found.checked) == (3, 0, ())
    published(workspace)
    write_pool(tmp_path, leaking())
    with pytest.raises(Refused, match=r"Of 3 pairs in the pool none is left to grade .*holdout pair 1"):
        plan_dataset(workspace, recipe(), tmp_path)


def test_a_plan_sends_nothing(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    write_pool(tmp_path, [*candidates(30), *leaking()])
    with FakeProvider() as provider:
        judge = {"kind": "llm", "model": "fake-hash-grader", "base_url": provider.base_url, "repeats": 2}
        found = plan_dataset(workspace, recipe(judge=judge, size=20), tmp_path)
        assert provider.calls == 0
    assert (found.found, found.pool, found.probes, found.rows) == (33, 20, 12, 32)
    assert (found.calls, found.known) == (64, 0)  # two answers a pair
    assert found.input_tokens > 64 * 100
    assert found.output_tokens > 0
    assert (found.cost_usd, found.cost_unknown) == (None, "what a server of your own costs is not known here")
    free = plan_dataset(workspace, recipe(), tmp_path)
    assert (free.calls, free.cost_usd, free.judge) == (0, 0.0, "baseline")
    priced = plan_dataset(
        workspace,
        recipe(judge={"kind": "llm", "model": "openai/gpt-4o-mini", "api_key_env": "NO_SUCH_KEY"}),
        tmp_path,
    )
    assert priced.calls == 42
    assert priced.cost_usd is not None
    assert priced.cost_usd > 0
    assert priced.keys_missing == ("NO_SUCH_KEY",)


def test_from_recipe_to_card(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    write_pool(tmp_path, [*candidates(30), *leaking()])
    job_id = made(workspace, tmp_path)
    (found,) = datasets(workspace)
    card = found.card
    assert found.folder == workspace.settings.home / "datasets" / card.id
    assert (card.counts.rows, card.counts.probes) == (42, 12)
    assert card.counts.dropped == {
        "holdout pair": 1,
        "near a query of the holdout": 1,
        "query of the holdout": 1,
    }
    assert (card.golden, card.judge.name, card.simulated) == ("tea v1", "baseline-lexical", False)
    assert [source.name for source in card.sources] == ["pool.csv"]
    assert str(tmp_path) not in (found.folder / CARD).read_text()
    queries = {row.pair.query_id for part in iter_rows(found.folder) for row in part}
    assert queries.isdisjoint(pair.query_id for pair in HELD)
    # Nothing of the holdout lies in the job's folder either.
    folder = jobs.folder_of(workspace, job_id).path
    texts = "".join(path.read_text() for path in folder.glob("*.jsonl"))
    assert HELD[0].query["wishes"] not in texts
    assert made_by(workspace, job_id) == found
    assert dataset(workspace, "teas") == dataset(workspace, card.id) == found
    with pytest.raises(NotFound, match="Did you mean teas"):
        dataset(workspace, "tea")


def test_a_data_set_outlives_its_job_and_is_one_however_often_it_is_made(
    workspace: Workspace, tmp_path: Path
) -> None:
    published(workspace)
    write_pool(tmp_path, candidates(30))
    first = made(workspace, tmp_path)
    second = made(workspace, tmp_path)
    (found,) = datasets(workspace)
    for job_id in (first, second):
        shutil.rmtree(jobs.folder_of(workspace, job_id).path)
    assert datasets(workspace) == [found]
    assert check(workspace, "teas").sound
    write_pool(tmp_path, candidates(27))
    made(workspace, tmp_path)
    assert [one.card.counts.rows for one in datasets(workspace)] == [39, 42]  # newest first
    assert dataset(workspace, "teas").card.counts.rows == 39


def test_the_same_key_starts_one_job(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    write_pool(tmp_path, candidates(30))
    held = Held()
    for _ in range(2):
        job_id = start_dataset(
            replace(workspace, executor=held), recipe(), tmp_path, author="Ida", key="click"
        )
        assert job_id == "job-data-click"
    assert held.started == ["job-data-click"]
    assert datasets(workspace) == []  # it has not ended
    assert made_by(workspace, "job-data-click") is None


def test_a_holdout_that_grew_is_found_in_an_old_data_set(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    pool = candidates(30)
    write_pool(tmp_path, pool)
    made(workspace, tmp_path)
    before = check(workspace, "teas")
    assert (before.sound, before.rows, before.grown) == (True, 42, ())
    workspace.store.add_pairs("tea", pool[:1], {pool[0].id: "holdout"})
    workspace.store.add_labels("tea", [label(pool[0], "taste", 1)])
    after = check(workspace, "teas")
    # Its query has two other teas in the data set.
    assert after.leaks == {"holdout pair": 1, "query of the holdout": 2}
    assert (after.sound, after.grown) == (False, ("tea",))
    assert pool[0].id in after.examples


def test_damage_is_found(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    write_pool(tmp_path, candidates(30))
    made(workspace, tmp_path)
    found = dataset(workspace, "teas")
    card = json.loads((found.folder / CARD).read_text())
    card["content_hash"] = card["content_hash"][:-1] + ("0" if card["content_hash"][-1] != "0" else "1")
    other = DatasetCard.model_validate(card).model_dump_json()
    (found.folder / CARD).unlink()  # the job's own file is the same one
    (found.folder / CARD).write_text(other)
    assert "are not those of the card" in check(workspace, found.card.id).damaged
    (found.folder / ROWS).unlink()
    (found.folder / ROWS).write_bytes(b"nothing")
    assert "is damaged" in check(workspace, found.card.id).damaged
    (found.folder / CARD).write_text("{")
    with pytest.raises(BadInput, match=r"card\.json"):
        datasets(workspace)


def test_the_example_on_disk(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    document = read_dataset_recipe(EXAMPLE)
    plan = plan_dataset(workspace, document, EXAMPLE.parent)
    # Six guests, three near and two other teas each; 0.25 of ten dev queries, rounded, are two.
    assert (plan.found, plan.pool, plan.probes, plan.rows) == (30, 30, 8, 28)
    held = Held()
    job_id = start_dataset(replace(workspace, executor=held), document, EXAMPLE.parent, author="Ida")
    assert main([str(jobs.folder_of(workspace, job_id).path)]) == 0
    made_now = made_by(workspace, job_id)
    assert made_now is not None
    assert made_now.card.counts.dropped == {"not needed for coverage": 10}
    assert made_now.card.counts.rows == 28

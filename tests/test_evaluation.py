"""Evaluation: what a run is given, agreement and comparisons against figures worked out by hand, the holdout ledger.

The sample policy combines (3 x taste + strength) / 4 with cut points 0.5 and 1.5, N/A leaving the mean, and holds the
overall grade at 0 where taste is 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
from workspace_samples import NAME, dimensions, golden_set, label, pair, recorded_run, version

from workbench import comparing, evaluation, jobs, judge_choice, judge_runs
from workbench.column_mapping import ImportSpec
from workbench.errors import BadInput, NotFound, Refused, WorkbenchError
from workbench.executors import Status, worker_command
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, GoldenSet, Pair
from workbench.importing import import_path
from workbench.labelling import import_golden, publish_golden
from workbench.run import BaselineSpec, CheckpointSpec, JobSpec, LlmSpec, RecordedSpec, Run
from workbench.workspace import Workspace

P = [pair("smoky", "Lapsang"), pair("smoky", "Sencha"), pair("mild", "Sencha"), pair("mild", "Assam")]
HELD = pair("bold", "Puer")
HUMAN = [(P[0], 0, 1), (P[1], 1, 1), (P[2], 2, 1), (P[3], 2, 0)]  # taste, strength


def grades(*taste: int, strength: Sequence[int] = (1, 1, 1, 0)) -> list[tuple[Pair, dict[str, int]]]:
    return [(p, {"taste": t, "strength": s}) for p, t, s in zip(P, taste, strength, strict=True)]


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    """The golden set ``tea`` v1: HUMAN by ann on dev, one pair in the holdout (taste 1, strength 1)."""
    labels = [(p, {"taste": t, "strength": s}) for p, t, s in HUMAN]
    golden_set(workspace, [*labels, (HELD, {"taste": 1, "strength": 1})], holdout=[HELD])
    return workspace


class Stays:
    """An executor that starts nothing."""

    name = "stays"

    def __init__(self) -> None:
        self.started: list[Path] = []

    def submit(self, spec: JobSpec, folder: Path) -> str:
        self.started.append(folder)
        return "stays:1"

    def status(self, handle: str) -> Status:
        return "running"

    def logs(self, handle: str, lines: int = 200) -> str:
        """Know nothing."""
        return ""

    def command(self, folder: Path) -> list[str]:
        """Return the worker's."""
        return worker_command(folder)

    def stop(self, handle: str, *, kill: bool = False) -> None:
        raise AssertionError("nothing runs")


@pytest.fixture
def idle(tea: Workspace) -> Workspace:
    """The same with an executor that starts nothing."""
    return Workspace(tea.settings, tea.store, Stays())


def start(workspace: Workspace, judge: object = None, **more: object) -> Run:
    given = {"policy": NAME, "golden": "tea", "author": "Ida"} | more
    return judge_runs.start_run(workspace, judge or BaselineSpec(use_embeddings=False), **given)  # type: ignore[arg-type]


# Starting a run


def test_no_holdout_label_reaches_a_job(idle: Workspace) -> None:
    run = start(idle)
    folder = jobs.folder_of(idle, f"job-{run.id}").path
    labels = pd.read_parquet(folder / "labels.parquet")
    assert set(labels["pair_id"]) == {p.id for p in P}
    assert len(labels) == 8
    pairs = [json.loads(line) for line in (folder / "pairs.jsonl").read_text("utf-8").splitlines()]
    # The holdout pair itself is there: it is to be graded.
    assert [(p["document"]["title"], p["split"]) for p in pairs] == [
        ("Lapsang", "dev"), ("Sencha", "dev"), ("Sencha", "dev"), ("Assam", "dev"), ("Puer", "holdout"),
    ]  # fmt: skip
    assert sorted(f.name for f in folder.iterdir()) == [
        "artifacts", "labels.parquet", "pairs.jsonl", "policy.yaml", "spec.json",
    ]  # fmt: skip
    assert "grade" not in (folder / "pairs.jsonl").read_text("utf-8")


def test_a_run_names_exactly_what_it_used(idle: Workspace) -> None:
    idle.store.add_policy(version(2, title="Second"))
    run = start(idle)
    assert (run.policy_version, run.policy_hash) == (2, idle.store.policy(NAME, 2).content_hash)
    assert (run.golden_version, run.golden_hash) == (1, idle.store.snapshot("tea", 1).content_hash)
    assert (run.status, run.author, run.judge.kind) == ("queued", "Ida", "baseline")
    assert start(idle, version=1).policy_version == 1
    assert idle.store.run(run.id) == run


def test_the_same_key_starts_one_run(idle: Workspace) -> None:
    first, second, other = start(idle, key="a"), start(idle, key="a"), start(idle, key="b")
    assert (first, first.id != other.id) == (second, True)
    assert isinstance(idle.executor, Stays)
    assert len(idle.executor.started) == len(idle.store.runs()) == len(idle.store.jobs()) == 2


@pytest.mark.parametrize(
    ("more", "kind", "message"),
    [
        ({"policy": "other"}, Refused, "Golden set 'tea' is labelled under policy 'tea-match', not 'other'"),
        ({"policy": "coffee"}, NotFound, "No policy is called 'coffee'"),
        ({"version": 7}, NotFound, "has no version 7"),
        ({"golden": "coffee"}, NotFound, "No golden set is called 'coffee'"),
        ({"golden_version": 3}, NotFound, "has no version 3"),
        ({"golden": "raw"}, NotFound, "'raw' is not published yet"),
        ({"judge": RecordedSpec(name="x")}, BadInput, "A recorded judge is not run"),
        ({"judge": CheckpointSpec(checkpoint="none")}, NotFound, "No checkpoint is called 'none'"),
        ({"judge": LlmSpec(model="m", api_key_env="sk-123456")}, BadInput, "not the name of an environment"),
        ({"judge": LlmSpec(model="m", params={"api_key": "hush-hush"})}, BadInput, "key"),
    ],
)
def test_what_cannot_be_run_is_refused_and_leaves_nothing(
    idle: Workspace, more: dict[str, object], kind: type[WorkbenchError], message: str
) -> None:
    idle.store.add_policy(version(1, policy="other"))
    idle.store.create_golden("raw", NAME)
    with pytest.raises(kind) as caught:
        start(idle, **more)
    assert message in caught.value.message
    assert "hush-hush" not in str(caught.value)
    assert (idle.store.runs(), idle.store.jobs()) == ([], [])
    assert not idle.jobs_folder.exists()


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("baseline", BaselineSpec()),
        ("baseline-lexical", BaselineSpec(use_embeddings=False)),
        ("checkpoint:mini", CheckpointSpec(checkpoint="mini")),
        ("openai/gpt-5-mini", LlmSpec(model="openai/gpt-5-mini")),
    ],
)
def test_a_judge_is_named_in_one_word(text: str, spec: object) -> None:
    assert judge_choice.judge_from_text(text) == spec


def test_a_bare_model_name_needs_an_address() -> None:
    for text in ("gpt-5", "", "baselin", "checkpoint:"):
        with pytest.raises(BadInput, match="is no judge"):
            judge_choice.judge_from_text(text)
    found = judge_choice.judge_from_text("own", base_url="http://host/v1", api_key_env="KEY", repeat=2)
    assert found == LlmSpec(model="own", base_url="http://host/v1", api_key_env="KEY", repeat=2)


# Truth


def test_the_overall_grade_is_derived_until_somebody_labels_it(tea: Workspace) -> None:
    human = evaluation.truth(tea, "tea")
    assert human.human["taste"].tolist() == [0, 1, 2, 2]
    # (0+1)/4 -> 0; (3+1)/4 = 1 -> 1; (6+1)/4 = 1.75 -> 2; 6/4 = 1.5, the cut point itself -> 2.
    assert (human.overall_derived, human.human["overall"].tolist()) == (True, [0, 1, 2, 2])
    tea.store.add_labels("tea", [label(P[2], "overall", 1)])
    again = evaluation.truth(tea, "tea")
    assert (again.overall_derived, again.human["overall"].tolist()) == (
        False, [NOT_GRADED, NOT_GRADED, 1, NOT_GRADED],
    )  # fmt: skip


def test_live_labels_move_and_those_of_the_snapshot_do_not(tea: Workspace) -> None:
    evaluation.truth(tea, "tea"), evaluation.truth(tea, "tea", labels="snapshot")  # fill the caches
    tea.store.add_labels("tea", [label(P[0], "taste", 2, minute=5)])
    assert evaluation.truth(tea, "tea").human["taste"].tolist() == [2, 1, 2, 2]
    assert evaluation.truth(tea, "tea", labels="snapshot").human["taste"].tolist() == [0, 1, 2, 2]


def test_splits_choose_the_pairs(tea: Workspace) -> None:
    assert evaluation.truth(tea, "tea", split="holdout").pair_ids == (HELD.id,)
    assert evaluation.truth(tea, "tea", split="all").pair_ids == (*(p.id for p in P), HELD.id)


# Agreement


def test_agreement_of_a_run_by_hand(tea: Workspace) -> None:
    run = recorded_run(tea, "a", grades(0, 1, 2, 1, strength=(1, 0, NOT_GRADED, NOT_APPLICABLE)))
    (row,) = evaluation.matrix(tea, [run])
    taste = row.agreements["taste"]
    # Observed: one pair off by one of two, 1/4 x 1/4 = 1/16. Expected, margins (1,1,2)/4 and (1,2,1)/4:
    # [1x(2x1+1x4) + 1x(1x1+1x1) + 2x(1x4+2x1)] / 16 / 4 = 20/64. Kappa = 1 - (4/64) / (20/64) = 0.8.
    assert taste.kappa_quadratic.value == pytest.approx(0.8)
    # Linear: observed 1/4 x 1/2 = 1/8; expected [1x(2+2) + 1x(1+1) + 2x(2+2)] / 16 / 2 = 14/32. 1 - 4/14.
    assert taste.kappa_linear.value == pytest.approx(1 - 4 / 14)
    assert (taste.n, taste.n_failed, taste.exact.value, taste.within_one.value) == (4, 0, 0.75, 1.0)
    assert taste.bias.value == pytest.approx(-0.25)
    assert taste.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    strength = row.agreements["strength"]
    # One failed, one N/A by the judge alone; the human grades of the two left are both 1: no kappa, and a reason.
    assert (strength.n, strength.n_failed, strength.n_not_applicable_judge) == (2, 1, 1)
    assert (strength.kappa_quadratic.value, strength.exact.value) == (None, 0.5)
    assert "1" in strength.kappa_quadratic.reason
    overall = row.agreements["overall"]
    # The judge's: 0; 3/4 -> 1; failed; N/A leaves the mean, 1 -> 1. Against 0, 1, 2, 2.
    assert (overall.n, overall.n_failed, overall.confusion.tolist()) == (
        3,
        1,
        [[1, 0, 0], [0, 1, 0], [0, 1, 0]],
    )


def test_a_run_under_another_rule_is_measured_against_the_newest_rule(tea: Workspace) -> None:
    tea.store.add_policy(version(2, overall={"combine": "minimum", "cut_points": [0.5, 1.5]}))
    old = recorded_run(tea, "old", grades(0, 1, 2, 2))
    new = recorded_run(tea, "new", grades(0, 1, 2, 2), policy_version=2)
    # The least of taste (0,1,2,2) and strength (1,1,1,0) is 0,1,1,0: that is the truth now.
    assert evaluation.truth(tea, "tea").human["overall"].tolist() == [0, 1, 1, 0]
    a, b = (row.agreements["overall"] for row in evaluation.matrix(tea, [old, new]))
    # The old rule gave 0,1,2,2 to the same grades.
    assert (a.exact.value, b.exact.value) == (0.5, 1.0)


def test_levels_that_a_version_does_not_have_are_not_comparable(tea: Workspace) -> None:
    wide = recorded_run(tea, "wide", grades(0, 1, 2, 2))
    tea.store.add_policy(version(2, dimensions=dimensions(taste=1)))
    narrow = recorded_run(tea, "narrow", grades(0, 1, 1, 1), policy_version=2)
    a, b = (row.agreements["taste"] for row in evaluation.matrix(tea, [wide, narrow]))
    # Under the newest scale 0-1 the two labels of 2 are no grades any more, for both runs.
    assert (a.n, a.n_unlabelled, a.levels) == (2, 2, (0, 1, 2))
    assert (b.n, b.n_unlabelled, b.levels) == (2, 2, (0, 1))


# Comparison


def test_a_comparison_by_hand(tea: Workspace) -> None:
    a = recorded_run(tea, "a", grades(0, 1, 2, 1))
    b = recorded_run(tea, "b", grades(0, 0, 2, 2), judge="other")
    result = comparing.compare_runs(tea, a, b)
    taste = result.comparisons["taste"]
    assert (taste.n, taste.a.kappa_quadratic.value) == (4, pytest.approx(0.8))
    # b: one pair off by one again, margins human (1,1,2)/4 and b (2,0,2)/4:
    # expected [1x(2x4) + 1x(2x1+2x1) + 2x(2x4)] / 64 = 28/64; kappa = 1 - 4/28.
    assert taste.b.kappa_quadratic.value == pytest.approx(1 - 4 / 28)
    assert taste.delta.kappa_quadratic.value == pytest.approx(1 - 4 / 28 - 0.8)
    assert (taste.counts["fixed"], taste.counts["broken"], taste.counts["changed"], taste.counts["same"]) == (
        1,
        1,
        0,
        2,
    )
    assert taste.p_mcnemar == 1.0
    flips = result.flips("taste")
    assert flips[["pair_id", "outcome", "human", "a", "b"]].values.tolist() == [
        [P[1].id, "broken", 1, 1, 0],
        [P[3].id, "fixed", 2, 1, 2],
    ]
    assert (result.changes, result.judged) == ((), ())
    assert result.noise_a == {"taste": None, "strength": None, "overall": None}
    backwards = comparing.compare_runs(tea, b, a).comparisons["taste"]
    assert backwards.delta.kappa_quadratic.value == pytest.approx(0.8 - (1 - 4 / 28))


def test_a_clause_edit_names_the_dimensions_it_may_move(tea: Workspace) -> None:
    changed = dimensions()
    changed[0]["clauses"][0]["text"] = "Smoke is no taste."
    tea.store.add_policy(version(2, dimensions=changed))
    a = recorded_run(tea, "a", grades(0, 1, 2, 1))
    b = recorded_run(tea, "b", grades(0, 1, 2, 2), policy_version=2)
    result = comparing.compare_runs(tea, a, b)
    assert ([c.id for c in result.changes], result.judged) == (["taste.1"], ("taste",))


def test_dimensions_on_different_scales_are_left_out(tea: Workspace) -> None:
    tea.store.add_policy(version(2, dimensions=dimensions(taste=3)))
    a = recorded_run(tea, "a", grades(0, 1, 2, 1))
    b = recorded_run(tea, "b", grades(0, 1, 3, 3), policy_version=2)
    result = comparing.compare_runs(tea, a, b)
    # The overall scale follows from the cut points, which are the same.
    assert list(result.comparisons) == ["strength", "overall"]
    tea.store.add_policy(version(3, overall={"cut_points": [0.5]}))
    c = recorded_run(tea, "c", grades(0, 1, 2, 1), policy_version=3)
    assert list(comparing.compare_runs(tea, a, c).comparisons) == ["taste", "strength"]


def test_a_dimension_that_only_one_version_has_is_left_out(tea: Workspace) -> None:
    only = [d for d in dimensions() if d["key"] == "taste"]
    tea.store.add_policy(version(2, dimensions=only))
    a = recorded_run(tea, "a", grades(0, 1, 2, 1))
    b = recorded_run(tea, "b", [(p, {"taste": 1}) for p in P], policy_version=2)
    assert list(comparing.compare_runs(tea, a, b).comparisons) == ["taste", "overall"]
    # The newest version has no strength: its labels count for nothing, and nothing breaks.
    assert evaluation.run_agreement(tea, a)["strength"].n_unlabelled == 4


def test_runs_over_different_snapshots_meet_on_the_pairs_of_both(tea: Workspace) -> None:
    late = pair("smoky", "Russian Caravan")
    golden_set(tea, [(late, {"taste": 2, "strength": 1})])
    a = recorded_run(tea, "a", grades(0, 1, 2, 1))
    b = recorded_run(tea, "b", [*grades(0, 1, 2, 2), (late, {"taste": 2, "strength": 1})], golden_version=2)
    for first, second in ((a, b), (b, a)):
        result = comparing.compare_runs(tea, first, second)
        taste = result.comparisons["taste"]
        # Run a was never asked about the late pair, so it has not failed on it.
        assert (taste.n, taste.n_failed_a, taste.n_failed_b, taste.n_not_comparable) == (4, 0, 0, 0)
        assert result.truth.pair_ids == tuple(p.id for p in P)
    assert result.agreements_a["taste"].n == 5  # alone, a run is measured on its own snapshot


def test_what_cannot_be_compared_is_refused(tea: Workspace) -> None:
    a = recorded_run(tea, "a", grades(0, 1, 2, 1))
    waiting = recorded_run(tea, "b", grades(0, 1, 2, 1), status="running")
    for first, second in ((a, waiting), (waiting, a)):
        with pytest.raises(Refused, match="judge · tea-match v1 has not finished yet"):
            comparing.compare_runs(tea, first, second)
    elsewhere = a.model_copy(update={"golden": "coffee"})
    with pytest.raises(Refused, match=r"ran on golden set 'tea', .* on 'coffee'"):
        comparing.compare_runs(tea, a, elsewhere)


def test_nothing_comparable_is_none_and_not_zero(tea: Workspace) -> None:
    a = recorded_run(tea, "a", grades(*[NOT_GRADED] * 4, strength=[NOT_GRADED] * 4))
    b = recorded_run(tea, "b", grades(0, 1, 2, 2))
    taste = comparing.compare_runs(tea, a, b).comparisons["taste"]
    assert (taste.n, taste.n_failed_a, taste.p_mcnemar, taste.delta.kappa_quadratic.value) == (
        0,
        4,
        None,
        None,
    )


# Noise


def test_noise_is_how_far_kappa_moves_between_repeats(tea: Workspace) -> None:
    a = recorded_run(tea, "a", grades(0, 1, 2, 1), params={"repeat": 0})
    assert comparing.compare_runs(tea, a, a).noise_a["taste"] is None
    recorded_run(tea, "b", grades(0, 1, 2, 2), params={"repeat": 1})
    found = comparing.compare_runs(tea, a, a).noise_a
    assert found["taste"] == pytest.approx(0.2)  # kappa 0.8 and 1
    assert found["strength"] == pytest.approx(0.0)
    # Another judge, another version, an unfinished run and one that only read the cache are no repeats.
    tea.store.add_policy(version(2, title="Second"))
    recorded_run(tea, "c", grades(2, 1, 0, 0), judge="other")
    recorded_run(tea, "d", grades(2, 1, 0, 0), policy_version=2)
    recorded_run(tea, "e", grades(2, 1, 0, 0), status="failed")
    recorded_run(tea, "f", grades(2, 1, 0, 0), cache_hits=4)
    assert comparing.compare_runs(tea, a, a).noise_a["taste"] == pytest.approx(0.2)


# People


def test_agreement_between_people_leaves_adjudicated_labels_out(tea: Workspace) -> None:
    assert evaluation.human_agreement(tea, "tea") == {"taste": None, "strength": None, "overall": None}
    bob = [label(p, "taste", g, "bob") for p, g in zip(P, (0, 1, 2, 1), strict=True)]
    settled = [label(p, "taste", 0, "meeting", source="adjudicated") for p in P]
    tea.store.add_labels("tea", [*bob, *settled])
    found = evaluation.human_agreement(tea, "tea")
    assert (found["strength"], found["overall"]) == (None, None)
    taste = found["taste"]
    assert taste is not None
    # ann 0,1,2,2 and bob 0,1,2,1: 0.8, as in the agreement by hand above.
    assert [(p.first, p.second, p.n) for p in taste.pairwise] == [("ann", "bob", 4)]
    assert (taste.n, taste.ceiling.value) == (4, pytest.approx(0.8))


# Finding runs, stories, the ledger


def test_a_run_is_found_by_id_and_by_version(tea: Workspace) -> None:
    old = recorded_run(tea, "old", grades(0, 1, 2, 1), judge="openai/gpt-5", minute=0)
    new = recorded_run(tea, "new", grades(0, 1, 2, 1), judge="baseline", minute=5)
    recorded_run(tea, "newest", grades(0, 1, 2, 1), judge="baseline", minute=9, status="running")
    find: Callable[[str], str] = lambda text: judge_runs.find_run(tea, text).id  # noqa: E731
    assert find("run-old") == find("run-o") == find("tea-match@1/openai/gpt-5") == old.id
    assert find("tea-match@1") == find("tea-match@v1") == find("tea-match@1/baseline") == new.id
    for text in ("tea-match@2", "tea-match@1/llama", "coffee@1", "tea-match@", "run-x", "", "run-"):
        with pytest.raises(NotFound):
            judge_runs.find_run(tea, text)


def test_a_story_holds_the_pair_the_newest_labels_and_each_runs_words(tea: Workspace) -> None:
    a = recorded_run(tea, "a", grades(0, 1, 2, 1))
    tea.store.add_labels("tea", [label(P[3], "taste", 1, minute=9)])
    story = evaluation.pair_story(tea, "tea", P[3].id, [a.id, "run-unknown"])
    assert story.pair == P[3]
    assert sorted(zip(story.labels["dimension"], story.labels["grade"], strict=True)) == [
        ("strength", 0), ("taste", 1),
    ]  # fmt: skip
    assert {key: j.grade for key, j in story.judgements[a.id].items()} == {"taste": 1, "strength": 0}
    assert story.judgements["run-unknown"] == {}
    with pytest.raises(NotFound, match="There is no pair pair-0"):
        evaluation.pair_story(tea, "tea", "pair-0", [])


def test_looks_at_the_holdout_are_counted(tea: Workspace) -> None:
    a, b = (recorded_run(tea, name, grades(0, 1, 2, 1)) for name in "ab")
    assert evaluation.record_look(tea, [a], "Ida", "compare") == 1
    assert evaluation.record_look(tea, [a, b], "Bo", "compare") == 3  # a look at two runs is two
    looks = tea.store.looks("tea")
    assert looks["who"].tolist() == ["Bo", "Bo", "Ida"]
    assert sorted(looks["run_id"]) == [a.id, a.id, b.id]


# Recorded judgements


SPEC = ImportSpec.model_validate(
    {
        "golden": "told", "policy": NAME,
        "pairs": {"file": "pairs.csv", "key": ["id"]},
        "query": {"wishes": "wish"}, "document": {"title": "tea"},
        "labels": [{"wide": {"columns": {"taste": "taste"}, "labeler": "=ann"}}],
        "recorded": {
            "file": "scores.csv", "dimension": "=taste", "score": "score", "judge": "judge", "version": "prompt",
            "policy_versions": {"p1": 1},
        },
    }
)  # fmt: skip
PAIRS = "id,wish,tea,taste\n1,smoky,Lapsang,2\n2,smoky,Sencha,0\n3,mild,Sencha,2\n"
SCORES = "id,judge,prompt,score\n1,llama,p1,2\n2,llama,p1,0.4\n3,llama,p1,-1\n1,llama,p2,1\n2,llama,p2,\n"


def recorded_files(folder: Path, scores: str = SCORES, spec: ImportSpec = SPEC) -> Path:
    (folder / "told").mkdir(exist_ok=True)
    (folder / "told" / "pairs.csv").write_text(PAIRS)
    (folder / "told" / "scores.csv").write_text(scores)
    (folder / "map.yaml").write_text(spec.model_dump_json(exclude_defaults=True))
    return folder / "told"


def bring(workspace: Workspace, folder: Path, *, dry_run: bool = False) -> object:
    return import_path(
        workspace, folder, mapping=folder.parent / "map.yaml", policy=None, name=None, skip_bad_rows=False,
        dry_run=dry_run, publish=False, author="Ida",
    )  # fmt: skip


def test_recorded_scores_become_runs_by_judge_and_version(workspace: Workspace, tmp_path: Path) -> None:
    workspace.store.add_policy(version(2, title="Second"))
    bring(workspace, recorded_files(tmp_path))
    runs = {run.label: run for run in workspace.store.runs()}
    # p1 stands for version 1; p2 is not said, so it is the newest version and the name carries it.
    assert sorted(runs) == ["llama (p2) · tea-match v2", "llama · tea-match v1"]
    first, second = runs["llama · tea-match v1"], runs["llama (p2) · tea-match v2"]
    assert (first.totals.judgements, first.totals.failed) == (3, 1)  # -1 is outside 0-2
    assert (second.totals.judgements, second.totals.failed) == (2, 1)  # the empty score is a failure
    ids = evaluation.truth(workspace, "told", split="all").pair_ids
    assert evaluation.grades(workspace, first, ids)["taste"].tolist() == [2, 0, NOT_GRADED]
    assert workspace.store.grades(first.id)["expected"].dropna().tolist() == [0.4]


def test_the_same_scores_again_change_nothing_and_others_make_another_run(
    workspace: Workspace, tmp_path: Path
) -> None:
    bring(workspace, recorded_files(tmp_path))
    before = workspace.store.runs()
    bring(workspace, recorded_files(tmp_path))
    assert workspace.store.runs() == before
    bring(workspace, recorded_files(tmp_path, SCORES.replace("1,llama,p1,2", "1,llama,p1,1")))
    after = workspace.store.runs()
    assert len(after) == len(before) + 1
    assert [run for run in after if run in before] == before


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_recorded_part_that_is_wrong_stops_the_whole_import(
    workspace: Workspace, tmp_path: Path, dry_run: bool
) -> None:
    with pytest.raises(BadInput, match=r"scores.csv, row 2, column score: 'two' is not a number"):
        bring(workspace, recorded_files(tmp_path, SCORES.replace("p1,2\n", "p1,two\n")), dry_run=dry_run)
    assert SPEC.recorded is not None
    wrong = SPEC.model_copy(
        update={"recorded": SPEC.recorded.model_copy(update={"policy_versions": {"p1": 9}})}
    )
    with pytest.raises(NotFound, match="has no version 9"):
        bring(workspace, recorded_files(tmp_path, spec=wrong), dry_run=dry_run)
    assert workspace.store.golden_names() == []


def test_labels_that_come_later_do_not_move_a_published_snapshot(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = recorded_files(tmp_path)
    import_golden(workspace, SPEC, folder, author="Ida")
    golden: GoldenSet = publish_golden(workspace, "told", message="First", author="Ida")
    bring(workspace, folder)
    assert workspace.store.golden("told").snapshots == (1,)
    assert {run.golden_hash for run in workspace.store.runs()} == {golden.content_hash}

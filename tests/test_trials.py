"""Trials of a draft: what they cost, that they start once, that nothing is paid for twice, and what they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from policy_samples import body
from trial_samples import EDIT, Held, fake, published_teas, reads_the_policy, smoky_draft, work
from workspace_samples import NAME, golden_set, label, pair, recorded_run

from workbench import authoring, jobs, judge_runs, policy_edit
from workbench.agreement import agreement
from workbench.errors import BadInput, NotFound, Refused, WorkbenchError
from workbench.fake_provider import FakeProvider, error
from workbench.golden import NOT_GRADED, Pair
from workbench.policy import OVERALL
from workbench.prices import model_price
from workbench.prompt_mode import PromptMode
from workbench.run import BaselineSpec, CheckpointSpec, LlmSpec, RecordedSpec, RunTotals
from workbench.store import Draft, StoredCheckpoint
from workbench.store.base import now
from workbench.trial_outcome import figures, outcomes, unanswered
from workbench.trial_pairs import find_pairs, sample_pairs, shown_in_prompt
from workbench.trial_plan import cautions, judges_used, plan_trial
from workbench.trials import Trial, start_trial, trial, trials_of
from workbench.workspace import Workspace

STRANGER = pair("no wish of the set", "no tea of the set")


@pytest.fixture
def space(workspace: Workspace) -> Workspace:
    """The workspace with an executor that starts nothing."""
    return Workspace(workspace.settings, workspace.store, Held())


@pytest.fixture
def teas(space: Workspace) -> list[Pair]:
    """The published golden set ``tea``: 18 dev pairs, then 6 of the holdout."""
    return published_teas(space)


@pytest.fixture
def draft(space: Workspace) -> Draft:
    """A draft with one clause reworded."""
    return smoky_draft(space)


def tried(space: Workspace, draft: Draft, judge: Any, pairs: list[Pair], key: str = "") -> Trial:
    """Start a trial, do its work, and read it."""
    job_id = start_trial(space, draft, judge, pairs, "Ida", key)
    work(space, job_id)
    return trial(space, job_id)


def test_both_sides_are_graded_and_what_changed_is_counted(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        found = tried(space, draft, fake(provider.base_url), teas[:6])
        assert provider.calls == 12
    assert found.state.status == "finished"
    assert found.ended
    assert found.grades("published")["taste"].tolist() == [1] * 6
    assert found.grades("draft")["taste"].tolist() == [2] * 6
    # Taste 1 (weight 3) and strength 0 (weight 1): 0.75 is over the cut point 0.5 and below 1.5. With taste 2: 1.5.
    assert found.grades("published")[OVERALL].tolist() == [1] * 6
    assert found.grades("draft")[OVERALL].tolist() == [2] * 6
    assert found.human["taste"].tolist() == [0, 1, 2, 0, 1, 2]
    judgement = found.judgement("draft", teas[0].id, "taste")
    assert judgement is not None
    assert judgement.rationale == "A hash of the text gives 2."
    overall, taste, strength = outcomes(found)
    assert (overall.key, taste.key, strength.key) == (OVERALL, "taste", "strength")
    # Labels 0 1 2 0 1 2: the published side has the two 1s, the draft the two 2s.
    assert taste.changed == {0: "changed", 1: "broken", 2: "fixed", 3: "changed", 4: "broken", 5: "fixed"}
    assert (taste.count("fixed"), taste.count("broken"), taste.both) == (2, 2, 6)
    assert (strength.changed, figures(found)["strength"].delta) == ({}, None)
    said = figures(found)["taste"]
    assert said.n == 6
    assert said.before is not None
    assert said.after is not None
    assert said.before.exact.value == said.after.exact.value == pytest.approx(2 / 6)
    assert said.delta is not None
    assert said.delta.exact.value == pytest.approx(0)
    assert not space.store.runs()  # a trial is no run
    assert [policy.version for policy in space.store.policy_versions(NAME)] == [1]  # and publishes nothing


def test_a_published_side_that_was_judged_before_is_not_paid_for_again(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        judge = fake(provider.base_url, params={"temperature": 0})
        first = plan_trial(space, draft, judge, teas[:3])
        assert (first.calls, first.cached, first.sides) == (6, 0, 2)
        tried(space, draft, judge, teas[:3])
        assert provider.calls == 6
        edited = authoring.save(
            space, draft, policy_edit.set_clause(draft.body, "taste.1", f"{EDIT} Or not."), "Ida"
        )
        plan = plan_trial(space, edited, judge, teas[:3])
        assert (plan.calls, plan.cached) == (3, 3)
        found = tried(space, edited, judge, teas[:3])
        assert provider.calls == 9
        # Tried once more, nothing is left to ask; another temperature is another judge.
        assert plan_trial(space, edited, judge, teas[:3]).cost_usd == 0.0
        warm = fake(provider.base_url, params={"temperature": 1})
        assert plan_trial(space, edited, warm, teas[:3]).calls == 6
    assert found.usage().calls == 3
    assert [v.usage.from_cache for v in found.verdicts["published"].values()] == [True] * 3


def test_changing_only_the_overall_rule_costs_nothing_once_the_version_was_judged(
    space: Workspace, teas: list[Pair]
) -> None:
    draft = authoring.start_draft(space, NAME, "Ida")
    overall = draft.body.overall.model_copy(update={"cut_points": (0.8, 1.5), "gates": ()})
    draft = authoring.save(space, draft, policy_edit.edit(draft.body, overall=overall), "Ida")
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        found = tried(space, draft, fake(provider.base_url), teas[:2])
        assert provider.calls == 2  # the draft's prompt is the published one
    # 0.75 reaches 0.5 and not 0.8.
    assert found.grades("published")[OVERALL].tolist() == [1, 1]
    assert found.grades("draft")[OVERALL].tolist() == [0, 0]
    # Labels follow from the dimensions: taste 0 is held at 0, taste 1 with strength 1 has the mean 1.
    assert found.overall_derived
    assert found.human[OVERALL].tolist() == [0, 1]
    assert outcomes(found)[0].changed == {0: "fixed", 1: "broken"}


def test_the_same_key_starts_one_trial(space: Workspace, teas: list[Pair], draft: Draft) -> None:
    judge = BaselineSpec(use_embeddings=False)
    first = start_trial(space, draft, judge, teas[:2], "Ida", "k1")
    assert start_trial(space, draft, judge, teas[:2], "Ida", "k1") == first == "trial-k1"
    second = start_trial(space, draft, judge, teas[:1], "Ida", "k2")
    assert space.executor.started == [first, second]  # type: ignore[attr-defined]
    assert [job.spec.id for job in trials_of(space, draft)] == [second, first]
    assert trials_of(space, authoring.start_draft(space, NAME, "Eva")) == []
    assert jobs.collect(space) == 0  # both run
    (newest, _) = trials_of(space, draft)
    assert newest.spec.title == "Smoke on 1 pair · baseline"


def other_spaces(found: Pair) -> Pair:
    """The same texts with other spaces, upper case, and a field that the policy does not lay out."""
    query = {"wishes": f"  {found.query['wishes'].upper()}\n", "mood": "calm", "note": "pasted"}
    return Pair(query=query, document=found.document)


@pytest.mark.parametrize("spoil", [lambda found: found, other_spaces])
def test_a_pair_of_the_holdout_is_refused(
    space: Workspace, teas: list[Pair], draft: Draft, spoil: Any
) -> None:
    pairs = [teas[0], spoil(teas[20])]
    for verb in (
        lambda: plan_trial(space, draft, BaselineSpec(), pairs),
        lambda: start_trial(space, draft, BaselineSpec(), pairs, "Ida", "k"),
    ):
        with pytest.raises(Refused, match="in the holdout of golden set 'tea'"):
            verb()
    assert space.store.jobs() == []


def test_a_dev_pair_that_is_holdout_in_another_set_is_refused(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    space.store.create_golden("more-tea", NAME)
    space.store.add_pairs("more-tea", [teas[0]], {teas[0].id: "holdout"})
    with pytest.raises(Refused, match="'more-tea'"):
        plan_trial(space, draft, BaselineSpec(), [teas[0]])


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "no pair to try"),
        ([Pair(query={"wishes": " "}, document={"colour": "green"})], "no text in any field"),
        ([pair(f"w{i}", "t") for i in range(201)], "200 pairs at most, not 201"),
    ],
)
def test_what_cannot_be_graded_is_said(
    space: Workspace, teas: list[Pair], draft: Draft, pairs: list[Pair], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        plan_trial(space, draft, BaselineSpec(), pairs)


@pytest.mark.parametrize(
    ("judge", "kind", "message"),
    [
        (RecordedSpec(name="x"), BadInput, "recorded judge cannot grade anew"),
        (CheckpointSpec(checkpoint="none"), NotFound, "No checkpoint is called 'none'"),
        (LlmSpec(model="m", api_key_env="sk-123"), BadInput, "not the name of an environment variable"),
    ],
)
def test_judges_that_cannot_be_asked(
    space: Workspace, teas: list[Pair], draft: Draft, judge: Any, kind: type[WorkbenchError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        start_trial(space, draft, judge, teas[:1], "Ida")
    assert space.store.jobs() == []


def test_a_pasted_pair_has_no_labels_and_joins_no_set(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        found = tried(space, draft, fake(provider.base_url), [STRANGER])
    assert found.pairs == (STRANGER,)
    assert {key: grades.tolist() for key, grades in found.human.items()} == {
        key: [NOT_GRADED] for key in ("taste", "strength", OVERALL)
    }
    assert outcomes(found)[1].changed == {0: "changed"}
    assert len(space.store.members("tea")) == 24


def test_a_policy_that_was_never_published_is_tried_alone(space: Workspace) -> None:
    draft = authoring.new_draft(space, "new-tea", body(retired=()), "Ida")
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        judge = fake(provider.base_url)
        plan = plan_trial(space, draft, judge, [STRANGER])
        assert (plan.sides, plan.calls) == (1, 1)
        found = tried(space, draft, judge, [STRANGER])
        assert provider.calls == 1
    assert found.published is None
    assert found.grades("published") == {}
    assert found.grades("draft")["taste"].tolist() == [1]
    overall = figures(found)[OVERALL]
    assert (overall.before, overall.delta, overall.n) == (None, None, 0)
    with pytest.raises(BadInput, match="new-tea has no published golden set"):
        start_trial(space, draft, BaselineSpec(), [STRANGER], "Ida")
    assert "new-tea" not in space.store.policy_names()


def test_labels_are_those_of_today(space: Workspace, teas: list[Pair], draft: Draft) -> None:
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        found = tried(space, draft, fake(provider.base_url), [teas[0]])
    assert found.human["taste"].tolist() == [0]
    assert trial(space, found.job.spec.id) is found  # nothing new to read
    space.store.add_labels("tea", [label(teas[0], "taste", 2, minute=5)])
    assert trial(space, found.job.spec.id).human["taste"].tolist() == [2]


def test_a_dimension_that_only_the_draft_has(space: Workspace, teas: list[Pair]) -> None:
    draft = authoring.start_draft(space, NAME, "Ida")
    added = policy_edit.add_dimension(draft.body, "smoke", "Smoke", "Is it smoky?")
    draft = authoring.save(space, draft, added, "Ida")
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        found = tried(space, draft, fake(provider.base_url), teas[:2])
    assert found.keys == ("taste", "strength", "smoke")
    smoke = outcomes(found)[3]
    assert (smoke.key, smoke.shared, smoke.changed) == ("smoke", False, {})
    alone = figures(found)["smoke"]
    assert (alone.n, alone.before, alone.delta) == (0, None, None)
    assert alone.after is not None
    assert found.judgement("published", teas[0].id, "smoke") is None
    assert found.judgement("draft", teas[0].id, "smoke") is not None


def test_pairs_that_a_precedent_shows_are_left_out_of_the_figures(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    shown = teas[1]
    (precedent,) = draft.body.dimension("taste").precedents
    example = precedent.pair.model_copy(
        update={"query": {"wishes": shown.query["wishes"]}, "document": {"title": shown.document["title"]}}
    )
    told = policy_edit.set_dimension(
        draft.body, "taste", precedents=(precedent.model_copy(update={"pair": example}),)
    )
    assert shown_in_prompt(told, teas) == {shown.id}
    draft = authoring.save(space, draft, told, "Ida")
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        found = tried(space, draft, fake(provider.base_url), teas[:3])
    assert found.in_prompt == {shown.id}
    assert len(outcomes(found)[1].changed) == 3
    taste = figures(found)["taste"]
    # Without the middle pair (label 1): neither 0 nor 2 is met by grade 1, and 2 by grade 2.
    assert taste.n == 2
    assert taste.before is not None
    assert taste.after is not None
    assert (taste.before.exact.value, taste.after.exact.value) == (0.0, 0.5)


def test_few_pairs_that_all_agree_do_not_look_certain(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    ones = [p for i, p in enumerate(teas[:18]) if i % 3 == 1]
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        found = tried(space, draft, fake(provider.base_url), ones)
    taste = figures(found)["taste"]
    assert taste.before is not None
    assert taste.after is not None
    # All 6 agree before, none after. Clopper and Pearson: 0.025^(1/6) = exp(ln 0.025 / 6) = exp(-0.61481) = 0.54074.
    assert (taste.before.exact.value, taste.before.exact.high) == (1.0, 1.0)
    assert taste.before.exact.low == pytest.approx(0.54074, abs=1e-5)
    assert taste.after.exact.value == 0.0
    assert taste.after.exact.high == pytest.approx(1 - 0.54074, abs=1e-5)
    # The difference is -1 in every resample, which 6 pairs do not prove.
    assert taste.delta is not None
    assert (taste.delta.exact.value, taste.delta.exact.low) == (-1.0, None)
    assert "every resample of the 6 pairs says the same" in taste.delta.exact.reason


def test_a_provider_that_is_down_leaves_a_reason_for_each_pair(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    with FakeProvider(otherwise=error(400, "the model is asleep")) as provider:
        found = tried(space, draft, fake(provider.base_url), [teas[0]])
    assert found.state.status == "finished"
    (reason,) = unanswered(found, "draft").values()
    assert "the model is asleep" in reason
    assert outcomes(found)[1].both == 0


def test_a_key_that_is_not_set_fails_the_trial_in_one_sentence(
    space: Workspace, teas: list[Pair], draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEA_KEY", raising=False)
    judge = fake("http://127.0.0.1:9/v1", api_key_env="TEA_KEY")
    plan = plan_trial(space, draft, judge, teas[:1])
    assert (plan.key_variable, plan.key_set, plan.key_needed) == ("TEA_KEY", False, True)
    found = tried(space, draft, judge, [teas[0]])
    assert found.state.status == "failed"
    assert "TEA_KEY" in found.state.error
    assert found.verdicts == {"draft": {}, "published": {}}
    monkeypatch.setenv("TEA_KEY", "sk-1234567890")
    assert plan_trial(space, draft, judge, teas[:1]).key_set


def test_the_cost_is_that_of_the_calls_that_are_left_at_list_prices(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    price = model_price("openai/gpt-5-mini")
    assert price is not None
    assert price.input is not None
    assert price.output is not None
    judge = LlmSpec(model="openai/gpt-5-mini")
    run = recorded_run(space, "priced", [], judge="openai/gpt-5-mini")
    # 50 tokens an answer, for the two dimensions that version 1 and the draft have.
    space.store.save_run(run.model_copy(update={"totals": RunTotals(calls=10, output_tokens=500)}))
    plan = plan_trial(space, draft, judge, teas[:2])
    assert (plan.calls, plan.output_tokens) == (4, 200)
    assert plan.cost_usd == pytest.approx(plan.input_tokens * price.input + 200 * price.output)
    assert "its run of" in plan.answers_from
    own = plan_trial(space, draft, fake("http://127.0.0.1:9/v1"), teas[:2])
    assert (own.cost_usd, own.cost_reason) == (None, "what a server of your own costs is not known here")
    strange = plan_trial(space, draft, LlmSpec(model="openai/never-heard-of"), teas[:2])
    assert (strange.cost_usd, strange.cost_reason) == (
        None,
        "the price list does not have openai/never-heard-of",
    )
    assert not plan_trial(space, draft, BaselineSpec(), teas[:2]).sends


def test_a_sample_is_of_labelled_dev_pairs_and_holds_every_stratum(
    space: Workspace, teas: list[Pair]
) -> None:
    dev = {p.id for p in teas[:18]}
    found = sample_pairs(space, "tea", 6)
    assert len(found) == 6
    assert {p.id for p in found} <= dev
    assert [p.id for p in sample_pairs(space, "tea", 6)] == [p.id for p in found]
    assert {p.id for p in sample_pairs(space, "tea", 6, seed=1)} != {p.id for p in found}
    # Overall: taste 0 is held at 0; taste 1 gives 3/4 or 4/4, so 1; taste 2 gives 6/4 or 7/4, so 2. With two shops
    # that makes six strata of three pairs each.
    overall = {p.id: i % 3 for i, p in enumerate(teas)}
    assert {(overall[p.id], p.meta["shop"]) for p in found} == {
        (grade, shop) for grade in range(3) for shop in ("corner", "market")
    }
    # Three are fewer than the strata: every grade is seen.
    assert sorted(overall[p.id] for p in sample_pairs(space, "tea", 3)) == [0, 1, 2]
    assert {p.id for p in sample_pairs(space, "tea", 100)} == dev


def test_shares_follow_the_size_of_a_stratum(space: Workspace) -> None:
    many = [(pair(f"w{i}", f"t{i}"), {"taste": 2 if i else 1, "strength": 1}) for i in range(20)]
    unlabelled = (pair("w-none", "t-none"), {})
    golden_set(space, [*many, unlabelled])
    found = sample_pairs(space, "tea", 10)
    # One pair of overall grade 1 and nineteen of grade 2: one of each first, and the other eight from the nineteen.
    assert len(found) == 10
    assert many[0][0].id in {p.id for p in found}
    assert unlabelled[0].id not in {p.id for p in sample_pairs(space, "tea", 100)}


def test_a_sample_needs_labels_and_a_snapshot(space: Workspace) -> None:
    golden_set(space, [(pair("w", "t"), {})])
    with pytest.raises(Refused, match="No dev pair of golden set 'tea' has a label"):
        sample_pairs(space, "tea")
    space.store.create_golden("fresh", NAME)
    with pytest.raises(NotFound, match="not published yet"):
        sample_pairs(space, "fresh")


def test_pairs_are_found_by_text_and_id_in_dev_only(space: Workspace, teas: list[Pair]) -> None:
    assert [p.id for p in find_pairs(space, "tea", "TEA 4")] == [teas[4].id]
    assert find_pairs(space, "tea", "tea 20") == []
    assert [p.id for p in find_pairs(space, "tea", f" {teas[3].id} ")] == [teas[3].id]
    assert find_pairs(space, "tea", teas[20].id) == []
    assert [p.id for p in find_pairs(space, "tea", "", limit=2)] == [teas[0].id, teas[1].id]


def test_judges_that_were_asked_before_come_once_with_the_lowest_repeat(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    first = fake("http://127.0.0.1:9/v1", repeat=1, concurrency=2)
    second = LlmSpec(model="openai/gpt-5-mini")
    for i, judge in enumerate((first, second, first.model_copy(update={"repeat": 0, "concurrency": 4}))):
        judge_runs.start_run(space, judge, policy=NAME, golden="tea", author="Ida", key=f"r{i}")
    start_trial(space, draft, second, teas[:1], "Ida", "k")
    assert [(judge.model, judge.repeat) for judge in judges_used(space)] == [
        ("openai/gpt-5-mini", 0),
        ("fake-hash-grader", 0),
    ]


def test_another_mode_or_number_of_answers_is_another_judge_and_none_comes_as_a_batch(
    space: Workspace, teas: list[Pair]
) -> None:
    plain = LlmSpec(model="openai/gpt-5-mini", delivery="batch")
    apart = plain.model_copy(update={"mode": PromptMode(scope="dimension")})
    thrice = LlmSpec(model="openai/gpt-5-mini", repeats=3)
    for i, judge in enumerate((plain, apart, thrice, plain)):
        judge_runs.start_run(space, judge, policy=NAME, golden="tea", author="Ida", key=f"r{i}")
    assert [(judge.mode.words(), judge.repeats, judge.delivery) for judge in judges_used(space)] == [
        ("", 1, "calls"), ("", 3, "calls"), ("one call per dimension", 1, "calls"),
    ]  # fmt: skip


def test_several_answers_a_question_are_planned_each(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    one = plan_trial(space, draft, LlmSpec(model="openai/gpt-5-mini"), teas[:2])
    three = plan_trial(space, draft, LlmSpec(model="openai/gpt-5-mini", repeats=3), teas[:2])
    assert (one.calls, one.questions) == (4, 4)  # two pairs under two policies
    assert (three.calls, three.questions) == (12, 12)
    assert three.cost_usd == pytest.approx(3 * one.cost_usd)


def test_what_has_to_be_known_of_a_judge_is_said(space: Workspace) -> None:
    record = {"policy": NAME, "lineage": {"golden": "tea v1"}}
    space.store.save_checkpoint(
        StoredCheckpoint(id="c-1", name="c", created_at=now(), folder="x", job_id="j", record=record)
    )
    assert cautions(space, LlmSpec(model="openai/x"), "tea") == []
    assert "saw no label of that pair's query" in cautions(space, BaselineSpec(), "tea")[0]
    reads, trained = cautions(space, CheckpointSpec(checkpoint="c"), "tea")
    assert "reads no rule" in reads
    assert "trained on dev labels of tea v1" in trained
    assert len(cautions(space, CheckpointSpec(checkpoint="c"), "other")) == 1


def test_another_job_is_no_trial(space: Workspace, teas: list[Pair]) -> None:
    run = judge_runs.start_run(space, BaselineSpec(), policy=NAME, golden="tea", author="Ida", key="r")
    with pytest.raises(NotFound, match=r"job-run-r is no trial of a draft"):
        trial(space, f"job-{run.id}")
    with pytest.raises(NotFound):
        trial(space, "trial-none")


def test_a_golden_set_of_another_policy_or_without_a_snapshot_is_refused(
    space: Workspace, teas: list[Pair], draft: Draft
) -> None:
    space.store.create_golden("fresh", NAME)
    with pytest.raises(Refused, match="'fresh' is not published yet"):
        start_trial(space, draft, BaselineSpec(), [STRANGER], "Ida", golden="fresh")


def test_the_figures_before_are_those_of_agreement(space: Workspace, teas: list[Pair], draft: Draft) -> None:
    with FakeProvider() as provider:  # grades by hash, so they differ from pair to pair
        found = tried(space, draft, fake(provider.base_url), teas[:18])
    taste = figures(found)["taste"]
    alone = agreement(
        found.grades("published")["taste"], found.human["taste"], [p.query_id for p in found.pairs], (0, 1, 2)
    )
    assert taste.before is not None
    assert replace(taste.before.kappa_quadratic, reason="") == replace(alone.kappa_quadratic, reason="")

"""The Health section: findings first, slices, near-duplicates, unseen pairs, and what the set can tell."""

from __future__ import annotations

import pytest
from page_samples import PAIRS, label, text_of
from streamlit.testing.v1 import AppTest

from workbench import golden_health, labelling
from workbench.golden import Pair
from workbench.run import JudgeIdentity, Judgement, Run, RunTotals, Verdict
from workbench.workspace import Workspace


def section() -> None:
    from workbench import labelling, widgets
    from workbench.golden_health import draw

    space = widgets.workspace()
    draw(labelling.golden_figures(space, "bakers"), space.store.policy("fit"))


def opened(**parameters: str) -> AppTest:
    page = AppTest.from_function(section, default_timeout=60)
    page.query_params.update(parameters)
    page.run()
    assert not page.exception, page.exception
    return page


def test_a_new_set_lacks_everything_and_says_what_to_do(golden: Workspace) -> None:
    page = opened()
    said = text_of(page)
    assert "**No pair settles on Skills 0 (None of them), 1 (Some), 2 (All).**" in said
    assert "**4 of 4 pairs no labeler has seen** (2 dev, 2 holdout): label them." in said
    assert "No judge has finished a run on this set" in said
    assert {button.label for button in page.button} == {"Import", "Label"}


def test_a_set_without_pairs(golden: Workspace) -> None:
    golden.store.create_golden("empty", "fit")

    def other() -> None:
        from workbench import labelling, widgets
        from workbench.golden_health import draw

        space = widgets.workspace()
        draw(labelling.golden_figures(space, "empty"), space.store.policy("fit"))

    page = AppTest.from_function(other, default_timeout=60).run()
    assert not page.exception
    assert "No pairs yet." in text_of(page)


def test_thin_levels_and_slices(golden: Workspace) -> None:
    for pair, grade in zip(PAIRS, (0, 1, 2, 2), strict=True):
        label(golden, pair, "ann", skills=grade, wishes=grade % 2)
    said = text_of(opened())
    # Skills 0, 1 (one pair each) and 2 (two), Wishes 0 (three) and 1 (one): all five are below five pairs.
    assert "**5 levels with fewer than 5 pairs:**" in said
    assert "Skills 2 (2)" in said
    assert "Of 5 cells, **0** are empty and **5** have fewer than 5 pairs." in said
    assert "no labeler has seen" not in said


def test_unseen_pairs_by_slice(golden: Workspace) -> None:
    label(golden, PAIRS[0], "ann", skills=1)
    said = text_of(opened())
    assert "**3 of 4 pairs no labeler has seen** (1 dev, 2 holdout)" in said
    assert "<td>holdout</td><td>Graz</td>" in said


def test_near_duplicates_in_both_splits_are_first_and_open(golden: Workspace) -> None:
    twin = Pair(
        query={"headline": "Baker ONE", "skills": "sourdough, viennoiserie"},
        document={"title": "Baker one", "requirements": "sourdough by hand"},
    )
    golden.store.add_pairs("bakers", [twin], {twin.id: "holdout"})
    said = text_of(opened())
    assert "**1 group of near-duplicates, 2 pairs, in both splits.**" in said
    assert said.index("near-duplicates, 2 pairs") < said.index("No pair settles on")
    page = opened(duplicate=PAIRS[0].id)
    said = text_of(page)
    assert f"dev · {PAIRS[0].id}" in said
    assert f"holdout · {twin.id}" in said
    assert "viennoiserie" in said


def test_a_large_set_is_compared_on_demand(golden: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden_health, "AT_ONCE", 3)
    page = opened()
    assert "No two pairs share" not in text_of(page)
    assert "**Near-duplicates were not looked for yet:**" in text_of(page)
    page.button(key="find_duplicates").click().run()
    assert not page.exception
    assert "No two pairs share" in text_of(page)
    assert "find_duplicates" not in [button.key for button in page.button]
    assert "No two pairs share" in text_of(opened())  # kept


def run(space: Workspace, name: str, grades: dict[str, int]) -> None:
    policy = space.store.policy("fit")
    moment = space.store.golden("bakers").created_at
    snapshot = space.store.snapshot("bakers")
    found = Run(
        id=f"run-{name}",
        judge=JudgeIdentity(kind="llm", name=name, params={}),
        policy="fit",
        policy_version=1,
        policy_hash=policy.content_hash,
        golden="bakers",
        golden_version=1,
        golden_hash=snapshot.content_hash,
        status="finished",
        created_at=moment,
        finished_at=moment,
        totals=RunTotals(pairs=len(grades)),
    )
    space.store.add_verdicts(
        found.id,
        [
            Verdict(pair_id=pair_id, judgements=(Judgement(dimension="skills", grade=grade),))
            for pair_id, grade in grades.items()
        ],
    )
    space.store.save_run(found)


def test_what_the_set_can_tell(golden: Workspace) -> None:
    pairs = [Pair(query={"headline": f"Cook {i}"}, document={"title": f"Chef {i}"}) for i in range(30)]
    golden.store.add_pairs("bakers", pairs, {pair.id: "dev" for pair in pairs})
    for i, pair in enumerate(pairs):
        label(golden, pair, "ann", skills=i % 3)
    labelling.publish_golden(golden, "bakers", message="For tests", author="anna")
    run(golden, "one", {pair.id: (i + (i % 5 == 0)) % 3 for i, pair in enumerate(pairs)})
    run(golden, "two", {pair.id: (i + (i % 4 == 0)) % 3 for i, pair in enumerate(pairs)})
    said = text_of(opened())
    assert "At 80 % power, two-sided 5 %, paired." in said
    # Skills only: wishes has no label, and the overall grade needs both.
    assert "too small to tell a κ difference of 0.05:** Skills tells" in said
    assert "more pairs" in said
    assert "0 queries graded by all" in said

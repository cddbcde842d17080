"""The Compare page on two recorded runs whose figures are known by hand."""

from __future__ import annotations

import pandas as pd
from page_samples import PAIRS, OpenPage, label, text_of

from workbench import authoring, judge_runs, labelling, policy_edit
from workbench.workspace import Workspace

WRONG, RIGHT = (0, 2, 0, 2), (2, 0, 2, 0)


def two_runs(space: Workspace) -> tuple[str, str]:
    """Publish labels 2, 0, 2, 0 on skills, a v2 of the policy, and a wrong run under v1, a right one under v2."""
    for pair, grade in zip(PAIRS, RIGHT, strict=True):
        for labeler in ("ann", "bob"):
            label(space, pair, labeler, skills=grade, wishes=1)
    labelling.publish_golden(space, "bakers", message="first", author="anna")
    draft = authoring.open_draft(space, "fit", "anna")
    body = policy_edit.set_clause(
        draft.body, "skills.1", "A skill counts when it was used at work or at school."
    )
    authoring.publish(
        space, authoring.save(space, draft, body, "anna"), message="school counts", author="anna"
    )
    ids = []
    for version, grades in ((1, WRONG), (2, RIGHT)):
        rows = [
            {
                "judge": "ada",
                "version": str(version),
                "pair_id": pair.id,
                "dimension": key,
                "score": float(score),
            }
            for pair, grade in zip(PAIRS, grades, strict=True)
            for key, score in (("skills", grade), ("wishes", 1))
        ]
        made = judge_runs.import_recorded(
            space,
            pd.DataFrame(rows),
            policy="fit",
            golden="bakers",
            author="anna",
            source="test",
            versions={str(version): version},
        )
        ids.append(made[0][0].id)
    return ids[0], ids[1]


def test_without_golden_sets_it_says_what_to_do(open_page: OpenPage) -> None:
    assert "No golden sets yet." in text_of(open_page("compare"))


def test_without_runs_it_says_what_to_do(golden: Workspace, open_page: OpenPage) -> None:
    assert "No finished runs on this golden set." in text_of(open_page("compare"))


def test_matrix_deltas_and_flips(golden: Workspace, open_page: OpenPage) -> None:
    wrong, right = two_runs(golden)
    page = open_page("compare", split="all", run=wrong, vs=right)
    said = text_of(page)
    # Labels 2, 0, 2, 0 against 0, 2, 0, 2: every pair is off by the whole scale, and kappa is -1; the right run has 1.
    assert "−1.00" in said
    assert "1.00" in said
    # Both dev pairs and both holdout pairs went from wrong to right.
    assert '<span class="wb-chip wb-fixed">4</span>' in said
    assert "skills.1" in said, "the clause that changed is shown"
    table = page.dataframe[0].value
    assert table["outcome"].tolist() == ["fixed"] * 4
    assert table[["human", "A", "B"]].values.tolist() == [[2, 0, 2], [0, 2, 0], [2, 0, 2], [0, 2, 0]]


def test_the_url_chooses_runs_and_dimension(golden: Workspace, open_page: OpenPage) -> None:
    wrong, right = two_runs(golden)
    page = open_page("compare", run=right, vs=wrong, dimension="wishes")
    assert page.selectbox(key="run").value == right
    assert page.selectbox(key="vs").value == wrong
    assert "No pair changed its grade on this dimension." in text_of(page)


def test_looking_at_the_holdout_is_counted_once_a_visit(golden: Workspace, open_page: OpenPage) -> None:
    two_runs(golden)
    page = open_page("compare")
    assert golden.store.looks("bakers").empty
    page.segmented_control(key="split").set_value("holdout").run()
    assert "holdout of bakers" in page.warning[0].value
    assert len(golden.store.looks("bakers")) == 2, "two runs were looked at"
    page.run()
    assert len(golden.store.looks("bakers")) == 2


def test_the_same_run_twice_is_no_comparison(golden: Workspace, open_page: OpenPage) -> None:
    wrong, _ = two_runs(golden)
    page = open_page("compare", run=wrong, vs=wrong)
    assert "same run" in page.info[0].value

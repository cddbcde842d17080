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


def test_the_matrix_opens_and_filters(golden: Workspace, open_page: OpenPage) -> None:
    two_runs(golden)
    page = open_page("compare", split="all")
    table = page.dataframe[0].value
    # Labels 2, 0, 2, 0 against 0, 2, 0, 2: every pair is off by the whole scale, and kappa is -1; the right run has 1.
    assert table["policy"].tolist() == ["v2", "v1", ""]
    skills = table[table.columns[4]].tolist()
    assert [cell.split(" ")[0] for cell in skills[:2]] == ["1.00", "−1.00"]
    page.multiselect(key="versions").set_value(["v1"]).run()
    assert page.dataframe[0].value["policy"].tolist() == ["v1", ""]
    page = open_page("compare", split="all", sort="skills", versions="v1")
    assert page.selectbox(key="sort").value == "skills"


def test_a_against_b(golden: Workspace, open_page: OpenPage) -> None:
    wrong, right = two_runs(golden)
    said = text_of(open_page("compare", view="against", split="all", run=wrong, vs=right))
    assert "−1.00" in said
    # Both dev pairs and both holdout pairs went from wrong to right.
    assert '<span class="wb-chip wb-fixed">4</span>' in said
    assert "skills.1" in said, "the clause that changed is shown"
    assert "What this set can tell: 2 queries graded by all; the error needs at least 10." in said


def test_flips_are_tied_to_the_clause_that_changed(golden: Workspace, open_page: OpenPage) -> None:
    wrong, right = two_runs(golden)
    page = open_page("compare", view="flips", split="all", run=wrong, vs=right, dimensions="skills")
    said = text_of(page)
    assert "skills · skills.1" in said
    assert "4 only change" in said
    table = page.dataframe[0].value
    assert table["outcome"].tolist() == ["fixed"] * 4
    assert sorted(table[["human", "A", "B"]].values.tolist()) == [
        ["0", "2", "0"],
        ["0", "2", "0"],
        ["2", "0", "2"],
        ["2", "0", "2"],
    ]
    assert set(table["tied to"]) == {"skills.1 (only change)"}
    assert "none such is run on a holdout" in said
    pair = golden.store.snapshot("bakers").pairs[0].id
    opened = text_of(
        open_page("compare", view="flips", split="all", run=wrong, vs=right, flip=f"{pair}/skills")
    )
    assert "labels (hover for who)" in opened


def test_filters_of_flips_are_in_the_url(golden: Workspace, open_page: OpenPage) -> None:
    wrong, right = two_runs(golden)
    page = open_page("compare", view="flips", split="all", run=wrong, vs=right, outcomes="broken")
    assert "No flip passes these filters." in text_of(page)
    page = open_page(
        "compare", view="flips", split="all", run=right, vs=wrong, direction="down", dimensions="skills"
    )
    assert page.dataframe[0].value["A"].tolist() == ["2", "2"]


def test_a_review_is_opened_from_the_flips(golden: Workspace, open_page: OpenPage) -> None:
    wrong, right = two_runs(golden)
    page = open_page("compare", view="flips", run=wrong, vs=right)
    button = next(b for b in page.button if b.label.startswith("Open a review of up to"))
    button.click().run()
    (review,) = golden.store.reviews("bakers")
    assert (review.run_a, review.run_b, review.author) == (wrong, right, "anna")
    assert all(key.endswith("/skills") for key in review.filters["pairs"])


def test_several_runs_beside_one(golden: Workspace, open_page: OpenPage) -> None:
    wrong, right = two_runs(golden)
    page = open_page("compare", view="several", split="all", run=wrong)
    page.multiselect(key="others").set_value([right]).run()
    assert "ada · v2" in text_of(page)
    assert "corrected by Holm over all runs and dimensions" in text_of(page)


def test_the_gate_and_standing_in(golden: Workspace, open_page: OpenPage) -> None:
    two_runs(golden)
    said = text_of(open_page("compare", view="gate"))
    assert "fit v2" in said
    assert "not worse" in said
    said = text_of(open_page("compare", view="labelers"))
    assert "the test needs 3" in said
    assert "judge taken for true" in said


def test_the_url_chooses_runs_and_dimension(golden: Workspace, open_page: OpenPage) -> None:
    wrong, right = two_runs(golden)
    page = open_page("compare", view="against", run=right, vs=wrong, dimension="wishes")
    assert page.selectbox(key="run").value == right
    assert page.selectbox(key="vs").value == wrong
    assert page.segmented_control(key="dimension").value == "wishes"


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
    page = open_page("compare", view="against", run=wrong, vs=wrong)
    assert "same run" in page.info[0].value


def test_two_runs_of_one_minute_have_names_of_their_own(golden: Workspace, open_page: OpenPage) -> None:
    two_runs(golden)
    run = golden.store.runs()[0]
    twin = run.model_copy(update={"id": "run-twin-123456"})
    golden.store.save_run(twin)
    page = open_page("compare", view="against", run=run.id, vs="run-twin-123456")
    assert len(set(page.selectbox(key="vs").options)) == 3
    assert any(option.endswith("123456") for option in page.selectbox(key="vs").options)


def test_the_next_flip_opens_by_a_key(golden: Workspace, open_page: OpenPage) -> None:
    wrong, right = two_runs(golden)
    parameters = {"view": "flips", "split": "all", "run": wrong, "vs": right, "dimensions": "skills"}
    first = golden.store.snapshot("bakers").pairs[0].id
    page = open_page("compare", **parameters, flip=f"{first}/skills")
    key = "flip_right" if not page.button(key="flip_right").disabled else "flip_left"
    page.button(key=key).click().run()
    opened = page.query_params["flip"]
    opened = opened[0] if isinstance(opened, list) else opened
    assert opened.endswith("/skills")
    assert opened != f"{first}/skills"

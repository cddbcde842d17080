"""The Suspects section on runs whose answers are known by hand.

Six dev pairs are labelled 2 and 0 in turns on skills, by anna. Judges a and b say 0 on the first pair (labelled 2), and
on the seventh, of the holdout; elsewhere they say what the label says. c says what the labels say throughout.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from job_samples import publish
from page_samples import label, text_of
from streamlit.testing.v1 import AppTest

from workbench.golden import Pair
from workbench.run import JudgeIdentity, Judgement, Run, Verdict
from workbench.store.tables import QueueItemRow, QueueRow
from workbench.workspace import Workspace

START = datetime(2026, 4, 1, tzinfo=UTC)
SUSPECT = ["Skills", "2", "0", "2 of 3", 1, "Baker 0", "Baker 0"]


def script() -> None:
    from workbench import golden_suspects, labelling, widgets

    space = widgets.workspace()
    found = labelling.golden_figures(space, "bakers")
    widgets.flash()
    golden_suspects.draw(found, space.store.policy("fit"))


def open_section(**parameters: str) -> AppTest:
    page = AppTest.from_function(script, default_timeout=60)
    page.query_params.update(parameters)
    page.run()
    assert not page.exception, page.exception
    return page


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click().run()
    assert not page.exception, page.exception
    return page


def judged(space: Workspace, pairs: list[Pair], name: str, wrong: tuple[int, ...] = (0, 6)) -> Run:
    number = ord(name[-1])
    at = START + timedelta(minutes=number)
    run = Run(
        id=f"run-{name}", judge=JudgeIdentity(kind="llm", name=f"openai/{name}"), policy="fit", policy_version=1,
        policy_hash="h", golden="bakers", golden_version=1, golden_hash="g", status="finished", created_at=at,
        finished_at=at,
    )  # fmt: skip
    verdicts = [
        Verdict(
            pair_id=pair.id,
            judgements=(
                Judgement(
                    dimension="skills", grade=0 if i in wrong else 2 - 2 * (i % 2),
                    rationale=f"{name} read <b> {i}.", cites=("skills.1",),
                ),
                Judgement(dimension="wishes", grade=1 - i % 2),
            ),
        )
        for i, pair in enumerate(pairs)
    ]  # fmt: skip
    space.store.add_verdicts(run.id, verdicts)
    space.store.save_run(run)
    return run


@pytest.fixture
def pairs(space: Workspace) -> list[Pair]:
    """The published set with the three judges."""
    found = publish(space)
    for name, wrong in (("a", (0, 6)), ("b", (0, 6)), ("c", ())):
        judged(space, found, name, wrong)
    return found


def rows(page: AppTest) -> list[list[object]]:
    return [row[1:] for row in page.dataframe[0].value.values.tolist()]


def suspect(pairs: list[Pair]) -> str:
    return f"{pairs[0].id}:skills"


def note_key(pairs: list[Pair]) -> str:
    return f"suspect_note|bakers|{suspect(pairs)}"


def test_without_a_run_or_with_one_judge_it_says_what_to_do(space: Workspace) -> None:
    pairs = publish(space)
    assert "No judge has graded this set yet." in text_of(open_section())
    judged(space, pairs, "a")
    said = text_of(open_section())
    assert "Only 1 independent judge graded this set." in said
    assert "Run 1 more judge of another family" in said
    assert len(rows(open_section(least_judges="1"))) == 1


def test_the_list_is_of_dev_pairs_with_scores(pairs: list[Pair]) -> None:
    page = open_section()
    assert rows(page) == [SUSPECT]
    assert page.dataframe[0].value.columns.tolist() == [
        "score", "dimension", "label", "judges say", "judges", "labelers", "member", "job",
    ]  # fmt: skip
    # a and b: the other labels where they say 0 are 0, 0, 0: (3.5 - 0.5) / 5. c says 2 there, as the two others that
    # are labelled 2: (0.5 - 2.5) / 4. Mean of 0.6, 0.6, -0.5.
    assert page.dataframe[0].value["score"].tolist() == pytest.approx([0.7 / 3])
    assert "3 independent judges" in text_of(page)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"least_judges": "3"}, "No label waits."),
        ({"suspects_in": "wishes"}, "No label waits."),
    ],
)
def test_filters_leave_it_out(pairs: list[Pair], parameters: dict[str, str], says: str) -> None:
    page = open_section(**parameters)
    assert not page.dataframe
    assert says in text_of(page)


def test_a_least_score(pairs: list[Pair]) -> None:
    page = open_section()
    page.slider(key="least_score").set_value(0.25).run()
    assert "None of 1 has a score of 0.25 or more." in text_of(page)
    page.slider(key="least_score").set_value(0.2).run()
    assert rows(page) == [SUSPECT]


def test_the_open_suspect_shows_labels_notes_and_what_judges_said(
    space: Workspace, pairs: list[Pair]
) -> None:
    label(space, pairs[0], "eve", "a <baker> at heart", skills=0)
    label(space, pairs[0], "bob", skills=2)
    said = text_of(open_section(suspect=suspect(pairs)))
    assert "a &lt;baker&gt; at heart" in said
    assert "anna" in said
    assert "bob" in said
    assert " by hand" in said
    for name in "abc":
        assert f"{name} read &lt;b&gt; 0." in said
    assert said.index("a read") < said.index("c read"), "those that agree come first"
    assert "2 of 3 judges say" in said
    assert "A skill counts when it was used at work." in said, "the cited rule, on hover"


def test_a_holdout_pair_or_another_does_not_open_from_the_url(pairs: list[Pair]) -> None:
    page = open_section(suspect=f"{pairs[6].id}:skills")
    assert "a read" not in text_of(page)
    assert "suspect" not in page.query_params
    assert not page.warning


def test_label_wrong_without_a_grade_opens_the_case(space: Workspace, pairs: list[Pair]) -> None:
    page = press(open_section(suspect=suspect(pairs)), "suspect label wrong")
    assert page.session_state["tab"] == "Adjudicate"
    assert page.query_params["case"] == pairs[0].id
    assert "suspect" not in page.query_params
    assert [one.outcome for one in space.store.decisions("bakers")] == ["label wrong"]
    assert not page.dataframe


def test_label_wrong_with_a_grade_settles_it(space: Workspace, pairs: list[Pair]) -> None:
    page = open_section(suspect=suspect(pairs))
    page.get("button_group")[-1].set_value(0)
    press(page, "suspect label wrong")
    assert "This needs a note" in page.error[0].value
    assert space.store.decisions("bakers") == []
    page.text_area(key=note_key(pairs)).set_value("Never baked.")
    page.get("button_group")[-1].set_value(0)
    press(page, "suspect label wrong")
    assert "The label is 0 now, adjudicated by anna." in page.success[0].value
    labels = space.store.labels("bakers", pair_id=pairs[0].id)
    (made,) = labels[labels["source"] == "adjudicated"].itertuples()
    assert (made.grade, made.dimension, made.note) == (0, "skills", "Never baked.")
    assert not page.get("text_area")


def test_policy_ambiguous_is_a_comment(space: Workspace, pairs: list[Pair]) -> None:
    page = open_section(suspect=suspect(pairs))
    page.text_area(key=note_key(pairs)).set_value("Is baking at home work?")
    press(page, "suspect policy ambiguous")
    assert "a comment on skills" in page.success[0].value.replace("\\", "")
    (said,) = space.store.comments("fit")
    assert (said.section, said.item) == ("skills", "skills.1")


def test_judge_wrong_goes_on_to_the_next(space: Workspace, pairs: list[Pair]) -> None:
    for name in "ab":  # the third pair too
        judged(space, pairs, name, (0, 2, 6))
    first, second = suspect(pairs), f"{pairs[2].id}:skills"
    page = press(open_section(suspect=first), "suspect judge wrong")
    assert page.query_params["suspect"] == second
    assert len(rows(page)) == 1
    press(page, "suspect judge wrong")
    assert "suspect" not in page.query_params
    assert "No label waits." in text_of(page)


def test_decisions_are_counted_and_taken_back(space: Workspace, pairs: list[Pair]) -> None:
    page = press(open_section(suspect=suspect(pairs)), "suspect judge wrong")
    (one,) = space.store.decisions("bakers")
    assert page.expander[0].label == "Decisions: 1 judge wrong"
    page = open_section(decision=one.id)
    page.session_state["suspect_decisions"] = True
    page.run()
    assert not page.exception, page.exception
    (row,) = page.dataframe[0].value.values.tolist()
    assert row[:6] == ["judge wrong", "Skills", "2", "0", "", "anna"]
    press(page, "suspect_take_back")
    assert rows(page) == [SUSPECT]
    assert not page.expander
    assert space.store.decisions("bakers")[0].outcome == "open"


def test_a_contradicted_decision_is_told(space: Workspace, pairs: list[Pair]) -> None:
    press(open_section(suspect=suspect(pairs)), "suspect judge wrong")
    judged(space, pairs, "d")
    page = open_section(suspect=suspect(pairs))
    assert page.dataframe[0].value["before"].tolist() == ["judge wrong"]
    assert "decided “judge wrong”" in page.info[0].value


def test_the_holdout_is_looked_at_by_choice(space: Workspace, pairs: list[Pair]) -> None:
    page = open_section(suspects_split="holdout")
    assert "written in its ledger" in text_of(page)
    assert not page.dataframe
    assert space.store.looks("bakers").empty
    press(page, "look_holdout")
    assert rows(page) == [["Skills", "2", "0", "2 of 3", 1, "Baker 3", "Baker 3"]]
    page.run()
    looks = space.store.looks("bakers")
    assert sorted(looks["run_id"]) == ["run-a", "run-b", "run-c"]
    assert set(looks["who"]) == {"anna"}


def test_whoever_may_still_label_the_pair_is_warned_first(space: Workspace, pairs: list[Pair]) -> None:
    queue = {
        "id": "q1", "golden": "bakers", "name": "Over<lap", "kind": "overlap", "labelers_per_pair": 2, "params": {},
        "author": "bob", "created_at": START, "closed_at": None,
    }  # fmt: skip
    item = {"queue_id": "q1", "pair_id": pairs[0].id, "position": 0, "stratum": "", "weight": 1.0}
    with space.store._write() as connection:
        connection.execute(sa.insert(QueueRow), [queue])
        connection.execute(sa.insert(QueueItemRow), [item])
    page = open_section(suspect=suspect(pairs))
    assert "You may still be asked about this pair" in page.warning[0].value
    assert "a read" not in text_of(page)
    press(page, "suspect_show")
    assert "a read" in text_of(page)
    assert not page.warning

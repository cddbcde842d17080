"""Suggestions as values: what they do to a body, when they no longer fit, and what is the same edit."""

from __future__ import annotations

from typing import Any

import policy_samples
import pytest
from pydantic import ValidationError
from suggestion_samples import disagreement, reword

from workbench import policy_edit
from workbench.errors import Conflict
from workbench.golden import Pair
from workbench.policy import Body
from workbench.suggestion import Disagreement, Suggestion, apply, changes, misfit, suggestion_id

BODY = policy_samples.body()
SETTLED = {"pair_id": "pair-2", "pair": {"query": {"wishes": "salty"}}, "grade": 2, "cites": ("taste.1",)}


def suggestion(kind: str, **changes: Any) -> Suggestion:
    known: dict[str, dict[str, Any]] = {
        "reword": {},
        "add": {"item": "", "before": "", "text": "Salt is a taste."},
        "split": {"text": "Smoke counts.", "second": "Salt counts."},
        "level": {
            "item": "level 1",
            "before": "Nothing speaks against it.",
            "text": "No wish speaks against it.",
        },
        "precedent": {"item": "", "before": "", "text": "Salt was asked for.", "precedent": SETTLED},
    }
    return reword(kind=kind, **known[kind] | changes)


def clauses(body: Body, section: str) -> dict[str, str]:
    found = body.general if section == "general" else body.dimension(section).clauses
    return {clause.id: clause.text for clause in found}


def test_a_reword_keeps_the_id() -> None:
    edited = apply(BODY, suggestion("reword"))
    assert clauses(edited, "taste") == {
        "taste.1": "Smoke and salt count as tastes.",
        "taste.2": "A blend has the taste of its main leaf.",
    }


def test_a_new_clause_gets_an_id_that_was_never_used() -> None:
    # taste.1 and taste.2 are there, taste.3 is retired.
    edited = apply(BODY, suggestion("add"))
    assert clauses(edited, "taste")["taste.4"] == "Salt is a taste."
    in_general = apply(BODY, suggestion("add", section="general"))
    assert clauses(in_general, "general") == {
        "general.1": "Grade what the texts say.",
        "general.2": "Salt is a taste.",
    }


def test_a_split_keeps_the_first_half_under_the_old_id_and_the_second_behind_it() -> None:
    edited = apply(BODY, suggestion("split"))
    assert list(clauses(edited, "taste").items())[:2] == [
        ("taste.1", "Smoke counts."),
        ("taste.4", "Salt counts."),
    ]
    assert edited.dimension("taste").clauses[1].split_from == "taste.1"


def test_a_level_keeps_its_name() -> None:
    level = apply(BODY, suggestion("level")).dimension("taste").levels[1]
    assert (level.value, level.name, level.criteria) == (1, "Fits", "No wish speaks against it.")


def test_a_precedent_holds_the_pair_the_grade_and_what_it_cites() -> None:
    new = apply(BODY, suggestion("precedent")).dimension("taste").precedents[-1]
    assert (new.id, new.grade, new.because, new.cites) == ("taste.p2", 2, "Salt was asked for.", ("taste.1",))
    assert new.pair.query == {"wishes": "salty"}


def test_a_precedent_leaves_out_a_clause_that_was_retired_meanwhile() -> None:
    without = policy_edit.retire_clause(BODY, "taste.1")
    assert apply(without, suggestion("precedent")).dimension("taste").precedents[-1].cites == ()


CHANGED = policy_edit.set_clause(BODY, "taste.1", "Smoke and salt are no tastes.")
GONE = policy_edit.retire_clause(BODY, "taste.1")


@pytest.mark.parametrize(
    ("body", "found", "reason"),
    [
        (CHANGED, suggestion("reword"), "taste.1 was changed since this was suggested."),
        (CHANGED, suggestion("split"), "taste.1 was changed since this was suggested."),
        (GONE, suggestion("reword"), "taste.1 is not in the draft any more."),
        (apply(BODY, suggestion("reword")), suggestion("reword"), "taste.1 says this already."),
        (BODY, suggestion("reword", text="Smoke  counts as\na taste."), "It leaves taste.1 as it is."),
        (apply(BODY, suggestion("add")), suggestion("add"), "taste.4 says this already."),
        (apply(BODY, suggestion("level")), suggestion("level"), "level 1 says this already."),
        (BODY, suggestion("level", item="level 7"), "level 7 is not in the draft any more."),
        (apply(BODY, suggestion("precedent")), suggestion("precedent"), "taste.p2 settles this pair already."),
        (BODY, suggestion("precedent", precedent=SETTLED | {"grade": 3}), "taste has no grade 3 any more."),
        (BODY, suggestion("precedent", precedent=SETTLED | {"grade": None}), "taste has no grade N/A any more."),
        (BODY, suggestion("add", section="colour"), "There is no dimension colour in the draft any more."),
    ],
)  # fmt: skip
def test_what_no_longer_fits_is_refused_with_its_reason(body: Body, found: Suggestion, reason: str) -> None:
    assert misfit(body, found) == reason
    with pytest.raises(Conflict, match="no longer fits"):
        apply(body, found)


def test_what_fits_has_no_reason_against_it() -> None:
    for kind in ("reword", "add", "split", "level", "precedent"):
        assert misfit(BODY, suggestion(kind)) == ""


def test_a_clause_that_was_moved_is_still_the_same_clause() -> None:
    moved = policy_edit.move_clause(BODY, "taste.1", section="strength", position=0)
    assert (
        clauses(apply(moved, suggestion("reword")), "strength")["taste.1"]
        == "Smoke and salt count as tastes."
    )


def test_an_edit_is_shown_as_the_changes_that_it_makes() -> None:
    assert [(c.kind, c.id, c.before, c.after) for c in changes(suggestion("split"))] == [
        ("reworded", "taste.1", "Smoke counts as a taste.", "Smoke counts."),
        ("split", "new clause", "", "Salt counts."),
    ]
    (level,) = changes(suggestion("level"))
    assert (level.part, level.id) == ("level", "level 1")
    (new,) = changes(suggestion("precedent"))
    assert (new.kind, new.part, new.after) == ("added", "precedent", "Salt was asked for.")


def test_the_same_edit_for_another_reason_is_the_same_one_and_of_another_draft_it_is_not() -> None:
    one = suggestion_id("draft-1", reword())
    assert one == suggestion_id("draft-1", reword(reason="Another.", evidence=("pair-9",), effect="More."))
    others = {
        suggestion_id("draft-2", reword()),
        suggestion_id("draft-1", reword(text="Else.")),
        suggestion_id("draft-1", reword(item="taste.2")),
        suggestion_id("draft-1", suggestion("split", text=reword().text)),
    }
    assert len(others | {one}) == 5


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "precedent"},  # without its pair
        {"precedent": SETTLED},  # a reword with a pair
        {"kind": "split"},  # without its second text
        {"second": "More."},  # a reword with a second text
        {"evidence": ()},
        {"text": "  "},
        {"reason": ""},
    ],
)
def test_a_suggestion_that_is_not_whole_is_none(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        reword(**broken)


def test_no_disagreement_is_made_of_a_holdout_pair_or_of_agreement() -> None:
    with pytest.raises(ValidationError, match="dev"):
        disagreement(1, split="holdout")
    with pytest.raises(ValidationError, match="split"):
        Disagreement.model_validate(
            {"pair": Pair(query={}, document={}), "dimension": "taste", "label": 1, "judge": 2}
        )
    with pytest.raises(ValidationError, match="agree"):
        disagreement(1, label=1, judge=1)

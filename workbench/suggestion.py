"""Suggested edits of a policy, the disagreements that they rest on, and what they do to a body.

How a model is asked for them is :mod:`workbench.suggestion_prompt`. Nothing here publishes or saves: :func:`apply`
returns a body.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from workbench import policy_edit
from workbench.errors import Conflict
from workbench.golden import Pair
from workbench.identity import Value, content_hash
from workbench.policy import Body, ClauseId, Dimension, Example
from workbench.policy_diff import GENERAL, Change

Kind = Literal["reword", "add", "split", "level", "precedent"]
Finding = Literal["judge wrong", "label wrong", "policy ambiguous"]
Filled = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Decision(Value):
    """What a review found about a disagreement."""

    finding: Finding
    note: str = ""


class Disagreement(Value):
    """One pair on which the judge and people differ in one dimension. It cannot be made of a holdout pair."""

    pair: Pair
    split: Literal["dev"]
    dimension: str
    label: int  # the settled grade of people; a level or NOT_APPLICABLE
    labels: tuple[int, ...] = ()  # what each labeler gave
    notes: tuple[str, ...] = ()
    judge: int
    rationale: str = ""
    cites: tuple[str, ...] = ()
    decision: Decision | None = None

    @model_validator(mode="after")
    def _differ(self) -> Disagreement:
        if self.label == self.judge:
            raise ValueError("the judge and people agree on this pair")
        return self


class Batch(Value):
    """The disagreements of one dimension that one request shows, and what the draft changed since they arose."""

    dimension: str
    disagreements: tuple[Disagreement, ...] = Field(min_length=1)
    changed: tuple[str, ...] = ()


class Settled(Value):
    """What a suggested precedent takes from its pair: the texts, and the grade that people settled on."""

    pair_id: str
    pair: Example
    grade: int | None
    cites: tuple[ClauseId, ...] = ()


class Suggestion(Value):
    """One proposed edit. ``before`` is the text that it replaces, "" for what is new."""

    kind: Kind
    dimension: str  # whose disagreements it rests on
    section: str  # where it edits: "general" or that dimension
    item: str = ""  # a clause id or "level 2"; "" for what is new
    before: str = ""
    text: Filled  # the new wording; of a split, what the clause keeps; of a precedent, its reason
    second: str = ""  # of a split, the new clause
    precedent: Settled | None = None
    reason: Filled
    effect: str = ""
    evidence: tuple[str, ...] = Field(min_length=1)  # pair ids

    @model_validator(mode="after")
    def _whole(self) -> Suggestion:
        if (self.kind == "precedent") != (self.precedent is not None):
            raise ValueError("a precedent, and only a precedent, has a pair and a grade")
        if (self.kind == "split") != bool(self.second.strip()):
            raise ValueError("a split, and only a split, has a second text")
        return self

    @property
    def place(self) -> str:
        """What it edits, as a person finds it in the policy."""
        if self.kind == "level":
            return f"{self.section}, {self.item}"
        return self.item or ("general rules" if self.section == GENERAL else self.section)


def suggestion_id(draft_id: str, suggestion: Suggestion) -> str:
    """Return the identity of an edit of a draft: the same edit proposed again, for other reasons, is the same one."""
    pair_id = suggestion.precedent.pair_id if suggestion.precedent else ""
    parts = [
        suggestion.section,
        suggestion.item,
        suggestion.before,
        suggestion.text,
        suggestion.second,
        pair_id,
    ]
    return content_hash("suggestion", [draft_id, suggestion.kind, *parts])


# What an edit does


def misfit(body: Body, suggestion: Suggestion) -> str:
    """Return why a suggestion cannot be applied to ``body``, as a sentence; "" where it can."""
    section, item = suggestion.section, suggestion.item
    if section != GENERAL and section not in body.keys:
        return f"There is no dimension {section} in the draft any more."
    if suggestion.kind == "add":
        clauses = body.general if section == GENERAL else body.dimension(section).clauses
        same = [clause.id for clause in clauses if _same(clause.text, suggestion.text)]
        return f"{same[0]} says this already." if same else ""
    if suggestion.precedent is not None:
        return _precedent_misfit(body.dimension(section), suggestion.precedent)
    now = _text_of(body, section, item)
    if now is None:
        return f"{item} is not in the draft any more."
    if not _same(now, suggestion.before):
        done = _same(now, suggestion.text)
        return f"{item} {'says this already' if done else 'was changed since this was suggested'}."
    return f"It leaves {item} as it is." if _same(suggestion.text, suggestion.before) else ""


def apply(body: Body, suggestion: Suggestion) -> Body:
    """Return ``body`` with the edit made; what is new gets an id that was never used.

    Raises:
        Conflict: if the part it speaks of was changed or removed since, or says this already.
        BadInput: for a text that a policy cannot hold.
    """
    if problem := misfit(body, suggestion):
        raise Conflict(
            f"This suggestion no longer fits: {problem}",
            "It stays open; edit the draft by hand or refuse it.",
        )
    section, item, text = suggestion.section, suggestion.item, suggestion.text
    if suggestion.kind == "reword":
        return policy_edit.set_clause(body, item, text)
    if suggestion.kind == "add":
        return policy_edit.add_clause(body, section, text)
    if suggestion.kind == "split":
        return policy_edit.split_clause(body, item, text, suggestion.second)
    if suggestion.precedent is not None:
        known = {clause.id for _, clause in body.clauses()}
        cites = [cited for cited in suggestion.precedent.cites if cited in known]
        settled = suggestion.precedent
        return policy_edit.add_precedent(
            body, section, pair=settled.pair, grade=settled.grade, because=text, cites=cites
        )
    level = next(level for level in body.dimension(section).levels if f"level {level.value}" == item)
    return policy_edit.set_level(body, section, level.value, name=level.name, criteria=text)


def changes(suggestion: Suggestion) -> tuple[Change, ...]:
    """Return the edit as the changes that it makes, for showing it with its words marked."""
    section, item, text = suggestion.section, suggestion.item, suggestion.text
    if suggestion.kind == "precedent":
        return (Change(kind="added", part="precedent", section=section, id="new precedent", after=text),)
    if suggestion.kind == "add":
        return (Change(kind="added", part="clause", section=section, id="new clause", after=text),)
    part: Literal["level", "clause"] = "level" if suggestion.kind == "level" else "clause"
    found = [
        Change(kind="reworded", part=part, section=section, id=item, before=suggestion.before, after=text)
    ]
    if suggestion.kind == "split":
        new = Change(
            kind="split",
            part="clause",
            section=section,
            id="new clause",
            after=suggestion.second,
            origin=item,
        )
        found.append(new)
    return tuple(found)


def _precedent_misfit(dimension: Dimension, settled: Settled) -> str:
    same = [precedent.id for precedent in dimension.precedents if precedent.pair == settled.pair]
    if same:
        return f"{same[0]} settles this pair already."
    fits = dimension.allow_na if settled.grade is None else settled.grade in dimension.scale
    grade = "N/A" if settled.grade is None else settled.grade
    return "" if fits else f"{dimension.key} has no grade {grade} any more."


def _text_of(body: Body, section: str, item: str) -> str | None:
    texts = {clause.id: clause.text for _, clause in body.clauses()}
    if section != GENERAL:
        texts |= {f"level {level.value}": level.criteria for level in body.dimension(section).levels}
    return texts.get(item)


def _same(a: str, b: str) -> bool:
    return a.split() == b.split()

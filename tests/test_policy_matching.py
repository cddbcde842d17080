"""Imported bodies as edits of a policy: ids stay, new rules get ids never used, what is cited follows."""

from __future__ import annotations

import policy_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.policy import Body
from workbench.policy_assembly import Built
from workbench.policy_diff import diff
from workbench.policy_import import build, read_document
from workbench.policy_matching import keep_ids

BASE = policy_samples.body()
"""taste.1 and taste.2 (taste.3 is retired), strength.1, general.1, the precedent taste.p1 and gate.1."""


def imported(text: str) -> Built:
    return build(read_document(text.encode(), "tea.md"), base=BASE)


DOCUMENT = """# Is this tea right for this guest?

Says how well a tea suits a guest.

## Terms
- green tea: Tea that was not oxidised.

## General rules
- Grade what the texts say.
- Grade nothing twice.

## Taste
Does the taste suit?

- 0 - Clash: The guest ruled this taste out.
- 1 - Fits: Nothing speaks against it.
- 2 - Wanted: The guest asked for this taste.

### Rules
- Milk is no taste.
- A blend has the taste of its main leaf.
- Smoke always counts as a taste.

### Examples
- Grade 2: Smoke was asked for.

## Strength
"""


def kinds(built: Built) -> list[tuple[str, str]]:
    return [(change.kind, change.id) for change in diff(BASE, built.body)]


def test_a_document_without_ids_is_an_edit_of_the_policy() -> None:
    built = imported(DOCUMENT)
    taste = built.body.dimension("taste")
    # taste.3 was retired long ago, so the new rule is taste.4.
    assert [(c.id, c.text) for c in taste.clauses] == [
        ("taste.4", "Milk is no taste."),
        ("taste.2", "A blend has the taste of its main leaf."),
        ("taste.1", "Smoke always counts as a taste."),
    ]
    assert [c.id for c in built.body.general] == ["general.1", "general.2"]
    assert built.body.retired == ("taste.3", "strength.1")
    # The example of the document has no pair. With its grade it shares 5 of 7 and 12 words with the old one,
    # 2 * 5 / 19 = 0.53, so it is that one, of that pair.
    (old,) = BASE.dimension("taste").precedents
    assert taste.precedents == (old.model_copy(update={"because": "Grade 2: Smoke was asked for."}),)
    assert kinds(built) == [
        ("added", "general.2"),
        ("added", "taste.4"),
        ("reworded", "taste.1"),
        ("moved", "taste.2"),  # or taste.1: one of the two changed places
        ("reworded", "taste.p1"),
        ("removed", "strength.1"),
    ]


def test_what_the_document_does_not_say_stays() -> None:
    body = imported(DOCUMENT).body
    assert body.pair == BASE.pair
    assert body.overall == BASE.overall
    assert body.dimension("strength").levels == BASE.dimension("strength").levels
    assert body.dimension("strength").question == BASE.dimension("strength").question
    for key in BASE.keys:
        new, old = body.dimension(key), BASE.dimension(key)
        assert (new.weight, new.considers, new.allow_na) == (old.weight, old.considers, old.allow_na)


def test_a_gate_on_a_dimension_that_is_gone_goes_with_it() -> None:
    built = imported("# Tea\n## Strength\nIs it as strong as wished?\n")
    assert built.body.keys == ("strength",)
    assert built.body.overall.gates == ()
    assert (
        "gate.1 (taste == 0) speaks of a dimension that the document does not have; it is gone."
        in built.notes
    )
    assert "gate.1" in built.body.retired


def test_ids_that_are_written_are_taken_at_their_word() -> None:
    built = imported("""# Tea
## Taste
### Clauses
- **taste.2** Whatever else is in the pot, the main leaf decides.
- **taste.3** This number was retired.
- **taste.9** A rule with a number of its own.
- A rule without one.
### Precedents
- **taste.p1** Grade 2
  - guest.wishes: something smoky
  - Because: Smoke was asked for.
  - Cites: taste.3, taste.2
""")
    taste = built.body.dimension("taste")
    assert [c.id for c in taste.clauses] == ["taste.2", "taste.10", "taste.9", "taste.11"]
    assert [(item.written, item.id) for item in built.renumbered] == [("taste.3", "taste.10")]
    assert taste.precedents[0].id == "taste.p1"
    assert taste.precedents[0].cites == ("taste.10", "taste.2")
    assert {"taste.1", "taste.3"} <= set(built.body.retired)


def test_a_clause_that_stands_in_another_section_keeps_its_id() -> None:
    built = imported("# Tea\n## General rules\n- Smoke counts as a taste.\n## Taste\n## Strength\n")
    assert [c.id for c in built.body.general] == ["taste.1"]
    assert "taste.1" not in built.body.retired


def test_unplaced_texts_are_named_by_their_new_ids() -> None:
    built = imported("# Tea\n## General rules\n- Grade what the texts say.\n## Overall rule\n- Be kind.\n")
    (one,) = built.unplaced
    assert (one.text, one.id) == ("Be kind.", "general.2")
    assert built.body.general[1].text == "Be kind."


def test_texts_as_a_word_processor_types_them_are_no_edits() -> None:
    clause = BASE.general[0].model_copy(update={"text": 'Read `title` – it\'s "first".'})
    base = BASE.model_copy(update={"general": (clause,)})
    typed = BASE.model_copy(
        update={"general": (clause.model_copy(update={"text": "Read  title - it’s “first”."}),)}
    )
    assert keep_ids(Built(body=typed), base).body == base


@settings(max_examples=150)
@given(policy_samples.bodies(), policy_samples.bodies(), st.booleans())
def test_any_two_bodies(new: Body, base: Body, written: bool) -> None:
    """Whatever comes in: texts are kept, ids are valid and never a retired part's, and the same comes back."""
    ids = [clause.id for _, clause in new.clauses()]
    built = keep_ids(Built(body=new, written=tuple(ids) if written else ()), base)
    body = built.body
    assert [len(d.clauses) for d in body.dimensions] == [len(d.clauses) for d in new.dimensions]
    assert [" ".join(c.text.replace("`", "").split()) for _, c in body.clauses()] != [] or not ids
    used = {clause.id for _, clause in body.clauses()}
    assert used.isdisjoint(base.retired)
    assert set(base.retired) <= set(body.retired)
    before = {clause.id for _, clause in base.clauses()}
    assert before <= used | set(body.retired)
    assert keep_ids(Built(body=base), base).body == base

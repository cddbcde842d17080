"""Token budgets of single fields: what is cut, what is shared, what is refused, and that a checkpoint keeps them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from training_samples import pair, policy, recipe, tiny  # noqa: E402

from workbench.errors import BadInput, NotFound  # noqa: E402
from workbench.training.budgets import allot, check_field_tokens, share  # noqa: E402
from workbench.training.model import load_checkpoint, new_scorer, save_checkpoint  # noqa: E402
from workbench.training.record import CheckpointRecord, considered, heads_of  # noqa: E402

LONG = pair("smoky " * 50, "green " * 50, "calm " * 50)
SEQUENCE = ["cls", "mean", "sides"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder with a word tokenizer."""
    return tiny(tmp_path_factory.mktemp("backbone") / "encoder")


def tokens(backbone: Path, field_tokens: dict[str, int], **changes: Any) -> Any:
    """The tokenizer of a recipe with these budgets."""
    return new_scorer(recipe(backbone, field_tokens=field_tokens, **changes), policy())[1]


def words(text: str) -> list[int]:
    """How many wishes, moods and notes a text has."""
    return [text.split().count(word) for word in ("smoky", "calm", "green")]


@pytest.mark.parametrize("pooling", SEQUENCE)
def test_a_field_is_cut_to_its_budget_and_the_others_share_the_rest(encoder: Path, pooling: str) -> None:
    reads = tokens(encoder, {"guest.wishes": 5}, pooling=pooling)
    (encoded,) = reads.encode([LONG])
    # 32 tokens, 3 of them special. wishes: 5, of which "wishes" and ":" are 2, so 3 words. 24 are left for "guest",
    # "mood : calm …" (1 + 52 tokens) and "tea", "notes : green …" (1 + 52), equally: 12 a side. Of these the side's
    # name takes 1, and 11 are left for the field: 2 for its name, 9 words.
    assert words(reads.text(encoded)) == [3, 9, 9]
    assert len(encoded.ids) == 32
    assert reads.text(encoded).startswith("[CLS] guest wishes : smoky smoky smoky mood : calm")


def test_a_short_field_leaves_what_it_does_not_need(encoder: Path) -> None:
    reads = tokens(encoder, {"guest.wishes": 20})
    (encoded,) = reads.encode([pair("smoky", "green " * 50, "calm")])
    # 29 tokens: wishes 3 of its 20; "guest" 1 and "mood : calm" 3; the notes have the other 22, less "tea" and 2.
    assert words(reads.text(encoded)) == [1, 1, 19]


def test_every_field_can_have_a_budget(encoder: Path) -> None:
    reads = tokens(encoder, {"guest.wishes": 4, "guest.mood": 3, "tea.notes": 6})
    (encoded,) = reads.encode([LONG])
    assert words(reads.text(encoded)) == [2, 1, 4]
    assert len(encoded.ids) == 3 + 2 + 4 + 3 + 6  # special tokens, names of the sides, fields


def test_an_empty_field_has_no_part_in_it(encoder: Path) -> None:
    reads = tokens(encoder, {"guest.wishes": 5, "tea.notes": 4})
    (encoded,) = reads.encode([pair("", "green " * 50, "calm")])
    assert words(reads.text(encoded)) == [0, 1, 2]


def test_fields_read_one_by_one_are_cut_too(encoder: Path) -> None:
    reads = tokens(encoder, {"guest.wishes": 3}, pooling="fields")
    long, without = reads.encode([LONG, pair("smoky " * 50, "green", "")])
    # 16 tokens a side; wishes 3 and 2 special ones; mood has what is left: 16 - 5 - 2 = 9. The notes 16 - 2 = 14.
    assert [long.parts.count(field) for field in (1, 2, 3)] == [3 + 2, 9 + 2, 14 + 2]
    assert [without.parts.count(field) for field in (1, 2, 3)] == [3 + 2, 0, 1 + 2]


@pytest.mark.parametrize("pooling", [*SEQUENCE, "fields"])
def test_without_budgets_nothing_changes(encoder: Path, pooling: str) -> None:
    pairs = [LONG, pair("smoky a", "green"), pair("", "")]
    before = new_scorer(recipe(encoder, pooling=pooling), policy())[1].encode(pairs)
    assert tokens(encoder, {}, pooling=pooling).encode(pairs) == before


def test_an_unknown_field_is_named_with_the_nearest(encoder: Path) -> None:
    with pytest.raises(NotFound, match=r"'guest\.wish'.*Did you mean guest\.wishes"):
        tokens(encoder, {"guest.wish": 5})


def test_a_field_that_no_dimension_considers_is_refused(encoder: Path) -> None:
    with pytest.raises(BadInput, match=r"tea\.title, which no dimension of the policy considers"):
        tokens(encoder, {"tea.title": 5})


def test_budgets_beyond_the_pair_are_refused_to_the_token(encoder: Path) -> None:
    # 32 tokens, 3 special, 2 names of sides, one token for each of the two other fields: 25 are left.
    tokens(encoder, {"guest.wishes": 25})
    with pytest.raises(BadInput, match="the pair needs 33 tokens, and there are 32"):
        tokens(encoder, {"guest.wishes": 26})
    # Fields: 16 a side, 2 special tokens for each of two fields, one token for mood: 11 are left.
    tokens(encoder, {"guest.wishes": 11}, pooling="fields")
    with pytest.raises(BadInput, match="the guest needs 17 tokens, and there are 16"):
        tokens(encoder, {"guest.wishes": 12}, pooling="fields")


def test_the_check_needs_no_tokenizer() -> None:
    layout, fields = policy().pair, considered(policy())
    check_field_tokens({"tea.notes": 30}, layout, fields, max_tokens=32, pooling="mean")
    with pytest.raises(BadInput, match="the pair needs 33 tokens"):
        check_field_tokens({"tea.notes": 31}, layout, fields, max_tokens=32, pooling="mean")
    with pytest.raises(BadInput, match="the tea needs 17 tokens"):
        check_field_tokens({"tea.notes": 17}, layout, fields, max_tokens=32, pooling="fields")


@pytest.mark.parametrize("pooling", ["mean", "fields"])
def test_a_checkpoint_reads_with_the_budgets_that_it_was_trained_with(
    encoder: Path, tmp_path: Path, pooling: str
) -> None:
    asked = recipe(encoder, field_tokens={"guest.wishes": 4}, pooling=pooling)
    scorer, reads = new_scorer(asked, policy())
    record = CheckpointRecord(
        recipe=asked,
        recipe_hash=asked.content_hash,
        policy="tea-match",
        policy_version=1,
        policy_hash=policy().content_hash,
        pair=policy().pair,
        considers=considered(policy()),
        heads=heads_of(policy()),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    save_checkpoint(tmp_path / "kept", scorer, reads, record)
    assert load_checkpoint(tmp_path / "kept").tokens.encode([LONG]) == reads.encode([LONG])
    assert reads.encode([LONG]) != new_scorer(recipe(encoder, pooling=pooling), policy())[1].encode([LONG])


@given(
    st.lists(st.tuples(st.integers(0, 50), st.none() | st.integers(1, 50)), max_size=6), st.integers(0, 200)
)
def test_what_is_kept_is_within_limits_and_budget(fields: list[tuple[int, int | None]], budget: int) -> None:
    lengths, most = [length for length, _ in fields], [limit for _, limit in fields]
    kept = allot(lengths, most, budget)
    named = sum(min(length, limit) for length, limit in fields if limit is not None)
    assert all(k == min(n, m) for k, n, m in zip(kept, lengths, most, strict=True) if m is not None)
    assert all(0 <= k <= n for k, n in zip(kept, lengths, strict=True))
    assert sum(kept) - named <= max(budget - named, 0)
    if all(limit is None for limit in most):
        assert kept == share(lengths, budget)

"""Fields read one by one: tokens and budget, cosines by hand, what a dimension sees, repeats read once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import WORDS, pair, policy, recipe, tiny  # noqa: E402

from workbench.errors import BadInput  # noqa: E402
from workbench.training.fields import FieldTokenizer, considered_inputs, interactions  # noqa: E402
from workbench.training.model import PairScorer, new_scorer  # noqa: E402
from workbench.training.record import Head, heads_of  # noqa: E402

KINDS = ["encoder", "decoder"]


@pytest.fixture(scope="module", params=KINDS)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder, then a tiny decoder."""
    return tiny(tmp_path_factory.mktemp("backbone") / request.param, request.param)


def by_field(backbone: Path, **changes: Any) -> tuple[PairScorer, FieldTokenizer]:
    """A new model in evaluation mode and its tokenizer."""
    scorer, tokens = new_scorer(recipe(backbone, pooling="fields", **changes), policy())
    assert isinstance(tokens, FieldTokenizer)
    return scorer.eval(), tokens


class OneHot(torch.nn.Module):
    """A backbone whose state of each token is the unit vector of its id; it counts the texts it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=len(WORDS))
        self.read = 0

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        """Read texts."""
        self.read += len(input_ids)
        return SimpleNamespace(last_hidden_state=torch.nn.functional.one_hot(input_ids, len(WORDS)).float())


def test_each_field_is_a_sequence_of_its_own(tmp_path: Path) -> None:
    _, tokens = by_field(tiny(tmp_path / "m"))
    assert tokens.fields == (("guest.wishes", "guest.mood"), ("tea.notes",))
    full, without = tokens.encode([pair("smoky a", "green", "calm"), pair(" ", "green")])
    assert tokens.text(full) == (
        "guest.wishes: [CLS] smoky a [SEP] | guest.mood: [CLS] calm [SEP] | tea.notes: [CLS] green [SEP]"
    )
    assert full.parts == [1] * 4 + [2] * 3 + [3] * 3
    assert tokens.text(without) == "tea.notes: [CLS] green [SEP]"
    assert without.parts == [3] * 3


def test_a_decoders_fields_have_no_special_tokens(tmp_path: Path) -> None:
    _, tokens = by_field(tiny(tmp_path / "m", "decoder"))
    (encoded,) = tokens.encode([pair("smoky", "green")])
    assert tokens.text(encoded) == "guest.wishes: smoky | tea.notes: green"


def test_half_of_the_tokens_for_each_side_whatever_the_other_is(tmp_path: Path) -> None:
    _, tokens = by_field(tiny(tmp_path / "m"))
    long, short = tokens.encode(
        [pair("smoky " * 50, "green " * 50, "calm"), pair("smoky " * 50, "green", "calm")]
    )
    # 32 tokens, 16 a side. Query: two fields, 4 special tokens, 12 left; mood needs 1, wishes get 11. Document: 16 - 2.
    assert [long.parts.count(field) for field in (1, 2, 3)] == [11 + 2, 1 + 2, 14 + 2]
    assert [short.parts.count(field) for field in (1, 2, 3)] == [11 + 2, 1 + 2, 1 + 2]


def test_too_few_tokens_for_the_fields_are_refused(tmp_path: Path) -> None:
    # wishes, mood, title, notes: two fields a side at most, each with 2 special tokens and 1 of its own; twice that.
    data = policy().document()
    every = policy(dimensions=[d | {"considers": []} for d in data["dimensions"]])
    folder = tiny(tmp_path / "m")
    new_scorer(recipe(folder, pooling="fields", max_tokens=16), every)
    many = data["pair"] | {
        "query": data["pair"]["query"] | {"fields": ["wishes", "mood", "c", "d", "e", "f"]}
    }
    with pytest.raises(BadInput, match="max_tokens is 16, and the fields of this policy need 36 at least"):
        new_scorer(
            recipe(folder, pooling="fields", max_tokens=16),
            policy(pair=many, dimensions=[d | {"considers": []} for d in data["dimensions"]]),
        )


def test_a_policy_that_considers_one_side_only_is_refused(tmp_path: Path) -> None:
    dimensions = [d | {"considers": ["guest.wishes"]} for d in policy().document()["dimensions"]]
    student, one_sided = recipe(tiny(tmp_path / "m"), pooling="fields"), policy(dimensions=dimensions)
    with pytest.raises(BadInput, match="No dimension considers a field of the tea"):
        new_scorer(student, one_sided)


def test_interactions_by_hand() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    # Two query and two document fields. Pair 0: (1, 0), (0, 1) and (0.6, 0.8), no text. Pair 1: no query at all.
    features = interactions(vectors, torch.tensor([[1, 2, 3, 0], [0, 0, 2, 2]]), queries=2)
    expected = [
        # q1·d1 q1·d2 q2·d1 q2·d2 | greatest of q1, q2, d1, d2 | without text: q1, q2, d1, d2
        [0.6, 0.0, 0.8, 0.0, 0.6, 0.8, 0.8, 0.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
    ]
    torch.testing.assert_close(features, torch.tensor(expected))


def test_features_of_a_stub_backbone_by_hand(tmp_path: Path) -> None:
    _, tokens = by_field(tiny(tmp_path / "m", "decoder"))
    scorer = PairScorer(OneHot(), heads_of(policy()), "fields", tokens.fields)
    batch = tokens.pad(tokens.encode([pair("smoky green", "smoky", "calm"), pair("", "red")]))
    # One-hot words: "smoky green" is (1, 1)/sqrt 2 on its words, so its cosine with "smoky" is 1/sqrt 2; calm has none.
    root = 0.5**0.5
    expected = [
        # wishes·notes mood·notes | greatest of wishes, mood, notes | without text: wishes, mood, notes
        [root, 0.0, root, 0.0, root, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0],
    ]
    torch.testing.assert_close(scorer.features(batch), torch.tensor(expected))


def test_a_pair_without_any_text(backbone: Path) -> None:
    scorer, tokens = by_field(backbone)
    features = scorer.features(tokens.pad(tokens.encode([pair("", "")])))
    assert features.tolist() == [[0.0] * 5 + [1.0] * 3]
    assert tokens.encode([]) == []


def test_a_dimension_sees_what_it_considers() -> None:
    heads = [Head(key="x", levels=(0, 1), considers=("q.a", "d.c")), Head(key="y", levels=(0, 1, 2))]
    seen = considered_inputs(heads, (("q.a", "q.b"), ("d.c",)))
    # a·c b·c | greatest of a, b, c | without text: a, b, c. A row a class; y names no field and sees all.
    assert seen.tolist() == [[1, 0, 1, 0, 1, 1, 0, 1]] * 2 + [[1] * 8] * 3


def test_unconsidered_fields_change_nothing(tmp_path: Path) -> None:
    data = policy().document()["dimensions"]
    only_wishes = policy(dimensions=[data[0] | {"considers": ["guest.wishes", "tea.notes"]}, *data[1:]])
    scorer, tokens = new_scorer(recipe(tiny(tmp_path / "m"), pooling="fields"), only_wishes)
    torch.nn.init.normal_(scorer.head.weight)
    # The document is empty, so no greatest cosine changes; mood is seen by strength alone.
    batch = tokens.pad(tokens.encode([pair("smoky", ""), pair("smoky", "", "calm")]))
    answers = scorer.eval()(batch)
    torch.testing.assert_close(answers["taste"][0], answers["taste"][1])
    assert "guest.mood" in only_wishes.dimensions[1].considers
    assert not torch.allclose(answers["strength"][0], answers["strength"][1])


def test_features_are_standardised_with_the_training_pairs(tmp_path: Path) -> None:
    scorer, _ = by_field(tiny(tmp_path / "m"))
    width = scorer.head.in_features
    training = torch.zeros(2, width)
    training[:, 0] = torch.tensor([1.0, 3.0])  # mean 2, spread 1; the others are constant
    scorer.learn_statistics(training)
    assert scorer.mean.tolist() == [2.0] + [0.0] * (width - 1)
    assert scorer.spread.tolist() == [1.0] * width
    torch.nn.init.zeros_(scorer.head.weight)
    scorer.head.weight.data[0, 0] = 1.0
    asked = torch.zeros(3, width)
    asked[:, 0] = torch.tensor([2.5, 2.0, 100.0])
    assert scorer.answer(asked)["taste"][:, 0].tolist() == [0.5, 0.0, 5.0]  # 98 spreads are cut to 5


def test_equal_fields_are_read_once_and_answers_stay(backbone: Path) -> None:
    scorer, tokens = by_field(backbone)
    torch.manual_seed(3)
    torch.nn.init.normal_(scorer.head.weight)
    offers = ["green", "black a b c", "red white", "mild", "green"]
    pairs = [pair("smoky a b", notes, "calm") for notes in offers]
    encoded = tokens.encode(pairs)
    batch = tokens.pad(encoded)
    # One wish, one mood, four different notes.
    assert sum(len(text.ids) for text in batch.texts) == 6
    with torch.inference_mode():
        together = torch.cat(list(scorer(batch).values()), dim=1)
        apart = [torch.cat(list(scorer(tokens.pad([one])).values()), dim=1) for one in encoded]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-4, atol=1e-5)


def test_little_padding(backbone: Path) -> None:
    _, tokens = by_field(backbone, max_tokens=64)
    pairs = [pair("smoky " * (1 + 7 * i % 20), "green " * (1 + 11 * i % 25), "calm") for i in range(40)]
    batch = tokens.pad(tokens.encode(pairs))
    for text in batch.texts:
        assert text.mask.sum() >= text.mask.numel() / 1.5
    assert len(batch.texts) < 10


def test_pairs_of_one_query_are_alike(backbone: Path) -> None:
    _, tokens = by_field(backbone)
    pairs = [pair(wish, note) for note in ("green", "black", "red") for wish in ("smoky a", "mild")]
    order = sorted(range(6), key=lambda i: tokens.alike(tokens.encode(pairs)[i]))
    wishes = [pairs[i].query["wishes"] for i in order]
    assert wishes in (["smoky a"] * 3 + ["mild"] * 3, ["mild"] * 3 + ["smoky a"] * 3)

"""A checkpoint as a judge: contract, N/A, levels of other policy versions, missing fields."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import Heard, examples, pair, policy, recipe, tiny  # noqa: E402

from workbench.errors import BadInput, NotFound, Refused  # noqa: E402
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair  # noqa: E402
from workbench.judges.checkpoint import CheckpointJudge  # noqa: E402
from workbench.policy import Policy  # noqa: E402
from workbench.run import Judge, Verdict  # noqa: E402
from workbench.training.fit import fit  # noqa: E402
from workbench.training.grades import decide  # noqa: E402
from workbench.training.model import load_checkpoint  # noqa: E402
from workbench.training.predict import BATCH, FirstToken  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny student that has learnt examples() by heart."""
    home = tmp_path_factory.mktemp("student")
    student = recipe(tiny(home / "model"), schedule={"epochs": 20, "head_penalty": 0.001})
    return fit(student, policy(), examples(), home / "out", Heard()).folder


@pytest.fixture(scope="module")
def by_field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with fields read one by one."""
    home = tmp_path_factory.mktemp("by-field")
    student = recipe(tiny(home / "model"), pooling="fields", schedule={"epochs": 20, "head_penalty": 0.001})
    return fit(student, policy(), examples(), home / "out", Heard()).folder


def grade(judge: Judge, under: Policy, pairs: Sequence[Pair]) -> dict[str, Verdict]:
    """All verdicts by pair."""

    async def collect() -> list[Verdict]:
        return [verdict async for verdict in judge.grade(under, pairs)]

    verdicts = asyncio.run(collect())
    assert len({verdict.pair_id for verdict in verdicts}) == len(verdicts)
    return {verdict.pair_id: verdict for verdict in verdicts}


def changed(index: int, **changes: Any) -> Policy:
    """The tea policy, version 2, with one dimension changed."""
    data = policy().document()
    data["dimensions"][index] |= changes
    return policy(dimensions=data["dimensions"], version=2)


def test_it_grades_what_it_learnt(folder: Path) -> None:
    verdicts = grade(CheckpointJudge(folder), policy(), [example.pair for example in examples()])
    assert len(verdicts) == 12
    for example in examples():
        verdict = verdicts[example.pair.id]
        assert {j.dimension: j.grade for j in verdict.judgements} == example.settled
        taste, strength = verdict.judgements
        assert taste.probabilities is not None
        assert strength.probabilities is not None
        assert (len(taste.probabilities), len(strength.probabilities)) == (3, 2)  # levels only, N/A left out
        assert sum(taste.probabilities) == pytest.approx(1)
        assert sum(strength.probabilities) == pytest.approx(1)
        assert taste.expected == pytest.approx(taste.probabilities[1] + 2 * taste.probabilities[2])
        assert (taste.rationale, taste.cites, taste.error) == ("", (), "")
        assert verdict.usage.cost_usd is None
        assert verdict.usage.latency_ms > 0
        # [CLS] guest wishes : w x [mood : calm] [SEP] tea notes : n x [SEP]
        assert verdict.usage.input_tokens == (16 if example.pair.query["mood"] else 13)


def test_identity_is_the_weights(folder: Path) -> None:
    judge = CheckpointJudge(folder)
    assert judge.identity.kind == "checkpoint"
    assert judge.identity.name == f"tea-mini-{judge.record.weights_hash.removeprefix('sha256-')[:8]}"
    assert judge.identity.params["weights"] == judge.record.weights_hash
    assert judge.identity.params["policy"] == "tea-match v1"


def test_more_than_a_batch_and_again_the_same(folder: Path) -> None:
    pairs = [pair(f"smoky {'a ' * i}", "green") for i in range(BATCH + 8)]
    judge = CheckpointJudge(folder)
    first = grade(judge, policy(), pairs)
    assert len(first) == BATCH + 8
    second = grade(judge, policy(), pairs[::-1])
    assert {key: v.judgements for key, v in first.items()} == {key: v.judgements for key, v in second.items()}


def test_missing_and_unknown_fields(folder: Path) -> None:
    pairs = [
        Pair(query={}, document={}),
        Pair(query={"wishes": "smoky"}, document={"colour": "unseen"}),
        Pair(query={"wishes": "漢字 " * 5000}, document={"notes": "\x00\u2028"}),
    ]
    verdicts = grade(CheckpointJudge(folder), policy(), pairs)
    assert not any(j.failed for verdict in verdicts.values() for j in verdict.judgements)
    assert len(verdicts) == 3


def test_fields_are_read_once_and_graded_alike(by_field: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guests = ["smoky a", "green b", "black c"]
    offers = ["smoky", "green d", "black e f", "red", "white g", "mild"]
    pairs = [pair(wish, notes, "calm") for notes in offers for wish in guests]
    judge = CheckpointJudge(by_field)
    backbone = judge._ready().checkpoint.scorer.backbone
    read = []
    plain = type(backbone).forward

    def counted(self: Any, input_ids: Any, **kwargs: Any) -> Any:
        read.append(len(input_ids))
        return plain(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(type(backbone), "forward", counted)
    together = grade(judge, policy(), pairs)
    # 18 pairs of 3 fields are one batch: three wishes, one mood, six notes.
    assert len(pairs) < BATCH
    assert sum(read) == 10
    for item in pairs:
        (alone,) = grade(judge, policy(), [item]).values()
        for one, other in zip(alone.judgements, together[item.id].judgements, strict=True):
            assert one.grade == other.grade
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)


def test_fields_missing_or_unknown(by_field: Path) -> None:
    pairs = [Pair(query={}, document={}), Pair(query={"wishes": "smoky"}, document={"colour": "unseen"})]
    verdicts = grade(CheckpointJudge(by_field), policy(), pairs)
    assert not any(j.failed for verdict in verdicts.values() for j in verdict.judgements)
    assert verdicts[pairs[0].id].usage.input_tokens == 0
    assert verdicts[pairs[1].id].usage.input_tokens == 3  # [CLS] smoky [SEP]


@pytest.mark.parametrize(("precision", "off"), [("float32", 1e-5), ("bfloat16", 0.03)])
def test_batched_grades_are_those_of_the_plain_model(tmp_path: Path, precision: str, off: float) -> None:
    """Grouping by length changes nothing; bfloat16 has 8 bits, so 2 digits are kept."""
    learnt = {"epochs": 6, "head_penalty": 0.1}
    student = recipe(tiny(tmp_path / "model"), precision=precision, pooling="mean", schedule=learnt)
    done = fit(student, policy(), examples(), tmp_path / "out", Heard()).folder
    checkpoint = load_checkpoint(done)
    pairs = [pair(f"smoky {'a ' * (i % 9)}", "green" if i % 2 else "smoky") for i in range(12)]
    verdicts = grade(CheckpointJudge(done), policy(), pairs)
    head = checkpoint.record.heads[0]
    for item in pairs:
        with torch.inference_mode():
            logits = checkpoint.scorer(checkpoint.tokens.pad(checkpoint.tokens.encode([item])))["taste"]
        _, expected, levels = decide(head, torch.softmax(logits.double(), dim=-1).numpy())
        taste = verdicts[item.id].judgements[0]
        assert taste.probabilities == pytest.approx(levels[0], abs=off)
        assert taste.expected == pytest.approx(expected[0], abs=2 * off)
    means = [verdict.judgements[0].expected or 0.0 for verdict in verdicts.values()]
    assert max(means) - min(means) > 0.1  # a model that says the same of all would agree with anything


def test_a_last_layer_that_computes_the_first_token_alone_is_exact() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
        initializer_range=0.5,
    )  # fmt: skip
    whole = transformers.BertModel(config).eval()
    assert FirstToken.fits(whole)
    ids = torch.randint(0, 50, (4, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    with torch.inference_mode():
        expected = whole(input_ids=ids, attention_mask=mask).last_hidden_state
        found = FirstToken(whole)(ids, mask).last_hidden_state
        other = FirstToken(whole)(ids, torch.ones_like(ids)).last_hidden_state
    torch.testing.assert_close(found, expected[:, :1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(other[1], found[1], atol=1e-2)  # the mask matters


def test_no_pairs_no_verdicts(folder: Path) -> None:
    assert grade(CheckpointJudge(folder), policy(), []) == {}


def test_a_dimension_with_other_levels_fails_alone(folder: Path) -> None:
    levels = policy().document()["dimensions"][0]["levels"]
    wider = changed(0, levels=[*levels, {"value": 3, "name": "More", "criteria": ""}])
    (verdict,) = grade(CheckpointJudge(folder), wider, [examples()[1].pair]).values()
    taste, strength = verdict.judgements
    assert taste.grade == NOT_GRADED
    assert taste.error == "the checkpoint grades 'taste' on 0–2, tea-match v2 on 0–3"
    assert strength.grade == 1


def test_a_dimension_that_it_does_not_know_fails_alone(folder: Path) -> None:
    data = policy().document()
    data["dimensions"].append(
        data["dimensions"][1] | {"key": "price", "title": "Price", "clauses": [], "precedents": []}
    )
    (verdict,) = grade(
        CheckpointJudge(folder), policy(dimensions=data["dimensions"]), [examples()[1].pair]
    ).values()
    assert [j.dimension for j in verdict.judgements] == ["taste", "strength", "price"]
    assert verdict.judgements[2].error == "the checkpoint has no head for 'price' (it has strength, taste)"


def test_na_only_where_the_policy_allows_it(folder: Path) -> None:
    example = examples()[0]
    assert example.settled["strength"] == NOT_APPLICABLE
    (verdict,) = grade(CheckpointJudge(folder), changed(1, allow_na=False), [example.pair]).values()
    assert verdict.judgements[1].grade in (0, 1)


def test_nothing_fits(folder: Path) -> None:
    data = policy().document()
    renamed = [d | {"key": f"new_{d['key']}", "clauses": [], "precedents": []} for d in data["dimensions"]]
    overall = data["overall"] | {"gates": []}
    with pytest.raises(BadInput, match="fits no dimension of tea-match v1"):
        grade(CheckpointJudge(folder), policy(dimensions=renamed, overall=overall), [examples()[0].pair])


def test_an_answer_that_is_no_number_is_a_failure(tmp_path: Path) -> None:
    student = recipe(tiny(tmp_path / "model", poison=True))
    done = fit(student, policy(), examples(), tmp_path / "out", Heard())
    sick, sound = pair("poison", "green"), examples()[0].pair
    verdicts = grade(CheckpointJudge(done.folder), policy(), [sick, sound])
    assert [j.error for j in verdicts[sick.id].judgements] == ["the checkpoint's answer is not a number"] * 2
    assert not any(j.failed for j in verdicts[sound.id].judgements)


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no checkpoint folder"):
        CheckpointJudge(tmp_path / "nothing")
    with pytest.raises(NotFound, match=r"checkpoint\.json is missing"):
        CheckpointJudge(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(Refused, match="pickled"):
        CheckpointJudge(tmp_path)

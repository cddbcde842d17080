"""Layout and truncation, pooling, heads, checkpoints: with tiny random models, and once with MiniLM."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import pair, policy, recipe, tiny  # noqa: E402

from workbench.backbone import minilm_available  # noqa: E402
from workbench.errors import BadInput, Conflict, NotFound, Refused, Unavailable, WorkbenchError  # noqa: E402
from workbench.golden import Pair  # noqa: E402
from workbench.training.model import (  # noqa: E402
    PairScorer,
    load_checkpoint,
    new_scorer,
    save_checkpoint,
)
from workbench.training.record import CheckpointRecord, considered, heads_of, read_record  # noqa: E402
from workbench.training.tokens import DOCUMENT, QUERY, SPECIAL, PairTokenizer, share  # noqa: E402

KINDS = ["encoder", "decoder"]


@pytest.fixture(scope="module", params=KINDS)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder, then a tiny decoder."""
    return tiny(tmp_path_factory.mktemp("backbone") / request.param, request.param)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A tiny encoder."""
    return tiny(tmp_path / "backbone")


def record(student: Any) -> CheckpointRecord:
    """What a training under the tea policy would say."""
    tea = policy()
    return CheckpointRecord(
        recipe=student, recipe_hash=student.content_hash, policy=tea.name, policy_version=tea.version,
        policy_hash=tea.content_hash, pair=tea.pair, considers=considered(tea), heads=heads_of(tea),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def trained_like(student: Any) -> tuple[PairScorer, PairTokenizer]:
    """A scorer whose heads are not zero."""
    scorer, tokens = new_scorer(student, policy())
    torch.manual_seed(3)
    torch.nn.init.normal_(scorer.head.weight)
    if scorer.statistics():
        scorer.learn_statistics(torch.rand(8, scorer.head.in_features))
    return scorer.eval(), tokens


def answers(scorer: PairScorer, tokens: PairTokenizer, pairs: list[Pair]) -> torch.Tensor:
    """All logits side by side."""
    with torch.inference_mode():
        return torch.cat(list(scorer(tokens.pad(tokens.encode(pairs))).values()), dim=1)


def test_share_cuts_the_longest_first() -> None:
    assert share([3, 10, 20], 15) == [3, 6, 6]  # 3 fits a third of 15; the other 12 are halved
    assert share([3, 4], 100) == [3, 4]
    assert share([5, 5], 3) == [1, 2]
    assert share([], 3) == []


def test_layout_is_query_first_with_field_names(encoder: Path) -> None:
    _, tokens = new_scorer(recipe(encoder), policy())
    # tea.title is in the layout, but no dimension considers it; an empty mood is left out.
    encoded = tokens.encode([pair("smoky", "green"), pair("smoky", "", "calm")])
    assert tokens.text(encoded[0]) == "[CLS] guest wishes : smoky [SEP] tea notes : green [SEP]"
    assert tokens.text(encoded[1]) == "[CLS] guest wishes : smoky mood : calm [SEP] tea [SEP]"
    q, d, s = QUERY, DOCUMENT, SPECIAL
    assert encoded[0].parts == [s, q, q, q, q, s, d, d, d, d, s]


def test_a_decoder_without_special_tokens_is_laid_out_too(tmp_path: Path) -> None:
    _, tokens = new_scorer(recipe(tiny(tmp_path / "d", "decoder")), policy())
    (encoded,) = tokens.encode([pair("smoky", "green")])
    assert tokens.text(encoded) == "guest wishes : smoky tea notes : green"


def test_both_sides_and_all_fields_survive_truncation(encoder: Path) -> None:
    _, tokens = new_scorer(recipe(encoder), policy())
    (encoded,) = tokens.encode([pair("smoky " * 500, "green " * 500, "calm")])
    text = tokens.text(encoded)
    # 32 tokens, 3 of them special. The document (503 tokens) gets half of 29 rounded down, the query (506) the rest.
    assert len(encoded.ids) == 32
    assert [encoded.parts.count(part) for part in (QUERY, DOCUMENT)] == [15, 14]
    assert "mood : calm" in text
    assert text.count("smoky") == 15 - 1 - 3 - 2  # without: guest; mood : calm; wishes :
    assert text.count("green") == 14 - 1 - 2


def test_a_short_side_leaves_its_tokens_to_the_other(encoder: Path) -> None:
    _, tokens = new_scorer(recipe(encoder), policy())
    (encoded,) = tokens.encode([pair("smoky", "green " * 500)])
    assert encoded.parts.count(QUERY) == 4
    assert encoded.parts.count(DOCUMENT) == 32 - 3 - 4


def test_a_dimension_that_names_no_field_considers_all() -> None:
    tea = policy()
    open_minded = tea.dimensions[0].model_copy(update={"considers": ()})
    assert considered(policy(dimensions=[open_minded.model_dump(by_alias=True)])) == tuple(
        tea.pair.field_names()
    )
    assert considered(tea) == ("guest.wishes", "guest.mood", "tea.notes")


@pytest.mark.parametrize("pooling", ["fields", "sides", "mean", "cls", "last"])
def test_padding_changes_nothing(backbone: Path, pooling: str) -> None:
    scorer, tokens = trained_like(recipe(backbone, pooling=pooling))
    pairs = [pair("smoky", "green"), pair("black a b c", "red white d e f", "calm")]
    together = answers(scorer, tokens, pairs)
    apart = torch.cat([answers(scorer, tokens, [item]) for item in pairs])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["fields", "sides", "mean", "cls", "last"])
def test_every_pooling_sees_both_sides(tmp_path: Path, pooling: str) -> None:
    # A decoder's first token sees nothing after it, so cls is for encoders.
    kind = "encoder" if pooling == "cls" else "decoder"
    scorer, tokens = trained_like(recipe(tiny(tmp_path / "m", kind), pooling=pooling))
    base, other_query, other_document = answers(
        scorer, tokens, [pair("smoky", "green"), pair("black", "green"), pair("smoky", "black")]
    )
    assert not torch.allclose(base, other_query)
    assert not torch.allclose(base, other_document)


def test_sides_pooling_by_hand(encoder: Path) -> None:
    scorer, tokens = new_scorer(recipe(encoder), policy())
    batch = tokens.pad(tokens.encode([pair("smoky", "green")]))
    states = torch.zeros(1, 11, 16)
    states[0, 1:5, 0] = 2.0  # query: u = (2, 0, …), root mean square 2 / sqrt(16), so u becomes (4, 0, …)
    states[0, 6:10, 1] = 3.0  # document: v = (0, 3, 0, …) becomes (0, 4, 0, …)
    pooled = scorer._pool(states, batch)[0].reshape(4, 16)
    expected = torch.zeros(4, 16)
    expected[0, 0] = expected[1, 1] = expected[2, 0] = expected[2, 1] = 4.0  # u, v, |u - v|; u * v is 0
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-4)


def test_new_heads_answer_uniformly(backbone: Path) -> None:
    scorer, tokens = new_scorer(recipe(backbone), policy())
    logits = scorer.eval()(tokens.pad(tokens.encode([pair("smoky", "green")])))
    assert {key: tuple(part.shape) for key, part in logits.items()} == {"taste": (1, 3), "strength": (1, 3)}
    assert all((part == 0).all() for part in logits.values())


def test_a_dimension_may_be_called_like_an_attribute(encoder: Path) -> None:
    renamed = [
        {**d, "key": key}
        for d, key in zip(policy().document()["dimensions"], ("keys", "forward"), strict=True)
    ]
    gates = {"combine": "weighted_mean", "gates": [], "cut_points": [0.5]}
    scorer, tokens = new_scorer(recipe(encoder), policy(dimensions=renamed, overall=gates))
    assert list(scorer(tokens.pad(tokens.encode([pair("a", "b")])))) == ["keys", "forward"]


def test_layers_keeps_the_first(backbone: Path) -> None:
    layers = [
        len(getattr(scorer.backbone, "layers", None) or scorer.backbone.encoder.layer)
        for scorer, _ in (new_scorer(recipe(backbone, layers=n), policy()) for n in (None, 1))
    ]
    assert layers == [2, 1]
    with pytest.raises(BadInput, match=r"layers is 3, and the backbone .* has 2"):
        new_scorer(recipe(backbone, layers=3), policy())


def test_more_tokens_than_positions_is_refused(encoder: Path) -> None:
    with pytest.raises(BadInput, match=r"max_tokens is 65, .* reads 64 at most"):
        new_scorer(recipe(encoder, max_tokens=65), policy())


def test_a_backbone_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="could not be loaded"):
        new_scorer(recipe(tmp_path / "nothing"), policy())


def test_a_backbone_with_pickled_weights_is_not_loaded(encoder: Path) -> None:
    (encoder / "model.safetensors").unlink()
    torch.save({}, encoder / "pytorch_model.bin")
    with pytest.raises(Unavailable, match="could not be loaded"):
        new_scorer(recipe(encoder), policy())


def test_a_backbone_without_some_of_its_weights(encoder: Path) -> None:
    config = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(Unavailable, match="lacks 16 of its weights"):  # 16 tensors a BERT layer
        new_scorer(recipe(encoder), policy())


@pytest.mark.parametrize("pooling", ["fields", "sides"])
def test_save_and_load_give_the_same_answers(backbone: Path, tmp_path: Path, pooling: str) -> None:
    student = recipe(backbone, layers=1, pooling=pooling)
    scorer, tokens = trained_like(student)
    saved = save_checkpoint(tmp_path / "checkpoint", scorer, tokens, record(student))
    loaded = load_checkpoint(tmp_path / "checkpoint", policy())
    assert loaded.record == saved
    assert saved.name == f"tea-mini-{saved.weights_hash[7:15]}"
    pairs = [pair("smoky", "green"), pair("", "black b", "awake"), Pair(query={}, document={})]
    assert torch.equal(answers(loaded.scorer, loaded.tokens, pairs), answers(scorer, tokens, pairs))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]  # no temporary folder is left


@pytest.fixture
def checkpoint(encoder: Path, tmp_path: Path) -> Path:
    """A complete checkpoint folder."""
    scorer, tokens = trained_like(recipe(encoder))
    save_checkpoint(tmp_path / "checkpoint", scorer, tokens, record(recipe(encoder)))
    return tmp_path / "checkpoint"


def test_a_checkpoint_is_never_overwritten(encoder: Path, checkpoint: Path) -> None:
    scorer, tokens = trained_like(recipe(encoder))
    with pytest.raises(Conflict, match="exists already"):
        save_checkpoint(checkpoint, scorer, tokens, record(recipe(encoder)))


def test_a_failed_save_leaves_nothing(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, tokens = trained_like(recipe(encoder))

    def full_disk(folder: Path, record: CheckpointRecord) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("workbench.training.model.write_record", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path / "out" / "checkpoint", scorer, tokens, record(recipe(encoder)))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["pytorch_model.bin", "extra.PT", "sub/optimizer.pkl"])
def test_pickled_weights_are_refused(checkpoint: Path, name: str) -> None:
    (checkpoint / "sub").mkdir()
    (checkpoint / name).write_bytes(b"\x80")
    with pytest.raises(Refused, match="pickled weights"):
        load_checkpoint(checkpoint)


def _without(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _with(name: str, content: bytes) -> Any:
    return lambda folder: (folder / name).write_bytes(content)


def _flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (shutil.rmtree, NotFound, "no checkpoint folder"),
        (_without("checkpoint.json"), NotFound, "checkpoint.json is missing"),
        (_without("model.safetensors"), NotFound, "model.safetensors is missing"),
        (_without("config.json"), BadInput, "could not be loaded"),
        (_with("checkpoint.json", b"{"), BadInput, "not valid JSON"),
        (_with("checkpoint.json", b"\xff"), BadInput, "not valid JSON"),
        (_with("checkpoint.json", b"[]"), BadInput, "not a document"),
        (_with("checkpoint.json", b'{"format": 2}'), BadInput, "format"),
        (_with("config.json", b"{"), BadInput, "could not be loaded"),
        (_flip_a_byte, BadInput, "damaged, incomplete or altered"),
    ],
)
def test_a_spoilt_checkpoint_is_one_sentence(checkpoint: Path, spoil: Any, error: type, says: str) -> None:
    spoil(checkpoint)
    with pytest.raises(error, match=says) as raised:
        load_checkpoint(checkpoint)
    assert isinstance(raised.value, WorkbenchError)
    assert "\n" not in str(raised.value)


def test_weights_of_another_shape_are_refused(checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"intermediate_size": 8}))
    with pytest.raises(BadInput, match="could not be loaded"):
        load_checkpoint(checkpoint)


def test_heads_that_do_not_fit_the_policy_are_refused(checkpoint: Path) -> None:
    data = policy().document()
    data["dimensions"][0]["levels"].append({"value": 3, "name": "More", "criteria": ""})
    wider = policy(dimensions=data["dimensions"], version=2)
    with pytest.raises(BadInput, match=r"does not fit tea-match v2: .*'taste' on 0–2, tea-match v2 on 0–3"):
        load_checkpoint(checkpoint, wider)


def test_the_record_is_read_without_torch(checkpoint: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from workbench.training.record import read_record; "
        "from workbench.judges.checkpoint import CheckpointJudge; "
        f"print(CheckpointJudge(Path({str(checkpoint)!r})).identity.name, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [read_record(checkpoint).name, "False"]


@pytest.mark.skipif(not minilm_available(), reason="needs the offline extra (MiniLM weights)")
def test_minilm_reads_a_pair() -> None:
    scorer, tokens = new_scorer(recipe("minilm", layers=1), policy())
    (encoded,) = tokens.encode([pair("smoky", "green")])
    assert tokens.text(encoded) == "[CLS] guest wishes : smoky [SEP] tea notes : green [SEP]"
    assert answers(scorer.eval(), tokens, [pair("smoky", "green")]).shape == (1, 6)
    with pytest.raises(BadInput, match="reads 512 at most"):
        new_scorer(recipe("minilm", max_tokens=513), policy())

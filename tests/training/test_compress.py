"""Importance by hand, pruning that changes nothing where it cuts nothing that counts, sizes, int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import Heard, examples, pair, policy, recipe, tiny  # noqa: E402

from workbench.errors import BadInput, Refused  # noqa: E402
from workbench.training.compress import compress, importance, int8, least_important, size  # noqa: E402
from workbench.training.fit import fit  # noqa: E402
from workbench.training.model import Checkpoint, load_checkpoint, save_checkpoint  # noqa: E402
from workbench.training.parity import compared, probabilities  # noqa: E402

PAIRS = [pair(f"{wish} a", f"{note} b", mood) for wish in ("smoky", "green", "black")
         for note in ("smoky", "green", "black", "red") for mood in ("", "calm")]  # fmt: skip


@pytest.fixture(params=["encoder", "decoder"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    """A checkpoint of each architecture that learnt a little."""
    student = recipe(
        tiny(tmp_path / "model", request.param), pooling="mean", schedule={"epochs": 6, "head_penalty": 0.01}
    )
    return load_checkpoint(fit(student, policy(), examples(), tmp_path / "out", Heard()).folder)


def layers(made: Checkpoint) -> Any:
    """Its layers."""
    backbone = made.scorer.backbone
    return getattr(backbone, "layers", None) or backbone.encoder.layer


def down(block: Any) -> Any:
    """The matrix that reads a layer's neurons."""
    return block.mlp.down_proj if hasattr(block, "mlp") else block.output.dense


def test_sizes_by_hand(made: Checkpoint) -> None:
    # Width 16, MLP 32, two layers. Encoder, a layer: 4 * 16 * 16 attention + 2 * 16 * 32 MLP = 2,048 matrix weights;
    # biases 5 * 16 + 32 and two norms of 32: 2,224. Decoder: 4 * 256 + 3 * 512 = 2,560, and two norms of 16: 2,592.
    encoder = hasattr(made.scorer.backbone, "encoder")
    found = size(made.scorer, 10)
    assert found.layers == 2 * (2224 if encoder else 2592)
    assert found.compute == 2 * 2 * (2048 if encoder else 2560) * 10 + 2 * 4 * 100 * 16
    half = compress(made, importance(made, PAIRS), mlp=0.5)
    assert size(half.scorer, 10).compute == 2 * 2 * (1536 if encoder else 1792) * 10 + 2 * 4 * 100 * 16
    assert size(half.scorer, 10).parameters < found.parameters


def test_neurons_that_nothing_reads_go_first_and_are_not_missed(made: Checkpoint) -> None:
    idle = torch.arange(0, 32, 2)
    with torch.no_grad():
        for block in layers(made):
            down(block).weight[:, idle] = 0
    measured = importance(made, PAIRS)
    for values in measured.neurons:
        assert (values[idle] == 0).all()
        assert (values[1::2] > 0).all()
    half = compress(made, measured, mlp=0.5)
    assert half.scorer.backbone.config.intermediate_size == 16
    assert compared(made, PAIRS, half.scorer).max_difference < 1e-6
    assert down(layers(made)[0]).weight.shape == (16, 32)  # the checkpoint itself stays


def test_importance_is_activation_times_norm(made: Checkpoint) -> None:
    heard = []
    first = down(layers(made)[0])
    hook = first.register_forward_pre_hook(lambda module, args: heard.append(args[0]))
    (one,) = made.tokens.encode(PAIRS[:1])
    with torch.inference_mode():
        made.scorer(made.tokens.pad([one]))
    hook.remove()
    by_hand = heard[0][0].abs().mean(dim=0) * first.weight.norm(dim=0)
    # Beside a longer pair the first is padded, and padding must not count: measure the pair twice, alone and padded.
    torch.testing.assert_close(importance(made, PAIRS[:1]).neurons[0], by_hand.detach())
    both, second = importance(made, PAIRS[:2]), importance(made, PAIRS[1:2])
    n = [len(tokens.ids) for tokens in made.tokens.encode(PAIRS[:2])]
    assert n[0] < n[1]
    mixed = (by_hand.detach() * n[0] + second.neurons[0] * n[1]) / sum(n)
    torch.testing.assert_close(both.neurons[0], mixed, rtol=1e-3, atol=1e-5)


def test_a_layer_that_does_nothing_is_the_least_important(tmp_path: Path) -> None:
    student = recipe(tiny(tmp_path / "model", "decoder"), pooling="mean", schedule={"head_penalty": 0.01})
    made = load_checkpoint(fit(student, policy(), examples(), tmp_path / "out", Heard()).folder)
    with torch.no_grad():  # both branches of a pre-norm layer add nothing: it is the identity
        layers(made)[0].self_attn.o_proj.weight.zero_()
        layers(made)[0].mlp.down_proj.weight.zero_()
    measured = importance(made, PAIRS)
    assert measured.layers[0] == pytest.approx(0, abs=1e-5)
    assert measured.layers[1] > 1e-5
    assert least_important(measured, 1) == (0,)
    shorter = compress(made, measured, without=(0,))
    assert len(layers(shorter)) == 1
    assert compared(made, PAIRS, shorter.scorer).max_difference < 1e-6


def test_a_smaller_checkpoint_is_saved_and_loaded_as_any(made: Checkpoint, tmp_path: Path) -> None:
    smaller = compress(made, importance(made, PAIRS), mlp=0.25, without=(1,))
    saved = save_checkpoint(tmp_path / "small", smaller.scorer, smaller.tokens, smaller.record)
    assert saved.lineage.parents == (made.record.weights_hash,)
    assert saved.weights_hash != made.record.weights_hash
    assert (saved.figures["mlp_neurons"], saved.figures["pruned_layers"]) == (8, "1")
    loaded = load_checkpoint(tmp_path / "small", policy())
    assert loaded.scorer.backbone.config.num_hidden_layers == 1
    before, after = (probabilities(c, PAIRS, c.scorer)["taste"] for c in (smaller, loaded))
    assert after == pytest.approx(before, abs=1e-6)


def test_what_cannot_be_cut(made: Checkpoint) -> None:
    measured = importance(made, PAIRS)
    with pytest.raises(BadInput, match="A share of 0 of the MLP"):
        compress(made, measured, mlp=0)
    with pytest.raises(BadInput, match="no layer 2: they are 0 to 1"):
        compress(made, measured, without=(2,))
    with pytest.raises(BadInput, match="No layer would stay"):
        compress(made, measured, without=(0, 1))


def test_int8_is_checked(made: Checkpoint) -> None:
    scorer, parity = int8(made, PAIRS, spearman=0.8)
    assert parity.pairs == 24
    assert 0 < parity.max_difference < 0.2  # eight bits: near, and not the same
    assert parity.spearman is not None
    assert parity.spearman >= 0.8
    assert not any(isinstance(part, torch.nn.Linear) for part in scorer.backbone.modules())
    with pytest.raises(Refused, match=r"in int8 does not grade as the checkpoint does: on 24 pairs Spearman"):
        int8(made, PAIRS, spearman=1.0)
    with pytest.raises(BadInput, match="3 pairs are too few"):
        int8(made, PAIRS[:3])


def test_a_checkpoint_that_says_the_same_of_all_cannot_be_checked(made: Checkpoint) -> None:
    torch.nn.init.zeros_(made.scorer.head.weight)
    with pytest.raises(Refused, match="the same grade"):
        int8(made, PAIRS)

"""What a training would take: parameters as the models have them, arithmetic by hand, unknown what is unknown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from training_samples import recipe

from workbench.backbone import minilm_available
from workbench.errors import BadInput
from workbench.training import plan as plan_module
from workbench.training.plan import estimate, read_config, shape_of

SIZES = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 3}
SIZES |= {"num_attention_heads": 4, "max_position_embeddings": 64}
DECODER = SIZES | {"num_key_value_heads": 2}


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("bert", SIZES),
        ("llama", DECODER),
        ("mistral", DECODER | {"head_dim": 4}),
        ("qwen2", DECODER),
        ("qwen3", DECODER | {"head_dim": 8}),
    ],
)
def test_parameters_are_those_of_the_model(family: str, sizes: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the train extra")
    config = transformers.AutoConfig.for_model(family, **sizes)
    model = transformers.AutoModel.from_config(config)
    shape = shape_of(config.to_dict())
    assert shape is not None
    assert shape.parameters == sum(p.numel() for p in model.parameters())


def test_adapters_are_counted_as_they_are_made() -> None:
    transformers = pytest.importorskip("transformers", reason="needs the train extra")
    from workbench.recipe import Lora
    from workbench.training.adapter import add_adapter

    config = transformers.AutoConfig.for_model("qwen3", **DECODER, head_dim=8)
    for lora in (Lora(rank=4), Lora(rank=2, targets=("q_proj", "v_proj"))):
        model = transformers.AutoModel.from_config(config)
        add_adapter(model, lora)
        made = sum(p.numel() for p in model.parameters() if p.requires_grad)
        student = recipe("x", adapter=lora.model_dump())
        assert estimate(student, config.to_dict(), 10).trained == made


def test_arithmetic_memory_time_and_cost_by_hand() -> None:
    # One layer of width 4 and inner width 8, one head: matrices 4 * 16 + 3 * 32 = 160. Norms 3 * 4, embedding 10 * 4.
    config = {"model_type": "llama", "vocab_size": 10, "hidden_size": 4, "intermediate_size": 8}
    config |= {"num_hidden_layers": 1, "num_attention_heads": 1}
    resources = {"gpus": 2, "tflops": 1e-6, "utilisation": 0.5, "usd_per_hour": 3.0, "memory_gb": 1e-9}
    student = recipe("x", max_tokens=16, resources=resources, schedule={"epochs": 3, "batch_size": 4})
    found = estimate(student, config, 10)
    assert found.parameters == found.trained == 160 + 12 + 40
    assert found.steps == 9  # 3 epochs of 3 batches
    assert found.tokens == 3 * 10 * 16
    # 6 * 160 and attention 12 * 1 * 4 * 16 a token.
    assert found.flops == (960 + 768) * 480
    assert found.weights_gb == pytest.approx(212 * 16 / 1e9)
    assert found.activations_gb == pytest.approx(34 * 2 * 16 * 4 * 4 / 1e9)
    # Two devices of 10^6 FLOP/s at half of it: 10^6 FLOP/s together.
    assert found.hours == pytest.approx(829_440 / 1e6 / 3600)
    assert found.cost_usd == pytest.approx(found.hours * 2 * 3.0)
    assert any("is more than a device's" in note for note in found.notes)


def test_frozen_weights_have_no_gradient() -> None:
    config = {"model_type": "llama", "vocab_size": 10, "hidden_size": 4, "intermediate_size": 8}
    config |= {"num_hidden_layers": 1, "num_attention_heads": 1}
    student = recipe("x", max_tokens=16, adapter={"rank": 1, "targets": ["q_proj"]}, precision="bfloat16",
                     gradient_checkpointing=True, schedule={"epochs": 1, "batch_size": 1})  # fmt: skip
    found = estimate(student, config, 1)
    assert found.trained == 8  # A: 1 x 4, B: 4 x 1
    assert found.weights_gb == pytest.approx((212 * 2 + 8 * 16) / 1e9)
    # 4 + 2 for what is computed again, of 160; 6 of 8; attention 768.
    assert found.flops == (6 * 160 + 6 * 8 + 768) * 16


def test_unknown_stays_unknown() -> None:
    found = estimate(recipe("x"), {"model_type": "strange"}, None)
    assert (found.parameters, found.memory_gb, found.steps, found.flops, found.hours, found.cost_usd) == (
        None,
    ) * 6
    assert "The sizes of a 'strange' are not known here." in found.notes
    config = {"model_type": "bert", **SIZES, "type_vocab_size": 2}
    found = estimate(recipe("x"), config, 100)
    assert found.flops is not None
    assert (found.hours, found.cost_usd) == (None, None)
    assert any("so time and cost are unknown" in note for note in found.notes)
    assert shape_of({"model_type": "bert", "hidden_size": "many"}) is None


def test_a_hub_id_that_cannot_be_reached_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub", reason="needs the train extra")

    def unreachable(*_: Any, **__: Any) -> httpx.Response:
        raise httpx.ConnectError("no network")

    monkeypatch.setattr(httpx, "get", unreachable)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    config, why = read_config(recipe("Qwen/Qwen3-1.7B-Base"))
    assert config is None
    assert why == (
        "The configuration of 'Qwen/Qwen3-1.7B-Base' could not be had from the model hub (ConnectionError), so sizes are unknown."
    )
    there = httpx.Response(
        200, json={"model_type": "bert", **SIZES}, request=httpx.Request("GET", "https://x")
    )
    monkeypatch.setattr(httpx, "get", lambda *_, **__: there)
    assert read_config(recipe("some/model")) == ({"model_type": "bert", **SIZES}, "")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **SIZES}))
    assert read_config(recipe(tmp_path, layers=2))[0]["num_hidden_layers"] == 2  # type: ignore[index]
    with pytest.raises(BadInput, match="layers is 4, and the backbone"):
        read_config(recipe(tmp_path, layers=4))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadInput, match="cannot be read"):
        read_config(recipe(tmp_path))


@pytest.mark.skipif(not minilm_available(), reason="needs the offline extra (MiniLM weights)")
def test_minilm_has_its_22_million() -> None:
    config, _ = read_config(recipe("minilm"))
    assert config is not None
    assert estimate(recipe("minilm"), config, 100).parameters == 22_713_216


def test_no_torch_is_loaded() -> None:
    code = (
        f"import sys; import {plan_module.__name__}, workbench.cli_train_plan; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

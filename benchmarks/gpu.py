"""On a GPU: how much of its arithmetic training reaches, and items a second against plain transformers.

    python benchmarks/gpu.py [--tflops PEAK] [--batch 8] [--steps 10] [--items 2048]

Everything has random weights of the real shapes, written down here, so nothing is downloaded. Needs the train extra.

Training: a full fine-tune of Qwen3-1.7B and LoRA of rank 16 on Qwen2.5-7B, pairs of 1,024 tokens, bfloat16, through the
same steps as ``workbench.training.fit``. Model FLOPs utilisation is tokens a second times FLOPs a token, over the
peak (Chowdhery et al. 2022, PaLM, appendix B). FLOPs a token are those of ``workbench.training.plan``: 6 a parameter of a
matrix and 12 a layer, unit of width and token that is looked at, embeddings left out; beside an adapter 4, since frozen
weights have no gradient. Recomputing counts as nothing. The peak is the vendor's dense bfloat16 figure.

Grading: Qwen3-0.6B, and the same with half of its layers and of its MLP, through ``workbench.training.predict`` against
AutoModelForSequenceClassification in batches as they come, both in bfloat16, with lengths of 64 to 1,024 tokens.

Exits with 1 where MFU is below 45 % or 40 %, with 2 where there is nothing to measure on.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
from scoring import policy

from workbench.recipe import StudentRecipe

FULL: dict[str, Any] = {
    "model_type": "qwen3", "hidden_size": 2048, "num_hidden_layers": 28, "intermediate_size": 6144, "vocab_size": 151936,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
}  # fmt: skip
LORA: dict[str, Any] = {
    "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "intermediate_size": 18944,
    "vocab_size": 152064, "num_attention_heads": 28, "num_key_value_heads": 4,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "intermediate_size": 3072, "vocab_size": 151936,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
}  # fmt: skip
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 128}
TINY |= {"num_attention_heads": 4, "num_key_value_heads": 2}

PEAKS = {
    "B200": 2250.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
}
"""10^12 dense bfloat16 FLOP/s by a part of the device's name, the first that fits: the vendor's data sheets."""
TARGETS = {"1.7B full": 0.45, "7B LoRA": 0.40}
WARM = 3


def recipe(length: int, batch: int, adapter: dict[str, Any] | None = None) -> StudentRecipe:
    """Return the recipe of a decoder that reads pairs of ``length`` tokens."""
    return StudentRecipe.model_validate(
        {
            "recipe": "gpu-benchmark", "policy": "product-search", "backbone": "random", "pooling": "last",
            "max_tokens": length, "precision": "bfloat16", "adapter": adapter,
            "data": {"golden": "product-search", "soft_labels": None, "validation": 0.0},
            "schedule": {"epochs": 1, "batch_size": batch, "head_penalty": None},
        }
    )  # fmt: skip


def backbone(shape: dict[str, Any], device: str, dtype: Any) -> Any:
    """Return a decoder with random weights, made on the device."""
    import torch
    from transformers import AutoConfig, AutoModel

    sizes = {key: value for key, value in shape.items() if key != "model_type"}
    config = AutoConfig.for_model(shape["model_type"], max_position_embeddings=4096, pad_token_id=0, **sizes)
    with torch.device(device):
        return AutoModel.from_config(config, dtype=dtype)


def tokenizer(length: int) -> Any:
    """Return a pair tokenizer of a few words: the benchmark's pairs are tokens already, and only padded by it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from workbench.training.tokens import PairTokenizer

    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]")
    return PairTokenizer(fast, policy().pair, (), length)


def token_rows(lengths: list[int], vocabulary: int) -> list[Any]:
    """Return random pairs of these lengths."""
    from workbench.training.tokens import DOCUMENT, Tokens

    rng = np.random.default_rng(0)
    return [Tokens(rng.integers(2, vocabulary, n).tolist(), [DOCUMENT] * n) for n in lengths]


def steps(given: StudentRecipe, shape: dict[str, Any], device: str, count: int) -> Iterator[float]:
    """Train for some steps as ``fit`` does; yield the seconds of each."""
    import torch

    from workbench.golden import Pair
    from workbench.training.adapter import add_adapter
    from workbench.training.batches import Lesson
    from workbench.training.data import Example
    from workbench.training.distributed import Parallel
    from workbench.training.losses import total_loss
    from workbench.training.ranks import Ranks
    from workbench.training.record import heads_of
    from workbench.training.scorer import PairScorer

    body = backbone(shape, device, torch.float32 if given.adapter is None else torch.bfloat16)
    if given.adapter is not None:
        add_adapter(body, given.adapter)
    heads = heads_of(policy())
    scorer = PairScorer(body, heads, given.pooling)
    model = Parallel(scorer, given, Ranks())
    schedule, tokens = given.schedule, tokenizer(given.max_tokens)
    optimizer = torch.optim.AdamW([p for p in scorer.parameters() if p.requires_grad], lr=1e-5)
    batch = token_rows([given.max_tokens] * schedule.batch_size, shape["vocab_size"])
    examples = [
        Example(
            Pair(query={"query": str(i)}, document={"title": str(i)}), {"relevance": (0.0, 0.0, 0.0, 1.0)}
        )
        for i in range(schedule.batch_size)
    ]
    lesson = Lesson.of(examples, given, heads).take(np.arange(len(examples)), scorer.device)
    scorer.train()
    for _ in range(count):
        wait(device)
        began = time.perf_counter()
        logits, tower = model.logits(tokens, batch)
        loss = total_loss(given, heads, logits, lesson, tower).total
        optimizer.zero_grad(set_to_none=True)
        model.backward(loss)
        model.clip(schedule.clip_norm)
        optimizer.step()
        wait(device)
        yield time.perf_counter() - began


def wait(device: str) -> None:
    """Let the GPU finish what it was given."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def train(
    name: str, given: StudentRecipe, shape: dict[str, Any], device: str, count: int, peak: float | None
) -> float | None:
    """Measure training, print a line and return the MFU; None where there is no peak to measure it by."""
    import torch

    from workbench.training.plan import estimate

    size = given.schedule.batch_size
    while True:
        schedule = given.schedule.model_copy(update={"batch_size": size})
        tried = given.model_copy(update={"schedule": schedule})
        try:
            seconds = statistics.median(list(steps(tried, shape, device, WARM + count))[WARM:])
            break
        except torch.cuda.OutOfMemoryError:
            if size == 1:
                raise
            print(f"{name}: {size} pairs are too many for this GPU's memory; trying {size // 2}", flush=True)
            size //= 2
        torch.cuda.empty_cache()
    flops = estimate(tried, shape, size).flops
    assert flops is not None  # the family and the pairs are known
    mfu = None if peak is None else flops / seconds / (peak * 1e12)
    memory = f", {torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if device == "cuda" else ""
    told = "tiny: no MFU" if mfu is None else f"MFU {mfu:.1%}, wanted {TARGETS[name]:.0%}"
    print(
        f"{name}: {size} x {given.max_tokens} tokens, {size * given.max_tokens / seconds:,.0f} tokens/s{memory}, {told}",
        flush=True,
    )
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return mfu


def grade(name: str, shape: dict[str, Any], device: str, lengths: list[int], batch: int) -> None:
    """Measure grading by ours and by plain transformers, of the same weights and the same pairs, and print a line."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from workbench.training.model import Checkpoint
    from workbench.training.predict import Predictor
    from workbench.training.record import CheckpointRecord, heads_of
    from workbench.training.scorer import PairScorer

    given, rules, heads = recipe(max(lengths), batch), policy(), heads_of(policy())
    body = backbone(shape, device, torch.bfloat16)
    config = copy.deepcopy(body.config)
    config.num_labels = 4
    with torch.device(device):
        plain = AutoModelForSequenceClassification.from_config(config, dtype=torch.bfloat16)
    plain.model.load_state_dict(body.state_dict())
    plain.eval()
    record = CheckpointRecord(
        recipe=given, recipe_hash=given.content_hash, policy=rules.name, policy_version=rules.version,
        policy_hash=rules.content_hash, pair=rules.pair, considers=(), heads=heads, created_at=datetime.now(UTC),
    )  # fmt: skip
    scorer = PairScorer(body, heads, given.pooling).eval()
    scorer.head.to(device)
    tokens = tokenizer(max(lengths))
    predictor = Predictor(Checkpoint(record, scorer, tokens), batch=batch, device=device)
    rows = token_rows(lengths, shape["vocab_size"])

    def ours(some: list[Any]) -> int:
        return sum(len(found.rows) for found in predictor.predict_tokens(some))

    @torch.inference_mode()
    def theirs(some: list[Any]) -> int:
        done = 0
        for start in range(0, len(some), batch):
            padded = tokens.pad(some[start : start + batch], device)
            logits = plain(input_ids=padded.ids, attention_mask=padded.mask).logits
            done += len(logits.float().softmax(-1).cpu())
        return done

    ours_rate, theirs_rate = rates([ours, theirs], rows, batch, device)
    print(
        f"{name}: {ours_rate:,.0f} items/s, plain transformers {theirs_rate:,.0f}, ratio {ours_rate / theirs_rate:.2f}, "
        f"{len(rows)} items of {np.mean(lengths):.0f} tokens",
        flush=True,
    )


def rates(
    sides: list[Callable[[list[Any]], int]], rows: list[Any], batch: int, device: str
) -> tuple[float, ...]:
    """Return items a second of each side, in turns, medians of three after a warm batch."""
    seconds: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side(rows[:batch])
    for _ in range(3):
        for side, mine in zip(sides, seconds, strict=True):
            wait(device)
            began = time.perf_counter()
            assert side(rows) == len(rows)
            mine.append(time.perf_counter() - began)
    return tuple(len(rows) / statistics.median(mine) for mine in seconds)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tflops",
        type=float,
        help="peak of the GPU, where its name is not known here or a card is throttled",
    )
    parser.add_argument(
        "--batch", type=int, default=8, help="pairs a training step; halved where they do not fit"
    )
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed, after three")
    parser.add_argument("--items", type=int, default=2048, help="items that are graded")
    parser.add_argument(
        "--tiny", action="store_true", help="tiny shapes on the CPU: shows that the command works"
    )
    given = parser.parse_args(arguments)
    if min(given.batch, given.steps, given.items) < 1 or (given.tflops is not None and given.tflops <= 0):
        print("--batch, --steps, --items and --tflops have to be above 0.")
        return 2
    import torch

    shapes, length, grading = {"1.7B full": FULL, "7B LoRA": LORA}, 1024, 64
    small, device, peak = SMALL, "cuda", given.tflops
    if given.tiny:
        print("Tiny shapes on the CPU: this shows that the command works and measures nothing.")
        shapes = {name: {"model_type": shape["model_type"], **TINY} for name, shape in shapes.items()}
        small, device, peak, length, grading = {"model_type": "qwen3", **TINY}, "cpu", None, 64, 4
        given = argparse.Namespace(batch=2, steps=2, items=12)
    elif not torch.cuda.is_available():
        print(
            "This benchmark needs an NVIDIA GPU with CUDA, and there is none here (--tiny runs it on the CPU)."
        )
        return 2
    else:
        name = torch.cuda.get_device_name()
        peak = peak or next((tflops for part, tflops in PEAKS.items() if part in name), None)
        if peak is None:
            print(f"The peak of a {name} is not known here; give it as --tflops.")
            return 2
        print(f"{name}, peak {peak:g} TFLOP/s, torch {torch.__version__}, CUDA {torch.version.cuda}")
    reached = [
        train(
            name,
            recipe(length, given.batch, {} if name == "7B LoRA" else None),
            shape,
            device,
            given.steps,
            peak,
        )
        for name, shape in shapes.items()
    ]
    lengths = np.random.default_rng(0).integers(length // 16, length + 1, given.items).tolist()
    halved = {key: small[key] // 2 for key in ("num_hidden_layers", "intermediate_size")}
    grade("0.6B" if device == "cuda" else "0.6B, tiny", small, device, lengths, grading)
    grade(
        "its student" if device == "cuda" else "its student, tiny", small | halved, device, lengths, grading
    )
    below = [
        mfu for mfu, wanted in zip(reached, TARGETS.values(), strict=True) if mfu is not None and mfu < wanted
    ]
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())

"""The benchmark for GPU machines, on a machine that has none: its command runs, and its figures follow the formula."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")
pytest.importorskip("peft", reason="needs the train extra")

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def gpu() -> Iterator[Any]:
    """The benchmark as a module; it imports its neighbour."""
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("benchmarks_gpu", FOLDER / "gpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(FOLDER))


@pytest.mark.slow
def test_the_command_works() -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, str(FOLDER / "gpu.py"), "--tiny"],
        env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "Tiny shapes on the CPU: this shows that the command works and measures nothing."
    assert [line.split(":")[0] for line in said[1:]] == [
        "1.7B full",
        "7B LoRA",
        "0.6B, tiny",
        "its student, tiny",
    ]
    assert all(line.endswith("tiny: no MFU") for line in said[1:3])
    assert "%" not in done.stdout


def test_without_a_gpu_it_says_that_it_needs_one(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert "needs an NVIDIA GPU" in capsys.readouterr().out
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Unheard Of 3000")
    assert gpu.main([]) == 2
    assert "The peak of a Unheard Of 3000 is not known here; give it as --tflops." in capsys.readouterr().out
    assert gpu.main(["--batch", "0"]) == 2


def test_mfu_is_arithmetic_over_time_and_peak(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer of the 1.7B has 2 * 2048² (q, o) + 2 * 2048 * 1024 (k, v) + 3 * 2048 * 6144 = 50,331,648 parameters.

    28 layers: N = 1,409,286,144. A token of 1,024: 6 N + 12 * 28 * 2048 * 1024 = 9,160,359,936 FLOPs; 8 * 1,024 tokens:
    7.50417e13. In a second, of a peak of 1.5e14: 0.500278. The first three steps do not count.
    """
    monkeypatch.setattr(gpu, "steps", lambda *_: iter([9.0, 9.0, 9.0, 1.0, 1.0, 1.0]))
    found = gpu.train("1.7B full", gpu.recipe(1024, 8), gpu.FULL, "cpu", 3, 150.0)
    assert found == pytest.approx(0.500278, abs=1e-6)
    assert gpu.train("1.7B full", gpu.recipe(1024, 8), gpu.FULL, "cpu", 3, None) is None


def test_a_batch_that_does_not_fit_is_halved(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def steps(given: Any, *_: Any) -> Iterator[float]:
        if given.schedule.batch_size > 2:
            raise torch.cuda.OutOfMemoryError("full")
        return iter([1.0] * 5)

    monkeypatch.setattr(gpu, "steps", steps)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    gpu.train("7B LoRA", gpu.recipe(1024, 8, {}), gpu.LORA, "cpu", 2, None)
    said = capsys.readouterr().out
    assert "8 pairs are too many for this GPU's memory; trying 4" in said
    assert "7B LoRA: 2 x 1024 tokens, 2,048 tokens/s" in said

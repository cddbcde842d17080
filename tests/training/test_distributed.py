"""Two processes that torchrun starts train as one does: the same losses, the same checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from rank_samples import SCENARIOS, encoder, scenario, train  # noqa: E402
from training_samples import policy  # noqa: E402

from workbench.errors import BadInput  # noqa: E402
from workbench.training import ranks  # noqa: E402
from workbench.training.distributed import Parallel  # noqa: E402
from workbench.training.model import load_checkpoint, new_scorer  # noqa: E402
from workbench.training.ranks import Ranks, told_ranks  # noqa: E402

HERE = Path(__file__).parent
TIMED = {"pairs_per_s", "tokens_per_s"}


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in two processes on the CPU."""
    paths = os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parents[1])])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of what one process and what two of them made of all scenarios."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    encoder(two / "model")
    done = torchrun(str(HERE / "rank_samples.py"), str(two))
    assert done.returncode == 0, done.stdout + done.stderr
    for name in SCENARIOS:
        (one / f"{name}.json").write_text(json.dumps(train(name, two / "model", one / name)))
    return one, two


def heard(folder: Path, name: str) -> dict[str, Any]:
    """What was heard of a scenario."""
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_two_processes_train_as_one(both: tuple[Path, Path], name: str) -> None:
    one, two = (heard(folder, name) for folder in both)
    steps = [row for row in one["rows"] if "step" in row]
    assert len(steps) >= 6
    assert len({row["loss"] for row in steps}) == len(steps)  # the weights change
    # Sums are added up in another order, in float32: what differs by more is another training.
    for ours, theirs in zip(one["rows"], two["rows"], strict=True):
        known = {key: value for key, value in ours.items() if value is not None and key not in TIMED}
        assert {key for key, value in theirs.items() if value is None} == ours.keys() - known.keys() - TIMED
        assert {key: theirs[key] for key in known} == pytest.approx(known, rel=1e-4, abs=1e-5)
    assert [line.split(",")[0] for line in one["lines"]] == [line.split(",")[0] for line in two["lines"]]


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_two_processes_leave_the_checkpoint_of_one(both: tuple[Path, Path], name: str) -> None:
    one, two = (load_checkpoint(folder / name / "checkpoint", policy()) for folder in both)
    assert one.record.figures.keys() == two.record.figures.keys()
    assert one.record.figures["parameters"] == two.record.figures["parameters"]
    ours, theirs = one.scorer.state_dict(), two.scorer.state_dict()
    assert ours.keys() == theirs.keys()
    for key in ours:
        # Of a gradient that is almost 0 the first steps of Adam take the sign, so a few weights may part by two
        # learning rates (1e-3, heads 1e-2) a step; most may not.
        apart = (ours[key] - theirs[key]).abs()
        assert apart.median() < 1e-5, key
    assert not list((both[1] / name).glob("best-*"))
    assert not (both[1] / name / "state.safetensors").exists()


def test_shares_are_parts_of_the_batch_and_come_back_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """All ranks in one process: what each sends is kept, and each gets what all sent."""
    rows = torch.arange(5).numpy()
    shares = [Ranks(rank, 3).share(rows).tolist() for rank in range(3)]
    assert shares == [[0, 3], [1, 4], [2]]
    assert [Ranks(rank, 3).share(rows[:1]).tolist() for rank in range(3)] == [[0], [0], [0]]
    answers = [torch.tensor([[float(row), 10.0 * row] for row in share]) for share in shares]
    sent = [torch.cat([a, torch.zeros(2 - len(a), 2)]) for a in answers]

    def all_gather(parts: list[Any], mine: Any) -> None:
        assert any(torch.equal(mine, part) for part in sent)
        for part, other in zip(parts, sent, strict=True):
            part.copy_(other)

    monkeypatch.setattr(ranks.distributed, "all_gather", all_gather)
    for rank, answer in enumerate(answers):
        mine = answer.clone().requires_grad_()
        found = Ranks(rank, 3).gathered({"a": mine[:, :1], "b": mine[:, 1:]}, 5)
        assert found["a"].tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]
        assert found["b"].tolist() == [[0.0], [10.0], [20.0], [30.0], [40.0]]
        # Each row times its position: a rank's gradient is the positions of its own rows.
        (found["a"] * torch.arange(5.0)[:, None]).sum().backward()
        assert mine.grad is not None
        assert mine.grad.tolist() == [[float(row), 0.0] for row in shares[rank]]


def test_random_numbers_are_a_rank_s_own_and_a_step_s_again() -> None:
    def drawn(rank: int, world: int, step: int) -> float:
        Ranks(rank, world).seed(3, step)
        return float(torch.rand(()))

    assert drawn(0, 2, 5) == drawn(0, 2, 5)
    assert len({drawn(0, 2, 5), drawn(1, 2, 5), drawn(0, 2, 6)}) == 3
    assert drawn(0, 1, 5) != drawn(0, 1, 5)  # alone, the generator goes on


def test_what_cannot_be_sharded_is_refused(tmp_path: Path) -> None:
    model = encoder(tmp_path / "model")
    sharded, _ = scenario("sharded", model)
    scorer, _ = new_scorer(sharded, policy())
    for change, said in (
        ({"pooling": "fields"}, "pooling: fields"),
        ({"adapter": {"rank": 2}}, "beside an adapter"),
    ):
        changed = type(sharded).model_validate(sharded.model_dump() | change)
        with pytest.raises(BadInput, match=said):
            Parallel(scorer, changed, Ranks(0, 2))
    Parallel(scorer, sharded, Ranks())  # one process has nothing to shard


def test_the_environment_tells_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert told_ranks() == 1
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert told_ranks() == 4
    monkeypatch.setenv("WORLD_SIZE", "some")
    with pytest.raises(BadInput, match="WORLD_SIZE is 'some'"):
        told_ranks()

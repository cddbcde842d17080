"""A judge run over HTTP against a real `transformers serve` process, with a tiny model made here that knows one reply.

The model is a Llama of some 600,000 weights that has learnt by heart what to answer to the pairs of this test.
So everything is real but its wisdom: weights from disk, chat template, generation, the server's own HTTP.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
transformers = pytest.importorskip("transformers", reason="needs the train extra")
for server_part in ("fastapi", "uvicorn"):
    pytest.importorskip(server_part, reason="transformers serve needs fastapi and uvicorn")

from workspace_samples import NAME, golden_set, pair  # noqa: E402

from workbench import jobs, judge_registry  # noqa: E402
from workbench.judge_runs import start_run  # noqa: E402
from workbench.prompt import messages  # noqa: E402
from workbench.run import LlmSpec  # noqa: E402
from workbench.workspace import Workspace  # noqa: E402

pytestmark = pytest.mark.slow

REPLY = json.dumps(
    {
        "taste": {"reason": "Smoke was asked for.", "cites": ["taste.1"], "grade": 2},
        "strength": {"reason": "No wish about it.", "cites": ["strength.1"], "grade": "N/A"},
    }
)
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MARKS = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
TEAS = [pair(f"wish {i}", f"tea {i}") for i in range(6)]


def tokenizer_of(texts: list[str]) -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: it can write any text, and the texts it was made of in few tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        special_tokens=MARKS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<|pad|>", eos_token="<|end|>"
    )
    fast.chat_template = TEMPLATE
    return fast


def make_model(folder: Path, prompts: list[list[dict[str, str]]]) -> None:
    """Write a model that answers REPLY to prompts like these."""
    torch.manual_seed(0)
    tokenizer = tokenizer_of([REPLY, *(m["content"] for m in prompts[0])])
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=8192, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    answer = tokenizer.encode(REPLY + "<|end|>")
    deadline = time.monotonic() + 40
    sure = 0
    for step in range(1000):
        asked = tokenizer.apply_chat_template(
            prompts[step % len(prompts)], add_generation_prompt=True, return_dict=False
        )
        ids = torch.tensor([[*asked, *answer]])
        logits = model(ids, logits_to_keep=len(answer) + 1).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(answer))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        # Greedy decoding never leaves the way on which it was right, so this is enough.
        sure = sure + 1 if loss.item() < 0.01 and logits.argmax(-1).tolist() == answer else 0
        if sure == 2 * len(prompts):
            break
        assert time.monotonic() < deadline, (
            f"the model has not learnt its reply: loss {loss.item():.3f} after {step}"
        )
    model.generation_config = transformers.GenerationConfig(
        do_sample=False, max_new_tokens=len(answer) + 10, eos_token_id=1, pad_token_id=0
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[str]:
    """Start `transformers serve` on a free loopback port, and end it by its own process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).with_name("transformers")
    with log.open("wb") as out:
        server = subprocess.Popen(
            [command, "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            assert server.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-2000:]
            assert time.monotonic() < deadline, "the server did not start within 60 s"
            try:
                with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except (URLError, OSError):
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(timeout=10)


def test_a_run_against_transformers_serve(workspace: Workspace, tmp_path: Path) -> None:
    policy = workspace.store.policy(NAME)
    golden_set(workspace, [(tea, {"taste": 2}) for tea in TEAS])
    folder = tmp_path / "tiny-llama"
    make_model(folder, [messages(policy, tea) for tea in TEAS])
    assert list(folder.glob("*.safetensors"))
    with serving(folder, tmp_path / "serve.log") as url:
        judge = LlmSpec(
            model=str(folder), base_url=url, concurrency=2, timeout_s=60, params={"max_tokens": 200}
        )
        run = start_run(workspace, judge, policy=NAME, golden="tea", author="Ida")
        list(jobs.wait(workspace, [f"job-{run.id}"]))
        # The same server on another question: what it gives is a reply to something else, and named as such.
        other = judge_registry.test_call(workspace, judge)
    done = workspace.store.run(run.id)
    assert (done.status, done.error) == ("finished", "")
    assert (done.totals.pairs, done.totals.judgements, done.totals.failed) == (6, 12, 0)
    assert done.totals.input_tokens > 0
    assert done.totals.output_tokens > 0
    judgements = workspace.store.judgements(run.id, [tea.id for tea in TEAS])
    for tea in TEAS:
        taste, strength = judgements[tea.id]["taste"], judgements[tea.id]["strength"]
        assert (taste.grade, taste.rationale, taste.cites) == (2, "Smoke was asked for.", ("taste.1",))
        assert strength.not_applicable
    assert not other.works
    assert "did not fit the policy, twice" in other.said or "cut off at the token limit" in other.said

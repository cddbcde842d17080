"""Where a language model's key comes from."""

from __future__ import annotations

import pytest

from workbench.run import LlmSpec
from workbench.run_plan import RunPlan, key_variable


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"model": "openai/gpt-5-mini"}, ("OPENAI_API_KEY", True)),
        ({"model": "anthropic/claude-haiku-4-5"}, ("ANTHROPIC_API_KEY", False)),
        ({"model": "azure-ai/x"}, ("AZURE_AI_API_KEY", False)),
        ({"model": "local", "base_url": "http://127.0.0.1:1/v1"}, ("", False)),
        ({"model": "openai/x", "base_url": "http://127.0.0.1:1/v1"}, ("", False)),  # never the OpenAI key
        ({"model": "local", "base_url": "http://127.0.0.1:1/v1", "api_key_env": "MINE"}, ("MINE", True)),
    ],
)
def test_the_key_comes_from(spec: dict[str, str], expected: tuple[str, bool]) -> None:
    assert key_variable(LlmSpec.model_validate(spec)) == expected


def test_tokens_are_a_quarter_of_the_characters() -> None:
    plan = RunPlan(pairs=10, dev_pairs=6, sends=True, prompt_characters=4000, pair_characters=402)
    assert plan.prompt_tokens == 1000
    assert plan.input_tokens == 11_000  # 4402 // 4 = 1100 a call

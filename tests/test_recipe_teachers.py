"""What recipes of teachers and distilled students must say, and how a mistake in them is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.documents import read_recipe
from workbench.errors import BadInput
from workbench.recipe import Lora

ROOT = Path(__file__).parents[1]
TEXT = """\
recipe: tiny-1.7b
kind: student
policy: job-match
backbone: minilm
adapter: {rank: 8}
heads: [policy, click]
losses:
  click: {bce: 1, bias: position_tower}
teachers:
  - {checkpoint: policy-mini, temperature: 2}
data:
  golden: job-match
  dataset: pool
  clicks: log
resources: {gpus: 1}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "tiny-1.7b.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_says_all_of_it(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, TEXT))
    assert recipe.adapter == Lora(rank=8)
    assert recipe.heads == ("policy", "click")
    assert recipe.tower == 50
    assert recipe.teachers[0].temperature == 2
    assert recipe.weights.policy.cross_entropy == 1.0


@pytest.mark.parametrize(("word", "adapter"), [("full", None), ("lora", Lora())])
def test_an_adapter_may_be_one_word(tmp_path: Path, word: str, adapter: Lora | None) -> None:
    assert read_recipe(write(tmp_path, TEXT.replace("{rank: 8}", word))).adapter == adapter


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("rank: 8", "rnk: 8", 5, "at adapter.rnk: this key is not known here; did you mean 'rank'?"),
        ("heads:", "head:", 6, "at head: this key is not known here; did you mean 'heads'?"),
        ("bias: pos", "biases: pos", 8, "at losses.click.biases: this key is not known here; did you mean 'bias'?"),
        ("temperature: 2", "heat: 2", 10, "at teachers.[1].heat: this key is not known here"),
        ("  dataset: pool", "  datset: pool", 13, "at data.datset: this key is not known here; did you mean 'dataset'?"),
        ("[policy, click]", "[policy, clicks]", 6, "at heads[2]: Input should be 'policy' or 'click'"),
        ("[policy, click]", "[policy, policy]", 1, "'heads' names one kind twice"),
        ("[policy, click]", "[policy]", 1, "'data.clicks' is given and 'heads' has no 'click'"),
        ("rank: 8}", "rank: 8}\ninit_from: other\nlayers: 2", 1, "'layers' cannot be chosen where 'init_from'"),
        ("temperature: 2", "heads: [click]}\n  - {checkpoint: x, heads: []", 1, ""),
        ("bce: 1", "pairwise: 1", 8, "a position tower corrects 'bce' only"),
        ("recipe: tiny-1.7b", "recipe: tiny..7b", 1, "at recipe"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_line_key_and_what_was_meant(
    tmp_path: Path, old: str, new: str, line: int, says: str
) -> None:
    assert TEXT.count(old) == 1
    path = write(tmp_path, TEXT.replace(old, new))
    if not says:  # a list of no heads is as good as none
        assert read_recipe(path).teachers[1].heads == ()
        return
    with pytest.raises(BadInput) as caught:
        read_recipe(path)
    assert says.replace("teachers.[1]", "teachers[1]") in caught.value.message, caught.value.message
    assert caught.value.message.startswith(f"{path}, line {line}"), caught.value.message


def test_a_click_head_needs_something_to_learn_from(tmp_path: Path) -> None:
    text = TEXT.replace("  clicks: log\n", "").replace(
        "teachers:\n  - {checkpoint: policy-mini, temperature: 2}\n", ""
    )
    with pytest.raises(BadInput, match="the click head learns from nothing"):
        read_recipe(write(tmp_path, text))


def test_a_teacher_of_a_head_that_is_not_trained(tmp_path: Path) -> None:
    text = TEXT.replace("[policy, click]", "[policy]").replace("  clicks: log\n", "")
    text = text.replace("temperature: 2", "heads: [click]")
    with pytest.raises(
        BadInput, match="teacher 'policy-mini' is to teach click, and the recipe's heads are policy"
    ):
        read_recipe(write(tmp_path, text))


def test_fields_that_came_later_leave_old_identities_alone(tmp_path: Path) -> None:
    old = read_recipe(ROOT / "students/ranker-mini.yaml")
    # Computed with the recipe's fields as they were before heads, adapters and teachers.
    assert old.content_hash == "recipe-f4767a7e1f24ce525cc6d54a49114cb1"
    new = old.model_copy(update={"gradient_checkpointing": True})
    assert new.content_hash != old.content_hash


def test_shipped_recipes_are_valid_and_name_one_another() -> None:
    files = [*ROOT.glob("teachers/*.yaml"), *ROOT.glob("students/*.yaml")]
    recipes = {path.stem: read_recipe(path) for path in files}
    wanted = {
        "policy-mini",
        "click-mini",
        "policy-7b",
        "click-7b",
        "ranker-1.7b",
        "ranker-0.6b",
        "ranker-mini",
    }
    assert wanted <= recipes.keys()
    for recipe in recipes.values():
        named = [teacher.checkpoint for teacher in recipe.teachers] + [recipe.init_from or "ranker-mini"]
        assert set(named) <= recipes.keys()
        if recipe.init_from:
            parent = recipes[recipe.init_from]
            assert (parent.backbone, parent.pooling) == (recipe.backbone, recipe.pooling)
        for teacher in recipe.teachers:
            heads = recipes[teacher.checkpoint].heads
            assert set(teacher.heads or heads) <= set(heads)
    assert recipes["click-7b"].init_from == "policy-7b"
    assert recipes["ranker-0.6b"].teachers[0].checkpoint == "ranker-1.7b"

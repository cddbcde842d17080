"""Data set recipes and cards: what is read, what is refused, and in which words."""

from __future__ import annotations

import pytest
from dataset_samples import EXAMPLE, recipe

from workbench.dataset import ProductsPool, dataset_id, parse_recipe, with_changes
from workbench.errors import BadInput, NotFound

TEXT = EXAMPLE.read_text()


def test_the_example_is_read() -> None:
    found = parse_recipe(TEXT, EXAMPLE.name)
    assert isinstance(found.pool, ProductsPool)
    assert found.pool.queries.fields == {"wishes": "wish", "mood": "mood"}
    assert (found.size, found.choose, found.near_duplicates) == (20, "coverage", 0.8)
    assert found.content_hash == parse_recipe(TEXT + "\n# a remark\n", "x").content_hash


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seed: 7", "sead: 7", r"tea.yaml, line 17 at sead: this key is not known here"),
        ("size: 20", "size: 0", r"line 14 at size: Input should be greater than or equal to 1"),
        ("kind: products", "kind: product", r"line 4 at pool.*product"),
        ("near: 3\n  random: 2", "near: 0\n  random: 0", r"both 0, so there is no pair"),
        ("{file: teas.csv}", "{file: teas.csv, golden: tea}", r"give either 'file' or 'golden'"),
        ("{file: teas.csv}", "{golden: tea, fields: {title: name}}", r"a golden set has its fields already"),
        ("validation: 0.2", "validation: 1", r"at validation: Input should be less than 1"),
        ("{kind: baseline, use_embeddings: false}", "{kind: oracle}", r"at judge: .*oracle"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_place(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(BadInput, match=said):
        parse_recipe(TEXT.replace(old, new), "tea.yaml")


def test_fields_are_changed_by_dotted_name() -> None:
    found = with_changes(parse_recipe(TEXT, "x"), {"pool.near": 1, "size": None, "judge.kind": "baseline"})
    assert (found.pool.near, found.size) == (1, None)  # type: ignore[union-attr]
    with pytest.raises(NotFound, match=r"pool\.nere.*Did you mean pool\.near"):
        with_changes(found, {"pool.nere": 1})
    with pytest.raises(NotFound, match=r"size\.of"):
        with_changes(found, {"size.of": 1})
    with pytest.raises(BadInput, match="Recipe teas at probes"):
        with_changes(recipe(), {"probes": 2})


def test_ids() -> None:
    assert dataset_id("tea-pool", "dataset-0123456789abcdef") == "tea-pool-01234567"

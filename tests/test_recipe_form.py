"""A recipe's simple fields, read from its schema."""

from __future__ import annotations

from typing import Any

from workbench.recipe import StudentRecipe
from workbench.recipe_form import RecipeField, recipe_fields
from workbench.training_runs import changed, with_changes


def recipe(**data: Any) -> StudentRecipe:
    return StudentRecipe.model_validate(
        {"recipe": "tiny", "policy": "fit", "backbone": "minilm", "data": {"golden": "bakers", **data}}
    )


def by_name(found: list[RecipeField]) -> dict[str, RecipeField]:
    return {field.name: field for field in found}


def test_numbers_choices_and_parts_are_found_and_texts_are_left_out() -> None:
    fields = by_name(recipe_fields(recipe()))
    assert fields["schedule.epochs"].kind == "whole"
    assert (fields["schedule.epochs"].low, fields["schedule.epochs"].high) == (1, 1000)
    assert fields["schedule.learning_rate"].kind == "number"
    assert fields["schedule.learning_rate"].low is None  # above 0, which no inclusive bound says
    assert fields["schedule.decay"].choices == ("linear", "cosine")
    assert fields["layers"].optional
    assert {fields["layers"].group, fields["schedule.epochs"].group, fields["data.golden_weight"].group} == {
        "Model", "Schedule", "Data",
    }  # fmt: skip
    assert fields["data.soft_labels"].kind == "part"
    assert fields["data.soft_labels.weight"].part == "data.soft_labels"
    texts = {"recipe", "description", "policy", "backbone", "kind", "data.golden", "data.soft_labels.run"}
    assert not texts & set(fields)


def test_every_field_says_what_it_is() -> None:
    assert [field.name for field in recipe_fields(recipe()) if not field.help] == []


def test_a_part_that_the_recipe_leaves_out_offers_its_defaults() -> None:
    fields = by_name(recipe_fields(recipe(soft_labels=None)))
    part = fields["data.soft_labels"]
    assert part.value is None
    assert part.default == {"run": "latest", "weight": 0.5, "temperature": 1.0}
    assert fields["data.soft_labels.weight"].value == 0.5
    put_in = with_changes(
        recipe(soft_labels=None), {"data.soft_labels": part.default, "data.soft_labels.weight": 2.0}
    )
    assert put_in.data.soft_labels is not None
    assert put_in.data.soft_labels.weight == 2.0


def test_all_values_of_the_form_together_are_the_recipe() -> None:
    plain = recipe()
    same = with_changes(plain, {field.name: field.value for field in recipe_fields(plain)})
    assert same == plain
    assert changed(plain, same) == {}


def test_changes_are_named_with_both_values() -> None:
    plain = recipe()
    other = with_changes(plain, {"schedule.epochs": 9, "data.soft_labels": None})
    found = changed(plain, other)
    assert found["schedule.epochs"] == (4, 9)
    assert found["data.soft_labels.weight"] == (0.5, None)
    assert "schedule.batch_size" not in found

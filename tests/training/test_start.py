"""A recipe that prunes its start: what goes, that the rest is trained, saved and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import Heard, examples, policy, recipe, tiny  # noqa: E402

from workbench.errors import BadInput  # noqa: E402
from workbench.recipe import StudentRecipe  # noqa: E402
from workbench.training.compress import least_important, scorer_importance  # noqa: E402
from workbench.training.fit import fit  # noqa: E402
from workbench.training.model import load_checkpoint, new_scorer  # noqa: E402
from workbench.training.start import starting_scorer  # noqa: E402


@pytest.fixture(params=["encoder", "decoder"])
def backbone(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A tiny backbone of each architecture: two layers, an MLP of 32."""
    return tiny(tmp_path / "model", request.param)


def test_a_pruned_teacher_is_distilled_saved_and_read_again(backbone: Any, tmp_path: Path) -> None:
    big = fit(recipe(backbone, pooling="mean"), policy(), examples(), tmp_path / "big", Heard())
    smaller = recipe(
        backbone, pooling="mean", init_from="tea-mini", prune={"mlp": 0.5, "drop_layers": 1, "measured_on": 5}
    )
    done = fit(smaller, policy(), examples(), tmp_path / "small", Heard(), start=big.folder)
    made = load_checkpoint(done.folder, policy())
    config: Any = made.scorer.backbone.config
    assert (config.num_hidden_layers, config.intermediate_size) == (1, 16)  # of 2 and 32
    whole: Any = load_checkpoint(big.folder).scorer.backbone.config
    assert (whole.num_hidden_layers, whole.intermediate_size) == (2, 32)


def test_the_layers_that_go_are_those_named_or_of_least_influence(backbone: Any) -> None:
    pairs = [example.pair for example in examples()]
    plain = recipe(backbone, pooling="mean")
    whole, tokens = new_scorer(plain, policy())
    (least,) = least_important(scorer_importance(whole, tokens, pairs), 1)

    def weights(**prune: Any) -> Any:
        cut, _ = starting_scorer(recipe(backbone, pooling="mean", prune=prune), policy(), None, pairs)
        return torch.cat([p.flatten() for p in cut.backbone.parameters()])

    named = [weights(without=[0]), weights(without=[1])]
    chosen = weights(drop_layers=1, measured_on=len(pairs))
    torch.testing.assert_close(chosen, named[least])
    assert not torch.equal(chosen, named[1 - least])


def test_what_cannot_be_pruned_is_said_before_training(backbone: Any) -> None:
    pairs = [example.pair for example in examples()]
    with pytest.raises(BadInput, match="prunes 2 layers, and its start has 2"):
        starting_scorer(recipe(backbone, prune={"drop_layers": 2}), policy(), None, pairs)
    with pytest.raises(BadInput, match="There is no layer 7"):
        starting_scorer(recipe(backbone, prune={"without": [7]}), policy(), None, pairs)
    for wrong, reason in (
        ({}, "nothing is left out"),
        ({"drop_layers": 1, "without": [0]}, "either 'drop_layers' or"),
    ):
        with pytest.raises(ValueError, match=reason):
            recipe(backbone, prune=wrong)
    with pytest.raises(ValueError, match="'prune' cuts the weights that 'adapter'"):
        recipe(backbone, prune={"mlp": 0.5}, adapter={})


def test_recipes_without_the_later_fields_keep_their_identity(backbone: Any) -> None:
    plain = recipe(backbone)
    named = StudentRecipe.model_validate(
        plain.model_dump() | {"prune": None, "tracking": None, "field_tokens": {}}
    )
    assert named.content_hash == plain.content_hash
    assert recipe(backbone, prune={"mlp": 0.5}).content_hash != plain.content_hash

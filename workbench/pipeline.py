"""Pipelines: YAML documents that chain data set, trainings, judge runs and evaluations, and the plan of such a chain.

::

    pipeline: refresh-mini
    policy: job-match
    steps:
      - {step: pool, kind: dataset, recipe: job-match-pool.yaml}    # relative to the pipeline's file; or written out
      - {step: teacher, kind: train, recipe: policy-mini, needs: [pool]}
      - {step: student, kind: train, recipe: ranker-mini, needs: [pool, teacher], set: {schedule.epochs: 2}}
      - {step: figures, kind: evaluate, checkpoint: student, against: teacher, needs: [student, teacher]}

What a recipe names (a data set, ``init_from``, ``teachers``) and a step that it needs makes, is what that step made or
found in this run, and not merely the newest of that name.

A step's key is a hash over everything that its product depends on, so what is there under the same key is taken and not
made again. The key is known once everything that the step needs is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from workbench.dataset import DatasetRecipe
from workbench.errors import BadInput, NotFound
from workbench.identity import content_hash
from workbench.model_evaluation import EvaluatedSplit
from workbench.policy import Filled, Name, Text
from workbench.recipe import Recipe
from workbench.recipe_parts import Part
from workbench.run import JudgeSpec
from workbench.yamltext import YamlText, validate

StepName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)]
StepStatus = Literal["done", "running", "failed", "ready", "waiting", "blocked"]


def _written_as(value: Any) -> str:
    return "name" if isinstance(value, str) else "inline"


class _Step(Part):
    """What all steps have."""

    step: StepName
    needs: tuple[StepName, ...] = Field(default=(), description="Steps that have to be done first.")
    set: dict[str, Any] = Field(default_factory=dict, description="Changes by dotted name of a field.")


class DatasetStep(_Step):
    """Make a data set."""

    kind: Literal["dataset"] = "dataset"
    recipe: Annotated[
        Annotated[Filled, Tag("name")] | Annotated[DatasetRecipe, Tag("inline")], Discriminator(_written_as)
    ] = Field(description="Recipe's file, relative to the pipeline's, or the recipe itself.")


class TrainStep(_Step):
    """Train a teacher or a student."""

    kind: Literal["train"] = "train"
    recipe: Annotated[
        Annotated[Filled, Tag("name")] | Annotated[Recipe, Tag("inline")], Discriminator(_written_as)
    ] = Field(description="Name of a recipe under teachers/ or students/, or the recipe itself.")


class JudgeStep(_Step):
    """Run a judge on a golden set."""

    kind: Literal["judge"] = "judge"
    judge: Annotated[
        Annotated[Filled, Tag("name")] | Annotated[JudgeSpec, Tag("inline")], Discriminator(_written_as)
    ] = Field(description="A saved judge, baseline, checkpoint:NAME, a model id; or the judge written out.")
    golden: Name | None = Field(default=None, description="Golden set; null: the one named like the policy.")


class EvaluateStep(_Step):
    """Evaluate a checkpoint on a golden set, and on a click log where one is named."""

    kind: Literal["evaluate"] = "evaluate"
    checkpoint: Filled = Field(description="A training step that is needed, or a checkpoint's name or id.")
    against: Filled | None = Field(default=None, description="The teacher, named likewise.")
    golden: Name | None = Field(default=None, description="null: the one that the checkpoint learnt from.")
    split: EvaluatedSplit = "dev"
    clicks: Filled | None = Field(default=None, description="Click log for figures of clicks.")
    speed: bool = Field(default=True, description="Measure pairs a second and latency.")


Step = Annotated[DatasetStep | TrainStep | JudgeStep | EvaluateStep, Field(discriminator="kind")]


class Pipeline(Part):
    """A chain of steps; see the module's docstring for the form of its file."""

    pipeline: Name
    description: Text = ""
    policy: Name = Field(description="Policy that all steps are about.")
    steps: tuple[Step, ...] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _a_chain(self) -> Pipeline:
        names = [each.step for each in self.steps]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two steps are called '{name}'; give each a name of its own")
        for each in self.steps:
            for need in each.needs:
                if need not in names:
                    meant = NotFound.among("step", need, [n for n in names if n != each.step])
                    raise ValueError(f"step '{each.step}' needs '{need}', which is no step. {meant.hint}")
        if cycle := _cycle({each.step: each.needs for each in self.steps}):
            raise ValueError(f"steps wait for each other in a circle: {' → '.join(cycle)}")
        return self

    def named(self, name: str) -> Step:
        """Return a step by its name.

        Raises:
            NotFound: with the nearest names there are.
        """
        found = next((each for each in self.steps if each.step == name), None)
        if found is None:
            raise NotFound.among("step", name, [each.step for each in self.steps])
        return found

    def ordered(self) -> tuple[Step, ...]:
        """Return the steps so that each comes after what it needs, else as they are written."""
        left, found = list(self.steps), list[Any]()
        while left:
            done = {each.step for each in found}
            following = next(each for each in left if done.issuperset(each.needs))
            found.append(following)
            left.remove(following)
        return tuple(found)


def _cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return steps of which each needs the next, the last being the first again; [] where there is no circle."""
    sound: set[str] = set()

    def walk(path: list[str]) -> list[str]:
        here = path[-1]
        if here in path[:-1]:
            return path[path.index(here) :]
        if here in sound:
            return []
        for need in needs[here]:
            if found := walk([*path, need]):
                return found
        sound.add(here)
        return []

    return next((found for name in needs if (found := walk([name]))), [])


def parse_pipeline(text: str, where: str) -> Pipeline:
    """Return the pipeline that YAML ``text`` says; ``where`` names it in errors.

    Raises:
        BadInput: one sentence with file, line, place and reason.
    """
    source = YamlText(text, where)
    return validate(Pipeline, source.data, where, source)


def product(step: Step) -> str:
    """Return the name under which recipes know what a resolved step makes; "" for steps that recipes cannot name."""
    if isinstance(step, DatasetStep) and isinstance(step.recipe, DatasetRecipe):
        return step.recipe.dataset
    if isinstance(step, TrainStep) and not isinstance(step.recipe, str):
        return step.recipe.recipe
    return ""


def pins(pipeline: Pipeline, step: Step, made: Mapping[str, str]) -> dict[str, str]:
    """Return name -> id of what a step's needs made, by the names of the steps and by those that recipes use."""
    found: dict[str, str] = {}
    for need in step.needs:
        if need in made:
            found[product(pipeline.named(need)) or need] = made[need]
    return found | {need: made[need] for need in step.needs if need in made}


def check_references(pipeline: Pipeline) -> None:
    """Check that a resolved pipeline's steps need those whose products they name, and that names are unmistakable.

    Raises:
        BadInput: two steps make the same, or a step names what another one makes and does not need that one.
    """
    makers: dict[str, str] = {}
    for each in pipeline.steps:
        if (name := product(each)) and makers.setdefault(name, each.step) != each.step:
            raise BadInput(
                f"Steps '{makers[name]}' and '{each.step}' both make {name}.",
                "Leave one out, or give its recipe another name.",
            )
    for each in pipeline.steps:
        for name in named_by(each):
            maker = makers.get(name, name if name in {one.step for one in pipeline.steps} else each.step)
            if maker not in (each.step, *each.needs):
                raise BadInput(
                    f"Step '{each.step}' uses {name}, which step '{maker}' makes, and does not need that step.",
                    f"Add {maker} to its 'needs'.",
                )


def named_by(step: Step) -> tuple[str, ...]:
    """Return the names of data sets, checkpoints and steps that a resolved step uses."""
    found: list[str | None] = []
    if isinstance(step, EvaluateStep):
        found += [step.checkpoint, step.against]
    elif isinstance(step, TrainStep) and not isinstance(step.recipe, str):
        recipe = step.recipe
        found += [recipe.init_from, *(each.checkpoint for each in recipe.teachers), recipe.data.dataset]
    elif isinstance(step, DatasetStep | JudgeStep):
        found += _checkpoints(step.model_dump(mode="json"))
    return tuple(dict.fromkeys(name for name in found if name))


def _checkpoints(data: Any) -> list[str]:
    """Return the checkpoints that judges somewhere in plain data name."""
    if isinstance(data, dict):
        own = [data["checkpoint"]] if data.get("kind") == "checkpoint" else []
        return own + [name for value in data.values() for name in _checkpoints(value)]
    return [name for value in data for name in _checkpoints(value)] if isinstance(data, list) else []


def with_checkpoints(data: Any, known: Mapping[str, str]) -> Any:
    """Return plain data in which judges that are checkpoints are named by id."""
    if isinstance(data, dict):
        changed = {key: with_checkpoints(value, known) for key, value in data.items()}
        if data.get("kind") == "checkpoint":
            changed["checkpoint"] = known.get(data["checkpoint"], data["checkpoint"])
        return changed
    return [with_checkpoints(value, known) for value in data] if isinstance(data, list) else data


def step_key(kind: str, parts: Mapping[str, Any]) -> str:
    """Return the identity of what a step makes: the same inputs have the same key."""
    return content_hash("step", [kind, dict(parts)])


@dataclass(frozen=True)
class StepState:
    """What is known of one step by itself, once all that it needs is done."""

    status: Literal["done", "running", "failed", "ready", "blocked"]
    what: str = ""  # id of what it made or found
    reused: bool = False  # it was there
    reason: str = ""
    key: str = ""


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan. ``key`` is "" while something that the step needs is not made."""

    step: Step
    status: StepStatus
    what: str = ""
    reused: bool = False
    reason: str = ""
    key: str = ""


Look = Callable[[Any, Mapping[str, str]], StepState]
"""From a step and what its needs made (step -> id) to what is known of it."""


def plan(pipeline: Pipeline, look: Look) -> tuple[PlannedStep, ...]:
    """Return what is to be said of each step, in an order in which they can be made.

    Args:
        pipeline: the chain.
        look: asked about a step once everything that it needs is done.
    """
    found: dict[str, PlannedStep] = {}
    for step in pipeline.ordered():
        needs = [found[name] for name in step.needs]
        stopped = [need for need in needs if need.status in ("failed", "blocked")]
        missing = [need.step.step for need in needs if need.status != "done"]
        if stopped:
            first = stopped[0]
            why = f"{first.step.step} failed: {first.reason}" if first.status == "failed" else first.reason
            found[step.step] = PlannedStep(step, "blocked", reason=why)
        elif missing:
            found[step.step] = PlannedStep(step, "waiting", reason=f"depends on {', '.join(missing)}")
        else:
            state = look(step, {need.step.step: need.what for need in needs})
            found[step.step] = PlannedStep(
                step, state.status, state.what, state.reused, state.reason, state.key
            )
    return tuple(found.values())

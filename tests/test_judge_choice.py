"""What judge a person names or describes: read from a word or a file, checked, filled in."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from workspace_samples import golden_set, pair

from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.judge_choice import (
    filled,
    judge_from_file,
    judge_from_text,
    judge_from_yaml,
    judge_name,
    models_of,
    preliminary_identity,
)
from workbench.judges.batch import BatchJudge
from workbench.judges.build import Inputs, build_judge
from workbench.judges.cascade import CascadeJudge
from workbench.judges.ensemble import EnsembleJudge
from workbench.judges.llm import LlmJudge
from workbench.judges.repeated import RepeatedJudge
from workbench.run import (
    BaselineSpec,
    CalibratedSpec,
    CascadeSpec,
    EnsembleSpec,
    JudgeSpec,
    LlmSpec,
    PluginSpec,
)
from workbench.workspace import Workspace

SMALL = LlmSpec(model="openai/small", params={"logprobs": True})
LARGE = LlmSpec(model="openai/large")

ENSEMBLE = """\
kind: ensemble
name: Three
members:
  - kind: llm
    model: openai/small
    params: {temperature: 0.7}
    repeats: 3
    mode: {scope: dimension}
  - {kind: plugin, plugin: ours, params: {depth: 2}}
  - kind: calibrated
    method: isotonic
    judge: {kind: baseline}
weights: [1, 2, 0.5]
"""


def test_a_file_describes_a_judge_of_judges(tmp_path: Path) -> None:
    path = tmp_path / "three.yaml"
    path.write_text(ENSEMBLE, encoding="utf-8")
    judge = judge_from_file(path)
    assert isinstance(judge, EnsembleSpec)
    first, second, third = judge.members
    assert isinstance(first, LlmSpec)
    assert (first.repeats, first.mode.scope, first.params) == (3, "dimension", {"temperature": 0.7})
    assert second == PluginSpec(plugin="ours", params={"depth": 2})
    assert third == CalibratedSpec(judge=BaselineSpec(), method="isotonic")
    assert judge.weights == (1, 2, 0.5)
    with pytest.raises(NotFound, match="no file"):
        judge_from_file(tmp_path / "four.yaml")


def test_a_cascade_in_yaml() -> None:
    text = """\
        kind: cascade
        first: {kind: llm, model: openai/small, params: {logprobs: true}}
        second: {kind: llm, model: openai/large}
        sure_at: 0.9
        """
    assert judge_from_yaml(dedent(text), "c.yaml") == CascadeSpec(first=SMALL, second=LARGE, sure_at=0.9)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: ensemble\n", "", "three.yaml, line 1: it does not say which kind of judge it is"),
        (
            "kind: ensemble",
            "kind: jury",
            "three.yaml, line 1: 'jury' is no kind of judge here; there is 'llm',",
        ),
        ("repeats: 3", "repeats: 0", "three.yaml, line 7 at members[1].repeats: Input should be greater"),
        (
            "scope: dimension",
            "scope: none",
            "three.yaml, line 8 at members[1].mode.scope: Input should be 'all' or",
        ),
        (
            "depth: 2",
            "depth: 2}, speed: {a: 1",
            "three.yaml, line 9 at members[2].speed: this key is not known",
        ),
        # A key that is called like its kind is still found.
        (
            "plugin: ours",
            "plugin: ''",
            "three.yaml, line 9 at members[2].plugin: String should have at least 1",
        ),
        (
            "{kind: baseline}",
            "{kind: ensemble}",
            "line 12 at members[3].judge: 'ensemble' is no kind of judge here",
        ),
        ("{kind: baseline}", "baseline", "three.yaml, line 12 at members[3].judge: "),
        ("[1, 2, 0.5]", "[1, x, 0.5]", "three.yaml, line 13 at weights[2]: Input should be a valid number"),
        ("model: openai/small\n", "\n", "at members[1].model: Field required"),
        ("  - kind: llm", "  - kind: ensemble", "at members[1]: 'ensemble' is no kind of judge here"),
    ],
)
def test_what_is_wrong_in_a_file_has_its_place(old: str, new: str, said: str) -> None:
    assert old in ENSEMBLE
    with pytest.raises(BadInput) as caught:
        judge_from_yaml(ENSEMBLE.replace(old, new), "three.yaml")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- kind: llm", "is not a document with keys"),
        ("", "j.yaml is empty"),
        ("kind: llm\nkind: llm", "'kind' is given twice"),
        ("kind: recorded\nname: x", "recorded judge, which is not run"),
        ("kind: [1]", "j.yaml"),
    ],
)
def test_what_is_no_judge_at_all(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        judge_from_yaml(text, "j.yaml")
    assert said in caught.value.message


def test_a_saved_name_wins_over_everything_else() -> None:
    known: dict[str, JudgeSpec] = {"baseline": LARGE, "house judge": CascadeSpec(first=SMALL, second=LARGE)}
    assert judge_from_text("baseline", known=known) == LARGE
    assert judge_from_text(" house judge ", known=known) == known["house judge"]
    assert judge_from_text("baseline") == BaselineSpec()
    assert judge_from_text("plugin:ours", known=known) == PluginSpec(plugin="ours")
    with pytest.raises(BadInput, match=r"'house juge' is no judge\. Did you mean house judge"):
        judge_from_text("house juge", known=known)


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (EnsembleSpec(members=(SMALL, LARGE), weights=(1,)), "2 members and 1 weights"),
        (EnsembleSpec(members=(SMALL, LARGE), weights=(1, -1)), "A weight of the ensemble is -1"),
        (
            CascadeSpec(first=LARGE, second=SMALL),
            "openai/large is the first judge of a cascade and gives no probabilities",
        ),
        (
            EnsembleSpec(members=(SMALL, LARGE.model_copy(update={"delivery": "batch"}))),
            "openai/large is a member, and members are not delivered by batch",
        ),
        (
            CascadeSpec(
                first=SMALL, second=CalibratedSpec(judge=LARGE.model_copy(update={"delivery": "batch"}))
            ),
            "members are not delivered by batch",
        ),
        (LARGE.model_copy(update={"delivery": "batch", "repeats": 2}), "not drawn through the batch API"),
        (
            EnsembleSpec(members=(SMALL, LlmSpec(model="m", base_url="http://user:pw@host/v1"))),
            "holds a user, a password",
        ),
        (
            CascadeSpec(first=SMALL, second=LlmSpec(model="own", base_url="http://h/v1", cap_usd=1)),
            "A cap on money",
        ),
    ],
)
def test_a_judge_that_cannot_be_run_is_refused_before_it_is_started(
    workspace: Workspace, judge: JudgeSpec, said: str
) -> None:
    with pytest.raises(WorkbenchError) as caught:
        filled(workspace, judge)
    assert said in caught.value.message
    assert "user:pw" not in str(caught.value)


def test_repeats_are_probabilities_enough_for_a_cascade(workspace: Workspace) -> None:
    first = LARGE.model_copy(update={"repeats": 5})
    judge = CascadeSpec(first=first, second=SMALL)
    assert filled(workspace, judge) == judge
    assert [m.model for m in models_of(judge)] == ["openai/large", "openai/small"]


def test_what_runs_are_called_until_their_worker_says_more() -> None:
    assert preliminary_identity(SMALL).kind == "llm"
    repeated = preliminary_identity(SMALL.model_copy(update={"repeats": 3}))
    assert (repeated.kind, repeated.name, repeated.params["repeats"]) == ("repeats", "openai/small", 3)
    assert judge_name(EnsembleSpec(members=(SMALL, BaselineSpec()))) == "openai/small + baseline"


@pytest.fixture
def inputs(workspace: Workspace) -> Inputs:
    """The dev pairs of a small golden set, with their labels."""
    teas = [pair(f"wish {i // 3}", f"tea {i}") for i in range(12)]
    golden = golden_set(workspace, [(p, {"taste": i % 3, "strength": i % 2}) for i, p in enumerate(teas)])
    return Inputs(workspace.store.policy("tea-match"), golden.pairs, golden.splits, golden.labels)


def test_every_kind_is_built_with_its_members_and_one_cache(inputs: Inputs, tmp_path: Path) -> None:
    repeated = LARGE.model_copy(update={"repeats": 3})
    built = build_judge(EnsembleSpec(members=(SMALL, repeated), weights=(1, 3)), inputs, tmp_path)
    assert isinstance(built, EnsembleJudge)
    assert built.identity.params["weights"] == [1, 3]
    # Exactly what each of them is by itself, and so the same answers in the verdict cache.
    alone = [build_judge(spec, inputs, tmp_path) for spec in (SMALL, repeated)]
    assert [type(judge) for judge in alone] == [LlmJudge, RepeatedJudge]
    assert built.identity.params["members"] == [judge.identity.model_dump(mode="json") for judge in alone]
    lexical = BaselineSpec(use_embeddings=False)
    cascade = build_judge(CascadeSpec(first=lexical, second=SMALL, sure_at=0.7), inputs, tmp_path)
    assert isinstance(cascade, CascadeJudge)
    assert cascade.identity.name == "baseline-lexical then openai/small"


def test_a_batch_is_the_same_judge_delivered_otherwise(inputs: Inputs, tmp_path: Path) -> None:
    spec = LARGE.model_copy(update={"delivery": "batch", "params": {"seed": 1}, "cap_tokens": 1000})
    built = build_judge(spec, inputs, tmp_path)
    calls = build_judge(spec.model_copy(update={"delivery": "calls"}), inputs, tmp_path)
    assert isinstance(built, BatchJudge)
    assert built.identity.params == calls.identity.params | {"delivery": "batch"}


def test_a_cascade_that_could_never_be_sure_is_not_built(inputs: Inputs, tmp_path: Path) -> None:
    # taste has 3 levels: three answers that agree give 3.5 / 4.5 = 0.78, four 4.5 / 5.5 = 0.82.
    three, four = (LARGE.model_copy(update={"repeats": n}) for n in (3, 4))
    with pytest.raises(
        BadInput, match=r"could never be sure: 3 answers .* of 3 levels give a probability of 0\.78"
    ):
        build_judge(CascadeSpec(first=three, second=SMALL), inputs, tmp_path)
    assert isinstance(build_judge(CascadeSpec(first=four, second=SMALL), inputs, tmp_path), CascadeJudge)


def test_the_cache_is_closed_with_the_judge_and_when_a_member_cannot_be_built(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.judges import build

    opened: list[str] = []

    class Cache(build.VerdictCache):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            opened.append("open")

        def close(self) -> None:
            super().close()
            opened.append("close")

    monkeypatch.setattr(build, "VerdictCache", Cache)
    judge = build_judge(EnsembleSpec(members=(SMALL, LARGE)), inputs, tmp_path)
    assert opened == ["open"]  # one for both
    del judge
    assert opened == ["open", "close"]
    opened.clear()
    empty = Inputs(inputs.policy, inputs.pairs, inputs.splits, inputs.labels[:0])
    with pytest.raises(BadInput, match="learns from dev labels, and there are none"):
        build_judge(EnsembleSpec(members=(SMALL, BaselineSpec())), empty, tmp_path)
    assert opened == ["open", "close"]

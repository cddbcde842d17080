"""Lineage: what was made from what, what is stale and why, and the picture of one checkpoint."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lineage_samples import checkpoint, judged, published, second_version

from workbench.errors import NotFound
from workbench.lineage import checkpoints_in, gather, lineage_of
from workbench.lineage_chart import STALE, caption, lineage
from workbench.lineage_graph import (
    Graph,
    Node,
    ancestors,
    descendants,
    descends,
    graph,
    layers,
    part,
    reduced,
    stale,
)
from workbench.run import JudgeIdentity
from workbench.workspace import Workspace

START = datetime(2026, 3, 1, tzinfo=UTC)


def model(name: str, family: str = "", day: int = 0, version: int | None = None) -> Node:
    return Node(
        id=name,
        kind="checkpoint",
        name=name,
        at=START + timedelta(days=day),
        family=family,
        policy=("tea", version) if version else None,
    )


def policies(*versions: int) -> list[Node]:
    return [Node(id=f"tea v{v}", kind="policy", name=f"tea v{v}", policy=("tea", v)) for v in versions]


def test_descent_goes_all_the_way_and_never_round() -> None:
    nodes = [model(name) for name in "abcd"]
    found = graph(nodes, [("b", "a"), ("c", "b"), ("a", "c"), ("d", "d")])
    assert descendants(found, "a") == {
        "b",
        "c",
    }  # the circle comes back to a, which is not its own descendant
    assert ancestors(found, "a") == {"b", "c"}
    assert descendants(found, "d") == set()
    assert layers(found) == (("d",), ("a", "b", "c"))  # what cannot be ordered shares the last column
    with pytest.raises(KeyError):
        graph(nodes, [("a", "nobody")])


def test_who_descends_is_said_in_a_few_words() -> None:
    run = Node(id="run", kind="run", name="a run")
    found = graph(
        [model("teacher"), run, *(model(f"s{i}") for i in range(4))],
        [("run", "teacher"), *((f"s{i}", "teacher") for i in range(4))],
    )
    assert descends(found, "s0") == ""
    assert descends(found, "teacher") == "s0, s1 and 3 more descend from it"  # models before the run
    assert descends(part(found, ["teacher", "s1"]), "teacher") == "s1 descends from it"


def test_an_old_policy_version_makes_stale_what_was_made_under_it() -> None:
    found = graph(
        [*policies(1, 2), model("old", version=1), model("child", version=2), model("new", version=2)],
        [("old", "tea v1"), ("child", "tea v2"), ("child", "old"), ("new", "tea v2")],
    )
    assert stale(found) == {
        "tea v1": ("tea v2 is the newest version.",),
        "old": ("It was made under tea v1; v2 is the newest.",),
        "child": ("old, which it was made from, is stale.",),
    }


def test_a_parent_that_was_made_again_makes_its_children_stale_and_theirs() -> None:
    found = graph(
        [model("t-1", "t"), model("t-2", "t", day=1), model("s", "s"), model("tiny"), model("fresh")],
        [("s", "t-1"), ("tiny", "s"), ("fresh", "t-2")],
    )
    assert stale(found) == {
        "s": ("t-1, which it was made from, was made again: t-2.",),
        "tiny": ("s, which it was made from, is stale.",),
    }


def test_a_student_stands_right_of_all_it_was_made_from() -> None:
    found = graph(
        [*policies(1), model("teacher"), model("student"), Node(id="e", kind="evaluation", name="e")],
        [
            ("teacher", "tea v1"),
            ("student", "tea v1"),
            ("student", "teacher"),
            ("e", "student"),
            ("e", "tea v1"),
        ],
    )
    assert layers(found) == (("tea v1",), ("teacher",), ("student",), ("e",))
    # What a parent implies is not drawn again.
    drawn = {"tea v1": (), "teacher": ("tea v1",), "student": ("teacher",), "e": ("student",)}
    assert reduced(found).made_from == drawn


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Graphs of up to nine models in four families, edges in any direction, circles too."""
    count = draw(st.integers(1, 9))
    nodes = [
        model(
            f"n{i}",
            draw(st.sampled_from(["", "a", "b"])),
            draw(st.integers(0, 3)),
            draw(st.sampled_from([None, 1, 2])),
        )
        for i in range(count)
    ]
    numbers = st.integers(0, count - 1)
    edges = draw(st.lists(st.tuples(numbers, numbers), max_size=20))
    return graph([*policies(1, 2), *nodes], [(f"n{a}", f"n{b}") for a, b in edges])


@given(graphs())
def test_on_any_graph_staleness_reaches_every_descendant_and_layers_hold_every_node_once(
    found: Graph,
) -> None:
    marked = stale(found)
    for name in marked:
        if found.nodes[name].kind != "policy":
            assert descendants(found, name) <= set(marked)
    fewer = reduced(found)
    assert all(descendants(fewer, name) == descendants(found, name) for name in found.nodes)
    columns = layers(found)
    assert sorted(name for column in columns for name in column) == sorted(found.nodes)
    place = {name: x for x, column in enumerate(columns) for name in column}
    for child, parents in found.made_from.items():
        for parent in parents:
            assert place[parent] < place[child] or child in ancestors(found, child) | descendants(
                found, parent
            )
            if place[parent] >= place[child]:  # only where a circle cannot be ordered
                assert place[child] == len(columns) - 1


def test_checkpoints_are_found_in_judges_of_judges() -> None:
    inner = {"kind": "checkpoint", "name": "s-1", "params": {}}
    judge = {
        "kind": "cascade",
        "name": "both",
        "params": {
            "first": {"kind": "calibrated", "params": {"judge": inner}},
            "second": {
                "kind": "ensemble",
                "params": {"members": [{"kind": "llm", "name": "m"}, inner | {"name": "t-2"}]},
            },
        },
    }
    assert list(checkpoints_in(judge)) == ["s-1", "t-2"]


@pytest.fixture
def family(workspace: Workspace) -> Workspace:
    """A judge run; a teacher from it, trained twice; a student of the first; the student's evaluation."""
    published(workspace)
    judged(workspace, "soft")
    checkpoint(workspace, "teacher-1", days=9, kind="teacher", soft_run="run-soft")
    checkpoint(workspace, "teacher-2", days=5, kind="teacher", soft_run="run-soft")
    checkpoint(workspace, "student-1", days=3, parents=["teacher-1", "lost-1"], dataset="pool-1")
    judged(workspace, "eval", judge=JudgeIdentity(kind="checkpoint", name="student-1"))
    return workspace


def test_the_graph_is_gathered_from_records(family: Workspace) -> None:
    found = gather(family)
    assert set(found.made_from["checkpoint:student-1"]) == {
        "policy:tea-match v1",
        "golden set:tea v1",
        "data set:pool-1",
        "checkpoint:teacher-1",
        "checkpoint:lost-1",
    }
    assert not found.nodes["data set:pool-1"].known
    assert not found.nodes["checkpoint:lost-1"].known
    assert "run:run-soft" in found.made_from["checkpoint:teacher-1"]
    assert "checkpoint:student-1" in found.made_from["evaluation:run-eval"]
    assert descends(found, "run:run-soft").startswith("student-1, teacher-1 and 2 more descend")


def test_a_picture_has_the_family_and_nobody_else(family: Workspace) -> None:
    found = lineage_of(family, "student-1")
    place = {name: x for x, column in enumerate(found.columns) for name in column}
    order = [
        "policy:tea-match v1",
        "run:run-soft",
        "checkpoint:teacher-1",
        "checkpoint:student-1",
        "evaluation:run-eval",
    ]
    assert [place[name] for name in order] == [0, 1, 2, 3, 4]
    assert "checkpoint:teacher-2" not in place
    assert found.stale["checkpoint:student-1"] == (
        "teacher-1, which it was made from, was made again: teacher-2.",
    )
    assert "checkpoint:teacher-1" not in found.stale
    with pytest.raises(NotFound):
        lineage_of(family, "student-9")


def test_a_new_policy_version_makes_the_whole_family_stale(family: Workspace) -> None:
    assert set(lineage_of(family, "teacher-2").stale) == set()
    second_version(family)
    found = lineage_of(family, "teacher-2")
    assert found.stale["checkpoint:teacher-2"] == (
        "It was made under tea-match v1; v2 is the newest.",
        "a-model · tea-match v1, which it was made from, is stale.",
    )


def test_the_chart_outlines_what_is_stale_and_says_why_escaped(family: Workspace) -> None:
    checkpoint(family, "<b>-1", parents=["teacher-1"])
    found = lineage_of(family, "<b>-1")
    figure = lineage(found, dark=True)
    outlines = [
        shape.line.color for shape in figure.layout.shapes if shape.type == "rect" and shape.line.width != 0
    ]
    # Stale is the subject alone: of its parents none was made under an old version.
    assert outlines.count(STALE) == 1
    (hover,) = {text for text in figure.data[0].hovertext if "made again" in text}
    assert "&lt;b&gt;-1" in hover
    assert "<b>-1" not in hover
    assert caption(found) == f"1 part of {len(found.graph.nodes)} is stale: orange, hover for the reason."

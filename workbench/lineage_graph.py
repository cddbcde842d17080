"""What was made from what, as a graph: who descends from whom, what is stale and why, in which order to draw it.

Values in, values out. :mod:`workbench.lineage` gathers the graph from the store and the folders.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

NodeKind = Literal["policy", "golden set", "click log", "data set", "run", "checkpoint", "evaluation"]

FEW = 2
"""Names that one sentence gives before it counts the others."""


@dataclass(frozen=True)
class Node:
    """One thing that was made.

    Attributes:
        id: unique among all kinds, such as ``checkpoint:student-3f9a1c20``.
        name: what people call it.
        family: what a newer one replaces, such as a checkpoint's recipe; "" where nothing does.
        policy: the policy version it was made under, as (name, version).
        detail: one line more about it.
        short: what a picture calls it beside its kind; "" for the name.
        known: False for what others name as their origin and what is not here (any more).
    """

    id: str
    kind: NodeKind
    name: str
    at: datetime | None = None
    family: str = ""
    policy: tuple[str, int] | None = None
    detail: str = ""
    short: str = ""
    known: bool = True


@dataclass(frozen=True)
class Graph:
    """Nodes by id, and for each the ids of what it was made from; an id without a node is not allowed.

    Records from outside may claim a circle. Nothing here runs forever on one.
    """

    nodes: Mapping[str, Node]
    made_from: Mapping[str, tuple[str, ...]]

    @cached_property
    def children(self) -> Mapping[str, tuple[str, ...]]:
        """For each node the ids of what was made from it directly."""
        found: dict[str, list[str]] = {}
        for child, parents in self.made_from.items():
            for parent in parents:
                found.setdefault(parent, []).append(child)
        return {parent: tuple(children) for parent, children in found.items()}

    @cached_property
    def newest_versions(self) -> Mapping[str, int]:
        """Policy name -> its highest version here."""
        found: dict[str, int] = {}
        for node in self.nodes.values():
            if node.kind == "policy" and node.known and node.policy:
                name, version = node.policy
                found[name] = max(version, found.get(name, 0))
        return found


def graph(nodes: Iterable[Node], edges: Iterable[tuple[str, str]]) -> Graph:
    """Return the graph of ``nodes`` and (child, parent) edges; an edge of a node to itself is dropped.

    Raises:
        KeyError: an edge names a node that is not there.
    """
    every = {node.id: node for node in nodes}
    made_from: dict[str, dict[str, None]] = {name: {} for name in every}
    for child, parent in edges:
        if child != every[parent].id:
            made_from[child][parent] = None
    return Graph(every, {child: tuple(parents) for child, parents in made_from.items()})


def ancestors(found: Graph, node: str) -> set[str]:
    """Return the ids of all that ``node`` was made from, directly or not; never itself."""
    return _reached(found.made_from, node)


def descendants(found: Graph, node: str) -> set[str]:
    """Return the ids of all that was made from ``node``, directly or not; never itself."""
    return _reached(found.children, node)


def descends(found: Graph, node: str) -> str:
    """Return in a few words what descends from ``node``, such as "student-3 descends from it"; "" where nothing does."""
    below = sorted(
        (found.nodes[name] for name in descendants(found, node)),
        key=lambda one: (one.kind != "checkpoint", one.name),
    )
    if not below:
        return ""
    names = ", ".join(one.name for one in below[:FEW])
    more = f" and {len(below) - FEW} more" if len(below) > FEW else ""
    return f"{names}{more} {'descends' if len(below) == 1 else 'descend'} from it"


def stale(found: Graph) -> dict[str, tuple[str, ...]]:
    """Return node id -> why it is stale, one sentence a reason; nodes that are not stale are left out.

    A node is stale if the policy version it was made under is not the newest, if a parent was made again (there is a
    newer one of the same kind and family), or if a parent is stale.
    """
    newest = _newest(found)
    reasons: dict[str, list[str]] = {}
    for node in found.nodes.values():
        mine = []
        if node.policy and node.policy[1] < (last := found.newest_versions.get(node.policy[0], 0)):
            name, version = node.policy
            mine.append(
                f"{name} v{last} is the newest version."
                if node.kind == "policy"
                else f"It was made under {name} v{version}; v{last} is the newest."
            )
        for parent in (found.nodes[name] for name in found.made_from[node.id]):
            again = newest.get((parent.kind, parent.family))
            if again is not None and again.id != parent.id:
                mine.append(f"{parent.name}, which it was made from, was made again: {again.name}.")
        if mine:
            reasons[node.id] = mine
    # From what is stale by itself, down. A policy version is told of already, by the first reason.
    left = list(reasons)
    told: set[tuple[str, str]] = set()
    while left:
        above = left.pop()
        if found.nodes[above].kind == "policy":
            continue
        for child in found.children.get(above, ()):
            if (above, child) in told:
                continue
            told.add((above, child))
            if child not in reasons:
                left.append(child)
            reasons.setdefault(child, []).append(
                f"{found.nodes[above].name}, which it was made from, is stale."
            )
    return {name: tuple(mine) for name, mine in reasons.items()}


def _newest(found: Graph) -> dict[tuple[str, str], Node]:
    """Return (kind, family) -> its newest node, of those whose time is known."""
    newest: dict[tuple[str, str], Node] = {}
    for node in found.nodes.values():
        if node.family and node.at is not None:
            before = newest.get((node.kind, node.family))
            if before is None or (before.at, before.id) < (node.at, node.id):
                newest[node.kind, node.family] = node
    return newest


def part(found: Graph, keep: Collection[str]) -> Graph:
    """Return the part of a graph that has only the nodes ``keep``."""
    kept = set(keep)
    return Graph(
        {name: node for name, node in found.nodes.items() if name in kept},
        {
            child: tuple(parent for parent in parents if parent in kept)
            for child, parents in found.made_from.items()
            if child in kept
        },
    )


def reduced(found: Graph) -> Graph:
    """Return a graph without the edges that say nothing new: of a parent that another parent was made from too."""
    above = {name: ancestors(found, name) for name in found.nodes}
    return Graph(
        found.nodes,
        {
            child: tuple(
                parent
                for parent in parents
                # A parent in a circle with the child or with this parent implies nothing.
                if not any(
                    parent in above[other] and child not in above[other] and other not in above[parent]
                    for other in parents
                )
            )
            for child, parents in found.made_from.items()
        },
    )


def layers(found: Graph) -> tuple[tuple[str, ...], ...]:
    """Return the nodes in columns, left to right: each stands right of all it was made from, as far left as it can.

    Within a column, nodes stand near what they were made from (the barycentre rule of Sugiyama et al. 1981, one sweep),
    so that few edges cross. Nodes of a circle, which cannot be ordered, share the last column.
    """
    depth: dict[str, int] = {}
    waiting = {name: len(parents) for name, parents in found.made_from.items()}
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        name = ready.pop()
        depth[name] = 1 + max((depth[parent] for parent in found.made_from[name]), default=-1)
        for child in found.children.get(name, ()):
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    last = max(depth.values(), default=-1) + 1
    columns: dict[int, list[str]] = {}
    for name in found.nodes:
        columns.setdefault(depth.get(name, last), []).append(name)
    place: dict[str, float] = {}
    ordered = []
    for column in sorted(columns):
        names = sorted(
            columns[column], key=lambda name: (_middle(found, place, name), found.nodes[name].kind, name)
        )
        place |= {name: i - (len(names) - 1) / 2 for i, name in enumerate(names)}
        ordered.append(tuple(names))
    return tuple(ordered)


def _middle(found: Graph, place: Mapping[str, float], name: str) -> float:
    known = [place[parent] for parent in found.made_from[name] if parent in place]
    return sum(known) / len(known) if known else 0.0


def _reached(ways: Mapping[str, tuple[str, ...]], start: str) -> set[str]:
    seen: set[str] = set()
    left = [start]
    while left:
        for name in ways.get(left.pop(), ()):
            if name not in seen and name != start:
                seen.add(name)
                left.append(name)
    return seen

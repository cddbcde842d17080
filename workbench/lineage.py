"""Verbs of lineage: what every model, data set and run of a workspace was made from, and what of it is stale.

The graph is gathered from what each thing says of itself: a checkpoint's record, a data set's card, a click log's card,
a run's record. What is named there and is not here any more stays in the picture as unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.click_logs import click_logs
from workbench.datasets import datasets
from workbench.errors import NotFound
from workbench.lineage_graph import (
    Graph,
    Node,
    NodeKind,
    ancestors,
    descendants,
    graph,
    layers,
    part,
    reduced,
    stale,
)
from workbench.run import Run
from workbench.store import StoredCheckpoint
from workbench.workspace import Workspace

EVALUATIONS = 5
"""Newest evaluations of one checkpoint that a picture shows."""


@dataclass(frozen=True)
class Picture:
    """The lineage of one checkpoint, ready to be drawn.

    Attributes:
        subject: id of the node that was asked for.
        columns: node ids, left to right; each stands right of all it was made from.
        stale: node id -> why it is stale.
        left_out: older evaluations that are not shown.
    """

    subject: str
    graph: Graph
    columns: tuple[tuple[str, ...], ...]
    stale: Mapping[str, tuple[str, ...]]
    left_out: int = 0


def gather(workspace: Workspace) -> Graph:
    """Return the graph of all policy versions, golden snapshots, click logs, data sets, runs and checkpoints.

    Raises:
        BadInput: if the card of a data set or click log is damaged.
    """
    parts = _Parts()
    store = workspace.store
    for name in store.policy_names():
        for policy in store.policy_versions(name):
            parts.add(
                "policy", policy.label, policy.label, at=policy.published_at, policy=(name, policy.version)
            )
    for name in store.golden_names():
        for snapshot in store.snapshots(name):
            label = f"{name} v{snapshot.version}"
            parts.add(
                "golden set", label, label, at=snapshot.published_at, detail=f"{snapshot.pairs:,} pairs"
            )
    for log in click_logs(workspace):
        # A simulated log names its golden set without a version, so no edge to a snapshot is claimed.
        parts.add(
            "click log", log.content_hash, log.name, at=log.imported_at,
            detail=f"{log.summary.rows:,} impressions" + (", simulated" if log.simulated else ""),
        )  # fmt: skip
    for made in datasets(workspace):
        card = made.card
        mine = parts.add(
            "data set", card.id, card.id, at=card.made_at, family=card.dataset,
            policy=(card.policy, card.policy_version), detail=f"{card.counts.rows:,} rows by {card.judge.name}",
        )  # fmt: skip
        parts.edge(mine, "policy", f"{card.policy} v{card.policy_version}")
        parts.edge(mine, "golden set", card.golden)
        for source in card.sources:
            if source.name.startswith("golden set "):
                parts.edge(mine, "golden set", source.name.removeprefix("golden set "))
        for grader in checkpoints_in(card.judge.model_dump(mode="json")):
            parts.edge(mine, "checkpoint", grader)
    for run in store.runs():
        _add_run(parts, run)
    for checkpoint in store.checkpoints():
        _add_checkpoint(parts, checkpoint)
    return parts.graph()


def lineage_of(workspace: Workspace, checkpoint_id: str) -> Picture:
    """Return the lineage of a checkpoint: all it was made from, what was made from it, and its newest evaluations.

    Raises:
        NotFound: if there is no such checkpoint.
    """
    return picture(gather(workspace), f"checkpoint:{workspace.store.checkpoint(checkpoint_id).id}")


def picture(every: Graph, subject: str) -> Picture:
    """Return the picture of one node of a graph, as :func:`lineage_of`.

    Raises:
        NotFound: if it is no node.
    """
    if subject not in every.nodes:
        raise NotFound.among("lineage", subject, every.nodes)
    below = descendants(every, subject)
    own = [name for name in every.children.get(subject, ()) if every.nodes[name].kind == "evaluation"]
    own.sort(key=lambda name: (str(every.nodes[name].at), name), reverse=True)
    models = {name for name in below if every.nodes[name].kind in ("checkpoint", "data set")}
    kept = {subject} | ancestors(every, subject) | models | set(own[:EVALUATIONS])
    shown = part(every, kept)
    marked = stale(every)
    return Picture(
        subject=subject,
        graph=shown,
        columns=layers(reduced(shown)),
        stale={name: marked[name] for name in shown.nodes if name in marked},
        left_out=len(own) - len(own[:EVALUATIONS]),
    )


def checkpoints_in(judge: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the checkpoints that a judge's identity, as plain data, consists of."""
    if judge.get("kind") == "checkpoint":
        yield str(judge.get("name", ""))
    params = judge.get("params")
    if not isinstance(params, Mapping):
        return
    members = params.get("members")
    inner = [params.get(key) for key in ("judge", "first", "second")]
    for member in [*inner, *(members if isinstance(members, list) else [])]:
        if isinstance(member, Mapping):
            yield from checkpoints_in(member)


def _add_run(parts: _Parts, run: Run) -> None:
    made_by = list(checkpoints_in(run.judge.model_dump(mode="json")))
    mine = parts.add(
        "evaluation" if made_by else "run", run.id, run.label, at=run.created_at,
        policy=(run.policy, run.policy_version),
        short=f"{run.golden} v{run.golden_version}, {run.created_at:%d %b %H:%M}" if made_by else run.judge.name,
        detail=f"on {run.golden} v{run.golden_version}, {run.status}, {run.created_at:%d %b %Y %H:%M} UTC",
    )  # fmt: skip
    parts.edge(mine, "policy", f"{run.policy} v{run.policy_version}")
    parts.edge(mine, "golden set", f"{run.golden} v{run.golden_version}")
    for checkpoint in made_by:
        parts.edge(mine, "checkpoint", checkpoint)


def _add_checkpoint(parts: _Parts, checkpoint: StoredCheckpoint) -> None:
    # Read as plain data: a record of an older workbench still says what it was made from.
    record = checkpoint.record
    origin = record.get("lineage") or {}
    policy, version = record.get("policy", ""), record.get("policy_version", 0)
    kind = (record.get("recipe") or {}).get("kind", "checkpoint")
    mine = parts.add(
        "checkpoint", checkpoint.id, checkpoint.id, at=checkpoint.created_at, family=checkpoint.name,
        policy=(policy, version) if policy else None,
        detail=kind + (", stopped early" if record.get("stopped") else ""),
    )  # fmt: skip
    parts.edge(mine, "policy", f"{policy} v{version}" if policy else "")
    parts.edge(mine, "golden set", str(origin.get("golden") or ""))
    parts.edge(mine, "run", str(origin.get("soft_run") or ""))
    parts.edge(mine, "data set", str(origin.get("dataset") or ""))
    parts.edge(mine, "click log", str(origin.get("clicks") or ""))
    for parent in origin.get("parents") or ():
        parts.edge(mine, "checkpoint", str(parent))


class _Parts:
    """Nodes and edges as they are found; what is named and never added becomes an unknown node."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._edges: list[tuple[str, NodeKind, str]] = []

    def add(self, kind: NodeKind, key: str, name: str, **more: Any) -> str:
        """Add a node and return its id."""
        node = Node(id=f"{kind}:{key}", kind=kind, name=name, **more)
        self.nodes[node.id] = node
        return node.id

    def edge(self, child: str, kind: NodeKind, key: str) -> None:
        """Note that ``child`` was made from something; an empty key says that it was not."""
        if key:
            self._edges.append((child, kind, key))

    def graph(self) -> Graph:
        """Return what was found."""
        edges = []
        for child, kind, key in self._edges:
            parent = f"{kind}:{key}"
            if kind == "run" and parent not in self.nodes and f"evaluation:{key}" in self.nodes:
                parent = f"evaluation:{key}"  # soft labels by a model of ours
            if parent not in self.nodes:
                self.nodes[parent] = Node(parent, kind, key, detail="not in this workspace", known=False)
            edges.append((child, parent))
        return graph(self.nodes.values(), edges)

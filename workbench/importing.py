"""Verbs around importing: guess and check a mapping, and the whole way of a path on the command line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.column_mapping import ImportSpec
from workbench.errors import BadInput, NotFound
from workbench.evaluation import import_recorded
from workbench.formats import ImportReport, read_mapping, read_recorded
from workbench.labelling import import_golden, preview_import, publish_golden
from workbench.mapping_guess import guess_spec
from workbench.policy import Policy
from workbench.table_files import read_table
from workbench.workspace import Workspace
from workbench.yamltext import YamlText, dump, validate

GUESS_ROWS = 200
"""Rows that a guess at the mapping looks at."""
_LONG_NEEDS = ("dimension", "grade", "labeler")


@dataclass(frozen=True)
class Guess:
    """One file's columns, a few of its rows, and a guessed mapping in the form of ``ImportSpec``, unchecked."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    mapping: dict[str, Any]


@dataclass
class PathImport:
    """What importing a path did."""

    golden: str
    mapping: str
    report: ImportReport
    dry_run: bool
    pairs_added: int = 0
    labels_added: int = 0
    snapshot: str = ""
    recorded: list[dict[str, Any]] = field(default_factory=list)

    def as_data(self) -> dict[str, Any]:
        """Return the outcome as plain data."""
        report = self.report
        return {
            "golden": self.golden,
            "mapping": self.mapping,
            "dry_run": self.dry_run,
            "pairs": report.pairs,
            "queries": report.queries,
            "labels": dict(report.labels),
            "labelers": list(report.labelers),
            "merged_pairs": report.merged_pairs,
            "duplicates": report.duplicates,
            "problems": [str(problem) for problem in report.problems[:100]],
            "problem_kinds": report.kinds,
            "pairs_added": self.pairs_added,
            "labels_added": self.labels_added,
            "snapshot": self.snapshot,
            "recorded": self.recorded,
        }

    def lines(self) -> list[str]:
        """Return the outcome as lines for a person."""
        report = self.report
        labels = sum(report.labels.values())
        lines = [
            f"{self.golden} (mapping: {self.mapping}): {report.pairs} pairs over {report.queries} queries, "
            f"{labels} labels by {len(report.labelers)} labelers"
        ]
        if report.merged_pairs:
            lines.append(
                f"{report.merged_pairs} rows had the text of an earlier pair and were merged with it"
            )
        for kind, count in report.kinds.items():
            lines.append(f"left out: {count} rows: {kind}")
        lines += [f"  {problem}" for problem in report.problems[:3]]
        if self.dry_run:
            lines.append("Nothing was imported (dry run).")
        else:
            lines.append(f"added {self.pairs_added} pairs and {self.labels_added} labels")
        if self.snapshot:
            lines.append(f"published {self.snapshot}")
        for run in self.recorded:
            outside = f", {run['outside_scale']} outside the scale not used" if run["outside_scale"] else ""
            lines.append(f"recorded run {run['run']}: {run['judge']}, {run['used']} judgements{outside}")
        return lines


def guess_mapping(source: Path | bytes, name: str, policy: Policy) -> Guess:
    """Return a first guess at the mapping of one file, for a person to confirm.

    Raises:
        BadInput: for whatever is wrong with the file.
    """
    table = read_table(source, name)
    columns = tuple(table.columns)
    rows = tuple(
        dict(zip(columns, row, strict=True)) for row in table.head(GUESS_ROWS).itertuples(index=False)
    )
    golden = re.sub(r"[^a-z0-9]+", "-", name.split(".")[0].lower()).strip("-") or "imported"
    guess = guess_spec(columns, rows, policy, file=name)
    return Guess(columns, rows, {"golden": golden, "policy": policy.name, **guess})


def checked_mapping(data: Mapping[str, Any], where: str = "The mapping") -> ImportSpec:
    """Return a mapping given as plain data: a guess, or what a form says.

    Raises:
        BadInput: one sentence on the first thing that is wrong with it.
    """
    needed = [(side, data.get(side)) for side in ("query", "document")]
    for rows in data.get("labels", ()):
        if "long" in rows:
            needed += [(f"{what} of a label", rows["long"].get(what)) for what in _LONG_NEEDS]
        elif "wide" in rows:
            needed.append(("grades of a dimension", rows["wide"].get("columns")))
    for what, given in needed:
        if not given:
            raise BadInput(f"{where} names no column for the {what}.", "Say which column holds it.")
    return validate(ImportSpec, data, where)


def mapping_from_text(text: str) -> ImportSpec:
    """Return the mapping in a YAML text.

    Raises:
        BadInput: with line and place.
    """
    source = YamlText(text, "The mapping")
    return validate(ImportSpec, source.data, "The mapping", source)


def mapping_text(spec: ImportSpec) -> str:
    """Return a mapping as YAML, what is at its default left out."""
    return dump(spec.model_dump(mode="json", exclude_defaults=True))


def import_path(
    workspace: Workspace,
    path: Path,
    *,
    mapping: Path | None,
    policy: str | None,
    name: str | None,
    skip_bad_rows: bool,
    dry_run: bool,
    publish: bool,
    author: str,
) -> PathImport:
    """Import a file or folder. Without a mapping, one called like the path is used, else one is guessed.

    Recorded judgements of the mapping become runs; they need a snapshot, so the set is published first if it is
    not yet.

    Raises:
        BadInput, NotFound: with file and row; nothing is kept.
    """
    if not path.exists():
        raise NotFound(f"There is no file or folder {path}.", "Check the path.")
    spec, how = _spec(workspace, path, mapping, policy)
    if name:
        spec = spec.model_copy(update={"golden": name})
    folder = path if path.is_dir() else path.parent
    body = workspace.store.policy(spec.policy)
    # Read the recorded part before anything is kept: a broken file stops the whole import.
    scores = read_recorded(spec, folder, body) if spec.recorded else None
    for number in spec.recorded.policy_versions.values() if spec.recorded else ():
        workspace.store.policy(spec.policy, number)
    if dry_run:
        return PathImport(spec.golden, how, preview_import(workspace, spec, folder).report, dry_run=True)
    done = import_golden(workspace, spec, folder, author=author, skip_bad_rows=skip_bad_rows)
    outcome = PathImport(
        spec.golden,
        how,
        done.report,
        dry_run=False,
        pairs_added=done.pairs_added,
        labels_added=done.labels_added,
    )
    snapshots = workspace.store.golden(spec.golden).snapshots
    changed = bool(done.pairs_added or done.labels_added)
    if (publish and (changed or not snapshots)) or (scores is not None and not snapshots):
        message = f"Imported from {path.name}"
        outcome.snapshot = publish_golden(workspace, spec.golden, message=message, author=author).label
    if scores is not None and spec.recorded is not None:
        runs = import_recorded(
            workspace,
            scores,
            policy=spec.policy,
            golden=spec.golden,
            author=author,
            source=f"{path.name}/{spec.recorded.file}",
            versions=spec.recorded.policy_versions,
        )
        outcome.recorded = [
            {
                "run": run.id,
                "judge": run.label,
                "used": report.used,
                "outside_scale": sum(Counter(report.outside_scale).values()),
            }
            for run, report in runs
        ]
    return outcome


def _spec(
    workspace: Workspace, path: Path, mapping: Path | None, policy: str | None
) -> tuple[ImportSpec, str]:
    shipped = workspace.root / "golden_sets" / "mappings" / f"{path.name}.yaml"
    chosen = mapping or (shipped if path.is_dir() and shipped.exists() else None)
    if chosen is not None:
        spec = read_mapping(chosen)
        return (spec.model_copy(update={"policy": policy}) if policy else spec), chosen.name
    if path.is_dir():
        raise BadInput(
            f"{path} is a folder of several files.", "Say how they fit together with --map FILE.yaml."
        )
    if policy is None:
        raise BadInput(
            "It is not said by which policy the labels were given.", "Add --policy NAME, or --map FILE."
        )
    body = workspace.store.policy(policy)
    guess = guess_mapping(path, path.name, body)
    spec = checked_mapping(guess.mapping, f"The guessed mapping of {path.name}")
    return spec, "guessed from the column names"

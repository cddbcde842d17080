"""Verbs around importing: guess and check a mapping, and the whole way of a path on the command line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from workbench.column_mapping import ImportSpec, normal
from workbench.errors import BadInput, NotFound
from workbench.formats import ImportReport, read_mapping, read_recorded
from workbench.golden import Split
from workbench.golden_rows import CANNOT_TELL, NA, OWN_COLUMNS
from workbench.judge_runs import import_recorded
from workbench.label_studio import NOTE
from workbench.labelling import import_golden, preview_import, publish_golden
from workbench.mapping_guess import Rows, guess_grades, guess_spec, meta_columns
from workbench.policy import OVERALL, Policy, Side
from workbench.qrels import files_below, find_collection, read_collection
from workbench.table_files import Files, read_table
from workbench.workspace import Workspace
from workbench.yamltext import YamlText, dump, validate

SPLIT = "split"
GUESS_ROWS = 200
"""Rows that a guess at the mapping looks at."""
_LONG_NEEDS = ("dimension", "grade", "labeler")
_NO_FACTS = {*OWN_COLUMNS, "query_id", "task", "record", "source"}
"""Columns of tables that we named which are no facts about pairs."""


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


def guess_mapping(source: Path | bytes | pd.DataFrame, name: str, policy: Policy) -> Guess:
    """Return a first guess at the mapping of one file, for a person to confirm.

    Args:
        source: the file, or the table of a collection as :func:`gathered` gives it.

    Raises:
        BadInput: for whatever is wrong with the file.
    """
    table = source if isinstance(source, pd.DataFrame) else read_table(source, name)
    columns = tuple(table.columns)
    rows = tuple(
        dict(zip(columns, row, strict=True)) for row in table.head(GUESS_ROWS).itertuples(index=False)
    )
    if columns[0] in ("task", "record") and {"labeler", "at"} <= set(columns) and ".json" in name.lower():
        # A labelling tool's answers follow the labeler; a question may be called as a field is.
        cut = columns.index("labeler")
        guess = guess_spec(columns[:cut], rows, policy, file=name)
        guess = _with_facts({**guess, "labels": _answers(columns[cut + 1 :], rows, policy)}, columns, rows)
    elif isinstance(source, pd.DataFrame):
        guess = _with_facts(_of_collection(columns, policy, name), columns, rows)
    else:
        guess = guess_spec(columns, rows, policy, file=name)
        if list(columns[:2]) == OWN_COLUMNS:
            guess = _with_facts(guess | _settled(columns, policy), columns, rows)
    return Guess(columns, rows, {"golden": _set_name(Path(name).name), "policy": policy.name, **guess})


def _set_name(file: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", file.split(".")[0].lower()).strip("-") or "imported"


def _with_facts(guess: dict[str, Any], columns: Sequence[str], rows: Rows) -> dict[str, Any]:
    """Return a guess at a table whose columns we named: facts by their own names, splits, sources, words for N/A."""
    facts = {column: column.removeprefix("meta_") for column in columns if column.startswith("meta_")}
    named = meta_columns(list(facts.values()))
    meta = {
        key: column for key, column in guess.get("meta", {}).items() if column not in {*facts, *_NO_FACTS}
    }
    meta |= {named[fact]: column for column, fact in facts.items() if fact in named}
    labels = [
        source | {"na": list(dict.fromkeys([*source.get("na", []), NA])), "unrateable": [CANNOT_TELL]}
        for source in guess["labels"]
    ]
    if "source" in columns:
        labels = [{"source_column": "source"} | source for source in labels]
    splits = {row.get(SPLIT, "") for row in rows}
    drawn = {"split": SPLIT} if splits and splits <= set(get_args(Split)) else {}
    return guess | {"meta": meta, "labels": labels} | drawn


def _settled(columns: Sequence[str], policy: Policy) -> dict[str, Any]:
    """Return the labels of our table of settled grades; nothing for another table."""
    settled = {key: f"grade_{key}" for key in (*policy.keys, OVERALL) if f"grade_{key}" in columns}
    source = {"wide": {"columns": settled, "labeler": "=settled"}, "source": "import"}
    return {"labels": [source]} if settled else {}


def _of_collection(columns: Sequence[str], policy: Policy, name: str) -> dict[str, Any]:
    """Return the guess at qrels: their grades are the policy's only dimension, or overall."""
    dimension = policy.keys[0] if len(policy.keys) == 1 else OVERALL
    long = {"dimension": f"={dimension}", "grade": "grade", "labeler": "=qrels"}
    return {
        "pairs": {"file": name},
        "query": _side("query", policy.pair.query, columns),
        "document": _side("document", policy.pair.document, columns),
        "labels": [{"long": long, "source": "import"}],
    }


def _answers(questions: Sequence[str], rows: Rows, policy: Policy) -> list[dict[str, Any]]:
    """Return the labels of a labelling tool's table: the questions that are called as a dimension."""
    names = {normal(name): d.key for d in policy.dimensions for name in (d.title, d.key)} | {OVERALL: OVERALL}
    asked = {names[normal(question)]: question for question in questions if normal(question) in names}
    if not asked:
        return []
    note = {NOTE: NOTE} if NOTE in questions else {}
    written = guess_grades(questions, rows, policy, list(asked.items()))
    return [{"wide": {"columns": asked, "labeler": "labeler", "at": "at", **note}, **written}]


def _side(side: str, fields: Side, columns: Sequence[str]) -> dict[str, str]:
    """Return field -> column for a side of a collection: fields by name, else all of its text as the first field."""
    forms = {name: (f"{side}_metadata_{name}", f"{side}_{name}") for name in fields.fields}
    found = {name: next((form for form in of if form in columns), "") for name, of in forms.items()}
    found = {name: column for name, column in found.items() if column}
    rest = [column for column in columns if column.startswith(f"{side}_") and column != f"{side}_id"]
    if found or not rest:
        return found
    return {fields.fields[0]: f"{side}_text" if f"{side}_text" in rest else rest[0]}


def gathered(files: Files) -> Files:
    """Return qrels with their queries and documents as one table under one name; other files as they are.

    Raises:
        BadInput: for whatever is wrong with the files of a collection.
    """
    contents = files_below(files) if isinstance(files, Path) else files
    raw = {name: content for name, content in contents.items() if not isinstance(content, pd.DataFrame)}
    found = find_collection(list(raw))
    if found is None:
        return files
    name, table = read_collection(raw, found)
    return {name: table}


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

    A folder without a mapping may be a collection of qrels, queries and documents.

    Recorded judgements of the mapping become runs; they need a snapshot, so the set is published first if it is
    not yet.

    Raises:
        BadInput, NotFound: with file and row; nothing is kept.
    """
    if not path.exists():
        raise NotFound(f"There is no file or folder {path}.", "Check the path.")
    spec, how, folder = _spec(workspace, path, mapping, policy)
    if name:
        spec = spec.model_copy(update={"golden": name})
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
) -> tuple[ImportSpec, str, Files]:
    """Return the mapping, where it is from, and the files that it speaks of."""
    shipped = workspace.root / "golden_sets" / "mappings" / f"{path.name}.yaml"
    chosen = mapping or (shipped if path.is_dir() and shipped.exists() else None)
    if chosen is not None:
        spec = read_mapping(chosen)
        spec = spec.model_copy(update={"policy": policy}) if policy else spec
        return spec, chosen.name, path if path.is_dir() else path.parent
    files = gathered(path) if path.is_dir() else {path.name: path}
    if isinstance(files, Path):
        raise BadInput(
            f"{path} is a folder of several files.", "Say how they fit together with --map FILE.yaml."
        )
    if policy is None:
        raise BadInput(
            "It is not said by which policy the labels were given.", "Add --policy NAME, or --map FILE."
        )
    ((name, content),) = files.items()
    guess = guess_mapping(content, name, workspace.store.policy(policy))
    if path.is_dir():
        guess = replace(guess, mapping=guess.mapping | {"golden": _set_name(path.resolve().name)})
    spec = checked_mapping(guess.mapping, f"The guessed mapping of {path.name}")
    return spec, "guessed from the column names", files

"""The document folders: policies, golden sets, teachers and students as files beside the code.

They mirror the store for git: publishing writes a file, :func:`sync` reads new ones in. Both are idempotent by
content hash, and a published file that was altered by hand is an error that names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from workbench.errors import BadInput, Refused, WorkbenchError
from workbench.files import read_text, write_text
from workbench.golden import (
    LABEL_COLUMNS,
    NOT_APPLICABLE,
    UNRATEABLE,
    GoldenSet,
    Label,
    Pair,
    Split,
    label_table,
)
from workbench.identity import Value
from workbench.policy import Name, Policy
from workbench.recipe import RecipeFile, StudentRecipe, TeacherRecipe
from workbench.store import Store
from workbench.yamltext import YamlText, describe, dump, validate

SCHEMA_LINE = "# yaml-language-server: $schema=../policy.schema.json\n"
_SPECIAL = {NOT_APPLICABLE: "N/A", UNRATEABLE: "unrateable"}
_SPECIAL_BACK = {name: code for code, name in _SPECIAL.items()}


class SyncReport(Value):
    """What a sync found: documents that were new to the store, how many were known, and what is wrong."""

    added: tuple[str, ...] = ()
    unchanged: int = 0
    problems: tuple[str, ...] = ()


class GoldenCard(Value):
    """Front matter of a golden set's README."""

    golden: Name
    version: int = Field(ge=1)
    policy: Name
    sample: bool = False
    message: str = ""
    author: str = ""


class PairLine(Value):
    """One line of pairs.jsonl."""

    id: str = ""
    query: dict[str, str]
    document: dict[str, str]
    meta: dict[str, str] = {}
    split: Split


def parse_policy(text: str, where: str) -> Policy:
    """Return the policy that YAML ``text`` says; ``where`` names it in errors.

    Raises:
        BadInput: with file, line and reason.
    """
    source = YamlText(text, where)
    return validate(Policy, source.data, where, source)


def read_policy(path: Path) -> Policy:
    """Return the policy in a file called ``<name>/v<version>.yaml``.

    Raises:
        BadInput: if it is malformed or its name and version are not those of the path.
    """
    policy = parse_policy(read_text(path), str(path))
    if (path.parent.name, path.stem) != (policy.name, f"v{policy.version}"):
        raise BadInput(
            f"{path} says it is {policy.label}.", f"It belongs at {policy.name}/v{policy.version}.yaml."
        )
    return policy


def policy_text(policy: Policy) -> str:
    """Return a policy as the YAML text of its file."""
    return SCHEMA_LINE + dump(policy.document())


def write_policy(folder: Path, policy: Policy) -> Path:
    """Write a published policy under ``folder`` and return its path; the same document again changes nothing.

    Raises:
        Refused: if the file exists and says something else.
    """
    path = folder / policy.name / f"v{policy.version}.yaml"
    if path.exists():
        if read_policy(path).content_hash != policy.content_hash:
            raise Refused(
                f"{path} exists and says something else.", "Move it away or publish under the next version."
            )
        return path
    write_text(path, policy_text(policy))
    return path


def write_policy_schema(folder: Path) -> Path:
    """Write the JSON Schema that editors check policy files against, if it is not up to date."""
    path = folder / "policy.schema.json"
    text = json.dumps(Policy.model_json_schema(by_alias=True), indent=1) + "\n"
    if not path.exists() or read_text(path) != text:
        write_text(path, text)
    return path


def read_recipe(path: Path) -> StudentRecipe | TeacherRecipe:
    """Return the recipe in a file.

    Raises:
        BadInput: if it is malformed or is not called as its file is.
    """
    source = YamlText(read_text(path), str(path))
    if not isinstance(source.data, dict):
        raise BadInput(f"{path} is not a document with keys.", "It should start with 'recipe: name'.")
    try:
        recipe = RecipeFile.model_validate({"root": {"kind": "student", **source.data}}).root
    except ValidationError as error:
        raise BadInput(*_describe_recipe(error, str(path), source)) from error
    if path.stem != recipe.recipe:
        raise BadInput(
            f"{path} holds a recipe called '{recipe.recipe}'.", f"Name the file {recipe.recipe}.yaml."
        )
    return recipe


def _describe_recipe(error: ValidationError, where: str, source: YamlText) -> tuple[str, str]:
    cut = ValidationError.from_exception_data(
        error.title,
        [
            {"type": e["type"], "loc": _in_file(e), "input": e["input"], "ctx": e.get("ctx", {})}
            for e in error.errors(include_url=False)
        ],
    )
    return describe(cut, where, source)


def _in_file(problem: ErrorDetails) -> tuple[str | int, ...]:
    """Return the place of a problem in the file: without the wrapper's ``root`` and kind."""
    return ("kind",) if problem["type"] == "union_tag_invalid" else tuple(problem["loc"][2:])


def read_golden(folder: Path) -> tuple[GoldenSet, GoldenCard]:
    """Return the golden set in ``folder`` (README.md, pairs.jsonl, labels.jsonl).

    Raises:
        BadInput: with file, line and reason.
    """
    card, description = _read_card(folder / "README.md")
    if (folder.parent.name, folder.name) != (card.golden, f"v{card.version}"):
        raise BadInput(
            f"{folder} says it is {card.golden} v{card.version}.",
            f"It belongs at {card.golden}/v{card.version}.",
        )
    pairs: list[Pair] = []
    splits: dict[str, Split] = {}
    by_query: dict[str, Split] = {}
    for where, data in _lines(folder / "pairs.jsonl"):
        line = validate(PairLine, data, where)
        pair = Pair(query=line.query, document=line.document, meta=line.meta)
        if line.id and line.id != pair.id:
            raise BadInput(
                f"{where}: the id is not that of the content.", "Leave ids out, or restore the text."
            )
        if pair.id in splits:
            raise BadInput(f"{where}: this pair is there twice.", "Remove one of the lines.")
        if by_query.setdefault(pair.query_id, line.split) != line.split:
            raise BadInput(
                f"{where}: its query is in {by_query[pair.query_id]} above and in {line.split} here.",
                "All pairs of a query belong to one split.",
            )
        pairs.append(pair)
        splits[pair.id] = line.split
    labels = label_table(_label(data, where, splits) for where, data in _lines(folder / "labels.jsonl"))
    golden = GoldenSet(
        name=card.golden,
        version=card.version,
        policy=card.policy,
        pairs=tuple(pairs),
        splits=splits,
        labels=labels,
        sample=card.sample,
        description=description,
    )
    return golden, card


def _read_card(path: Path) -> tuple[GoldenCard, str]:
    text = read_text(path)
    parts = text.split("---\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise BadInput(f"{path} has no front matter.", "It starts with a block between two lines '---'.")
    source = YamlText("\n" + parts[1], str(path))  # the newline stands for the line '---', for line numbers
    return validate(GoldenCard, source.data, str(path), source), parts[2].strip()


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    # Not splitlines(): texts may hold U+2028 and other separators, which JSON leaves as they are.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise BadInput(f"{where}: not JSON ({error}).", "Each line holds one JSON object.") from error


def _label(data: Any, where: str, members: dict[str, Split]) -> Label:
    if not isinstance(data, dict):
        raise BadInput(f"{where}: not a JSON object.", "Each line holds one label.")
    grade = data.get("grade")
    values = {"pair_id" if key == "pair" else key: value for key, value in data.items()}
    values["grade"] = _SPECIAL_BACK.get(grade, grade) if isinstance(grade, str) else grade
    label = validate(Label, values, where)
    if label.pair_id not in members:
        raise BadInput(
            f"{where}: labels a pair that is not in pairs.jsonl.", "Add the pair or remove the label."
        )
    return label


def write_golden(folder: Path, golden: GoldenSet, *, message: str = "", author: str = "") -> Path:
    """Write a snapshot to ``folder/<name>/v<N>/`` and return that path; the same snapshot again changes nothing.

    Raises:
        Refused: if the folder exists with other content.
    """
    target = folder / golden.name / f"v{golden.version}"
    if (target / "README.md").exists():
        if read_golden(target)[0].content_hash != golden.content_hash:
            raise Refused(f"{target} exists with other content.", "Publish under the next number.")
        return target
    pair_lines = (
        {"id": p.id, "query": p.query, "document": p.document, "meta": p.meta, "split": golden.splits[p.id]}
        for p in golden.pairs
    )
    write_text(target / "pairs.jsonl", _jsonl(pair_lines))
    write_text(
        target / "labels.jsonl", _jsonl(map(_label_line, golden.labels[LABEL_COLUMNS].to_dict("records")))
    )
    card = GoldenCard(
        golden=golden.name,
        version=golden.version,
        policy=golden.policy,
        sample=golden.sample,
        message=message,
        author=author,
    )
    # README.md is written last: a folder without it is one that was never finished.
    body = golden.description or f"# {golden.label}\n\n{message}"
    write_text(target / "README.md", f"---\n{dump(card.model_dump())}---\n\n{body}\n")
    return target


def _label_line(row: Mapping[Any, Any]) -> dict[str, Any]:
    at = pd.Timestamp(row["at"]).isoformat().replace("+00:00", "Z")
    line = {
        "pair": row["pair_id"],
        "dimension": row["dimension"],
        "grade": _SPECIAL.get(row["grade"], row["grade"]),
    }
    line |= {"labeler": row["labeler"], "at": at, "source": row["source"]}
    return line | ({"note": row["note"]} if row["note"] else {})


def _jsonl(lines: Iterator[dict[str, Any]]) -> str:
    return "".join(map(_json_line, lines))


def _json_line(line: dict[str, Any]) -> str:
    text = json.dumps(line, ensure_ascii=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, half of a broken emoji, has no UTF-8 form: escape it
        return json.dumps(line) + "\n"
    return text


def sync(root: Path, store: Store) -> SyncReport:
    """Read policies and golden sets under ``root`` that the store does not know yet.

    A document that is malformed or was altered is named among the problems; the others are read all the same.
    """
    added: list[str] = []
    problems: list[str] = []
    unchanged = 0
    policies = sorted(root.glob("policies/*/v*.yaml"), key=lambda p: (p.parent.name, len(p.stem), p.stem))
    for path in policies:
        try:
            policy = read_policy(path)
            if store.add_policy(policy):
                added.append(f"policy {policy.label}")
            else:
                unchanged += 1
        except Refused as error:
            problems.append(f"{path} was altered after it was published: {error.message} {error.hint}")
        except WorkbenchError as error:
            problems.append(str(error))
    for folder in sorted(root.glob("golden_sets/*/v*"), key=lambda p: (p.parent.name, len(p.name), p.name)):
        if not (folder / "README.md").exists():
            continue
        try:
            golden, card = read_golden(folder)
            if store_golden(store, golden, card):
                added.append(f"golden set {golden.label}")
            else:
                unchanged += 1
        except Refused as error:
            problems.append(f"{folder} was altered after it was published: {error.message} {error.hint}")
        except WorkbenchError as error:
            problems.append(str(error))
    return SyncReport(added=tuple(added), unchanged=unchanged, problems=tuple(problems))


def store_golden(store: Store, golden: GoldenSet, card: GoldenCard) -> bool:
    """Keep a snapshot that was read from files, and its pairs and labels in the working set; whether it was new."""
    known = store.snapshot_hash(golden.name, golden.version) if golden.name in store.golden_names() else None
    if known == golden.content_hash:
        return False
    if known is not None:
        raise Refused(
            f"{golden.label} has other content than the snapshot in the store.", "Restore the files."
        )
    store.create_golden(golden.name, golden.policy, sample=golden.sample, description=golden.description)
    drawn = store.query_splits(golden.name)
    moved = [p for p in golden.pairs if drawn.get(p.query_id, golden.splits[p.id]) != golden.splits[p.id]]
    if moved:
        raise BadInput(
            f"{golden.label} puts {len(moved)} pairs on the other side of the split than they are in the store, "
            f"the first is {moved[0].id}.",
            "A holdout, once drawn, is kept: restore their split.",
        )
    store.add_pairs(golden.name, golden.pairs, golden.splits)
    store.add_labels(golden.name, golden.labels)
    return store.add_snapshot(golden, author=card.author, message=card.message)

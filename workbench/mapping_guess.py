"""A first guess at a column mapping, from column names and a few rows of one file; a person confirms it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.column_mapping import normal
from workbench.policy import OVERALL, Body, Side

QUERY_NAMES = ("query", "search", "search_query", "question", "prompt", "q")
DOCUMENT_NAMES = ("document", "doc", "passage", "text", "answer", "response", "summary", "item")
PEOPLE = ("labeler", "labeller", "rater", "annotator", "assessor", "worker")
LABELER_NAMES = (*PEOPLE, *(f"{name}_{what}" for name in PEOPLE for what in ("id", "name")), "labeled_by")
DIMENSION_NAMES = ("dimension", "aspect", "criterion")
GRADE_NAMES = ("grade", "rating", "label", "score")
NOTE_NAMES = ("note", "comment", "rationale", "reason")
AT_NAMES = ("at", "labeled_at", "annotated_at", "timestamp", "created_at")
NA_WORDS = ("n/a", "na", "not applicable")
META_LENGTH = 80
META_NAME_LENGTH = 60

Rows = Sequence[Mapping[str, str]]


def guess_spec(columns: Sequence[str], sample_rows: Rows, policy: Body, *, file: str) -> dict[str, Any]:
    """Return a mapping in the form of :class:`~workbench.column_mapping.ImportSpec`, as far as it can be told.

    A column belongs to the field, dimension or role whose name it bears, case and punctuation aside. A column
    named as a dimension is one of grades only if most of its different sampled cells are grades, so that ``skills``
    may be a field and a dimension, and a mistyped grade is shown as a bad row instead of hiding its column. ``golden`` and ``policy`` are the caller's to add; ``query``, ``document`` or a labeler that
    was not found is left out, so that validating the guess says what is missing. Short texts left over become
    metadata.

    Args:
        columns: the column names of ``file``.
        sample_rows: a few of its rows, column -> text; more rows, surer guesses.
    """
    guess = _Guess(columns, sample_rows, policy)
    labels = guess.labels()
    query = guess.side(policy.pair.query, QUERY_NAMES)
    document = guess.side(policy.pair.document, DOCUMENT_NAMES)
    found = {"query": query, "document": document, "meta": guess.rest()}
    return {
        "pairs": {"file": file},
        **{key: value for key, value in found.items() if value},
        "labels": labels,
    }


def guess_grades(
    columns: Sequence[str], sample_rows: Rows, policy: Body, graded: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return ``grades`` and ``na`` of a source of labels: what level names and N/A marks its cells hold.

    Args:
        graded: (dimension or "" where the rows say it, column of grades), as a person chose them.
    """
    return _Guess(columns, sample_rows, policy).translation(graded)


def meta_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return column -> the name that it may have as metadata; columns without a usable name are left out."""
    named = {column: normal(column) for column in columns}
    return {
        column: name
        for column, name in named.items()
        if name.isascii() and name[:1].isalpha() and len(name) <= META_NAME_LENGTH
    }


class _Guess:
    def __init__(self, columns: Sequence[str], rows: Rows, policy: Body) -> None:
        self.policy = policy
        self.named = meta_columns(columns)
        self.free = {normal(column): column for column in reversed(columns)}
        self.seen = {
            column: {text for row in rows if (text := row.get(column, "").strip())} for column in columns
        }

    def take(self, names: Sequence[str]) -> str | None:
        """Return and use up the first column called by one of ``names``."""
        return next((self.free.pop(name) for name in names if name in self.free), None)

    def side(self, side: Side, usual: Sequence[str]) -> dict[str, str]:
        found = {}
        for name in side.fields:
            # The fuller name first: beside member_skills, a column skills is rather one of grades.
            forms = [f"{side.name}_{name}", f"{usual[0]}_{name}", name]
            if len(side.fields) == 1:
                forms += [side.name, *usual]
            column = self.take(forms)
            if column is not None:
                found[name] = column
        return found

    def labels(self) -> list[dict[str, Any]]:
        """Return one source of labels in long or wide shape, or none."""
        roles = {"labeler": LABELER_NAMES, "note": NOTE_NAMES, "at": AT_NAMES}
        wide = self.wide_columns()
        if wide:
            several = [column for column in wide if "labeler" in column]
            shape: dict[str, Any] = {
                "columns": wide if several else {column["dimension"]: column["column"] for column in wide}
            }
            kind, graded = "wide", [(column["dimension"], column["column"]) for column in wide]
            needs_labeler = len(several) < len(wide)
        else:
            dimension = self.dimension_column()
            grade = self.take(GRADE_NAMES) if dimension else None
            if grade is None or dimension is None:
                return []
            shape = {"dimension": dimension, "grade": grade}
            key = dimension.removeprefix("=")
            kind, graded = "long", [(key if dimension.startswith("=") else "", grade)]
            needs_labeler = True
        taken = {
            role: self.take(names) for role, names in roles.items() if role != "labeler" or needs_labeler
        }
        shape |= {role: column for role, column in taken.items() if column is not None}
        return [{kind: shape, **self.translation(graded)}]

    def wide_columns(self) -> list[dict[str, str]]:
        """Return columns called ``dimension``, ``dimension_rater`` or ``dimension__rater`` that hold grades."""
        found = []
        names = {normal(name): d.key for d in self.policy.dimensions for name in (d.title, d.key)}
        names[OVERALL] = OVERALL
        for form, column in sorted(self.free.items(), key=lambda item: list(self.seen).index(item[1])):
            # The longest name that fits: skills_soft_ann is of dimension skills_soft, not of skills.
            name = max((n for n in names if form == n or form.startswith(f"{n}_")), key=len, default=None)
            if name is None or not self.holds_grades(column, names[name]):
                continue
            rater = form[len(name) :].strip("_")
            rest = column[-len(rater) :] if rater else ""  # as it is written, upper case kept
            found.append({"dimension": names[name], "column": column} | ({"labeler": rest} if rater else {}))
        for entry in found:
            del self.free[normal(entry["column"])]
        return found

    def holds_grades(self, column: str, key: str) -> bool:
        """Whether most different cells are levels, names of levels, or N/A; False where all are empty."""
        known = {str(level) for level in self.policy.scale(key)} | set(self.level_names(key)) | set(NA_WORDS)
        seen = {text.casefold().removesuffix(".0") for text in self.seen[column]}
        return len(seen & known) * 2 > len(seen)

    def level_names(self, key: str) -> dict[str, int]:
        levels = self.policy.dimension(key).levels if key in self.policy.keys else ()
        return {level.name.casefold(): level.value for level in levels}

    def dimension_column(self) -> str | None:
        known = {normal(key) for key in (*self.policy.keys, OVERALL)}
        for form, column in self.free.items():
            values = {normal(text) for text in self.seen[column]}
            if values and values <= known:
                return self.free.pop(form)
        named = self.take(DIMENSION_NAMES)
        if named is None and len(self.policy.dimensions) == 1:
            return f"={self.policy.dimensions[0].key}"
        return named

    def translation(self, graded: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Return ``grades`` and ``na`` for the level names and N/A marks among the sampled cells."""
        grades: dict[str, int] = {}
        na: dict[str, None] = {}
        for key, column in graded:
            names = self.level_names(key)
            for text in sorted(self.seen[column]):
                if text.casefold() in names:
                    # A name that two dimensions give different values cannot be translated for both.
                    if grades.setdefault(text, names[text.casefold()]) != names[text.casefold()]:
                        return {}
                elif text.casefold() in NA_WORDS:
                    na[text] = None
        found = {"grades": grades, "na": list(na)}
        return {name: value for name, value in found.items() if value}

    def rest(self) -> dict[str, str]:
        """Return what is left and short, under names that metadata may have."""
        return {
            form: column
            for form, column in reversed(self.free.items())
            if column in self.named and all(len(text) <= META_LENGTH for text in self.seen[column])
        }

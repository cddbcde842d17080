"""Verbs that bring in judgements made elsewhere: what a file would become, and keeping it as recorded runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from workbench.column_mapping import normal
from workbench.errors import BadInput, Refused
from workbench.golden import GoldenSet
from workbench.judge_runs import RecordedRun, keep_recorded, plan_recorded
from workbench.judgement_columns import filled_id
from workbench.judgement_files import JudgementFile
from workbench.judgement_rows import dimension_names
from workbench.policy import OVERALL, Policy
from workbench.workspace import Workspace

MOST_RUNS = 200
"""A column that differs in every row, taken for the judge's name or version, would make a run of each."""
SHOWN = 3
SHOWN_ROWS = 8
SHOWN_COLUMNS = ["judge", "version", "pair_id", "dimension", "score", "rationale", "place"]
SHOWN_NAMES = 8


@dataclass(frozen=True, eq=False)
class Preview:
    """What a file would become.

    Attributes:
        rows: judgements in the file.
        known: pairs of the golden set that the file grades; ``unknown``: those that the set does not have.
        dimensions: key -> rows that grade it; ``unknown_dimensions``: name as written -> rows.
        outside: dimension -> scores outside its scale; ``not_a_score``: those that are no number or level.
        repeated: rows overruled by a later one about the same pair and dimension.
        left_out: what the file holds beside judgements, counted by reason.
        first: the first rows, columns judge, version, pair_id, dimension, score, rationale, place.
    """

    file: str
    format: str
    golden: str
    golden_pairs: int
    policy: str
    rows: int
    known: int
    unknown: tuple[str, ...]
    dimensions: Mapping[str, int]
    unknown_dimensions: Mapping[str, int]
    outside: Mapping[str, int]
    not_a_score: Mapping[str, int]
    repeated: int
    runs: tuple[RecordedRun, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    first: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)

    def lines(self) -> list[str]:
        """Return the preview as lines for a person."""
        return [
            f"{self.file}: {self.format}, {self.rows:,} judgements",
            f"{self.known:,} of the {self.golden_pairs:,} pairs of {self.golden} are graded",
            *self.asides(),
        ]

    def asides(self) -> list[str]:
        """Return what is not as it may have been meant, a sentence each."""
        found = list(self.notes)
        if self.unknown:
            count = len(self.unknown)
            found.append(
                f"{_several(count, 'pair')} {_are(count)} not in {self.golden}: {_first(self.unknown)}."
            )
        names = list(self.unknown_dimensions.items())
        for name, count in names[:SHOWN_NAMES]:
            why = (
                "follows from the dimensions" if normal(name) == OVERALL else "is no dimension of the policy"
            )
            found.append(f"'{name[:60]}' {why} and is left out: {_several(count, 'row')}.")
        if len(names) > SHOWN_NAMES:
            found.append(f"So are {len(names) - SHOWN_NAMES:,} other names.")
        for key, count in self.outside.items():
            found.append(f"{key}: {_several(count, 'score')} outside the scale, kept as failed.")
        for key, count in self.not_a_score.items():
            found.append(f"{key}: {_several(count, 'score')} without a number or level, kept as failed.")
        if self.repeated:
            found.append(f"{_several(self.repeated, 'row')} overruled by a later row about the same pair.")
        return [*found, *(f"Left out: {count:,} {reason}." for reason, count in self.left_out.items())]


def preview(
    workspace: Workspace, file: JudgementFile, *, policy: str, golden: str, judge: str = "",
    policy_version: int | None = None,
) -> Preview:  # fmt: skip
    """Return what importing a file would do; nothing is kept.

    A score may be a number, the name of a level, or N/A. A version in the file that is a version number of the
    policy (all of them have to be) stands for it, unless ``policy_version`` is given; any other becomes part of the
    judge's name.

    Args:
        judge: name of the judge; "" where the file names it.
        policy_version: under which the judgements were made; the newest where None and the file does not say.

    Raises:
        NotFound: for a policy, version or golden set that does not exist.
        Refused: for a golden set of another policy.
        BadInput: if no judge is named, or a name is given and the file names several.
    """
    return _Plan(workspace, file, policy, golden, judge, policy_version).preview()


def import_judgements(
    workspace: Workspace, file: JudgementFile, *, policy: str, golden: str, author: str, judge: str = "",
    policy_version: int | None = None, skip_unknown: bool = False,
) -> list[RecordedRun]:  # fmt: skip
    """Keep the judgements of a file as finished runs, one a judge and version; the same file again changes nothing.

    Raises:
        BadInput: for pairs that the golden set does not have, unless ``skip_unknown``; if there is nothing else; and
            as :func:`preview`.
        NotFound, Refused: as :func:`preview`.
    """
    plan = _Plan(workspace, file, policy, golden, judge, policy_version, author)
    found = plan.preview()
    if found.unknown and not skip_unknown:
        raise BadInput(
            f"{file.name}: {_several(len(found.unknown), 'pair')} {_are(len(found.unknown))} not in "
            f"{found.golden}: {_first(found.unknown)}.",
            "Correct the ids, publish a golden set that has them, or leave them out (skip unknown).",
        )
    if not plan.runs:
        raise BadInput(
            f"{file.name} grades no pair of {found.golden} on a dimension of {found.policy}.",
            "Check the golden set, the ids of its pairs, and the names of the dimensions.",
        )
    keep_recorded(workspace, plan.runs)
    return plan.runs


class _Plan:
    """One import under way.

    Attributes:
        runs: what the file becomes.
    """

    def __init__(
        self, workspace: Workspace, file: JudgementFile, policy: str, golden: str, judge: str,
        version: int | None, author: str = "",
    ) -> None:  # fmt: skip
        self._file = file
        self._policy = workspace.store.policy(policy, version)
        self._golden = workspace.store.snapshot(golden)
        if self._golden.policy != policy:
            raise Refused(
                f"Golden set '{golden}' is labelled under policy '{self._golden.policy}', not '{policy}'.",
                "Choose a golden set of this policy.",
            )
        rows = file.rows.assign(judge=_judges(file, judge.strip()))
        policies = _policies(workspace, self._policy, rows["version"].unique()) if version is None else {}
        names: dict[str, str] = {}
        for document in (*policies.values(), self._policy):
            names |= dimension_names(document)
        rows["key"] = [names.get(normal(name), "") for name in rows["dimension"]]
        rows["known"] = rows["pair_id"].map(_ids(self._golden, by_text=file.by_text)).fillna("")
        self._rows = rows
        good = rows[(rows["known"] != "") & (rows["key"] != "")]
        scores = good[["judge", "version", "rationale", "judgement"]].assign(
            pair_id=good["known"], dimension=good["key"], score=_grades(good, policies, self._policy)
        )
        self.runs = plan_recorded(
            workspace, scores, policy=policy, snapshot=self._golden, author=author, source=file.name,
            versions={text: document.version for text, document in policies.items()}, policy_version=version,
        )  # fmt: skip

    def preview(self) -> Preview:
        """Return what would be kept."""
        rows = self._rows
        reports = [planned.report for planned in self.runs]
        return Preview(
            file=self._file.name,
            format=self._file.format,
            golden=self._golden.label,
            golden_pairs=len(self._golden.pairs),
            policy=self._policy.name,
            rows=len(rows),
            known=rows.loc[rows["known"] != "", "known"].nunique(),
            unknown=tuple(rows.loc[rows["known"] == "", "pair_id"].unique()),
            dimensions=Counter(rows.loc[rows["key"] != "", "key"]),
            unknown_dimensions=Counter(rows.loc[rows["key"] == "", "dimension"]),
            outside=_sum(report.outside_scale for report in reports),
            not_a_score=_sum(report.not_a_score for report in reports),
            repeated=sum(report.repeated for report in reports),
            runs=tuple(self.runs),
            left_out=self._file.left_out,
            notes=self._file.notes,
            first=rows[SHOWN_COLUMNS].head(SHOWN_ROWS).reset_index(drop=True),
        )


def _policies(workspace: Workspace, policy: Policy, versions: Iterable[str]) -> dict[str, Policy]:
    """Return recorded version -> policy version, where all versions of a file are version numbers of the policy."""
    written = [text for text in versions if text]
    there = {f"{known.version}": known for known in workspace.store.policy_versions(policy.name)}
    found = {text: there[number] for text in written if (number := text.lower().removeprefix("v")) in there}
    return found if len(found) == len(written) else {}


def _grades(rows: pd.DataFrame, policies: Mapping[str, Policy], policy: Policy) -> list[str]:
    """Return scores, with the values of levels for their names."""
    levels = {
        version: {
            (dimension.key, level.name.casefold()): str(level.value)
            for dimension in document.dimensions
            for level in dimension.levels
        }
        for version, document in {**policies, "": policy}.items()
    }
    return [
        levels.get(version, levels[""]).get((key, score.casefold()), score)
        for version, key, score in zip(rows["version"], rows["key"], rows["score"], strict=True)
    ]


def _judges(file: JudgementFile, given: str) -> pd.Series:
    """Return the judge of each row.

    Raises:
        BadInput: if a row has none and no name is given, or a name is given and the file names several.
    """
    named = file.rows["judge"]
    written = sorted(name for name in named.unique() if name)
    if len(file.rows[["judge", "version"]].drop_duplicates()) > MOST_RUNS:
        raise BadInput(
            f"{file.name} would make more than {MOST_RUNS} runs, one a judge and version.",
            "Take out or rename the column that is taken for the judge or the version.",
        )
    if given and len(written) > 1:
        raise BadInput(
            f"{file.name} names {len(written)} judges ({_first(written)}); one name would make them one.",
            "Leave the name of the judge empty.",
        )
    if given:
        return pd.Series(given, index=named.index, dtype=object)
    if (named == "").any():
        place = file.rows.loc[named == "", "place"].iloc[0]
        raise BadInput(f"{file.name}, {place}: no judge is named.", "Give the judge a name.")
    return named


def _ids(golden: GoldenSet, *, by_text: bool) -> dict[str, str]:
    """Return the id of each pair by every way in which a file may write it."""
    found: dict[str, str] = {}
    for pair in golden.pairs:
        if by_text:
            found[filled_id(pair.query, pair.document)] = pair.id
        found[pair.id.removeprefix("pair-")] = pair.id  # as the id of a trace, which has 32 hex digits
    return found | {pair.id: pair.id for pair in golden.pairs}


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def _several(count: int, one: str) -> str:
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")

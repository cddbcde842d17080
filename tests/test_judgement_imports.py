"""Judgements made elsewhere, previewed and kept as recorded runs.

The policy is ``tea-match``: taste 0-2 (Clash, Fits, Wanted), strength 0-1 or N/A (Wrong, Right).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from workspace_samples import NAME, golden_set, pair, version

from workbench.errors import BadInput, NotFound, Refused
from workbench.evaluation import run_agreement
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, GoldenSet, Pair
from workbench.golden_export import write_export
from workbench.identity import content_hash
from workbench.judge_runs import RecordedRun, import_recorded
from workbench.judgement_files import JudgementFile, read_judgements
from workbench.judgement_imports import Preview, import_judgements, preview
from workbench.run import Judgement, Run, Verdict
from workbench.workspace import Workspace

RESULTS = Path(__file__).parent / "data" / "results"
WHERE = {"policy": NAME, "golden": "tea"}
TEAS = [
    pair(wishes, title)
    for wishes, title in (
        ("green", "Sencha"), ("green", "Matcha"), ("black", "Assam"), ("black", "Lapsang"), ("mild", "Rooibos"),
    )
]  # fmt: skip
HUMAN = [(2, 1), (1, 0), (1, 1), (2, 0), (0, 1)]


@pytest.fixture
def golden(workspace: Workspace) -> GoldenSet:
    """Five labelled teas."""
    return golden_set(
        workspace, [(tea, {"taste": t, "strength": s}) for tea, (t, s) in zip(TEAS, HUMAN, strict=True)]
    )


def read(workspace: Workspace, *lines: str, name: str = "scores.csv") -> JudgementFile:
    return read_judgements("\n".join(lines).encode(), name, policy=workspace.store.policy(NAME))


def long(*rows: tuple[Pair, str, object], header: str = "pair_id,dimension,score") -> list[str]:
    return [header, *(f"{tea.id},{key},{score}" for tea, key, score in rows)]


def judged(workspace: Workspace, run: Run) -> dict[str, dict[str, Judgement]]:
    return workspace.store.judgements(run.id, [tea.id for tea in TEAS])


def names(runs: list[RecordedRun] | tuple[RecordedRun, ...]) -> list[str]:
    return [planned.run.label for planned in runs]


# What a file becomes


def test_a_table_becomes_a_run_that_is_measured_like_any(workspace: Workspace, golden: GoldenSet) -> None:
    lines = ["pair_id,taste,strength,taste_rationale"]
    lines += [f"{tea.id},{t},{s},Because {t}" for tea, (t, s) in zip(TEAS, HUMAN, strict=True)]
    ((planned),) = import_judgements(workspace, read(workspace, *lines), judge="gpt", author="Ida", **WHERE)
    run = workspace.store.run(planned.run.id)
    assert (run.judge.kind, run.judge.name, run.policy_version, run.status) == (
        "recorded",
        "gpt",
        1,
        "finished",
    )
    assert (run.totals.pairs, run.totals.judgements, run.totals.failed, run.author) == (5, 10, 0, "Ida")
    assert judged(workspace, run)[TEAS[0].id]["taste"] == Judgement(
        dimension="taste", grade=2, rationale="Because 2"
    )
    assert run_agreement(workspace, run)["taste"].exact.value == 1.0


def test_scores_are_numbers_names_of_levels_or_not_applicable(
    workspace: Workspace, golden: GoldenSet
) -> None:
    a, b, c, d, e = TEAS
    file = read(
        workspace,
        *long(
            (a, "Taste", "wanted"), (b, "taste", 1.4), (c, "taste", 7), (d, "taste", "good"), (e, "taste", "")
        ),
        *long((a, "strength", "N/A"), (b, "strength", "RIGHT"), (c, "overall", 2), (d, "colour", 1))[1:],
    )
    seen = preview(workspace, file, judge="j", **WHERE)
    assert (seen.rows, seen.known, seen.unknown, seen.repeated) == (9, 5, (), 0)
    assert (seen.dimensions, seen.unknown_dimensions) == (
        {"taste": 5, "strength": 2},
        {"overall": 1, "colour": 1},
    )
    assert (seen.outside, seen.not_a_score) == ({"taste": 1}, {"taste": 2})
    assert seen.asides() == [
        "'overall' follows from the dimensions and is left out: 1 row.",
        "'colour' is no dimension of the policy and is left out: 1 row.",
        "taste: 1 score outside the scale, kept as failed.",
        "taste: 2 scores without a number or level, kept as failed.",
    ]
    assert workspace.store.runs() == []  # a preview keeps nothing
    (planned,) = import_judgements(workspace, file, judge="j", author="Ida", **WHERE)
    found = judged(workspace, planned.run)
    assert {tea.document["title"]: found[tea.id]["taste"].grade for tea in TEAS} == {
        "Sencha": 2, "Matcha": 1, "Assam": NOT_GRADED, "Lapsang": NOT_GRADED, "Rooibos": NOT_GRADED,
    }  # fmt: skip
    assert found[b.id]["taste"].expected == 1.4
    assert found[a.id]["strength"].grade == NOT_APPLICABLE
    assert found[b.id]["strength"].grade == 1
    assert (planned.run.totals.judgements, planned.run.totals.failed) == (7, 3)


def test_the_later_row_counts_and_is_told(workspace: Workspace, golden: GoldenSet) -> None:
    file = read(workspace, *long((TEAS[0], "taste", 0), (TEAS[0], "taste", 2)))
    seen = preview(workspace, file, judge="j", **WHERE)
    assert (seen.rows, seen.repeated, seen.runs[0].run.totals.judgements) == (2, 1, 1)
    (planned,) = import_judgements(workspace, file, judge="j", author="Ida", **WHERE)
    assert judged(workspace, planned.run)[TEAS[0].id]["taste"].grade == 2


def test_verdicts_of_ours_keep_citations_probabilities_and_errors(
    workspace: Workspace, golden: GoldenSet
) -> None:
    whole = Judgement(
        dimension="taste",
        grade=1,
        expected=1.1,
        probabilities=(0.1, 0.7, 0.2),
        rationale="So",
        cites=("taste.1",),
    )
    failed = Judgement(dimension="taste", grade=NOT_GRADED, error="the model said nothing")
    outside = Judgement(dimension="taste", grade=4, probabilities=(0.2,) * 5)
    wide = Judgement(dimension="strength", grade=1, probabilities=(0.1, 0.2, 0.7))  # of another scale
    verdicts = [
        Verdict(pair_id=tea.id, judgements=(j,))
        for tea, j in zip(TEAS, (whole, failed, outside, wide), strict=False)
    ]
    file = read(workspace, *(verdict.model_dump_json() for verdict in verdicts), name="judgements.jsonl")
    (planned,) = import_judgements(workspace, file, judge="old", author="Ida", **WHERE)
    found = judged(workspace, planned.run)
    assert found[TEAS[0].id]["taste"] == whole
    assert found[TEAS[1].id]["taste"] == failed
    assert found[TEAS[2].id]["taste"].error == "the recorded score 4 is outside the scale 0–2"
    assert found[TEAS[3].id]["strength"] == wide.model_copy(update={"probabilities": None})


def test_an_export_of_the_set_comes_back_by_its_texts(
    workspace: Workspace, golden: GoldenSet, tmp_path: Path
) -> None:
    """The settled grades of a golden set as a judge of their own, with and without the column of ids."""
    path = write_export(golden, tmp_path / "settled.csv", "csv-settled")
    by_id = read_judgements(path, policy=workspace.store.policy(NAME))
    table = pd.read_csv(path).drop(columns=["pair_id", "split"])
    table.to_csv(path, index=False)
    by_text = read_judgements(path, policy=workspace.store.policy(NAME))
    assert (by_id.by_text, by_text.by_text) == (False, True)
    for file in (by_id, by_text):
        seen = preview(workspace, file, judge="people", **WHERE)
        assert (seen.known, seen.unknown, seen.dimensions) == (5, (), {"taste": 5, "strength": 5})
    (planned,) = import_judgements(workspace, by_text, judge="people", author="Ida", **WHERE)
    assert run_agreement(workspace, planned.run)["overall"].exact.value == 1.0


def test_a_pair_with_an_empty_field_is_known_by_its_texts(workspace: Workspace) -> None:
    tea = Pair(query={"wishes": "green", "mood": ""}, document={"title": "Sencha", "notes": ""})
    golden_set(workspace, [(tea, {"taste": 2})])
    file = read(workspace, "query_wishes,query_mood,document_title,document_notes,taste", "green,,Sencha,,2")
    assert preview(workspace, file, judge="j", **WHERE).known == 1


# Judges and versions


def test_a_run_for_each_judge_and_version(workspace: Workspace, golden: GoldenSet) -> None:
    lines = ["judge,version,pair_id,taste"]
    lines += [f"{judge},{prompt},{TEAS[0].id},{grade}" for judge, prompt, grade in [("b", "long", 1), ("a", "", 2), ("b", "short", 0)]]  # fmt: skip
    file = read(workspace, *lines)
    runs = import_judgements(workspace, file, author="Ida", **WHERE)
    assert names(runs) == ["a · tea-match v1", "b (long) · tea-match v1", "b (short) · tea-match v1"]
    with pytest.raises(BadInput, match=r"scores\.csv names 2 judges \(a, b\)"):
        preview(workspace, file, judge="one", **WHERE)


def test_a_name_is_needed_and_renames_the_only_judge(workspace: Workspace, golden: GoldenSet) -> None:
    file = read(workspace, *long((TEAS[0], "taste", 1)))
    with pytest.raises(BadInput, match=r"scores\.csv, row 2: no judge is named\."):
        preview(workspace, file, **WHERE)
    named = read(workspace, "pair_id,judge,taste", f"{TEAS[0].id},gpt,1")
    assert names(preview(workspace, named, judge=" mine ", **WHERE).runs) == ["mine · tea-match v1"]


def test_versions_that_are_the_policys_stand_for_it(workspace: Workspace, golden: GoldenSet) -> None:
    workspace.store.add_policy(version(2))
    lines = ["judge,version,pair_id,taste", f"j,v1,{TEAS[0].id},1", f"j,2,{TEAS[0].id},2"]
    file = read(workspace, *lines)
    assert names(preview(workspace, file, **WHERE).runs) == ["j · tea-match v2", "j · tea-match v1"]
    # One that is not makes all of them names; the newest version is then the policy's.
    other = read(workspace, *lines, f"j,3,{TEAS[0].id},2")
    assert names(preview(workspace, other, **WHERE).runs) == [
        f"j ({v}) · tea-match v2" for v in ("2", "3", "v1")
    ]
    # A version that is asked for holds for all.
    asked = preview(workspace, file, policy_version=1, **WHERE)
    assert names(asked.runs) == ["j (2) · tea-match v1", "j (v1) · tea-match v1"]
    with pytest.raises(NotFound):
        preview(workspace, file, policy_version=7, **WHERE)


def test_a_column_of_other_texts_is_not_taken_for_versions(workspace: Workspace, golden: GoldenSet) -> None:
    lines = [f"j,prompt {i},{TEAS[0].id},1" for i in range(201)]
    with pytest.raises(BadInput, match="more than 200 runs"):
        preview(workspace, read(workspace, "judge,version,pair_id,taste", *lines), **WHERE)


# Pairs that are not there


def test_unknown_pairs_refuse_the_import_unless_they_are_left_out(
    workspace: Workspace, golden: GoldenSet
) -> None:
    lines = long((TEAS[0], "taste", 1)) + [f"x{i},taste,1" for i in range(4)]
    file = read(workspace, *lines)
    seen = preview(workspace, file, judge="j", **WHERE)
    assert (seen.known, seen.unknown) == (1, ("x0", "x1", "x2", "x3"))
    with pytest.raises(BadInput, match=r"scores\.csv: 4 pairs are not in tea v1: x0, x1, x2 …\. Correct"):
        import_judgements(workspace, file, judge="j", author="Ida", **WHERE)
    assert workspace.store.runs() == []
    (planned,) = import_judgements(workspace, file, judge="j", author="Ida", skip_unknown=True, **WHERE)
    assert planned.run.totals.pairs == 1


@pytest.mark.parametrize(
    "lines", [["pair_id,taste", "x,1"], ["pair_id,dimension,score", f"{TEAS[0].id},colour,1"]]
)
def test_a_file_about_something_else_is_refused(
    workspace: Workspace, golden: GoldenSet, lines: list[str]
) -> None:
    with pytest.raises(BadInput, match="grades no pair of tea v1 on a dimension of tea-match"):
        import_judgements(
            workspace, read(workspace, *lines), judge="j", author="Ida", skip_unknown=True, **WHERE
        )


def test_a_golden_set_of_another_policy_is_refused(workspace: Workspace, golden: GoldenSet) -> None:
    workspace.store.add_policy(version(1, policy="other"))
    file = read(workspace, *long((TEAS[0], "taste", 1)))
    with pytest.raises(Refused, match="labelled under policy 'tea-match', not 'other'"):
        preview(workspace, file, policy="other", golden="tea", judge="j")


# Once


def test_the_same_file_twice_changes_nothing(workspace: Workspace, golden: GoldenSet) -> None:
    file = read(workspace, *long((TEAS[0], "taste", 1)))
    (first,) = import_judgements(workspace, file, judge="j", author="Ida", **WHERE)
    (again,) = import_judgements(workspace, file, judge="j", author="Bo", **WHERE)
    assert (first.known, again.known, again.run) == (False, True, workspace.store.run(first.run.id))
    assert [run.id for run in workspace.store.runs()] == [first.run.id]
    assert preview(workspace, file, judge="j", **WHERE).runs[0].known
    # Other grades, or the same with a rationale, are other runs.
    for lines in (
        long((TEAS[0], "taste", 2)),
        ["pair_id,dimension,score,rationale", f"{TEAS[0].id},taste,1,Because"],
    ):
        (other,) = import_judgements(workspace, read(workspace, *lines), judge="j", author="Ida", **WHERE)
        assert not other.known
    assert len(workspace.store.runs()) == 3


def test_the_id_of_a_run_without_rationales_is_that_of_its_grades(
    workspace: Workspace, golden: GoldenSet
) -> None:
    """As it was before rationales were kept: what was imported then is found again."""
    scores = pd.DataFrame(
        {"judge": "j", "version": "", "pair_id": [TEAS[0].id], "dimension": "taste", "score": 1.0}
    )
    policy_hash = workspace.store.policy(NAME).content_hash
    inputs = ["tea", golden.content_hash, policy_hash, "j", "scores.csv", [[TEAS[0].id, "taste", 1, 0]]]
    expected = "run-" + content_hash("recorded", inputs).removeprefix("recorded-")[:16]
    ((run, _),) = import_recorded(
        workspace, scores, policy=NAME, golden="tea", author="Ida", source="scores.csv", versions={}
    )
    assert run.id == expected
    ((again, _),) = import_recorded(
        workspace, scores.assign(rationale=""), policy=NAME, golden="tea", author="Ida", source="scores.csv", versions={}
    )  # fmt: skip
    assert again == run
    # The same grades out of a file: the same run.
    file = read(workspace, *long((TEAS[0], "taste", 1)))
    assert preview(workspace, file, judge="j", **WHERE).runs[0].known


# Other tools


def shown(seen: Preview) -> list[tuple[str, int, int]]:
    return [(p.run.judge.name, p.run.totals.judgements, p.run.totals.failed) for p in seen.runs]


def test_results_of_other_tools_become_runs(workspace: Workspace, golden: GoldenSet) -> None:
    found = {
        path.name: preview(workspace, read_judgements(path, policy=workspace.store.policy(NAME)), **WHERE)
        for path in sorted(RESULTS.iterdir())
    }
    # Five samples with two grades; the 7 is outside the scale of taste.
    assert shown(found["inspect.json"]) == shown(found["inspect.eval"]) == [("mockllm/model", 10, 1)]
    assert shown(found["inspect-epochs.eval"]) == [
        ("mockllm/model (epoch 1)", 10, 1),
        ("mockllm/model (epoch 2)", 10, 1),
    ]
    claude = "anthropic:messages:claude-haiku-4-5"
    assert (
        shown(found["promptfoo.json"]) == shown(found["promptfoo.jsonl"]) == [(claude, 4, 0), ("gpt", 4, 0)]
    )
    # taste and strength of two pairs; helpfulness is no dimension, the older taste is overruled.
    assert shown(found["langfuse.json"]) == [("gpt-5-mini", 4, 0)]
    assert (found["langfuse.json"].repeated, found["langfuse.json"].unknown) == (1, ())
    assert shown(found["langfuse.csv"]) == [("gpt-5-mini", 2, 0)]


def test_the_newest_langfuse_score_counts(workspace: Workspace, golden: GoldenSet) -> None:
    file = read_judgements(RESULTS / "langfuse.json", policy=workspace.store.policy(NAME))
    (planned,) = import_judgements(workspace, file, author="Ida", **WHERE)
    found = judged(workspace, planned.run)
    assert (found[TEAS[0].id]["taste"].grade, found[TEAS[0].id]["taste"].rationale) == (2, "Asked for green.")
    assert found[TEAS[0].id]["strength"].grade == 1  # 'Right'
    assert found[TEAS[1].id]["taste"].grade == 1  # named by the id of its trace


def test_an_inspect_log_keeps_its_explanations(workspace: Workspace, golden: GoldenSet) -> None:
    file = read_judgements(RESULTS / "inspect.eval", policy=workspace.store.policy(NAME))
    (planned,) = import_judgements(workspace, file, author="Ida", **WHERE)
    found = judged(workspace, planned.run)[TEAS[3].id]["taste"]
    assert (found.grade, found.expected, found.rationale) == (2, 1.5, "Because of Lapsang.")

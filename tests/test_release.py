"""The release gate: checks by hand, what a file may say, which run counts, the command's exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from workspace_samples import golden_set, pair, recorded_run, version

from workbench import cli_gate, release
from workbench.agreement import agreement
from workbench.errors import BadInput, NotFound
from workbench.gate import Gate, failed_checks, kappa_checks, probe_checks
from workbench.golden import NOT_GRADED
from workbench.workspace import Workspace

P = [pair(f"wish {i}", f"tea {i}") for i in range(60)]
HUMAN = [i % 3 for i in range(60)]
NEARLY = [(t + (i % 20 == 0)) % 3 for i, t in enumerate(HUMAN)]  # three pairs of sixty wrong
POOR = [(t + (i % 2 == 0)) % 3 for i, t in enumerate(HUMAN)]  # every second pair wrong


def graded(taste: list[int]) -> list[Any]:
    return [(p, {"taste": t, "strength": i % 2}) for i, (p, t) in enumerate(zip(P, taste, strict=True))]


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    """Sixty labelled pairs, one a query, and two policy versions."""
    golden_set(workspace, graded(HUMAN))
    workspace.store.add_policy(version(2))
    return workspace


def test_the_lower_bound_counts_not_the_value() -> None:
    found = {"taste": agreement(NEARLY, HUMAN, list(range(60)), [0, 1, 2])}
    kappa = found["taste"].kappa_quadratic
    assert kappa.low < kappa.value
    (check,) = kappa_checks(Gate(least_kappa={"taste": kappa.value}), found)
    assert check.passed is False
    (check,) = kappa_checks(Gate(least_kappa={"default": kappa.low}), found)
    assert check.passed is True
    assert kappa_checks(Gate(least_kappa={"strength": 0.9}), found) == []
    (check,) = kappa_checks(Gate(least_kappa={"taste": 0.0}, least_pairs=61), found)
    assert (check.passed, check.said) == (None, "60 comparable pairs, at least 61 are needed")


def test_failures_are_counted_over_all_dimensions() -> None:
    half = [NOT_GRADED if i < 6 else t for i, t in enumerate(HUMAN)]
    found = {
        "taste": agreement(half, HUMAN, list(range(60)), [0, 1, 2]),
        "strength": agreement(HUMAN, HUMAN, list(range(60)), [0, 1, 2]),
        "overall": agreement(half, HUMAN, list(range(60)), [0, 1, 2]),
    }
    # 6 of 120; the overall grade is nobody's answer.
    (check,) = failed_checks(Gate(most_failed=0.05), found)
    assert (check.passed, check.said) == (True, "6 of 120 labelled grades failed (5.0%); at most 5.0%")
    (check,) = failed_checks(Gate(most_failed=0.04), found)
    assert check.passed is False


def test_a_probe_that_was_not_measured_does_not_pass() -> None:
    gate = Gate(probes={"instruction": 0.05, "padding": 0.1, "paraphrase": 0.2})
    checks = probe_checks(gate, {"instruction": (0.04, ""), "padding": (0.2, "")})
    assert [check.passed for check in checks] == [True, False, None]
    assert "workbench judge probe" in checks[2].said


def test_a_good_version_passes_and_says_by_what(tea: Workspace) -> None:
    before = recorded_run(tea, "a", graded(POOR))
    run = recorded_run(tea, "b", graded(NEARLY), policy_version=2, minute=1)
    found = release.release(tea, "tea-match", golden="tea", who="Ida")
    assert found.passed
    assert (found.version, found.run, found.before, found.source) == (2, run, before, "")
    assert {check.what for check in found.checks} == {"failed", "not worse"}


def test_a_worse_version_does_not(tea: Workspace) -> None:
    recorded_run(tea, "a", graded(NEARLY))
    recorded_run(tea, "b", graded(POOR), policy_version=2, minute=1)
    found = release.release(tea, "tea-match", 2, golden="tea", who="Ida")
    assert not found.passed
    assert [reason.split(":")[0] for reason in found.reasons] == ["taste", "overall"]
    # Strength is the same in both.
    assert next(c for c in found.checks if c.dimension == "strength" and c.what == "not worse").passed


def test_another_setting_of_the_model_is_not_what_it_is_compared_with(tea: Workspace) -> None:
    recorded_run(tea, "a", graded(POOR), params={"params": {"temperature": 1}})
    recorded_run(tea, "b", graded(NEARLY), policy_version=2, minute=1)
    found = release.release(tea, "tea-match", golden="tea", who="Ida")
    assert (found.before, found.passed) == (None, False)


def test_nothing_judged_is_no_pass(tea: Workspace) -> None:
    found = release.release(tea, "tea-match", golden="tea", who="Ida")
    assert (found.passed, found.run) == (False, None)
    assert "tea-match v2 has no finished run on tea" in found.reasons[0]
    recorded_run(tea, "b", graded(NEARLY), policy_version=2)
    alone = release.release(tea, "tea-match", golden="tea", who="Ida")
    assert alone.reasons == ("not worse: judge has no finished run under an earlier version to compare with",)
    other = release.release(tea, "tea-match", golden="tea", who="Ida", judge="somebody")
    assert "by somebody" in other.reasons[0]


def test_the_file_beside_the_versions_is_the_gate(tea: Workspace) -> None:
    recorded_run(tea, "a", graded(NEARLY))
    folder = tea.root / "policies" / "tea-match"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gate.yaml").write_text("least_kappa: {taste: 0.99}\n", encoding="utf-8")
    found = release.release(tea, "tea-match", 1, golden="tea", who="Ida")
    assert (found.source, found.passed) == ("policies/tea-match/gate.yaml", False)
    assert found.reasons[0].startswith("taste: κ 0.")
    (folder / "gate.yaml").write_text("least_kappa: {taste: 0.5}\n", encoding="utf-8")
    assert release.release(tea, "tea-match", 1, golden="tea", who="Ida").passed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("least_kappa: {colour: 0.5}", "least_kappa names 'colour', which tea-match v1 does not have"),
        ("least_kapa: {taste: 0.5}", "gate.yaml, line 1 at least_kapa"),
        ("least_kappa: {taste: 1.5}", "kappa lies from -1 to 1"),
        ("probes: {sorcery: 0.1}", "probes.sorcery"),
        ("most_failed: much", "most_failed"),
        ("- a list", "not a document with keys"),
    ],
)
def test_a_file_that_is_no_gate_is_named(tea: Workspace, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        release.read_gate(path, tea.store.policy("tea-match", 1))
    with pytest.raises(NotFound, match="no gate in"):
        release.read_gate(tmp_path / "none.yaml", tea.store.policy("tea-match", 1))


def test_a_look_at_the_holdout_is_written_down(tea: Workspace, tmp_path: Path) -> None:
    recorded_run(tea, "a", graded(NEARLY))
    path = tmp_path / "gate.yaml"
    path.write_text("split: holdout\n", encoding="utf-8")
    release.release(tea, "tea-match", 1, golden="tea", who="Ida", file=path)
    assert list(tea.store.looks("tea")["place"]) == ["gate"]


def test_the_command_says_no_with_exit_code_1(tea: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    recorded_run(tea, "a", graded(NEARLY))
    recorded_run(tea, "b", graded(POOR), policy_version=2, minute=1)
    monkeypatch.setattr(cli_gate, "ready", lambda: tea)
    app = typer.Typer()
    app.command()(cli_gate.gate)
    result = CliRunner().invoke(app, ["tea-match", "--golden", "tea"])
    assert result.exit_code == 1
    assert "no  not worse taste" in result.output
    assert result.output.strip().endswith("does not pass")
    result = CliRunner().invoke(app, ["tea-match@1", "--golden", "tea", "--json"])
    assert result.exit_code == 0
    assert '"passed": true' in result.output

"""``workbench clicks``: what it says and its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace_samples import golden_set, pair

from workbench.cli_clicks import app
from workbench.errors import BadInput
from workbench.workspace import Workspace

Run = Callable[..., str]
TEXT = """campaign,item,rank,click,at
men,a,1,1,2026-03-01T10:00:00Z
men,b,2,0,2026-03-01T10:00:00Z
men,b,1,1,2026-03-01T11:00:00Z
men,a,2,1,2026-03-01T11:00:00Z
men,a,0,1,2026-03-01T12:00:00Z
"""


@pytest.fixture
def run(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call a command; errors for a person come out as they are."""

    def call(*words: object) -> str:
        capsys.readouterr()
        app([*map(str, words)], standalone_mode=False)
        return capsys.readouterr().out

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Five impressions without a query, one of them at position 0."""
    path = tmp_path / "shop.csv"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_dry_run_says_what_is_wrong(run: Run, file: Path, workspace: Workspace) -> None:
    with pytest.raises(BadInput, match="called like query"):
        run("import", file, "--dry-run")
    with pytest.raises(BadInput, match=r"1 of 5 rows cannot be used \(20\.0%, at most 1\.0% may\)"):
        run("import", file, "--map", "query=campaign", "--dry-run")
    words = ("import", file, "--map", "query=campaign", "--limit", "0.2", "--dry-run")
    assert run(*words).splitlines() == [
        "shop.csv: 4 of 5 rows can be used",
        "columns: query=campaign, document=item, position=rank, clicked=click, time=at",
        "  1 × position is no whole number from 1 to 100,000 (row 6)",
        "Nothing was imported (dry run).",
    ]
    told = json.loads(run(*words, "--json"))
    assert (told["kept"], told["problems"][0]["first_rows"], told["dry_run"]) == (4, [6], True)
    assert not (workspace.settings.home / "clicks").exists()


def test_import_show_list_and_bias(run: Run, file: Path) -> None:
    assert run("list") == "No click logs yet: `workbench clicks import FILE --name NAME`.\n"
    words = ("import", file, "--map", "query==all", "--limit", "0.2")
    with pytest.raises(BadInput, match="no name"):
        run(*words)
    with pytest.raises(BadInput, match="has no '='"):
        run("import", file, "--map", "query")
    assert run(*words, "--name", "shop").splitlines() == [
        "shop: from shop.csv, by Ida",
        "4 impressions, 3 clicks, 1 queries, 2 documents",
        "2026-03-01 10:00 to 2026-03-01 11:00 UTC",
        "position  impressions  clicks  click rate",
        "1         2            2       1.0000",
        "2         2            1       0.5000",
        "1 of 5 rows left out",
        "  1 × position is no whole number from 1 to 100,000 (row 6)",
    ]
    assert json.loads(run("show", "shop", "--json"))["mapping"]["query"] == "=all"
    assert [row["name"] for row in json.loads(run("list", "--json"))] == ["shop"]
    assert "shop.csv" in run("list")
    # Both documents once at each position: 1 of 2 clicks against 2 of 2.
    found = json.loads(run("bias", "shop", "--method", "random", "--resamples", 20, "--json"))
    assert [point["examination"] for point in found["points"]] == [1.0, 0.5]
    said = run("bias", "shop", "--method", "em", "--resamples", 0)
    assert said.startswith("examination relative to position 1, by regression EM, ")
    assert "note: Only 2 clicked documents were shown at several positions: the curve rests on few." in said
    assert "by click rates of a random order" in run("show", "shop")


def test_a_simulated_log_says_so_everywhere(run: Run, workspace: Workspace) -> None:
    golden_set(workspace, [(pair("green", f"Tea {i}"), {"taste": i % 3}) for i in range(4)])
    words = ("simulate", "--golden", "tea", "--dimension", "taste", "--sessions", 500, "--name", "sim")
    assert run(*words, "--positions", 2).startswith("sim (simulated): from golden set tea, by Ida\n")
    assert run("show", "sim").startswith("sim (simulated): ")
    assert "(simulated)" in run("bias", "sim", "--method", "propensity").splitlines()[0]
    (row,) = json.loads(run("list", "--json"))
    assert (row["simulated"], row["simulation"]["settings"]["sessions"]) == (True, 500)
    assert run("list").splitlines()[1].split()[5] == "yes"
    drawn = json.loads(
        run(*words[:-1], "drawn", "--positions", 2, "--random-order", "--exponent", "0", "--json")
    )
    assert drawn["simulation"]["settings"]["ranker_noise"] is None
    assert drawn["simulation"]["settings"]["examination"] == [1.0, 1.0]
    assert "random order" in run("bias", "drawn", "--method", "random", "--resamples", 10)

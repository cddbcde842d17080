"""Click logs of a workspace: kept whole, the same file once, simulated ones marked wherever they go."""

from __future__ import annotations

from pathlib import Path

import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest
from workspace_samples import golden_set, pair

from workbench.click_logs import (
    click_log,
    click_logs,
    clicks_folder,
    estimate_bias,
    import_clicks,
    impressions_path,
    preview_clicks,
    simulate_clicks,
)
from workbench.click_simulation import Simulation, power_law
from workbench.errors import BadInput, NotFound, Refused
from workbench.workspace import Workspace

TEXT = "query,document,position,clicked\nq,a,1,1\nq,b,2,0\nq,b,1,0\nq,a,2,1\n"
PLAN = Simulation(sessions=4_000, examination=power_law(3), ranker_noise=1.0, seed=2)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four impressions."""
    path = tmp_path / "log.csv"
    path.write_text(TEXT, encoding="utf-8")
    return path


def names(workspace: Workspace) -> list[str]:
    """Everything that lies in the folder of logs, hidden things too."""
    return sorted(path.name for path in clicks_folder(workspace).iterdir())


def test_an_import_is_kept_with_its_card(workspace: Workspace, source: Path) -> None:
    card = import_clicks(workspace, source, "shop", author="Ida")
    assert click_log(workspace, "shop") == card
    assert (card.source, card.rows_read, card.summary.rows, card.imported_by) == ("log.csv", 4, 4, "Ida")
    assert (card.simulated, card.simulation, card.propensity_is) == (False, None, None)
    assert len(card.source_sha256) == 64
    assert card.content_hash.startswith("clicks-")
    assert names(workspace) == ["shop"]
    assert workspace.store.events()[0]["what"] == "imported clicks"
    assert import_clicks(workspace, source, "shop", author="Bo") == card  # the same file again
    assert names(workspace) == ["shop"]


def test_a_name_is_not_taken_twice(workspace: Workspace, source: Path) -> None:
    import_clicks(workspace, source, "shop", author="Ida")
    with pytest.raises(Refused, match="shop exists with other impressions"):
        import_clicks(workspace, source, "shop", author="Ida", mapping={"query": "=all"})
    source.write_text(TEXT + "q,c,3,0\n", encoding="utf-8")
    with pytest.raises(Refused, match="shop exists with other impressions"):
        import_clicks(workspace, source, "shop", author="Ida")
    assert click_log(workspace, "shop").summary.rows == 4
    assert names(workspace) == ["shop"]


def test_a_refused_file_leaves_nothing(workspace: Workspace, source: Path) -> None:
    source.write_text(TEXT + "q,a,0,0\n", encoding="utf-8")
    with pytest.raises(BadInput, match="1 of 5 rows"):
        import_clicks(workspace, source, "shop", author="Ida")
    assert names(workspace) == []
    card = import_clicks(workspace, source, "shop", author="Ida", limit=0.2)
    assert (card.rows_read, card.summary.rows, card.problems[0].first_rows) == (5, 4, (6,))
    for wrong in ("Shop", "../shop", ""):
        with pytest.raises(BadInput, match="no name for a click log"):
            import_clicks(workspace, source, wrong, author="Ida")
    with pytest.raises(NotFound):
        import_clicks(workspace, source.with_name("gone.csv"), "other", author="Ida")


def test_propensities_need_a_meaning(workspace: Workspace, source: Path) -> None:
    source.write_text("query,document,position,clicked,propensity\nq,a,1,1,1\nq,a,2,1,.5\n", encoding="utf-8")
    with pytest.raises(BadInput, match="nothing says what they are"):
        preview_clicks(source)
    with pytest.raises(BadInput, match="nothing says what they are"):
        import_clicks(workspace, source, "shop", author="Ida")
    assert names(workspace) == []
    import_clicks(workspace, source, "shop", author="Ida", propensity_is="examination")
    assert estimate_bias(workspace, "shop", "propensity", author="Ida").curve == {1: 1.0, 2: 0.5}
    without = import_clicks(workspace, source, "plain", author="Ida", mapping={"propensity": ""})
    assert (without.propensity_is, without.summary.propensities) == (None, False)
    with pytest.raises(BadInput, match="plain has no propensities"):
        estimate_bias(workspace, "plain", "propensity", author="Ida")
    source.write_text(TEXT, encoding="utf-8")
    with pytest.raises(BadInput, match="no column of propensities"):
        preview_clicks(source, propensity_is="display")


def test_a_simulation_of_golden_grades_leaves_the_holdout_out(workspace: Workspace) -> None:
    # Taste 0-2: relevance .1 + .9 (2^g - 1)/3 is .1, .4 and 1. The third query is in the holdout.
    dev = [(pair("green", "Sencha"), 2), (pair("green", "Mate"), 0), (pair("black", "Assam"), 1)]
    held = pair("white", "Pai Mu")
    golden_set(workspace, [(p, {"taste": grade}) for p, grade in (*dev, (held, 2))], holdout=[held])
    card = simulate_clicks(workspace, "sim", PLAN, author="Ida", golden="tea", dimension="taste")
    assert (card.simulated, card.summary.simulated, card.propensity_is) == (True, True, "examination")
    assert card.simulation is not None
    assert (card.simulation.golden, card.simulation.dimension, card.simulation.pairs) == ("tea", "taste", 3)
    table = pq.read_table(impressions_path(workspace, "sim"))
    assert set(table["simulated"].to_pylist()) == {True}
    seen = dict(zip(table["document"].to_pylist(), table["true_relevance"].to_pylist(), strict=True))
    assert seen == {p.id: pytest.approx((0.1, 0.4, 1.0)[grade]) for p, grade in dev}
    assert set(table["query"].to_pylist()) == {p.query_id for p, _ in dev}
    # One or two documents a session: no session has a third position.
    assert card.summary.sessions == 4_000
    assert [row.position for row in card.summary.positions] == [1, 2]


def test_simulated_follows_into_estimates_and_through_a_csv(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "relevance.csv"
    lines = [f"q{i % 25},d{i},{(i % 7) / 7}" for i in range(150)]
    file.write_text("query,document,relevance\n" + "\n".join(lines), encoding="utf-8")
    card = simulate_clicks(workspace, "sim", PLAN, author="Ida", relevance=file)
    assert card.simulation is not None
    assert card.simulation.file == "relevance.csv"
    found = estimate_bias(workspace, "sim", "em", author="Ida", resamples=20)
    assert found.simulated
    assert [p.examination for p in found.points] == pytest.approx(power_law(3), rel=0.2)
    truth = estimate_bias(workspace, "sim", "propensity", author="Ida")
    assert truth.curve == pytest.approx(dict(enumerate(power_law(3), 1)))
    assert set(click_log(workspace, "sim").bias) == {"em", "propensity"}
    assert click_log(workspace, "sim").bias["em"] == found
    # Somebody else's tool writes the log as CSV, and it comes back under another name.
    arrow_csv.write_csv(pq.read_table(impressions_path(workspace, "sim")), tmp_path / "again.csv")
    again = import_clicks(
        workspace, tmp_path / "again.csv", "again", author="Ida", propensity_is="examination"
    )
    assert (again.simulated, again.summary) == (True, card.summary)
    assert [c.name for c in click_logs(workspace)] == ["again", "sim"]


def test_a_simulation_needs_one_usable_source(workspace: Workspace, tmp_path: Path) -> None:
    golden_set(workspace, [(pair("green", "Sencha"), {"taste": 2})])
    for given in ({}, {"golden": "tea", "relevance": tmp_path / "x.csv"}):
        with pytest.raises(BadInput, match="one source of relevance"):
            simulate_clicks(workspace, "sim", PLAN, author="Ida", **given)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="'aroma'"):
        simulate_clicks(workspace, "sim", PLAN, author="Ida", golden="tea", dimension="aroma")
    with pytest.raises(BadInput, match="has a grade for strength"):
        simulate_clicks(workspace, "sim", PLAN, author="Ida", golden="tea", dimension="strength")
    with pytest.raises(NotFound):
        simulate_clicks(workspace, "sim", PLAN, author="Ida", golden="coffee")


def test_logs_that_are_not_there_or_damaged(workspace: Workspace, source: Path) -> None:
    assert click_logs(workspace) == []
    import_clicks(workspace, source, "shop", author="Ida")
    with pytest.raises(NotFound, match="'shp'") as caught:
        click_log(workspace, "shp")
    assert caught.value.hint == "Did you mean shop?"
    impressions_path(workspace, "shop").write_bytes(b"PAR1")
    with pytest.raises(BadInput, match=r"impressions\.parquet cannot be read"):
        estimate_bias(workspace, "shop", "em", author="Ida")
    (clicks_folder(workspace) / "shop" / "card.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BadInput, match=r"card\.json"):
        click_log(workspace, "shop")

"""The Data page: sets with their lineage and rows, making one once, click logs imported and simulated."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from dataset_samples import candidates, published, recipe, write_pool
from job_samples import Held, finish, folder_of
from page_samples import text_of
from streamlit.testing.v1 import AppTest

from workbench import click_logs, dataset_view, datasets, jobs
from workbench.click_simulation import Simulation, power_law
from workbench.dataset_files import read_card, write_card
from workbench.dataset_summaries import FieldSummaries, SummariesCard
from workbench.datasets import Dataset
from workbench.run import JudgeIdentity, Usage
from workbench.synthesis_recipe import Cell, CellReport, SynthesisReport
from workbench.worker import main
from workbench.workspace import Workspace
from workbench.yamltext import dump

PAGE = Path(__file__).parents[2] / "workbench" / "pages" / "data.py"
CLICKS = "query,document,position,clicked\nq,a,1,1\nq,b,2,0\nq,b,1,0\nq,a,2,1\n"
Open = Callable[..., AppTest]


@pytest.fixture
def page(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open the page over the workspace with the policy ``tea-match``."""
    st.cache_resource.clear()
    st.cache_data.clear()

    def run(**parameters: str) -> AppTest:
        page = AppTest.from_file(str(PAGE), default_timeout=90)
        page.query_params.update(parameters)
        page.run()
        assert not page.exception, page.exception
        return page

    yield run
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Jobs that are started and do nothing until a test lets a worker do them."""
    return Held(monkeypatch)


@pytest.fixture
def teas(workspace: Workspace, held: Held) -> Dataset:
    """The data set ``teas``: 60 pairs of a pool and 12 probes, labelled by the lexical baseline."""
    published(workspace)
    folder = dataset_view.recipe_folder(workspace)
    folder.mkdir()
    write_pool(folder, candidates(60))
    (folder / "teas.yaml").write_text(dump(recipe().model_dump(mode="json")))
    job_id = datasets.start_dataset(workspace, recipe(), folder, author="Ida")
    assert main([str(jobs.folder_of(workspace, job_id).path)]) == 0
    jobs.collect(workspace)
    (found,) = datasets.datasets(workspace)
    return found


def errors(page: AppTest) -> list[str]:
    return [one.value for one in page.error]


def pressed(page: AppTest, key: str) -> AppTest:
    """Press the one button whose key starts so."""
    (button,) = [one for one in page.button if (one.key or "").startswith(key)]
    button.click().run()
    assert not page.exception, page.exception
    return page


def test_without_anything_the_page_says_what_to_do(page: Open, workspace: Workspace) -> None:
    assert "No data set yet." in text_of(page())
    assert "No click log yet." in text_of(page(tab="Click logs"))


def test_the_table_and_one_data_set(page: Open, teas: Dataset) -> None:
    view = page()
    (table,) = view.dataframe
    row = table.value.iloc[0]
    assert (row["data set"], row["policy"], row["rows"], row["probes"], row["by"]) == (
        teas.card.id,
        "tea-match v1",
        72,  # 60 of the pool and the pairs of 3 of the 10 dev queries
        12,
        "Ida",
    )
    weakest = dataset_view.weakest(teas.card)
    assert weakest is not None
    assert row["weakest κ"].startswith(f"{weakest.dimension} {weakest.kappa_quadratic.value:.2f} [")
    opened = page(dataset=teas.card.id)
    said = text_of(opened)
    assert "pool.csv" in said
    assert f"({teas.card.golden_hash.rpartition('-')[2][:8]})" in said
    assert f"({teas.card.policy_hash.rpartition('-')[2][:8]})" in said
    assert len(opened.get("plotly_chart")) == 2
    assert [button.proto.label for button in opened.get("download_button")][1] == "Card"


def test_a_data_set_that_is_not_there(page: Open, teas: Dataset) -> None:
    assert page(dataset="nothing-1").warning[0].value.startswith("There is no dataset 'nothing\\-1'")


def test_rows_come_a_page_at_a_time(page: Open, teas: Dataset) -> None:
    first = page(dataset=teas.card.id)
    assert "Rows 1–50 of 72" in text_of(first)
    rows = first.dataframe[1].value
    assert len(rows) == 50
    assert {"split", "taste", "strength", "guest.wishes", "tea.notes"} <= set(rows.columns)
    pressed(first, "rows_Next")
    assert "Rows 51–72 of 72" in text_of(first)
    assert len(first.dataframe[1].value) == 22
    ordered = [row.pair.id for row in dataset_view.rows_page(teas, 2).rows]
    every = [row.pair.id for row in dataset_view.rows_page(teas, 1).rows] + ordered
    assert every == sorted(every)
    assert len(set(every)) == 72
    # A number beyond the end is the last page, nonsense the first.
    assert "Rows 51–72" in text_of(page(dataset=teas.card.id, page="9"))
    assert "Rows 1–50" in text_of(page(dataset=teas.card.id, page="-1"))


def test_the_check_says_sound_then_damaged(page: Open, teas: Dataset) -> None:
    view = page(dataset=teas.card.id)
    assert not view.success
    pressed(view, "check_button")
    assert view.success[0].value.startswith(
        "No leak, rows as written: 72 rows checked against the holdout pairs"
    )
    os.unlink(teas.rows)
    teas.rows.write_bytes(b"no parquet")
    pressed(view, "check_button")
    assert any("Damaged" in one for one in errors(view))


def test_the_check_names_leaks(page: Open, workspace: Workspace, teas: Dataset) -> None:
    one = candidates(60)[5]
    workspace.store.add_pairs("tea", [one], {one.id: "holdout"})
    view = pressed(page(dataset=teas.card.id), "check_button")
    # The pair itself; and the two others of its query, which is now a query of the holdout.
    assert "holdout pair: 1" in errors(view)[0]
    assert "query of the holdout: 2" in errors(view)[0]
    assert "The holdout of tea has changed" in view.warning[0].value


def test_what_models_wrote_and_shortened_is_told(page: Open, teas: Dataset) -> None:
    cell = CellReport(
        cell=Cell(dimension="taste", level=2), have=3, wanted=40, written=38, graded=36, as_asked=18, rows=30
    )
    card = read_card(teas.folder)
    written = SynthesisReport(
        model=JudgeIdentity(kind="llm", name="writer-1"),
        seeds="tea v1",
        seeds_hash="golden-1",
        calls=8,
        failed_calls=1,
        misfits=2,
        cells=(cell,),
    )
    short = SummariesCard(
        model="shortener-1",
        words=20,
        template="template-1",
        fields=(
            FieldSummaries(
                field="tea.notes", texts=50, short_enough=10, failed=1, tokens_before=4321, tokens_after=1234
            ),
        ),
        usage=Usage(calls=39),
        full_hash="dataset-1",
    )
    write_card(teas.folder, card.model_copy(update={"synthesis": written, "summaries": short}))
    said = text_of(page(dataset=teas.card.id))
    assert "taste=2" in said
    assert "0.50" in said  # 18 of 36 as asked
    assert "4,321" in said
    assert "1,234" in said
    assert "writer" in said


def test_a_recipe_is_read_planned_and_started_once(
    page: Open, workspace: Workspace, teas: Dataset, held: Held
) -> None:
    view = page(tab="Make one")
    (area,) = view.text_area
    assert area.value.startswith("dataset: teas")
    assert "Make teas" not in [button.label for button in view.button]
    pressed(view, "plan_button")
    said = text_of(view)
    assert "60" in said
    assert "at most 72" in said
    assert "none: nothing is sent" in said
    before = len(held.started)
    (start,) = [button for button in view.button if button.label == "Make teas"]
    key = (start.key or "").removeprefix("start_")
    start.click().run()
    assert not view.exception
    assert held.started[before:] == [f"job-data-{key}"]
    # The second click of a double click arrives with the same key.
    folder = dataset_view.recipe_folder(workspace)
    again = datasets.start_dataset(workspace, recipe(), folder, author="Ida", key=key)
    assert again == f"job-data-{key}"
    assert len(held.started) == before + 1
    assert again in view.query_params["job"]


def test_a_recipe_that_cannot_be_read_is_one_sentence_with_its_line(page: Open, teas: Dataset) -> None:
    view = page(tab="Make one")
    text = view.text_area[0].value
    line = text.splitlines().index("probes: 0.3") + 1
    view.text_area[0].set_value(text.replace("probes: 0.3", "probes: many")).run()
    (error,) = errors(view)
    assert f"line {line}" in error
    assert "probes" in error
    assert "plan_button" not in [button.key for button in view.button]


def test_a_plan_that_cannot_be_made_is_one_sentence(page: Open, teas: Dataset) -> None:
    view = page(tab="Make one")
    view.text_area[0].set_value(view.text_area[0].value.replace("pool.csv", "nowhere.csv")).run()
    pressed(view, "plan_button")
    (error,) = errors(view)
    assert "nowhere" in error
    assert "Make teas" not in [button.label for button in view.button]


def test_a_job_that_failed_can_be_resumed_and_one_that_ended_is_opened(
    page: Open, workspace: Workspace, teas: Dataset, held: Held
) -> None:
    folder = dataset_view.recipe_folder(workspace)
    failed = datasets.start_dataset(workspace, recipe(size=10), folder, author="Ida")
    finish(folder_of(workspace, failed), "failed", "The provider is away.")
    jobs.collect(workspace)
    view = page(tab="Make one")
    assert "The provider is away" in text_of(view)
    pressed(view, f"resume_{failed}")
    assert held.started.count(failed) == 2
    first = next(job.spec.id for job in workspace.store.jobs("dataset") if job.spec.id != failed)
    done = page(tab="Make one", job=first)
    assert teas.card.dataset in done.success[0].value
    pressed(done, "open_made")
    assert "where it comes from" in text_of(done)


def test_clicks_from_a_path_are_previewed_and_kept(page: Open, workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(CLICKS + "q,c,0,1\n")
    view = page(tab="Click logs")
    view.button_group(key="clicks_how").set_value("Path on the server").run()
    view.text_input(key="clicks_path").set_value(str(path)).run()
    # One of five rows has no position: more than the usual share of 1 %.
    assert "position is no whole number" in errors(view)[0]
    view.number_input(key="clicks_limit").set_value(0.5).run()
    assert not errors(view)
    said = text_of(view)
    assert "4 of 5 rows can be used" in said
    assert "row 6" in said
    view.text_input(key="clicks_name").set_value("shop")
    pressed(view, "clicks_import_button")
    card = click_logs.click_log(workspace, "shop")
    assert (card.summary.rows, card.summary.clicks, card.imported_by, card.simulated) == (4, 2, "Ida", False)
    opened = page(tab="Click logs", log="shop")
    assert "2 (50.00% of impressions)" in text_of(opened)
    assert "Not estimated yet" in text_of(opened)


def test_a_path_that_is_not_there_and_a_name_that_is_none(
    page: Open, workspace: Workspace, tmp_path: Path
) -> None:
    view = page(tab="Click logs")
    view.button_group(key="clicks_how").set_value("Path on the server").run()
    view.text_input(key="clicks_path").set_value(str(tmp_path / "no.csv")).run()
    assert "There is no file" in errors(view)[0]
    path = tmp_path / "log.csv"
    path.write_text(CLICKS)
    view.text_input(key="clicks_path").set_value(str(path)).run()
    view.text_input(key="clicks_name").set_value("No Name!")
    pressed(view, "clicks_import_button")
    assert "is no name for a click log" in errors(view)[0]
    assert click_logs.click_logs(workspace) == []


def test_columns_are_chosen_where_their_names_say_nothing(page: Open, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(CLICKS.replace("query,", "campaign,"))
    view = page(tab="Click logs")
    view.button_group(key="clicks_how").set_value("Path on the server").run()
    view.text_input(key="clicks_path").set_value(str(path)).run()
    assert view.info[0].value == "Choose a column for query."
    assert "clicks_import_button" not in [button.key for button in view.button]
    (choice,) = [one for one in view.selectbox if (one.key or "").startswith("clicks_map_query")]
    choice.set_value("campaign").run()
    assert "4 of 4 rows can be used" in text_of(view)


def test_a_file_too_large_for_the_page_names_the_command(
    page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.parquet"
    with path.open("wb") as file:
        file.truncate(101 * 2**20)
    view = page(tab="Click logs")
    view.button_group(key="clicks_how").set_value("Path on the server").run()
    view.text_input(key="clicks_path").set_value(str(path)).run()
    assert "101 MB" in errors(view)[0]
    assert "workbench clicks import" in errors(view)[0]


def test_a_simulated_log_is_marked_everywhere(page: Open, workspace: Workspace) -> None:
    published(workspace)
    view = page(tab="Click logs")
    view.text_input(key="sim_name").set_value("sim")
    view.selectbox(key="sim_dimension").set_value("taste")
    view.number_input(key="sim_sessions").set_value(300)
    view.number_input(key="sim_positions").set_value(3)
    pressed(view, "sim_button")
    card = click_logs.click_log(workspace, "sim")
    assert (card.summary.rows, card.simulated) == (900, True)  # 300 sessions of 3 of a query's 4 teas
    opened = page(tab="Click logs", log="sim")
    assert opened.dataframe[0].value.iloc[0]["mark"] == "simulated"
    assert '<span class="wb-tag">simulated</span>' in text_of(opened)


def test_position_bias_is_estimated_once_asked(page: Open, workspace: Workspace) -> None:
    published(workspace)
    plan = Simulation(sessions=400, examination=power_law(3), ranker_noise=1.0, seed=2)
    click_logs.simulate_clicks(workspace, "sim", plan, author="Ida", golden="tea", dimension="taste")
    view = page(tab="Click logs", log="sim")
    view.selectbox(key="bias_method").set_value("propensity")
    pressed(view, "bias_button")
    assert set(click_logs.click_log(workspace, "sim").bias) == {"propensity"}
    assert "By given propensities" in text_of(view)
    assert len(view.get("plotly_chart")) == 2

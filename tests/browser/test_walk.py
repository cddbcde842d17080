"""The whole loop in a real browser: compare, open a flip, edit and publish, label, train, find the student in Compare.

Screenshots go to WORKBENCH_SCREENSHOTS (`make screenshots` points it at docs/images), else to a temporary folder.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from walker import PATIENCE, Walker

from workbench import click_logs, datasets, jobs, model_evaluations, pipelines
from workbench.click_simulation import Simulation, power_law
from workbench.documents import read_policy
from workbench.run import Silent
from workbench.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def kappas(walker: Walker, row: str) -> list[str]:
    """Return the cells of the matrix row that holds ``row``, as a screen reader is told them."""
    line = walker.page.locator('[data-testid="stDataFrame"] table [role="row"]').filter(has_text=row).first
    cells = line.locator('[role="gridcell"]')
    # The table is told as it is drawn: judge, policy, n, failed, six dimensions and overall are there a moment later.
    expect(cells).to_have_count(11, timeout=PATIENCE)
    return cells.all_text_contents()


def test_the_loop(walker: Walker, app) -> None:
    home(walker)
    compare_versions(walker)
    read_and_diff(walker)
    edit_and_publish(walker, app)
    look_at_golden_set(walker)
    label_a_pair(walker, app)
    run_the_new_version(walker, app)
    train_a_student(walker, app)
    find_the_student(walker)
    make_data(walker, app)
    look_at_the_models(walker, app)
    look_at_pipelines_and_jobs(walker)


def home(walker: Walker) -> None:
    walker.open("/", "Policy Workbench")
    expect(walker.page.get_by_text("288 pairs, 3 labelers")).to_be_visible()
    walker.picture("home")


def compare_versions(walker: Walker) -> None:
    walker.open("/compare", "Compare")
    figures = [kappas(walker, version) for version in ("v1", "v2", "v3")]
    assert figures[0][4:] != figures[1][4:] != figures[2][4:], "the versions have different figures"
    assert figures[0][2] == "198", "all dev pairs are comparable"
    walker.page.get_by_text("Trend over policy versions").click()
    walker.settle()
    walker.picture("trend", most=1200)
    # Row 0 of the flips: opens the pair with both judgements.
    walker.open("/compare?view=flips", "Compare")
    walker.page.get_by_text(re.compile(r"^Flips \(\d+ of \d+\)")).scroll_into_view_if_needed()
    walker.select_row(0)
    expect(walker.page.get_by_text("A · baseline-minilm · job-match v2")).to_be_visible()
    expect(walker.page.get_by_text("expected").first).to_be_visible()
    walker.picture("compare", most=3400)


def read_and_diff(walker: Walker) -> None:
    walker.open("/policy?section=location", "Is this job right for this member?")
    expect(walker.page.get_by_text("location.12").first).to_be_visible()
    walker.picture("policy", most=1400)
    walker.open("/policy?view=Difference&from=2&to=3", "v2 → v3")
    expect(walker.page.get_by_text("split from seniority.2").first).to_be_visible()
    walker.picture("policy-difference", most=1800)
    walker.open("/policy?view=History", "History")
    walker.picture("policy-history")


def edit_and_publish(walker: Walker, app) -> None:
    page = walker.page
    walker.open("/draft?part=location", "Drafts of job-match")
    page.get_by_label("What it is about").fill("Jobs abroad")
    walker.button("start_draft")
    page.get_by_label("New clause").fill(
        "A job abroad without a word on visas counts as closed to the member."
    )
    page.get_by_role("button", name="Add the clause").click()
    expect(page.get_by_text("location.13").first).to_be_visible()
    walker.settle()
    walker.button("publish_menu")
    page.get_by_label("What changed and why").fill("Jobs abroad without a word on visas are closed.")
    walker.button("publish")
    expect(page.get_by_text("Published job-match v4.").first).to_be_visible()
    published = read_policy(app.root / "policies" / "job-match" / "v4.yaml")
    assert published.parent == 3
    assert published.author == "Ada"
    assert any(clause.id == "location.13" for _, clause in published.clauses())


def look_at_golden_set(walker: Walker) -> None:
    walker.open("/golden", "Golden set")
    walker.picture("golden-health", most=1400)
    for tab in ("Coverage", "Labelers", "Queues", "Adjudicate", "Suspects", "Browse", "Import", "Export"):
        walker.page.get_by_role("tab", name=tab).click()
        walker.settle()
        if tab == "Import":
            rows = "headline,title,role,labeler\nNurse,Ward nurse,4,Mia\nNurse,Pilot,7,Mia\n"
            walker.page.locator('input[type="file"]').set_input_files(
                [{"name": "ratings.csv", "mimeType": "text/csv", "buffer": rows.encode()}]
            )
            expect(walker.page.get_by_text("ratings.csv").first).to_be_visible()
            walker.settle()
        if tab == "Adjudicate":
            walker.select_row(0)
            expect(walker.page.get_by_label("Because")).to_be_visible()
        walker.picture(f"golden-{tab.lower()}", most=1800)


def label_a_pair(walker: Walker, app) -> None:
    page = walker.page
    walker.open("/label", "Label")
    rows = page.get_by_test_id("stForm").locator('[data-testid="stButtonGroup"]')
    assert rows.count() == 7, "six dimensions and the overall grade"
    for i in range(7):
        rows.nth(i).get_by_text(re.compile(r"^2")).first.click()
    page.get_by_label("Note").fill("from the walk")
    walker.button("submit")
    expect(page.get_by_text("1 of 288 done by you")).to_be_visible()
    labels = Store(f"sqlite:///{app.home / 'workbench.db'}").labels("job-match")
    mine = labels[labels["labeler"] == "Ada"]
    assert sorted(mine["dimension"]) == sorted(
        ["skills", "seniority", "role", "location", "industry", "wishes", "overall"]
    )
    assert set(mine["grade"]) == {2}


def run_the_new_version(walker: Walker, app) -> None:
    walker.open("/runs", "Runs")
    walker.page.get_by_role("button", name="Start run").click()
    expect(walker.page.get_by_text("All runs (4)")).to_be_visible(timeout=180_000)
    store = Store(f"sqlite:///{app.home / 'workbench.db'}")
    # The page itself collects the job when it ends; nothing else looks after it here.
    for _ in range(180):
        newest = store.runs()[0]
        if newest.status not in ("queued", "running"):
            break
        walker.page.wait_for_timeout(1000)
    walker.settle()
    assert (newest.policy_version, newest.status, newest.totals.pairs) == (4, "finished", 288)
    walker.select_row(0)
    walker.picture("runs", most=1700)


def train_a_student(walker: Walker, app) -> None:
    page = walker.page
    walker.open("/train", "Train")
    expect(page.get_by_text("198 of 198 dev pairs")).to_be_visible()
    walker.picture("train", most=1400)
    # The reduced recipe: a few steps on short texts, so that the walk does not take long.
    for tab, label, value in (("Schedule", "Max steps", "6"), ("Model", "Max tokens", "96")):
        page.get_by_role("tab", name=tab, exact=True).click()
        page.get_by_label(label, exact=True).fill(value)
        page.get_by_label(label, exact=True).press("Enter")
        walker.settle()
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_text(re.compile("loss", re.IGNORECASE)).first).to_be_visible(timeout=120_000)
    store = Store(f"sqlite:///{app.home / 'workbench.db'}")
    for _ in range(240):
        if store.checkpoints():
            break
        page.wait_for_timeout(1000)
    assert store.checkpoints(), "the job made a checkpoint"
    page.wait_for_timeout(3000)
    walker.settle()
    walker.picture("train-done", most=2200)


def find_the_student(walker: Walker) -> None:
    page = walker.page
    walker.open("/compare?split=holdout", "Compare")
    expect(page.get_by_text("You are looking at the holdout of job-match.")).to_be_visible()
    cells = kappas(walker, "ranker-mini")
    assert cells[1] == "v4"
    assert cells[2] == "90", "the holdout's pairs"
    walker.page.get_by_text("A against B", exact=True).click()
    walker.settle()
    walker.choose("A", re.compile("baseline-minilm · job-match v4"))
    walker.choose("B", re.compile("ranker-mini"))
    expect(page.get_by_text(re.compile("agrees (better|worse)|No clear difference")).first).to_be_visible()
    walker.picture("compare-student", most=1700)


def make_data(walker: Walker, app) -> None:
    """A small pool graded by the baseline, and simulated clicks, as the commands make them."""
    page, space = walker.page, app.workspace()
    click_logs.simulate_clicks(
        space,
        "job-match-clicks",
        Simulation(sessions=3000, examination=power_law(8)),
        author="Ada",
        golden="job-match",
    )
    recipe = next(
        step.recipe
        for step in pipelines.pipeline_file(space, "refresh-mini")[0].steps
        if step.kind == "dataset"
    )
    small = recipe.model_copy(update={"size": 120})
    job = datasets.start_dataset(space, small, space.root, author="Ada")
    for _ in jobs.wait(space, [job]):
        pass
    walker.open("/data", "Data")
    walker.select_row(0)
    expect(page.get_by_role("heading", name=re.compile("job-match-pool"))).to_be_visible()
    expect(page.get_by_text("how the judge agrees with people on the probes")).to_be_visible()
    walker.picture("data-set")
    page.get_by_role("tab", name="Click logs").click()
    walker.settle()
    walker.select_row(0)
    expect(page.get_by_role("heading", name=re.compile("job-match-clicks.*simulated"))).to_be_visible()
    walker.picture("click-log")


def look_at_the_models(walker: Walker, app) -> None:
    page, space = walker.page, app.workspace()
    made = space.store.checkpoints()[0]
    model_evaluations.evaluate(space, made.id, author="Ada", reporter=Silent())
    walker.open(f"/models?model={made.id}", "Models")
    expect(page.get_by_role("heading", name=re.compile(made.id))).to_be_visible()
    expect(page.get_by_text(re.compile("^lineage$", re.IGNORECASE)).first).to_be_visible()
    walker.picture("models")
    page.get_by_text("Quality against …").click()
    walker.settle()
    expect(page.get_by_text("κ against size")).to_be_visible()
    walker.picture("models-quality")


def look_at_pipelines_and_jobs(walker: Walker) -> None:
    page = walker.page
    walker.open("/pipelines", "Pipelines")
    for step in ("pool", "policy-teacher", "click-teacher", "student", "evaluation"):
        expect(page.locator("svg text", has_text=re.compile(f"^{step}")).first).to_be_visible()
    walker.picture("pipelines")
    walker.open("/jobs", "Jobs")
    page.get_by_text("Disk use and clean-up").click()
    walker.settle()
    walker.picture("jobs")
    walker.select_row(0)  # not in the picture: it names folders of the machine
    expect(page.get_by_text(re.compile("python.* -m workbench.worker")).first).to_be_visible()

"""A training from the Train page in a real browser: launched, watched, left alone, stopped, resumed, and compared.

The student is the shipped ``ranker-mini`` with a few short steps; the language model beside it is scripted (see
``scripted_judge``), so what the two agree on says nothing about either. The app is one of this module's own: the walks
count what there is in theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect
from running_app import App, running_app
from scripted_judge import MODEL, scripted
from walker import PATIENCE, Walker

from workbench import jobs, judge_runs, training_watch
from workbench.fake_provider import FakeProvider
from workbench.run import BaselineSpec, LlmSpec, Run
from workbench.workspace import Workspace

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAME = "job-match"
RECIPE = "ranker-mini"
# 168 pairs to learn from in batches of 4 are 42 steps an epoch, of which each takes a third of a second.
STEPS = 80
SETTINGS = [
    ("Schedule", "schedule.epochs", "2"),
    ("Schedule", "schedule.max_steps", str(STEPS)),
    ("Schedule", "schedule.batch_size", "4"),
    ("Model", "max_tokens", "48"),
]
"""Tab of the form, field of the recipe, what is typed."""
WATCHED = PATIENCE * 4  # ms; what a training does in steps, on cores that others use, too

# Where things are on the page.
FIGURES = ".wb-figures"
LOSS_CHART = ".st-key-chart_Loss .js-plotly-plot"


def field(name: str) -> str:
    """Return the selector of a recipe's field: a class of Streamlit's has a dash for a dot."""
    return f".st-key-set_{RECIPE}_{name.replace('.', '-')} input"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A workbench of this module's own, without runs."""
    with running_app(tmp_path_factory.mktemp("training"), samples=False) as app:
        yield app


@pytest.fixture(scope="module")
def workspace(app: App) -> Iterator[Workspace]:
    """The store behind the running app; what a failed test leaves at work is ended."""
    opened = app.workspace()
    yield opened
    for left in opened.store.jobs(open_only=True):
        opened.executor_of(left.handle).stop(left.handle, kill=True)


@pytest.fixture(scope="module")
def llm(workspace: Workspace, app: App) -> Run:
    """A finished run of the language model under the newest policy, and one of a baseline for soft labels."""
    with FakeProvider(otherwise=scripted(app.root / "golden_sets" / NAME / "v1")) as provider:
        judges = [LlmSpec(model=MODEL, base_url=provider.base_url), BaselineSpec(use_embeddings=False)]
        made = [
            judge_runs.start_run(workspace, judge, policy=NAME, golden=NAME, author="Ada", key=judge.kind)
            for judge in judges
        ]
        for _ in jobs.wait(workspace, [f"job-{run.id}" for run in made]):
            pass
    found = [workspace.store.run(run.id) for run in made]
    assert [run.status for run in found] == ["finished", "finished"]
    return found[0]


def figure(walker: Walker, name: str) -> Locator:
    """Return the cell of the newest figures with that name."""
    return walker.page.locator(f"{FIGURES} > div").filter(has_text=re.compile(rf"{name}$"))


def wait_for_step(walker: Walker, least: int) -> int:
    """Wait until the page, untouched, shows this step or a later one, and return it."""
    selector = f"{FIGURES} > div"
    walker.page.wait_for_function(
        """([selector, least]) => [...document.querySelectorAll(selector)].some(
            e => e.querySelector("span")?.innerText === "step" && Number(e.querySelector("b").innerText) >= least)""",
        arg=[selector, least],
        timeout=WATCHED,
    )
    return int(figure(walker, "step").first.locator("b").inner_text())


def curve(walker: Walker, least: int) -> list[int]:
    """Wait until the loss curve has so many points, and return the steps that it is drawn over."""
    # While the page is drawn again, the chart of before may still be there.
    handle = walker.page.wait_for_function(
        """([selector, least]) => {
            const all = [...document.querySelectorAll(selector)].map(e => [...(e.data?.[0]?.x ?? [])]);
            const longest = all.sort((a, b) => b.length - a.length)[0] ?? [];
            return longest.length >= least && longest;
        }""",
        arg=[LOSS_CHART, least],
        timeout=WATCHED,
    )
    return [int(x) for x in handle.json_value()]


def another_window(chromium: Browser, walker: Walker) -> Walker:
    """A new browser window that knows nothing of the one before."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    return Walker(context.new_page(), walker.address, walker.pictures)


def test_a_student_from_the_page_to_compare(
    walker: Walker, chromium: Browser, workspace: Workspace, llm: Run
) -> None:
    job_id = launch(walker, workspace)
    seen = watch_it_grow(walker)
    walker.page.close()
    again = another_window(chromium, walker)
    find_it_again(again, job_id, seen)
    stop(again, workspace, job_id)
    resume(again, workspace, job_id)
    compare_with_the_judge(again, workspace, job_id, llm)
    again.page.context.close()


def launch(walker: Walker, workspace: Workspace) -> str:
    page = walker.page
    walker.open("/train", "Train")
    expect(page.get_by_text("198 of 198 dev pairs")).to_be_visible()
    for tab, name, value in SETTINGS:
        page.get_by_role("tab", name=tab, exact=True).click()
        page.locator(field(name)).fill(value)
        page.locator(field(name)).press("Enter")
        walker.settle()
    expect(page.get_by_text("Differs from the recipe's file in")).to_contain_text("schedule.max_steps")
    walker.picture("train-launch", most=1500)
    page.get_by_role("button", name="Launch", exact=True).dblclick()
    page.wait_for_url(re.compile(r"job=job-train-"), timeout=PATIENCE)
    walker.settle()
    (job,) = workspace.store.jobs("training")  # a double click launches once
    assert job.spec.id in page.url
    return str(job.spec.id)


def watch_it_grow(walker: Walker) -> int:
    """Touch nothing and see the curve grow; return how many steps were seen."""
    first = curve(walker, least=2)
    later = curve(walker, least=len(first) + 2)
    assert later[: len(first)] == first
    assert later == list(range(1, len(later) + 1))
    walker.picture("train-watch", most=2000)
    return len(later)


def find_it_again(walker: Walker, job_id: str, seen: int) -> None:
    """Open the page anew, and the training from its table: it went on."""
    walker.open("/train", "Train")
    walker.select_row(0)
    assert job_id in walker.page.url
    step = wait_for_step(walker, seen)
    assert len(curve(walker, least=step)) >= seen
    wait_for_step(walker, step + 1)


def stop(walker: Walker, workspace: Workspace, job_id: str) -> None:
    page = walker.page
    walker.button(f"stop_{job_id}")
    expect(page.locator(f".st-key-resume_{job_id} button").first).to_be_visible(timeout=WATCHED)
    walker.settle()
    final = workspace.store.job(job_id).final
    assert final is not None
    assert final.status == "cancelled"
    watched = training_watch.watch(workspace, job_id)
    assert 0 < watched.steps < STEPS, "it was stopped before its end"
    assert wait_for_step(walker, 1) == watched.steps
    walker.picture("train-stopped", most=2000)


def resume(walker: Walker, workspace: Workspace, job_id: str) -> None:
    """Resume, and wait until the page says that it is done; a resumed curve has each step once."""
    page = walker.page
    walker.button(f"resume_{job_id}")
    expect(page.get_by_text(re.compile("^Checkpoint "))).to_be_visible(timeout=WATCHED)
    expect(page.get_by_role("link", name="Compare with its run")).to_be_visible(timeout=WATCHED)
    walker.settle()
    final = workspace.store.job(job_id).final
    assert final is not None
    assert final.status == "finished"
    assert curve(walker, least=STEPS) == list(range(1, STEPS + 1))
    walker.picture("train-finished", most=2400)


def compare_with_the_judge(walker: Walker, workspace: Workspace, job_id: str, llm: Run) -> None:
    """Find the student in the matrix beside the language model, on pairs that it did not learn from."""
    page = walker.page
    run = workspace.store.run(workspace.store.job(job_id).spec.payload["run_id"])
    assert (run.status, run.totals.pairs) == ("finished", 288)
    walker.open("/compare?view=matrix&split=holdout", "Compare")
    for judge in (RECIPE, MODEL):
        row = page.locator('[data-testid="stDataFrame"] table [role="row"]').filter(has_text=judge).first
        cells = row.locator('[role="gridcell"]')
        # Judge, policy, n, failed, six dimensions and overall.
        expect(cells).to_have_count(11, timeout=PATIENCE)
        assert cells.nth(2).text_content() == "90", "the holdout's pairs"
        assert re.match(r"-?\d\.\d\d", cells.nth(4).text_content() or "")
    walker.picture("train-in-compare", most=1400)
    walker.open(f"/compare?view=against&split=holdout&run={llm.id}&vs={run.id}", "Compare")
    expect(page.get_by_text(re.compile("agrees (better|worse)|No clear difference")).first).to_be_visible()
    walker.picture("train-against-judge", most=1700)

"""A review of ten flips in a real browser: from the clause table to decisions by key, a follower, open items, minutes.

The judge is scripted (see ``scripted_judge``); its flips have reasons and citations, which is what a review needs.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from scripted_judge import MODEL, scripted
from walker import PATIENCE, Walker

from workbench import follow_ups, jobs, judge_runs
from workbench.fake_provider import FakeProvider
from workbench.run import LlmSpec, Run
from workbench.workspace import Settings, Workspace, open_workspace

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GOLDEN = "job-match"
KEYS = ["l", "p", "j", "f"]
OUTCOMES = {"l": "label wrong", "p": "policy ambiguous", "j": "judge wrong", "f": "fine"}


@pytest.fixture
def workspace(app) -> Workspace:
    """The store behind the running app."""
    return open_workspace(
        Settings.from_environment(
            {"WORKBENCH_ROOT": str(app.root), "WORKBENCH_HOME": str(app.home), "WORKBENCH_USER": "Ada"}
        )
    )


@pytest.fixture
def runs(workspace: Workspace, app) -> list[Run]:
    """Runs of the scripted judge under two versions."""
    folder = Path(app.root) / "golden_sets" / GOLDEN / "v1"
    with FakeProvider(otherwise=scripted(folder)) as provider:
        judge = LlmSpec(model=MODEL, base_url=provider.base_url)
        made = [
            judge_runs.start_run(
                workspace, judge, policy=GOLDEN, version=v, golden=GOLDEN, author="Ada", key=f"rev{v}"
            )
            for v in (2, 3)
        ]
        for _ in jobs.wait(workspace, [f"job-{run.id}" for run in made]):
            pass
        found = [workspace.store.run(run.id) for run in made]
    assert [run.status for run in found] == ["finished", "finished"]
    return found


def test_a_meeting_of_ten_flips(
    walker: Walker, chromium: Browser, app, workspace: Workspace, runs: list[Run]
) -> None:
    a, b = runs
    find_what_flipped(walker, a, b)
    review_id = open_the_review(walker, workspace)
    follower = join(chromium, app, review_id)
    decide_ten(walker, workspace, review_id, follower)
    follower.close()
    take_the_minutes(walker, workspace, review_id)
    do_an_open_item(walker, workspace)


def find_what_flipped(walker: Walker, a: Run, b: Run) -> None:
    page = walker.page
    walker.open(f"/compare?view=matrix&judges={MODEL}", "Compare")
    walker.picture("matrix", most=1200)
    walker.open(f"/compare?view=against&run={a.id}&vs={b.id}", "Compare")
    expect(page.get_by_text("B agrees better").first).to_be_visible()
    walker.picture("against", most=2600)
    walker.open(f"/compare?view=flips&run={a.id}&vs={b.id}", "Compare")
    expect(page.get_by_text("What each change of the policy did")).to_be_visible()
    table = page.locator("table.wb-table").first
    expect(table.locator("tbody tr").first).to_contain_text("cited")
    walker.picture("flips", most=2200)


def open_the_review(walker: Walker, workspace: Workspace) -> str:
    page = walker.page
    page.get_by_role("button", name="Review these flips").click()
    page.get_by_label("Title").fill("Does version 3 read better?")
    page.get_by_role("button", name=re.compile("^Open a review of up to")).click()
    page.wait_for_url(re.compile(r"/review\?review="), timeout=PATIENCE)
    walker.settle()
    (review,) = workspace.store.reviews(GOLDEN)
    assert review.title == "Does version 3 read better?"
    return review.id


def join(chromium: Browser, app, review_id: str) -> Page:
    """Somebody else opens the shared link and follows."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.goto(f"{app.address}/review?review={review_id}&mode=follow")
    expect(page.locator(".wb-review-item")).to_be_visible(timeout=PATIENCE)
    return page


def shown(page: Page) -> str:
    return str(page.locator(".wb-review-item").get_attribute("id"))


def decided(page: Page, count: int) -> Locator:
    return page.get_by_text(re.compile(rf"^{count} of \d+ decided"))


def decide_ten(walker: Walker, workspace: Workspace, review_id: str, follower: Page) -> None:
    page = walker.page
    expect(page.get_by_text("Human labels are hidden")).to_be_visible()
    page.keyboard.press("h")
    expect(page.get_by_text("settled label")).to_be_visible()
    walker.settle()
    page.screenshot(path=walker.pictures / "review.png")
    for i in range(10):
        before = shown(page)
        if i == 1:  # a note, then back out of the field to the keys
            page.keyboard.press("n")
            page.keyboard.type("The rule does not say what counts.")
            page.keyboard.press("Escape")
            walker.settle()
        page.keyboard.press(KEYS[i % 4])
        expect(decided(page, i + 1)).to_be_visible(timeout=PATIENCE)
        expect(page.locator(".wb-review-item")).not_to_have_attribute("id", before, timeout=PATIENCE)
        walker.settle()
    made = workspace.store.review_decisions(GOLDEN, review_id)
    assert [decision.outcome for decision in reversed(made)] == [OUTCOMES[KEYS[i % 4]] for i in range(10)]
    assert made[-2].note == "The rule does not say what counts."
    # Whoever follows sees the same flip, and the count, without touching anything.
    expect(decided(follower, 10)).to_be_visible(timeout=PATIENCE)
    expect(follower.locator(".wb-review-item")).to_have_attribute("id", shown(page), timeout=PATIENCE)
    page.keyboard.press("ArrowLeft")
    walker.settle()
    page.keyboard.press("z")
    expect(decided(page, 9)).to_be_visible(timeout=PATIENCE)
    walker.settle()


def take_the_minutes(walker: Walker, workspace: Workspace, review_id: str) -> None:
    page = walker.page
    page.get_by_role("button", name="Minutes").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Markdown").click()
    text = Path(download.value.path()).read_text("utf-8")
    assert "# Review: Does version 3 read better?" in text
    assert "The rule does not say what counts." in text
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.get_by_role("button", name="Minutes").click()
        page.get_by_role("button", name="HTML to print").click()
    walker.page.set_content(Path(download.value.path()).read_text("utf-8"))
    expect(walker.page.get_by_role("heading", name="Does version 3 read better?")).to_be_visible()
    walker.page.screenshot(path=walker.pictures / "minutes.png")


def do_an_open_item(walker: Walker, workspace: Workspace) -> None:
    page = walker.page
    walker.open("/review", "Review")
    walker.picture("review-items", most=1800)
    before = follow_ups.open_items(workspace, GOLDEN)
    label = next(i for i, one in enumerate(before) if one.item.kind == "label")
    page.get_by_role("button", name="Do it").nth(label).click()
    page.get_by_label("Done otherwise: what was done").fill("Asked the labelers.")
    page.get_by_role("button", name="Mark as done").click()
    walker.settle()
    assert len(follow_ups.open_items(workspace, GOLDEN)) == len(before) - 1

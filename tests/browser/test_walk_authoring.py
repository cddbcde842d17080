"""Policy authoring in a real browser: an edit from the first word to the published version, and two people in one draft."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, expect
from walker import PATIENCE, Walker

from workbench.documents import read_policy
from workbench.policy import Policy
from workbench.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SPELLED_OUT = " A certificate counts like a course."


def clause(policy: object, clause_id: str) -> str:
    """Return the text of a clause of a policy or body."""
    assert hasattr(policy, "clauses")
    return next(clause.text for _, clause in policy.clauses() if clause.id == clause_id)


def editor(walker: Walker) -> Locator:
    """Return the text area of the part that is open."""
    return walker.page.locator(".st-key-editor textarea").first


def open_part(walker: Walker, section: str, item: str = "") -> None:
    walker.button(f"part-{section}")
    walker.settle()
    if item:
        walker.page.locator(
            "[class*='st-key-item'] button", has_text=re.compile(rf"^{re.escape(item)} ")
        ).first.click()
        walker.settle()


def type_at_the_end(walker: Walker, text: str) -> None:
    """Type as a person does, and pause: the page keeps what was typed by itself."""
    area = editor(walker)
    area.click()
    walker.page.keyboard.press("Control+End")
    walker.page.keyboard.type(text, delay=15)
    walker.page.wait_for_timeout(900)
    walker.settle()


def beside(walker: Walker, tab: str) -> None:
    walker.page.locator(".st-key-side button", has_text=tab).click()
    walker.settle()


def begin(walker: Walker, title: str) -> str:
    """Begin a draft of job-match and return its id."""
    walker.open("/draft?policy=job-match", "Drafts of job-match")
    walker.page.get_by_label("What it is about").fill(title)
    walker.button("start_draft")
    expect(walker.page.locator(".st-key-outline")).to_be_visible()
    walker.settle()
    found = re.search(r"draft=(draft-\w+)", walker.page.url)
    assert found
    return found[1]


def test_an_edit_from_the_first_word_to_the_published_version(walker: Walker, app) -> None:
    page = walker.page
    store = Store(f"sqlite:///{app.home / 'workbench.db'}")
    before: Policy = store.policy("job-match")
    draft = begin(walker, "Certificates")
    open_part(walker, "skills", "skills.7")
    type_at_the_end(walker, SPELLED_OUT)
    # It is kept, previewed and compared without a button.
    assert clause(store.draft(draft).body, "skills.7").endswith(SPELLED_OUT.strip())
    expect(page.locator(".st-key-preview .wb-lit")).to_contain_text("A certificate counts like a course.")
    expect(page.locator(".st-key-beside ins")).to_have_text(SPELLED_OUT.strip())
    # Typing goes on where it was: neither the space at the end nor the focus is lost.
    page.keyboard.type(" Not", delay=15)
    page.wait_for_timeout(900)
    page.keyboard.type(" hobbies.", delay=15)
    page.wait_for_timeout(900)
    walker.settle()
    assert clause(store.draft(draft).body, "skills.7").endswith("like a course. Not hobbies.")
    walker.picture("draft", most=1150)

    beside(walker, "Lint")
    beside(walker, "Prompt")
    expect(page.get_by_text("tokens").first).to_be_visible()
    walker.picture("draft-prompt", most=1150)
    beside(walker, "Evidence")
    expect(page.locator(".st-key-beside").get_by_text("κ").first).to_be_visible()
    walker.picture("draft-evidence", most=1150)
    comment(walker)
    try_it(walker)
    what_if(walker)

    page.get_by_text("Write", exact=True).click()
    walker.settle()
    walker.button("publish_menu")
    page.get_by_label("What changed and why").fill("Certificates count like courses.")
    walker.settle()
    walker.picture("draft-publish", most=1000)
    walker.button("publish")
    number = before.version + 1
    expect(page.get_by_text(f"Published job-match v{number}.").first).to_be_visible()
    published = read_policy(app.root / "policies" / "job-match" / f"v{number}.yaml")
    assert (published.parent, published.author) == (before.version, "Ada")
    assert clause(published, "skills.7").endswith("Not hobbies.")
    walker.open("/policy?view=History", "History")
    expect(page.get_by_text("Certificates count like courses.").first).to_be_visible()
    walker.picture("policy-history", most=1600)


def comment(walker: Walker) -> None:
    beside(walker, "Comments")
    walker.page.get_by_label("Comment on skills.7").fill("Which certificates? Ask legal.")
    walker.page.get_by_role("button", name="Comment", exact=True).click()
    expect(walker.page.get_by_text("Which certificates? Ask legal.").first).to_be_visible()
    walker.settle()


def try_it(walker: Walker) -> None:
    """Grade a pair under the draft beside the published version, with the baseline."""
    page = walker.page
    beside(walker, "Try")
    page.get_by_role("button", name="Try the draft").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("button", name="Stop")).to_have_count(0, timeout=3 * PATIENCE)
    table = page.locator(".st-key-beside table").filter(has_text="Skills")
    expect(table.first).to_be_visible(timeout=PATIENCE)
    walker.settle()
    walker.picture("draft-try", most=1300)


def what_if(walker: Walker) -> None:
    """Move a weight and see which pairs change, with no judging."""
    page = walker.page
    page.get_by_text("What-if", exact=True).click()
    walker.settle()
    expect(page.get_by_text("of 198 dev pairs change")).to_be_visible()
    slider = page.get_by_role("slider").first
    slider.focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    walker.settle()
    walker.settle()
    walker.picture("draft-what-if", most=1500)


def test_two_people_edit_one_draft(walker: Walker, chromium: Browser, app) -> None:
    store = Store(f"sqlite:///{app.home / 'workbench.db'}")
    draft = begin(walker, "Two people")
    window = chromium.new_context(viewport={"width": 1440, "height": 900})
    other = Walker(window.new_page(), app.address, walker.pictures)
    other.page.goto(f"{app.address}/draft?draft={draft}&part=skills&item=skills.1")
    expect(other.page.locator(".st-key-outline")).to_be_visible(timeout=PATIENCE)
    other.settle()
    other.page.get_by_label("You are").fill("Ben")
    other.page.get_by_label("You are").press("Enter")
    other.settle()
    open_part(walker, "skills", "skills.2")

    # Different clauses: both edits survive, and each is told of the other's.
    type_at_the_end(walker, " By Ada.")
    expect(other.page.get_by_text("Ada is editing this draft too.")).to_be_visible(timeout=15_000)
    type_at_the_end(other, " By Ben.")
    body = store.draft(draft).body
    assert clause(body, "skills.2").endswith("By Ada.")
    assert clause(body, "skills.1").endswith("By Ben.")
    expect(other.page.get_by_text("Ada changed skills.2").first).to_be_visible()

    # One clause: nothing is lost, and a choice is offered.
    open_part(other, "skills", "skills.3")
    open_part(walker, "skills", "skills.3")
    original = clause(store.draft(draft).body, "skills.3")
    type_at_the_end(walker, " Ada's end.")
    type_at_the_end(other, " Ben's end.")
    assert clause(store.draft(draft).body, "skills.3") == f"{original} Ada's end."
    expect(other.page.get_by_text("Ada changed skills.3").first).to_be_visible()
    other.picture("draft-conflict", most=900)
    other.page.get_by_text("both, mine as a clause of its own").click()
    other.settle()
    other.button("settle")
    other.settle()
    skills = store.draft(draft).body.dimension("skills").clauses
    at = [c.id for c in skills].index("skills.3")
    assert skills[at].text == f"{original} Ada's end."
    assert (skills[at + 1].text, skills[at + 1].split_from) == (f"{original} Ben's end.", "skills.3")
    window.close()

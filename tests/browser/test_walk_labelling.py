"""Labelling in a real browser: twenty pairs without a mouse, and two people in one queue."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect
from walker import PATIENCE, Walker

from workbench import labelling, queues
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE, votes
from workbench.workspace import Settings, Workspace, open_workspace

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEYS = ["skills", "seniority", "role", "location", "industry", "wishes", "overall"]
GOLDEN = "job-match"


@pytest.fixture
def workspace(app) -> Workspace:
    """The store behind the running app."""
    return open_workspace(
        Settings.from_environment({"WORKBENCH_ROOT": str(app.root), "WORKBENCH_HOME": str(app.home)})
    )


def sign_in(walker: Walker, name: str) -> None:
    walker.open("/label", "Label")
    walker.page.get_by_label("You are").fill(name)
    walker.page.get_by_label("You are").press("Enter")
    walker.settle()
    leave_the_field(walker)


def leave_the_field(walker: Walker) -> None:
    """Click beside all fields: within them, keys are letters."""
    walker.page.get_by_role("heading", name="Label").click()


def press(walker: Walker, *keys: str) -> None:
    for key in keys:
        walker.page.keyboard.press(key)


def done(walker: Walker, count: int, total: int) -> None:
    """Wait until so many pairs are done and the next form is there."""
    expect(walker.page.get_by_text(f"{count} of {total} done by you")).to_be_visible(timeout=PATIENCE)
    walker.settle()


def answers(workspace: Workspace, labeler: str) -> dict[str, dict[str, int]]:
    """Return what holds of a labeler's own answers: pair id -> dimension -> grade, in order of submit."""
    table = workspace.store.labels(GOLDEN)
    held = votes(table[table["labeler"] == labeler])
    found: dict[str, dict[str, int]] = {}
    for label in held.itertuples():
        found.setdefault(label.pair_id, {})[label.dimension] = label.grade
    return found


def test_twenty_pairs_by_keyboard_alone(walker: Walker, workspace: Workspace) -> None:
    page = walker.page
    policy = workspace.store.policy(workspace.store.policy_of(GOLDEN))
    with_na = [key for key in KEYS[:-1] if policy.dimension(key).allow_na]
    total = workspace.store.golden(GOLDEN).pairs
    sign_in(walker, "Kim")

    # The list of keys opens and closes by its own key, and by Escape.
    press(walker, "?")
    expect(page.get_by_text("undo the last submit")).to_be_visible()
    page.wait_for_timeout(400)
    page.screenshot(path=walker.pictures / "label-keys.png")
    press(walker, "Escape")
    expect(page.get_by_text("undo the last submit")).to_have_count(0)
    press(walker, "g")
    expect(page.get_by_text(policy.general[0].id, exact=True)).to_be_visible()
    press(walker, "g")
    expect(page.get_by_text(policy.general[0].id, exact=True)).to_have_count(0)

    # The first pair: a digit in every row, with a note whose letters and digits are text and nothing else.
    press(walker, *"2222222", "n")
    page.keyboard.type("suns az? 40 Ug")
    press(walker, "Escape")
    walker.picture("label", most=1300)
    press(walker, "Enter")
    done(walker, 1, total)
    first, given = next(iter(answers(workspace, "Kim").items()))
    assert given == dict.fromkeys(KEYS, 2)
    assert set(workspace.store.labels(GOLDEN, pair_id=first).query("labeler == 'Kim'")["note"]) == {
        "suns az? 40 Ug"
    }

    # The second: back up with the arrows and change; unrateable, and N/A where the policy allows it.
    press(walker, *"1111111", "ArrowUp", "ArrowUp", "u", "ArrowUp", "ArrowUp", "3")
    if with_na:
        for _ in KEYS:
            press(walker, "ArrowUp")
        press(walker, *["ArrowDown"] * KEYS.index(with_na[0]), "a")
    press(walker, "Enter")
    done(walker, 2, total)
    expected = dict.fromkeys(KEYS, 1) | {"industry": UNRATEABLE, "location": 3}
    if with_na:
        expected[with_na[0]] = NOT_APPLICABLE
    second = next(pair for pair in answers(workspace, "Kim") if pair != first)
    assert answers(workspace, "Kim")[second] == expected

    # Undo opens it again, filled in; one key corrects it.
    press(walker, "z")
    expect(page).to_have_url(re.compile(second))
    done(walker, 1, total)
    assert second not in answers(workspace, "Kim")
    press(walker, "ArrowUp", *["ArrowUp"] * 7, "0", "Enter")
    done(walker, 2, total)
    assert answers(workspace, "Kim")[second] == expected | {"skills": 0}
    table = workspace.store.labels(GOLDEN, pair_id=second).query("labeler == 'Kim'")
    assert (table["grade"] == NOT_GRADED).sum() == 7

    # A skipped pair is not labelled, and does not come back.
    skipped = labelling.next_task(workspace, GOLDEN, "Kim")
    assert skipped is not None
    press(walker, "s")
    walker.settle()
    for count in range(3, 21):
        press(walker, *str(count % 5) * 7, "Enter")
        done(walker, count, total)
    found = answers(workspace, "Kim")
    assert len(found) == 20
    assert skipped.pair.id not in found
    assert all(sorted(given) == sorted(KEYS) for given in found.values())
    mixed = [pair for pair, given in found.items() if len(set(given.values())) > 1]
    assert mixed == [second]


def test_three_people_share_an_overlap_queue_without_a_third_label(
    walker: Walker, chromium: Browser, workspace: Workspace
) -> None:
    size, labelers = 4, 2
    queue = queues.create_queue(
        workspace, GOLDEN, "overlap", name="Two each", size=size, labelers_per_pair=labelers, author="Ida"
    )
    drawn = set(workspace.store.queue_items(queue.id)["pair_id"])
    windows = [chromium.new_context(viewport={"width": 1440, "height": 900}) for _ in range(2)]
    others = [Walker(window.new_page(), walker.address, walker.pictures) for window in windows]
    people = dict(zip(("Lea", "Max", "Eva"), (walker, *others), strict=True))
    for name, person in people.items():
        sign_in(person, name)
        person.choose("Queue", queue.name)
        expect(person.page).to_have_url(re.compile(queue.id))
        leave_the_field(person)
    for _ in range(size * labelers):
        working = [person for person in people.values() if person.page.locator(".st-key-label_form").count()]
        if not working:
            break
        for person in working:  # All are sent before any has its answer.
            press(person, *"3333333", "Enter")
        for person in working:
            person.settle()
    for person in people.values():
        expect(person.page.get_by_text("No pair of this queue is left for you.")).to_be_visible()
    given = [pair_id for name in people for pair_id in answers(workspace, name) if pair_id in drawn]
    assert {pair_id: given.count(pair_id) for pair_id in drawn} == dict.fromkeys(drawn, labelers)
    assert workspace.store.queue(queue.id).done == size * labelers
    for window in windows:
        window.close()

"""The Labelers section: agreement, labelers over time, and with themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from page_samples import PAIRS, label, text_of
from streamlit.testing.v1 import AppTest

from workbench.golden import Label, Pair
from workbench.workspace import Workspace

START = datetime(2026, 11, 1, tzinfo=UTC)


def section() -> None:
    from workbench import labelling, widgets
    from workbench.golden_labelers import draw

    space = widgets.workspace()
    draw(labelling.golden_figures(space, "bakers"), space.store.policy("fit"))


def opened() -> AppTest:
    page = AppTest.from_function(section, default_timeout=60)
    page.run()
    assert not page.exception, page.exception
    return page


def say(space: Workspace, pair: Pair, labeler: str, grade: int, minute: int) -> None:
    space.store.add_labels(
        "bakers",
        [
            Label(
                pair_id=pair.id,
                dimension="skills",
                grade=grade,
                labeler=labeler,
                at=START + timedelta(minutes=minute),
            )
        ],
        repeated=True,
    )


def drifting(space: Workspace) -> list[Pair]:
    """Forty queries; Ann grades as Bob and Cas in the first half, and one more in the second."""
    pairs = [Pair(query={"headline": f"Cook {i}"}, document={"title": f"Chef {i}"}) for i in range(40)]
    space.store.add_pairs("bakers", pairs)
    for i, pair in enumerate(pairs):
        for who, more in (("bob", 0), ("cas", 0), ("ann", int(i >= 20))):
            say(space, pair, who, i % 2 + more, i)
    return pairs


def test_without_labels(golden: Workspace) -> None:
    assert "Nobody has labelled yet." in text_of(opened())


def test_one_labeler_has_nobody_to_be_compared_with(golden: Workspace) -> None:
    label(golden, PAIRS[0], "ann", skills=1)
    said = text_of(opened())
    assert "fewer than two labelers" in said
    assert "Over time" not in said
    assert "Nobody has graded a pair a second time." in said


def test_agreement_and_the_reason_for_no_blocks(golden: Workspace) -> None:
    for pair, a, b in zip(PAIRS, (0, 0, 2, 2), (0, 0, 2, 0), strict=True):
        label(golden, pair, "ann<b>", skills=a)
        label(golden, pair, "bob", skills=b)
    page = opened()
    said = text_of(page)
    assert "ann&lt;b&gt; · bob" in said
    assert "0.50" in said  # quadratic kappa, by hand in test_page_golden
    assert "4 labels on pairs that others graded too; two blocks need 40." in said
    assert "No labeler's work can be tested for a trend yet." in said
    assert not page.get("plotly_chart")


def test_a_labeler_who_drifts_is_named_and_drawn(golden: Workspace) -> None:
    drifting(golden)
    page = opened()
    said = text_of(page)
    assert (
        "1 of 1 labeler with a trend: **ann** moves away from the rest and grades higher and higher." in said
    )
    # √(4000 / 5330) = 0.87, by hand in test_labeler_drift.
    assert "+0.87" in said
    assert len(page.get("plotly_chart")) == 1


def test_second_looks(golden: Workspace) -> None:
    pairs = drifting(golden)
    say(golden, pairs[0], "bob", 0, 1440)
    say(golden, pairs[1], "bob", 0, 1441)  # 1 before
    said = text_of(opened())
    assert "Nobody has graded a pair a second time." not in said
    assert '>bob</td><td class="num">2</td>' in said
    assert "0.50" in said  # one of two the same

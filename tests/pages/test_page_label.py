"""The Label page: blind, one pair after another, nothing written twice, partial answers only when asked for."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

from page_samples import PAIRS, OpenPage, label, text_of
from streamlit.testing.v1 import AppTest

from workbench import labelling, queues
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE, Label, Pair
from workbench.workspace import Workspace

FIRST = PAIRS[0]


def answer(page: AppTest, **grades: int) -> None:
    """Choose grades in the form that is open."""
    for key, grade in grades.items():
        row = next(group for group in page.button_group if str(group.key).startswith(f"grade|{key}|"))
        row.set_value(grade)


def chosen(page: AppTest) -> dict[str, int | None]:
    return {str(g.key).split("|")[1]: g.value for g in page.button_group if str(g.key).startswith("grade|")}


def submit(page: AppTest) -> AppTest:
    page.button(key="submit").click().run()
    assert not page.exception
    return page


def answers_of(space: Workspace, labeler: str) -> list[tuple[str, str, int, str]]:
    table = space.store.labels("bakers")
    table = table[table["labeler"] == labeler]
    return list(zip(table["pair_id"], table["dimension"], table["grade"], table["note"], strict=True))


def progress(page: AppTest) -> str:
    return page.get("progress")[0].text


def test_without_golden_sets_it_says_where_to_get_one(open_page: OpenPage) -> None:
    page = open_page("label")
    assert "No golden sets yet" in text_of(page)
    assert not page.button_group


def test_a_set_without_pairs_is_not_called_finished(space: Workspace, open_page: OpenPage) -> None:
    space.store.create_golden("bakers", "fit")
    said = text_of(open_page("label"))
    assert "bakers has no pairs" in said
    assert "labelled every pair" not in said


def test_full_answers_are_kept_and_the_next_pair_starts_blank(golden: Workspace, open_page: OpenPage) -> None:
    page = open_page("label")
    assert progress(page) == "0 of 4 done by you"
    assert "Baker one" in text_of(page)
    answer(page, skills=2, wishes=NOT_APPLICABLE, overall=UNRATEABLE)
    page.text_input[-1].set_value("  skills.1 decided ")
    submit(page)
    note = "skills.1 decided"
    assert sorted(answers_of(golden, "anna")) == sorted(
        [
            (FIRST.id, "skills", 2, note),
            (FIRST.id, "wishes", NOT_APPLICABLE, note),
            (FIRST.id, "overall", UNRATEABLE, note),
        ]
    )
    assert progress(page) == "1 of 4 done by you"
    assert "Welder one" in text_of(page)
    assert chosen(page) == {"skills": None, "wishes": None, "overall": None}
    assert page.text_input[-1].value == ""


def test_choices_are_those_of_the_policy(golden: Workspace, open_page: OpenPage) -> None:
    page = open_page("label")
    options = {
        str(g.key).split("|")[1]: list(g.options) for g in page.button_group if g.key.startswith("grade|")
    }
    assert options == {
        "skills": ["**0** None of them", "**1** Some", "**2** All", "unrateable"],
        "wishes": ["**0** Broken", "**1** Kept", "N/A", "unrateable"],
        "overall": ["**0**", "**1**", "**2**", "unrateable"],
    }


def test_missing_answers_are_asked_about_once(golden: Workspace, open_page: OpenPage) -> None:
    page = open_page("label")
    answer(page, skills=1)
    submit(page)
    assert answers_of(golden, "anna") == []
    assert "<b>Wishes and Overall</b> have no grade yet" in text_of(page)
    assert page.button(key="submit").label == "Submit as it is"
    assert chosen(page)["skills"] == 1
    submit(page)
    assert answers_of(golden, "anna") == [(FIRST.id, "skills", 1, "")]
    # The pair is not done, and does not come back at once either.
    assert progress(page) == "0 of 4 done by you"
    assert "Welder one" in text_of(page)


def test_what_is_asked_about_can_still_be_filled_in(golden: Workspace, open_page: OpenPage) -> None:
    page = open_page("label")
    answer(page, skills=1)
    submit(page)
    answer(page, wishes=1)
    submit(page)
    assert "<b>Overall</b> has no grade yet" in text_of(page)
    answer(page, overall=1)
    submit(page)
    assert len(answers_of(golden, "anna")) == 3
    assert progress(page) == "1 of 4 done by you"


def test_an_empty_form_is_refused_in_one_sentence(golden: Workspace, open_page: OpenPage) -> None:
    page = submit(open_page("label"))
    assert [error.value for error in page.error] == [
        "**No grade was chosen.** Grade at least one dimension, or mark it unrateable."
    ]
    assert "Baker one" in text_of(page)


def test_the_same_form_sent_twice_adds_nothing(golden: Workspace, open_page: OpenPage) -> None:
    grades = {"skills": 2, "wishes": 1, "overall": 2}
    first, second = open_page("label"), open_page("label")  # two tabs of one person, or two clicks
    for page in (first, second):
        answer(page, **grades)
    submit(first)
    submit(second)
    assert len(answers_of(golden, "anna")) == 3
    assert not second.error


def test_two_clicks_at_the_same_moment_add_once(golden: Workspace) -> None:
    # Streamlit may run the callbacks of a double click side by side, so the store has to put them in line.
    together = Barrier(4)

    def click(_: int) -> int:
        together.wait()
        grades = {"skills": 2, "wishes": 1, "overall": 2}
        return labelling.submit_labels(golden, "bakers", FIRST.id, grades, labeler="anna")

    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(click, range(4)))
    assert sorted(added) == [0, 0, 0, 3]
    assert len(answers_of(golden, "anna")) == 3


def test_skipping_puts_off_and_all_put_off_can_be_shown_again(golden: Workspace, open_page: OpenPage) -> None:
    page = open_page("label")
    for _ in PAIRS:
        page.button(key="skip").click().run()
    assert "Only what you put off is left: 4 pairs" in text_of(page)
    page.button[-1].click().run()
    assert "Baker one" in text_of(page)
    assert answers_of(golden, "anna") == []


def test_all_done_says_what_comes_next(golden: Workspace, open_page: OpenPage) -> None:
    for pair in PAIRS:
        label(golden, pair, "anna", skills=0, wishes=0, overall=0)
    assert "You have labelled every pair of bakers" in text_of(open_page("label"))


def test_pairs_that_fewest_people_labelled_come_first(golden: Workspace, open_page: OpenPage) -> None:
    label(golden, PAIRS[0], "bruno", skills=2)
    label(golden, PAIRS[1], "bruno", skills=2)
    assert "Baker two" in text_of(open_page("label"))
    # One's own unfinished pair does not count as labelled by others.
    label(golden, PAIRS[2], "anna", skills=1)
    page = open_page("label")
    assert "Baker two" in text_of(page)
    assert chosen(page)["skills"] == 1


def test_nothing_of_a_colleague_is_on_the_page(golden: Workspace, open_page: OpenPage) -> None:
    label(golden, FIRST, "bruno", note="surely a two", skills=2, wishes=1, overall=2)
    page = open_page("label", pair=FIRST.id)
    assert chosen(page) == {"skills": None, "wishes": None, "overall": None}
    assert "bruno" not in text_of(page)
    assert "surely" not in text_of(page)
    assert page.text_input[-1].value == ""
    assert progress(page) == "0 of 4 done by you"


def test_undo_takes_the_last_submit_back_and_opens_it_filled_in(
    golden: Workspace, open_page: OpenPage
) -> None:
    page = open_page("label")
    assert page.button(key="undo").disabled
    answer(page, skills=2, wishes=1, overall=2)
    page.text_input[-1].set_value("by hand")
    submit(page)
    page.button(key="undo").click().run()
    assert not page.exception
    assert page.query_params["pair"] == FIRST.id
    assert chosen(page) == {"skills": 2, "wishes": 1, "overall": 2}
    assert page.text_input[-1].value == "by hand"
    # Taken back at once, not when it is sent again: three labels without a grade stand behind the three answers.
    assert [grade for _, _, grade, _ in answers_of(golden, "anna")][3:] == [NOT_GRADED] * 3
    assert progress(page) == "0 of 4 done by you"
    assert page.button(key="undo").disabled
    answer(page, skills=0)
    submit(page)
    # Append-only: nine labels, and the newest three count.
    assert len(answers_of(golden, "anna")) == 9
    task = labelling.open_task(golden, "bakers", "anna", FIRST.id)
    assert task.answers == {"skills": 0, "wishes": 1, "overall": 2}
    assert progress(page) == "1 of 4 done by you"
    assert "Welder one" in text_of(page)


def test_undo_goes_back_one_submit_at_a_time(golden: Workspace, open_page: OpenPage) -> None:
    page = open_page("label")
    for grade in (0, 1):
        answer(page, skills=grade, wishes=grade, overall=grade)
        submit(page)
    for grade, pair in ((1, PAIRS[1]), (0, PAIRS[0])):
        page.button(key="undo").click().run()
        assert page.query_params["pair"] == pair.id
        assert chosen(page) == {"skills": grade, "wishes": grade, "overall": grade}
    assert progress(page) == "0 of 4 done by you"


def test_the_keys_are_listed_on_the_page(golden: Workspace, open_page: OpenPage) -> None:
    said = text_of(open_page("label"))
    listed = re.findall(r"<kbd>(.*?)</kbd>", said)
    assert listed == ["0 – 9", "A", "U", "↑ ↓", "Enter", "N", "S", "Z", "G", "?"]


def test_pace_is_shown_after_two_submits(golden: Workspace, open_page: OpenPage) -> None:
    page = open_page("label")
    assert ">0 today<" in text_of(page)
    at = datetime.now(UTC)
    for pair, seconds in ((PAIRS[0], 80), (PAIRS[1], 20)):
        golden.store.add_labels(
            "bakers",
            [
                Label(
                    pair_id=pair.id,
                    dimension=key,
                    grade=0,
                    labeler="anna",
                    at=at - timedelta(seconds=seconds),
                )
                for key in ("skills", "wishes", "overall")
            ],
        )
    page.run()
    # 60 s between the two, two pairs left: two minutes. (Just after midnight, nothing is of today.)
    assert "· 60 s a pair · about 2 min left<" in text_of(page)


def test_levels_and_clauses_are_there_to_hover(golden: Workspace, open_page: OpenPage) -> None:
    said = text_of(open_page("label"))
    card = re.search(
        r'<div class="wb-hover" tabindex="0"><b>Skills</b>.*?<div class="wb-card">(.*)</div>', said, re.DOTALL
    )
    assert card
    assert "Some are shown." in card[1]
    assert "A skill counts when it was used at work." in card[1]


# Queues


def queue_of(space: Workspace, kind: str, size: int, **more: object) -> str:
    return queues.create_queue(space, "bakers", kind, name=f"some {kind}", size=size, author="Ida", **more).id


def test_a_queue_offers_its_pairs_and_ends(golden: Workspace, open_page: OpenPage) -> None:
    queue = queue_of(golden, "random", 2)
    mine = golden.store.queue_items(queue)["pair_id"].tolist()
    page = open_page("label", queue=queue)
    assert page.selectbox(key="queue").value == queue
    for done, grade in enumerate((1, 0)):
        assert progress(page) == f"{done} of 2 done by you"
        answer(page, skills=grade, wishes=grade, overall=grade)
        submit(page)
    assert [pair_id for pair_id, *_ in answers_of(golden, "anna")[::3]] == mine
    assert "No pair of this queue is left for you." in text_of(page)


def test_undo_in_a_queue_gives_the_place_back_until_it_is_sent_again(
    golden: Workspace, open_page: OpenPage
) -> None:
    queue = queue_of(golden, "random", 1)
    page = open_page("label", queue=queue)
    answer(page, skills=1, wishes=1, overall=1)
    submit(page)
    assert golden.store.queue(queue).done == 1
    page.button(key="undo").click().run()
    assert golden.store.queue(queue).done == 0
    assert chosen(page) == {"skills": 1, "wishes": 1, "overall": 1}
    submit(page)
    assert golden.store.queue(queue).done == 1
    pair_id = golden.store.queue_items(queue)["pair_id"].iloc[0]
    assert labelling.open_task(golden, "bakers", "anna", pair_id).answers == {
        "skills": 1, "wishes": 1, "overall": 1,
    }  # fmt: skip


def test_a_skipped_pair_of_a_queue_is_free_for_others(golden: Workspace, open_page: OpenPage) -> None:
    queue = queue_of(golden, "random", 1)
    page = open_page("label", queue=queue)
    assert queues.next_in_queue(golden, queue, "bruno") is None  # anna has the only place
    page.button(key="skip").click().run()
    assert "Only what you put off is left: 1 pair." in text_of(page)
    assert queues.next_in_queue(golden, queue, "bruno") is not None


def test_a_recheck_shows_nothing_of_what_was_said_before(golden: Workspace, open_page: OpenPage) -> None:
    label(golden, FIRST, "anna", note="before", skills=2, wishes=1, overall=2)
    queue = queue_of(golden, "recheck", 1, params=queues.QueueParams(labeler="anna"))
    # Neither by the queue nor by a link to the pair within it.
    for address in ({"queue": queue}, {"queue": queue, "pair": FIRST.id}):
        page = open_page("label", **address)
        assert "Baker one" in text_of(page)
        assert chosen(page) == {"skills": None, "wishes": None, "overall": None}
        assert page.text_input[-1].value == ""


def test_a_queue_that_is_closed_says_so(golden: Workspace, open_page: OpenPage) -> None:
    queue = queue_of(golden, "random", 1)
    queues.close_queue(golden, queue, author="Ida")
    page = open_page("label", queue=queue)
    assert ["has no open queue" in w.value for w in page.warning] == [True]
    assert progress(page) == "0 of 4 done by you"


def test_a_link_to_an_unknown_pair_warns_and_goes_on(golden: Workspace, open_page: OpenPage) -> None:
    page = open_page("label", pair="pair-x")
    assert [w.value for w in page.warning] == [
        "**Golden set 'bakers' has no pair pair\\-x.** The link may be of another set."
    ]
    assert "Baker one" in text_of(page)


def test_words_of_the_query_are_lit_in_the_document(golden: Workspace, open_page: OpenPage) -> None:
    lit = re.findall(r'<span class="wb-mark">(\w+)</span>', text_of(open_page("label")))
    # "Baker" and "sourdough" are in both texts, in whatever case; "one" is too short, "hand" only in the job.
    assert lit == ["Baker", "Sourdough"]


def test_texts_from_outside_are_shown_as_text(space: Workspace, open_page: OpenPage) -> None:
    evil = Pair(query={"headline": "<script>x</script>"}, document={"title": "a < b & <b>c</b>"})
    space.store.create_golden("bakers", "fit")
    space.store.add_pairs("bakers", [evil])
    said = text_of(open_page("label"))
    assert "&lt;script&gt;x&lt;/script&gt;" in said
    assert "a &lt; b &amp; &lt;b&gt;c&lt;/b&gt;" in said

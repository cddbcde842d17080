"""Probabilities over levels, from token log-probabilities and from repeats."""

from __future__ import annotations

import json
import math
from typing import Any

import policy_samples
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.level_probabilities import (
    NoProbabilities,
    from_repeats,
    from_tokens,
    grade_places,
    settled,
    with_probabilities,
)
from workbench.policy import Dimension
from workbench.prompt import read_reply
from workbench.run import Judgement


def dimension(key: str, levels: range, *, allow_na: bool = False) -> Dimension:
    declared = [{"value": value, "name": f"L{value}"} for value in levels]
    given_ = {"key": key, "title": key, "question": "?", "levels": declared, "allow_na": allow_na}
    return Dimension.model_validate(given_)


FIVE = dimension("skills", range(5))
THREE = dimension("wishes", range(3), allow_na=True)
POLICY = policy_samples.body(dimensions=[FIVE, THREE], overall={"cut_points": [1]}, retired=[])


def scale(top: int, bottom: int = 0) -> Dimension:
    return dimension("d", range(bottom, top + 1))


def tokens(*said: str | tuple[str, dict[str, float]]) -> list[dict[str, Any]]:
    """Return ``logprobs.content``: texts, or (text, probability of it and of the alternatives by text)."""
    content = []
    for one in said:
        text, listed = (one, {one: 1.0}) if isinstance(one, str) else one
        entries = [
            {"token": option, "logprob": math.log(share), "bytes": list(option.encode())}
            for option, share in listed.items()
        ]
        content.append({**next(e for e in entries if e["token"] == text), "top_logprobs": entries})
    return content


def text_of(content: list[dict[str, Any]]) -> str:
    return "".join(entry["token"] for entry in content)


def spread(asked: Dimension, *said: str | tuple[str, dict[str, float]]) -> Any:
    content = tokens(*said)
    return from_tokens(content, text_of(content), {("d",): asked})[("d",)]


START = '{"d": {"grade'


def test_where_the_grades_stand() -> None:
    reply = json.dumps(
        {
            "P1": {"skills": {"reason": 'He said {"grade": 4}, "grade": 4', "cites": ["grade"], "grade": 3}},
            "P2": {"skills": {"grade": 1, "reason": "\\"}, "wishes": {"grade": "N/A"}},
        }
    )
    places = grade_places(reply)
    found = {path: reply[first:end] for path, (_, first, end) in places.items()}
    assert found == {("P1", "skills"): "3", ("P2", "skills"): "1", ("P2", "wishes"): '"N/A"'}
    assert all(reply[colon - 1] == ":" for colon, _, _ in places.values())


@settings(max_examples=200, deadline=None)
@given(st.text('{}[]:,"\\grade 1', max_size=30))
def test_looking_for_grades_in_any_text_raises_nothing(text: str) -> None:
    for colon, first, end in grade_places(text).values():
        assert 0 <= colon <= first < end <= len(text)
    assert grade_places(f'{{"d": {{"grade": 1}}}}{text}') == {("d",): (15, 16, 17)}


def test_a_digit_as_one_token() -> None:
    found = spread(FIVE, START, '": ', ("3", {"3": 0.6, "2": 0.2, "4": 0.1, "9": 0.05, "three": 0.02}), "}}")
    # On levels 0.6 + 0.2 + 0.1 = 0.9: 2/9, 6/9, 1/9. Outside: 9, "three" and the 0.03 that is not listed.
    assert found.levels == (0, 1, 2, 3, 4)
    assert found.probabilities == pytest.approx((0, 0, 2 / 9, 6 / 9, 1 / 9))
    assert found.outside == pytest.approx(0.1)
    assert found.not_applicable == 0
    assert found.expected == pytest.approx((2 * 2 + 3 * 6 + 4 * 1) / 9)  # 26/9


@pytest.mark.parametrize(
    "said",
    [
        ('":', (" 3", {" 3": 0.75, " 1": 0.25}), "}}"),  # the space before the digit
        ('":', " ", ("3", {"3": 0.75, "1": 0.25}), "}", "}"),
        ('"', ": ", ("3}}", {"3}}": 0.5, "3": 0.25, "1},": 0.125, "1 ": 0.125})),  # and what follows
        (('":3', {'":3': 0.75, '":1': 0.25}), "}}"),  # the end of the key
        ('": ', ("3", {"3": 0.75, '"1': 0.25}), "}}"),  # a level in quotes is a level, in bad form
        ('": ', ("3.", {"3.": 0.75, "1": 0.25}), "0}}"),  # 3.0 is 3
        ('": ', ("3.0", {"3.0": 0.75, "1.0": 0.25}), "}}"),
    ],
)
def test_digits_joined_with_what_stands_beside_them(said: tuple[Any, ...]) -> None:
    found = spread(FIVE, START, *said)
    assert found.probabilities == pytest.approx((0, 0.25, 0, 0.75, 0))
    assert found.outside == pytest.approx(0, abs=1e-9)


def test_a_fraction_is_no_level() -> None:
    found = spread(FIVE, START, '": ', ("3", {"3": 0.5, "2.5": 0.25, "1e1": 0.25}), "}}")
    assert found.probabilities == pytest.approx((0, 0, 0, 1, 0))
    assert found.outside == pytest.approx(0.5)


def test_a_value_written_in_an_odd_way_has_no_probabilities() -> None:
    # 3e0 is the grade 3 to the reader; the alternative 1 alone would say that 1 is certain.
    found = spread(FIVE, START, '": ', ("3e", {"3e": 0.75, "1": 0.25}), "0}}")
    assert (found.probabilities, found.expected, found.outside) == (None, None, 1.0)


def test_how_the_tokens_before_the_value_are_cut_says_nothing_about_it() -> None:
    # 0.4 of the probability goes to writing the colon or the space in another way: not outside the levels.
    key = ('":', {'":': 0.6, '"': 0.4})
    gap = (" ", {" ": 0.5, "\n": 0.5})
    found = spread(FIVE, START, key, gap, ("3", {"3": 0.75, "1": 0.25}), "}}")
    assert found.probabilities == pytest.approx((0, 0.25, 0, 0.75, 0))
    assert found.outside == pytest.approx(0)


def test_not_applicable_beside_levels() -> None:
    found = spread(THREE, START, '":', (" 2", {" 2": 0.5, ' "': 0.25, " 1": 0.125, ' "N': 0.125}), "}}")
    # Levels 0.5 + 0.125, N/A 0.25 + 0.125.
    assert found.probabilities == pytest.approx((0, 0.2, 0.8))
    assert found.not_applicable == pytest.approx(0.375)
    assert found.outside == pytest.approx(0)


def test_the_space_and_the_quote_before_the_value_may_decide() -> None:
    # The token behind the key is a space (then a digit: 0.6 of it a 1), or a space with the quote of "N/A".
    found = spread(
        THREE, START, '":', (" ", {" ": 0.6, ' "': 0.2, "\t": 0.2}), ("1", {"1": 0.6, "2": 0.4}), "}}"
    )
    # Of " " and ' "', 3/4 go on: level 1 gets 0.45, level 2 gets 0.3, N/A 0.25.
    assert found.probabilities == pytest.approx((0, 0.6, 0.4))
    assert found.not_applicable == pytest.approx(0.25)


def test_not_applicable_where_it_is_written_and_where_it_is_not_allowed() -> None:
    said = ('": ', ('"', {'"': 0.8, "2": 0.2}), "N", "/A", '"}}')
    found = spread(THREE, START, *said)
    assert found.probabilities == pytest.approx((0, 0, 1))
    assert found.not_applicable == pytest.approx(0.8)
    only = spread(THREE, START, '": ', '"N/A"', "}}")
    assert (only.probabilities, only.expected, only.not_applicable) == (None, None, 1.0)
    forbidden = spread(FIVE, START, '": ', ("2", {'"': 0.8, "2": 0.2}), "}}")
    assert forbidden.not_applicable == 0
    assert forbidden.outside == pytest.approx(0.8)


def test_levels_of_two_digits_written_digit_by_digit() -> None:
    # 0.6 begin with 1; of these 3/4 end there and 1/4 go on to 10. "2" and "3" can begin no other level.
    said = ('": ', ("1", {"1": 0.6, "2": 0.3, "3": 0.1}), ("}", {"}": 0.5, "}}": 0.25, "0": 0.25}), "}")
    found = spread(scale(10), START, *said)
    assert found.probabilities == pytest.approx((0, 0.45, 0.3, 0.1, *[0] * 6, 0.15))
    assert found.outside == pytest.approx(0)
    ten = spread(scale(10), START, '": ', "1", ("0", {"0": 0.5, "}": 0.5}), "}}")
    assert ten.probabilities == pytest.approx((0, 0.5, *[0] * 8, 0.5))


def test_levels_of_two_digits_as_one_token() -> None:
    # Since 10 is one token here, the token "1" is the level 1.
    found = spread(scale(10), START, '": ', ("10", {"10": 0.5, "1": 0.25, "9": 0.25}), "}}")
    assert found.probabilities == pytest.approx((0, 0.25, *[0] * 7, 0.25, 0.5))


def test_a_first_digit_that_may_be_one_of_two_levels_stays_open() -> None:
    # Nothing shows how "1" would have gone on: to 1 or to 10.
    found = spread(scale(10), START, '": ', ("3", {"3": 0.75, "1": 0.25}), "}}")
    assert found.probabilities == pytest.approx((0, 0, 0, 1, *[0] * 7))
    assert found.outside == pytest.approx(0.25)
    # Where only 10 begins with a 1, it is 10.
    upper = spread(scale(10, bottom=8), START, '": ', ("8", {"8": 0.75, "1": 0.25}), "}}")
    assert upper.probabilities == pytest.approx((0.75, 0, 0.25))


def test_tokens_around_the_reply_and_parts_of_characters() -> None:
    # "ä" is C3 A4: two tokens that no text shows. Reasoning with a first draft stands before the reply.
    draft = tokens('{"d": {"grade": ', ("0", {"0": 0.5, "4": 0.5}), "}}", "</think>")
    half = [{"token": "\ufffd", "bytes": [byte], "logprob": 0.0, "top_logprobs": []} for byte in "ä".encode()]
    after = tokens('", "grade": ', ("3", {"3": 0.75, "1": 0.25}), "}}", "<|im_end|>")
    content = [*draft, *tokens('{"d": {"reason": "'), *half, *after]
    found = from_tokens(content, '{"d": {"reason": "ä", "grade": 3}}', {("d",): FIVE, ("x",): FIVE})
    assert set(found) == {("d",)}
    assert found[("d",)].probabilities == pytest.approx((0, 0.25, 0, 0.75, 0))


def test_the_reply_is_the_last_of_equal_texts() -> None:
    draft = tokens(START, '": ', ("3", {"3": 0.5, "0": 0.5}), "}}")
    reply = tokens(START, '": ', ("3", {"3": 0.75, "1": 0.25}), "}}")
    found = from_tokens([*draft, *tokens("\n"), *reply], text_of(reply), {("d",): FIVE})
    assert found[("d",)].probabilities == pytest.approx((0, 0.25, 0, 0.75, 0))


def test_the_written_token_counts_though_it_is_not_among_the_alternatives() -> None:
    content = tokens(START, '": ', "3", "}}")
    content[2] |= {"logprob": math.log(0.2), "top_logprobs": tokens("1")}
    content[2]["top_logprobs"][0]["logprob"] = math.log(0.6)
    found = from_tokens(content, text_of(content), {("d",): FIVE})[("d",)]
    assert found.probabilities == pytest.approx((0, 0.75, 0, 0.25, 0))
    assert found.outside == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "gave no log-probabilities"),
        ([], "gave no log-probabilities"),
        ({"token": "3"}, "gave no log-probabilities"),
        ([3], "not in the form"),
        ([{"token": None}], "not in the form"),
        ([{"token": "token_id:17", "logprob": 0}], "do not spell the reply"),
        ([{"token": '{"d": {"grade": 3}}', "logprob": None}], "not a number"),
        ([{"token": '{"d": {"grade": 3}}', "logprob": math.nan}], "not a number"),
        ([{"token": '{"d": {"grade": 3}}', "logprob": 0, "top_logprobs": 5}], "not in the form"),
        ([{"token": '{"d": {"grade": 3}}', "logprob": 0, "top_logprobs": [{}]}], "not in the form"),
    ],
)
def test_what_cannot_be_used_says_why(content: Any, told: str) -> None:
    with pytest.raises(NoProbabilities, match=told):
        from_tokens(content, '{"d": {"grade": 3}}', {("d",): FIVE})


def test_judgements_get_probabilities_and_keep_their_grade() -> None:
    reply = [
        '{"skills": {"reason": "a", "cites": [], "grade": ',
        '}, "wishes": {"reason": "", "cites": [], "grade": ',
    ]
    content = tokens(reply[0], ("1", {"1": 0.25, "3": 0.75}), reply[1], '"N/A"', "}}")
    text = text_of(content)
    skills, wishes = with_probabilities(POLICY, read_reply(POLICY, text), content, text)
    assert skills.grade == 1  # what the model wrote, though it found 3 likelier
    assert skills.probabilities == pytest.approx((0, 0.25, 0, 0.75, 0))
    assert skills.expected == pytest.approx(2.5)
    assert (wishes.grade, wishes.probabilities, wishes.expected) == (NOT_APPLICABLE, None, None)
    failed = (Judgement(dimension="skills", grade=NOT_GRADED, error="e"),)
    assert with_probabilities(POLICY, failed, None, "") == failed


def test_judgements_of_one_pair_of_several() -> None:
    parts = ['{"P1": {"skills": {"grade": ', '}}, "P2": {"skills": {"grade": ', "}}}"]
    content = tokens(parts[0], "0", parts[1], ("1", {"1": 0.5, "3": 0.5}), parts[2])
    given_ = (Judgement(dimension="skills", grade=1),)
    (skills,) = with_probabilities(POLICY, given_, content, text_of(content), label="P2")
    assert skills.probabilities == pytest.approx((0, 0.5, 0, 0.5, 0))
    assert with_probabilities(POLICY, given_, content, text_of(content), label="P3") == given_


def test_repeats_are_counted_with_a_prior() -> None:
    found = from_repeats([3, 3, 2, NOT_GRADED], FIVE.scale)
    # Three answers and five levels of half an answer: 5.5 in all.
    assert found.spread.probabilities == pytest.approx(
        (0.5 / 5.5, 0.5 / 5.5, 1.5 / 5.5, 2.5 / 5.5, 0.5 / 5.5)
    )
    # (0 + 0.5 + 3 + 7.5 + 2) / 5.5 = 13 / 5.5
    assert found.spread.expected == pytest.approx(13 / 5.5)
    assert (found.mode, found.answers, found.failed) == (3, 3, 1)
    assert found.agreement == pytest.approx(1 / 3)  # of the pairs 33, 32, 32 one agrees
    plain = from_repeats([3, 3, 2], FIVE.scale, prior=0)
    assert plain.spread.probabilities == pytest.approx((0, 0, 1 / 3, 2 / 3, 0))
    assert plain.spread.expected == pytest.approx(8 / 3)


def test_not_applicable_among_repeats() -> None:
    na = NOT_APPLICABLE
    found = from_repeats([na, 1, na, 2], THREE.scale, prior=0)
    assert found.spread.not_applicable == 0.5
    assert found.spread.probabilities == pytest.approx((0, 0.5, 0.5))
    assert (
        found.mode == 1
    )  # half say that it applies; 1 and 2 are as near to their mean, the lower one is taken
    assert found.agreement == pytest.approx(
        2 / 12
    )  # ordered pairs of different answers: N/A with N/A, both ways
    assert from_repeats([na, na, na, 2, 2], THREE.scale).mode == na
    only = from_repeats([na], THREE.scale)
    assert (only.spread.probabilities, only.spread.expected, only.agreement) == (None, None, None)
    assert only.spread.not_applicable == 1


def test_the_mode_of_levels_named_equally_often_is_the_one_near_the_mean() -> None:
    assert from_repeats([0, 0, 3, 3, 4], FIVE.scale).mode == 3  # the mean is 2
    assert from_repeats([0, 0, 4, 4], FIVE.scale).mode == 0  # both are 2 away


def test_repeats_without_any_answer() -> None:
    found = from_repeats([NOT_GRADED, NOT_GRADED], FIVE.scale)
    assert (found.mode, found.answers, found.failed, found.agreement) == (NOT_GRADED, 0, 2, None)
    assert found.spread.probabilities is None


def test_repeats_refuse_what_is_no_grade() -> None:
    with pytest.raises(ValueError, match="7 is not a grade on the scale 0, 1, 2, 3, 4"):
        from_repeats([7], FIVE.scale)
    with pytest.raises(ValueError, match="prior"):
        from_repeats([1], FIVE.scale, prior=-1)


def test_repeated_judgements_settle_into_one() -> None:
    answers = [
        Judgement(dimension="skills", grade=NOT_GRADED, error="timeout"),
        Judgement(dimension="skills", grade=2, rationale="two"),
        Judgement(dimension="skills", grade=3, rationale="first three", cites=("skills.1",)),
        Judgement(dimension="skills", grade=3, rationale="second three"),
    ]
    found = settled(FIVE, answers, prior=0)
    assert (found.grade, found.rationale, found.cites, found.error) == (3, "first three", ("skills.1",), "")
    assert found.probabilities == pytest.approx((0, 0, 1 / 3, 2 / 3, 0))
    assert found.expected == pytest.approx(8 / 3)
    assert settled(FIVE, answers[:1]) == answers[0]
    na = Judgement(dimension="wishes", grade=NOT_APPLICABLE)
    assert settled(THREE, [na, na, Judgement(dimension="wishes", grade=1)]) == na

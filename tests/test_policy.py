"""The policy document: what is refused and how it is said; round trips; ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from policy_samples import POLICIES, TEXT, bodies, body, plain, shipped
from pydantic import ValidationError

from workbench.documents import parse_policy, policy_text, read_policy, write_policy_schema
from workbench.errors import BadInput, NotFound
from workbench.policy import Body, Policy


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "spot", "says"),
    [
        ("title: Is this tea right for this guest?\n", "", "policy: tea", "at title: Field required"),
        ("purpose:", "porpoise:", "porpoise:", "at porpoise: this key is not known here"),
        ("weight: 3", "wait: 3", "wait: 3", "at dimensions[1].wait: this key is not known here"),
        ("weight: 3", "weight: 3\n    weight: 4", "weight: 4", "'weight' is given twice"),
        ("id: taste.2", "id: taste.1", "policy: tea", "id 'taste.1' is used twice"),
        ("id: strength.1", "id: taste.p1", "policy: tea", "id 'taste.p1' is used twice"),
        ("retired: [taste.3]", "retired: [taste.2]", "policy: tea", "id taste.2 is retired and cannot be used again"),
        ("key: strength", "key: taste", "policy: tea", "dimension 'taste' is used twice"),
        ("key: strength", "key: overall", "- key: overall", "'overall' is reserved"),
        ("key: strength", "key: Strength!", "key: Strength!", "at dimensions[2].key"),
        ("cites: [taste.1]", "cites: [taste.9]", "policy: tea", "precedent taste.p1 cites taste.9, which does not exist"),
        ("[guest.wishes, tea.notes]", "[guest.dreams]", "policy: tea", "taste considers 'guest.dreams'"),
        ("when: taste == 0", "when: smell == 0", "policy: tea", "gate gate.1 speaks of 'smell', which is not a dimension"),
        ("when: taste == 0", "when: open(taste)", "when: open(taste)", "calls a function other than"),
        ("when: taste == 0", "when: taste = 0", "when: taste = 0", "is not an expression such as"),
        ("at_most: 0, because", "at_most: 7, because", "overall:", "gate gate.1 bounds the grade by 7, outside 0–2"),
        ("at_most: 0, because", "because", "- {id: gate.1", "needs exactly one of at_most and at_least"),
        ("at_most: 0, because", "at_most: 0, at_least: 0, because", "- {id: gate.1", "needs exactly one"),
        ("name: Fits", "name: No", "{value: 1, name: No", "at dimensions[1].levels[2].name: Input should be a valid string (it is False)"),
        ("name: Fits", "name: null", "{value: 1, name: null", "(it is None)"),
        ("name: Fits", "name: 1", "{value: 1, name: 1", "(it is 1)"),
        ("{value: 2, name: Wanted", "{value: 3, name: Wanted", "- key: taste", "consecutive and ascending, not [0, 1, 3]"),
        ("{value: 0, name: Wrong", "{value: 2, name: Wrong", "- key: strength", "consecutive and ascending, not [2, 1]"),
        ("grade: 2", "grade: 5", "- key: taste", "precedent taste.p1 has grade 5, outside [0, 1, 2]"),
        ("grade: 2", "grade: null", "- key: taste", "precedent taste.p1 is N/A, but taste does not allow N/A"),
        ("weight: 3", "weight: .nan", "weight: .nan", "at dimensions[1].weight"),
        ("weight: 3", "weight: .inf", "weight: .inf", "at dimensions[1].weight"),
        ("weight: 3", "weight: -1", "weight: -1", "greater than or equal to 0"),
        ("[0.5, 1.5]", "[0.5, .nan]", "cut_points", "at overall.cut_points[2]: Input should be a finite number"),
        ("[0.5, 1.5]", "[.inf]", "cut_points", "at overall.cut_points[1]: Input should be a finite number"),
        ("[0.5, 1.5]", "[-.inf, 1]", "cut_points", "at overall.cut_points[1]: Input should be a finite number"),
        ("[0.5, 1.5]", "[1.5, 0.5]", "overall:", "cut points must ascend"),
        ("[0.5, 1.5]", "[0.5, 0.5]", "overall:", "cut points must ascend"),
        ("[0.5, 1.5]", "[]", "cut_points", "at overall.cut_points"),
        ("name: tea,", "name: guest,", "pair:", "both sides are called 'guest'"),
        ("fields: [wishes, mood]", "fields: [wishes, mood, wishes]", "pair:", "field 'guest.wishes' is used twice"),
        ("  - {term: green tea,", "  - {term: green tea, meaning: Grün.}\n  - {term: green tea,", "policy: tea", "term 'green tea' is used twice"),
        ("general:\n", "general:\n\t", "\t  - {id: general.1", "not valid YAML"),
        ("text: Grade what the texts say.", "text: ''", "text: ''", "at general[1].text"),
        ("id: general.1", "id: first", "id: first", "at general[1].id"),
        ("version: 1", "version: 0", "version: 0", "at version"),
        ("policy: tea-match", "policy: Tea Match", "policy: Tea", "at policy"),
    ],
)  # fmt: skip
def test_a_malformed_document_is_one_sentence_with_file_line_and_remedy(
    old: str, new: str, spot: str, says: str
) -> None:
    assert TEXT.count(old) == 1
    text = TEXT.replace(old, new)
    with pytest.raises(BadInput) as caught:
        parse_policy(text, "tea.yaml")
    message = caught.value.message
    assert says in message
    line = line_of(text, f"\n{spot}") + 1 if spot in {"pair:", "overall:"} else line_of(text, spot)
    assert message.startswith(f"tea.yaml, line {line}"), message
    assert message.endswith(".")
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_none_is_text_in_yaml_and_no_asks_for_quotes() -> None:
    assert parse_policy(TEXT.replace("name: Clash", "name: None"), "t").dimensions[0].levels[0].name == "None"
    with pytest.raises(BadInput) as caught:
        parse_policy(TEXT.replace("name: Clash", "name: No"), "t")
    assert caught.value.hint.startswith("Put quotes around it")
    assert parse_policy(TEXT.replace("name: Clash", "name: 'No'"), "t").dimensions[0].levels[0].name == "No"


def test_files_that_are_no_policy(tmp_path: Path) -> None:
    folder = tmp_path / "tea-match"
    folder.mkdir()
    path = folder / "v1.yaml"
    with pytest.raises(NotFound, match=r"There is no file .*v1\.yaml"):
        read_policy(path)
    path.write_bytes("policy: tée".encode("latin-1"))
    with pytest.raises(BadInput, match=r"v1\.yaml is not UTF-8 text \(byte 9\)\. Save it as UTF-8"):
        read_policy(path)
    path.write_text("")
    with pytest.raises(BadInput, match=r"v1\.yaml is empty"):
        read_policy(path)
    with pytest.raises(BadInput, match="is a folder"):
        read_policy(folder)
    with pytest.raises(BadInput, match="cannot be read"):
        read_policy(path / "v1.yaml")  # a file where a folder should be
    path.write_text(TEXT.replace("version: 1", "version: 2"))
    with pytest.raises(BadInput, match=r"says it is tea-match v2\. It belongs at tea-match/v2\.yaml"):
        read_policy(path)


@pytest.mark.parametrize(
    "path", sorted(POLICIES.glob("*/v*.yaml")), ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_shipped_policies_are_equal_after_a_round_trip(path: Path) -> None:
    policy = read_policy(path)
    again = parse_policy(policy_text(policy), "again")
    assert again == policy
    assert again.content_hash == policy.content_hash
    assert policy_text(again) == policy_text(policy)


@given(bodies())
def test_any_body_is_equal_after_a_round_trip(some: Body) -> None:
    policy = Policy.publish(some, policy="p", version=3, parent=2, message="m", author="a")
    again = parse_policy(policy_text(policy), "again")
    assert again == policy
    assert again.content_hash == policy.content_hash
    assert again.body() == some


def test_a_published_version_is_its_body_with_a_header() -> None:
    policy = parse_policy(TEXT, "t")
    assert policy.label == "tea-match v1"
    assert list(policy.document())[:7] == [
        "policy",
        "version",
        "parent",
        "title",
        "message",
        "author",
        "published_at",
    ]
    assert Policy.publish(policy.body(), policy="tea-match", version=1) == policy
    other = Policy.publish(policy.body(), policy="tea-match", version=1, message="why")
    assert other.content_hash != policy.content_hash


def test_the_content_hash_does_not_depend_on_the_layout_of_the_file() -> None:
    turned = yaml.safe_dump(yaml.safe_load(TEXT), sort_keys=True, allow_unicode=False)
    assert turned != TEXT
    assert parse_policy(turned, "t").content_hash == parse_policy(TEXT, "t").content_hash


def test_a_split_is_written_with_from() -> None:
    split = TEXT.replace("{id: taste.2,", "{id: taste.2, from: taste.1,")
    policy = parse_policy(split, "t")
    assert policy.dimensions[0].clauses[1].split_from == "taste.1"
    assert "from: taste.1" in policy_text(policy)


def test_the_json_schema_is_valid_and_tells_good_from_bad(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = write_policy_schema(tmp_path)
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    for policy in shipped():
        assert list(check.iter_errors(policy.document())) == []
    spoilt: dict[str, Any] = plain()
    spoilt["dimensions"][0]["wait"] = 1
    del spoilt["title"]
    found = sorted((list(e.absolute_path), e.validator) for e in check.iter_errors(spoilt))
    assert found == [([], "required"), (["dimensions", 0], "additionalProperties")]


def test_the_json_schema_names_every_key_of_the_document(tmp_path: Path) -> None:
    schema = json.loads(write_policy_schema(tmp_path).read_text())
    assert list(schema["properties"]) != []
    assert set(schema["properties"]) == set(plain())  # by the names of the file: policy, not name
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["Clause"]["properties"]) == {"id", "text", "from"}
    assert set(schema["required"]) == {"title", "pair", "dimensions", "overall", "policy", "version"}


def test_the_schema_file_is_written_only_when_it_changes(tmp_path: Path) -> None:
    path = write_policy_schema(tmp_path)
    stamp = path.stat().st_mtime_ns
    write_policy_schema(tmp_path)
    assert path.stat().st_mtime_ns == stamp
    text = path.read_text()
    path.write_text("{}")
    assert write_policy_schema(tmp_path).read_text() == text


def test_fresh_ids_by_hand() -> None:
    tea = body()
    assert tea.fresh_id("taste") == "taste.4"  # 1 and 2 are there, 3 is retired
    assert tea.fresh_id("strength") == "strength.2"
    assert tea.fresh_id("taste", prefix="p") == "taste.p2"
    assert tea.fresh_id("strength", prefix="p") == "strength.p1"
    assert tea.fresh_id("gate") == "gate.2"
    assert tea.fresh_id("general") == "general.2"


@given(bodies(), st.sampled_from(["a", "b", "general", "gate"]), st.sampled_from(["", "p"]))
def test_a_fresh_id_was_never_used(some: Body, section: str, prefix: str) -> None:
    fresh = some.fresh_id(section, prefix=prefix)
    used = {clause.id for _, clause in some.clauses()} | set(some.retired)
    used |= {p.id for d in some.dimensions for p in d.precedents} | {g.id for g in some.overall.gates}
    assert fresh not in used
    assert some.fresh_id(section, prefix=prefix) == fresh


def test_looking_up_parts() -> None:
    tea = body()
    assert tea.keys == ("taste", "strength")
    assert tea.scale("taste") == (0, 1, 2)
    assert tea.scale("overall") == (0, 1, 2)  # two cut points, three grades
    assert [(section, clause.id) for section, clause in tea.clauses()] == [
        ("general", "general.1"), ("taste", "taste.1"), ("taste", "taste.2"), ("strength", "strength.1"),
    ]  # fmt: skip
    with pytest.raises(NotFound, match="Did you mean taste"):
        tea.dimension("tast")


def test_values_do_not_change() -> None:
    tea = body()
    with pytest.raises(ValidationError):
        tea.title = "other"  # type: ignore[misc]

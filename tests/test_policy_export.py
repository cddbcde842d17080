"""Markdown that reads back to the same body, and HTML that is whole, escaped and needs nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import policy_samples
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.outline_roles import propose
from workbench.policy import Body, Policy
from workbench.policy_export import to_html, to_markdown
from workbench.policy_outline import build
from workbench.word_files import read_markdown

SHIPPED = policy_samples.shipped()


def back(markdown: str) -> Body:
    """Read a Markdown document with the roles that are proposed for it, and refuse what could not be placed."""
    outline = read_markdown(markdown, "policy.md")
    built = build(outline, propose(outline))
    assert built.unplaced == ()
    assert built.renumbered == ()
    return built.body


@pytest.mark.parametrize("policy", SHIPPED, ids=lambda policy: policy.label)
def test_shipped_policies_come_back_the_same(policy: Policy) -> None:
    assert back(to_markdown(policy)) == policy.body()


def test_markdown_says_which_version_and_a_draft_does_not() -> None:
    policy = SHIPPED[2]
    text = to_markdown(policy)
    assert "- **Version:** job-match v3\n- **Replaces:** version 2\n- **Published:** 2026-10-12\n" in text
    assert "This version" not in to_markdown(policy.body())
    assert back(to_markdown(policy.body())) == policy.body()


def test_text_of_many_forms_comes_back() -> None:
    """Lists, tables, code, headings and look-alikes of our own marks inside texts."""
    texts = [
        "First line\nsecond line\n\n- a point\n  - a point of it\n- another\n\n| a | b |\n|---|---|\n| 1 | 2 |",
        "```\n# no heading\n\n- no item\n```",
        "# a heading in a clause\n\nText under it",
        "Level 3 (Most): a clause that looks like a level",
        "Weight: 7",
        "Is it a question?",
        "1. one\n2. two",
        "a | b * c _ d ` e < f & g \\ h",
        "**skills.9** an id that is part of the text",
    ]
    sample = policy_samples.body()
    data = sample.model_dump(mode="json", by_alias=True)
    data["general"] = [{"id": f"general.{i}", "text": text} for i, text in enumerate(texts, 10)]
    data["dimensions"][0]["clauses"] += [
        {"id": f"{sample.dimensions[0].key}.{i}", "text": text} for i, text in enumerate(texts, 40)
    ]
    data["dimensions"][0]["levels"][1]["criteria"] = texts[0]
    data["purpose"] = "Text.\n\n# One\n\nMore.\n\n## Two\n\n- x\n- y\n\n```\n# code\n```"
    body = Body.model_validate(data)
    assert back(to_markdown(body)) == body


plain = st.text("abZ ä漢🍵0.,()'", min_size=1, max_size=12).filter(lambda text: text.strip(" .,()'"))


def _markdown_text(value: Any) -> Any:
    """Texts without what Markdown does not keep: separators other than line feeds, blanks at the ends of lines."""
    if isinstance(value, str):
        text = re.sub("[\t\x85\u2028]", "~", value)
        return re.sub(r"\s*\n\s*", "\n", text.strip())
    if isinstance(value, dict):
        return {key: _markdown_text(item) for key, item in value.items()}
    return [_markdown_text(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=60)
@given(policy_samples.bodies(), st.data())
def test_any_body_comes_back(body: Body, data: st.DataObject) -> None:
    """Texts of any signs; titles, names and terms of plain words, since they are headings and bold words."""
    changed = _markdown_text(body.model_dump(mode="json", by_alias=True))
    changed["title"] = " ".join(data.draw(plain).split())
    changed["purpose"] = f"So {data.draw(plain)}"  # "0." alone is an empty list in Markdown
    for i, item in enumerate(changed["terms"]):
        item["term"] = f"sense {i}"
    for dimension in changed["dimensions"]:
        dimension["title"] = f"About {dimension['key']}"
        for level in dimension["levels"]:
            level["name"] = f"Step {'abcd'[level['value']]}"
    once = Body.model_validate(changed)
    assert back(to_markdown(once)) == once


class _Page(HTMLParser):
    """Ids, links, addresses of resources, tags and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.resources: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.links.append(value or "")
            elif name in ("src", "srcset", "data", "action") or name.startswith("on"):
                self.resources.append(f"{name}={value}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("policy", SHIPPED, ids=lambda policy: policy.label)
def test_html_has_every_id_once_and_every_link_leads_somewhere(policy: Policy) -> None:
    page = _Page(to_html(policy))
    ids = {clause.id for _, clause in policy.clauses()}
    ids |= {one.id for dimension in policy.dimensions for one in dimension.precedents}
    ids |= {gate.id for gate in policy.overall.gates}
    assert ids <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert {link for link in page.links if not link.startswith("#")} == set()
    assert {link[1:] for link in page.links} <= set(page.ids)
    for dimension in policy.dimensions:
        assert f"#section-dimension-{dimension.key}" in page.links
    text = " ".join(" ".join(page.text).split())
    assert policy.label in text
    assert policy.author in text
    assert " ".join(policy.message.split()) in text
    for level in (level for dimension in policy.dimensions for level in dimension.levels):
        assert f"{level.value} – {level.name}" in text


def test_html_is_ready_to_print_and_loads_nothing() -> None:
    html = to_html(SHIPPED[2])
    page = _Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert page.resources == []
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "base"})
    assert "@media print" in html
    assert "break-before: page" in html
    assert re.search(r"url\(|@import", html) is None


EVIL = "<script>alert(1)</script> <img src=x onerror=alert(2)> \"'> & ![p](http://example.com/p.png)"


def test_html_escapes_every_text() -> None:
    """The same text with HTML in it in each place of a policy that holds text."""
    data = policy_samples.body().model_dump(mode="json", by_alias=True)
    data.update(title=EVIL, purpose=EVIL, terms=[{"term": EVIL, "meaning": EVIL}])
    data["general"] = [{"id": "general.1", "text": EVIL}]
    first = data["dimensions"][0]
    first.update(title=EVIL, question=EVIL)
    first["levels"][0].update(name=EVIL, criteria=EVIL)
    first["clauses"] = [{"id": f"{first['key']}.1", "text": EVIL}]
    first["precedents"] = [
        {
            "id": f"{first['key']}.p1",
            "pair": {"query": {EVIL: EVIL}, "document": {EVIL: EVIL}},
            "grade": first["levels"][0]["value"],
            "because": EVIL,
            "cites": ["general.1"],
        }
    ]
    data["overall"]["gates"] = [
        {"id": "gate.1", "when": f"{first['key']} < 1", "at_most": 1, "because": EVIL}
    ]
    data["dimensions"] = [first]
    body = Body.model_validate(data)
    policy = Policy.publish(body, policy="evil", version=1, message=EVIL, author=EVIL)
    html = to_html(policy)
    page = _Page(html)
    assert page.tags.isdisjoint({"script", "img"})
    assert page.resources == []
    # Title twice (page and front), its contents entry and heading, and so on: each place shows the text as text.
    assert "".join(page.text).count("<script>alert(1)</script>") >= 18
    assert f"{first['key']} &lt; 1" in html


def test_html_of_a_draft_says_so() -> None:
    assert "draft, not published" in to_html(policy_samples.body())

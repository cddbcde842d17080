"""A policy as a document for people: Markdown that can be read back, and HTML made for printing.

Reading the Markdown back is :mod:`workbench.word_files`, :func:`workbench.outline_roles.propose` and
:func:`workbench.policy_outline.build`; they give the same body.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from markdown_it import MarkdownIt
from markupsafe import Markup

from workbench.outline import indented, led
from workbench.policy import Body, Clause, Dimension, Gate, Layout, Policy, Precedent

# A picture would be fetched from elsewhere when the document is opened.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def to_markdown(policy: Body) -> str:
    """Return a policy as Markdown with every part and id; a :class:`Policy` also says which version it is.

    The purpose's own headings stand two levels lower than in the policy, under the heading *Purpose*.
    """
    return "\n\n".join(_parts(policy)) + "\n"


def _parts(policy: Body) -> Iterator[str]:
    yield f"# {_line(policy.title)}"
    if isinstance(policy, Policy):
        yield "## This version"
        yield "\n".join(_item(led(f"**{name}:**", value)) for name, value in version_facts(policy))
    if policy.purpose:
        yield "## Purpose"
        yield _lowered(policy.purpose)
    if policy.terms:
        yield "## Terms"
        yield "\n".join(_item(led(f"**{_line(term.term)}**:", term.meaning)) for term in policy.terms)
    yield "## The pair"
    sides = (("Query", policy.pair.query), ("Document", policy.pair.document))
    yield "\n".join(f"- **{what}:** {side.name} ({', '.join(side.fields)})" for what, side in sides)
    if policy.general:
        yield "## General rules"
        yield "\n".join(map(_clause, policy.general))
    for dimension in policy.dimensions:
        yield from _dimension(dimension, policy.pair)
    yield "## Overall rule"
    rule = policy.overall
    lines = [
        f"- **Combine:** {rule.combine.replace('_', ' ')}",
        f"- **Cut points:** {', '.join(map(str, rule.cut_points))}",
    ]
    yield "\n".join([*lines, *map(_gate, rule.gates)])
    if policy.retired:
        yield "## Retired ids"
        yield ", ".join(policy.retired)


def _dimension(dimension: Dimension, pair: Layout) -> Iterator[str]:
    yield f"## {_line(dimension.title)}"
    facts = [
        ("Key", dimension.key),
        ("Question", dimension.question),
        ("Weight", str(dimension.weight).removesuffix(".0")),
        ("Considers", ", ".join(dimension.considers)),
        ("N/A", "allowed" if dimension.allow_na else "not allowed"),
    ]
    yield "\n".join(_item(led(f"**{name}:**", value)) for name, value in facts if value)
    yield "### Levels"
    yield "\n".join(
        _item(led(f"**{level.value} – {_line(level.name)}**", level.criteria)) for level in dimension.levels
    )
    if dimension.clauses:
        yield "### Clauses"
        yield "\n".join(map(_clause, dimension.clauses))
    if dimension.precedents:
        yield "### Precedents"
        yield "\n".join(_precedent(one, pair) for one in dimension.precedents)


def _clause(clause: Clause) -> str:
    origin = f" (from {clause.split_from})" if clause.split_from else ""
    return _item(led(f"**{clause.id}**{origin}", clause.text))


def _precedent(precedent: Precedent, pair: Layout) -> str:
    grade = "N/A" if precedent.grade is None else precedent.grade
    entries = [led(f"{pair.query.name}.{name}:", text) for name, text in precedent.pair.query.items()]
    entries += [led(f"{pair.document.name}.{name}:", text) for name, text in precedent.pair.document.items()]
    entries.append(led("Because:", precedent.because))
    if precedent.cites:
        entries.append(f"Cites: {', '.join(precedent.cites)}")
    return _item("\n".join([f"**{precedent.id}** Grade {grade}", *map(_item, entries)]))


def _gate(gate: Gate) -> str:
    bound = f"most {gate.at_most}" if gate.at_most is not None else f"least {gate.at_least}"
    return _item(led(f"**{gate.id}** At {bound} when `{_line(gate.when)}`.", gate.because))


def _line(text: str) -> str:
    """Return a text on one line, for headings and names."""
    return " ".join(text.split())


def _item(text: str) -> str:
    return indented(text, "- ")


def _lowered(text: str) -> str:
    """Return Markdown with every heading two levels lower, so that none of them is a part of the policy."""
    lines: list[str | None] = list(text.split("\n"))
    tokens = _MARKDOWN.parse(text)
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            start, end = token.map
            level = min(6, int(token.tag[1]) + 2)
            lines[start:end] = [f"{'#' * level} {_line(inline.content)}", *[None] * (end - start - 1)]
    return "\n".join(line for line in lines if line is not None)


def version_facts(policy: Policy) -> list[tuple[str, str]]:
    """Return (name, value) of what a reader has to know of a version, empty ones left out."""
    published = policy.published_at.strftime("%Y-%m-%d") if policy.published_at else ""
    facts = [
        ("Version", policy.label),
        ("Replaces", f"version {policy.parent}" if policy.parent else ""),
        ("Published", published),
        ("Author", policy.author),
        ("Message", policy.message),
        ("Content", policy.content_hash),
    ]
    return [(name, value) for name, value in facts if value]


def to_html(policy: Body) -> str:
    """Return a policy as one HTML document for reading and printing that needs nothing from elsewhere.

    Title page, table of contents, rules numbered by their ids (each id is an anchor), level tables, precedents
    and the overall rule. All texts are escaped; Markdown in them is rendered without HTML and without pictures.
    """
    facts = version_facts(policy) if isinstance(policy, Policy) else [("Version", "draft, not published")]
    return _template().render(policy=policy, facts=facts)


def _rendered(text: str) -> Markup:
    # Safe: html is off in the renderer, so that what is not its own tags is escaped.
    return Markup(_MARKDOWN.render(text))


def _rendered_line(text: str) -> Markup:
    return Markup(_MARKDOWN.renderInline(text))


@lru_cache(maxsize=1)
def _template() -> Template:
    source = (resources.files("workbench") / "templates" / "policy.html.jinja2").read_text("utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markdown"] = _rendered
    environment.filters["markdown_line"] = _rendered_line
    return environment.from_string(source)

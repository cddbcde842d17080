"""Values as HTML and Markdown: grades, intervals, clauses, pairs, judgements. All text from outside is escaped."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from markdown_it import MarkdownIt

from workbench import colours
from workbench.agreement import Estimate
from workbench.errors import WorkbenchError
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE, Pair
from workbench.policy import OVERALL, Body, Policy
from workbench.policy_diff import Change
from workbench.run import Judgement, Run

LONG_FIELD = 420
"""Characters from which a field of a pair is folded."""

# No pictures: a policy's text must not make the reader's browser fetch something from elsewhere.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).disable("image")
_WORD = re.compile(r"\w+")
_COMMON = """
about after also although among another because been before being between both came come could does doing done
during each either even ever every from good great have having here into itself just keep kept know less like likes
made make makes many more most much must need needs never only onto other others ours over part same shall should
since some such take than that their them then there these they thing things this those three through under until
upon used uses very want wants well were what when where which while whom whose will with within without work working
would year years your
"""
_COMMON_WORDS = frozenset(_COMMON.split())
"""English words that say nothing about a match."""
_MARKS = re.compile(r"([\\`*_{}\[\]()<>#+!|~$:-])")
_CODES = {NOT_APPLICABLE: "N/A", NOT_GRADED: "–", UNRATEABLE: "unrateable"}


def md(text: str) -> str:
    """Return Markdown as HTML; raw HTML in it is shown as text."""
    rendered: str = _MARKDOWN.render(text)
    return rendered


def chip(grade: int, scale: Sequence[int], hint: str = "") -> str:
    """Return a grade as a coloured chip."""
    title = f' title="{html.escape(hint)}"' if hint else ""
    if grade not in scale:
        return f'<span class="wb-chip wb-chip-none"{title}>{_CODES.get(grade, "–")}</span>'
    colour = colours.level_colours(scale)[grade]
    return f'<span class="wb-chip" style="background:{colour};color:{colours.ink_on(colour)}"{title}>{grade}</span>'


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """Return a number for a table, or a dash."""
    if value is None:
        return "–"
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    # -0.00 and +0.00 are both nothing; a real minus sign is as wide as a plus.
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def estimate(found: Estimate | None, *, signed: bool = False) -> str:
    """Return a value with its interval as HTML; a dash with the reason where there is none."""
    if found is None:
        return '<span class="wb-muted">–</span>'
    if found.value is None:
        return f'<span class="wb-muted" title="{html.escape(found.reason)}">–</span>'
    text = number(found.value, signed=signed)
    if found.low is None or found.high is None:
        return f'<span title="{html.escape(found.reason)}">{text}</span>'
    bounds = f"{number(found.low, signed=signed)}, {number(found.high, signed=signed)}"
    return f'{text} <span class="wb-interval">[{bounds}]</span>'


def table(header_cells: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Sequence[int] = ()) -> str:
    """Return a table of cells that are HTML already; columns in ``numeric`` are set flush right."""
    mark = [' class="num"' if i in numeric else "" for i in range(len(header_cells))]
    head = "".join(f"<th{mark[i]}>{cell}</th>" for i, cell in enumerate(header_cells))
    body = "".join(
        "<tr>" + "".join(f"<td{mark[i]}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<table class="wb-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def facts(title: str, lines: Mapping[str, str]) -> str:
    """Return names and their values as a narrow table; both are plain text."""
    rows = [
        [
            f'<span class="wb-muted" style="white-space:nowrap">{html.escape(name)}</span>',
            f'<span style="overflow-wrap:anywhere">{html.escape(value)}</span>',
        ]
        for name, value in lines.items()
    ]
    return table([html.escape(title), ""], rows)


def words(change: Change) -> str:
    """Return a change's text with removed and added words marked; what is new or gone as a whole is not marked."""
    if change.kind == "removed":
        return f"<del>{html.escape(change.before)}</del>"
    if not change.before or change.kind == "moved":
        return html.escape(change.after)
    tags = {"=": ("", ""), "-": ("<del>", "</del>"), "+": ("<ins>", "</ins>")}
    return "".join(f"{tags[op][0]}{html.escape(text)}{tags[op][1]}" for op, text in change.words)


def clause(clause_id: str, body_html: str, note: str = "") -> str:
    """Return one numbered rule; ``body_html`` is HTML already."""
    tag = f'<br><span class="wb-tag">{html.escape(note)}</span>' if note else ""
    return f'<div class="wb-clause"><div class="id">{html.escape(clause_id)}{tag}</div><div>{body_html}</div></div>'


def pair_side(
    fields: Mapping[str, str], order: Sequence[str], *, marked: Iterable[str] = (), fold: int = LONG_FIELD
) -> str:
    """Return one side of a pair: its fields in the policy's order, long ones folded, words in ``marked`` lit.

    Args:
        marked: words, upper and lower case alike.
        fold: characters from which a field is folded.
    """
    names = [name for name in order if name in fields] + [name for name in fields if name not in order]
    lit = frozenset(word.casefold() for word in marked)
    parts = []
    for name in names:
        text = fields[name].strip()
        if not text:
            continue
        shown = _lit(text, lit)
        if len(text) > fold:
            cut = max(text.rfind(" ", 0, fold), 0) or fold
            start, rest = _lit(text[:cut], lit), _lit(text[cut:], lit)
            shown = f"<details><summary>{start}</summary><span>{rest}</span></details>"
        parts.append(f'<div class="wb-field"><b>{html.escape(name.replace("_", " "))}</b>{shown}</div>')
    return "".join(parts) or '<span class="wb-muted">no text</span>'


def _lit(text: str, lit: frozenset[str]) -> str:
    parts, done = [], 0
    for found in _WORD.finditer(text) if lit else ():
        if found[0].casefold() in lit:
            parts.append(html.escape(text[done : found.start()]))
            parts.append(f'<span class="wb-mark">{html.escape(found[0])}</span>')
            done = found.end()
    return "".join([*parts, html.escape(text[done:])]).replace("\n", "<br>")


def shared_words(pair: Pair) -> frozenset[str]:
    """Return the words of the query that occur in the document, in lower case; short and common ones left out."""
    query, document = (
        {word.casefold() for text in fields.values() for word in _WORD.findall(text)}
        for fields in (pair.query, pair.document)
    )
    return frozenset(word for word in query & document if len(word) > 3 and word not in _COMMON_WORDS)


def judgement(found: Judgement | None, scale: Sequence[int], policy: Body) -> str:
    """Return one judgement: grade, expected grade, rationale, and the cited clauses with their text on hover."""
    if found is None:
        return '<span class="wb-muted">not graded by this run</span>'
    if found.failed:
        return f'{chip(found.grade, scale)} <span class="wb-small">failed: {html.escape(found.error)}</span>'
    texts = {c.id: c.text for _, c in policy.clauses()}
    cites = " ".join(
        f'<span class="wb-tag" title="{html.escape(texts.get(cited, "not in this version"))}">{html.escape(cited)}</span>'
        for cited in found.cites
    )
    expected = (
        f' <span class="wb-muted wb-small">expected {found.expected:.2f}</span>'
        if found.expected is not None
        else ""
    )
    rationale = (
        f'<div class="wb-small" style="margin-top:3px">{html.escape(found.rationale)}</div>'
        if found.rationale
        else ""
    )
    return f"{chip(found.grade, scale)}{expected}{rationale}{f'<div style=margin-top:3px>{cites}</div>' if cites else ''}"


def titles(policy: Body) -> dict[str, str]:
    """Return dimension key -> title, with the overall grade at the end."""
    return {dimension.key: dimension.title for dimension in policy.dimensions} | {OVERALL: "Overall"}


def level_hint(policy: Body, key: str, grade: int) -> str:
    """Return what a level is called and asks for, for a tooltip."""
    if key == OVERALL:
        return f"overall grade {grade}"
    for level in policy.dimension(key).levels:
        if level.value == grade:
            return f"{level.name}: {level.criteria}"
    return ""


def run_names(runs: Iterable[Run]) -> dict[str, str]:
    """Return run id -> a name that no other of the runs has: a choice is told from another by its text alone."""
    names = {run.id: f"{run.label} · {run.created_at:%d %b %H:%M}" for run in runs}
    times = Counter(names.values())
    return {i: f"{name} · {i[-6:]}" if times[name] > 1 else name for i, name in names.items()}


def version_name(policy: Policy) -> str:
    """Return a version as a choice: number, date and the start of its message."""
    date = f"{policy.published_at:%d %b %Y}" if policy.published_at else ""
    return f"v{policy.version} · {date} · {policy.message[:60]}"


def money(value: float | None) -> str:
    """Return a cost; unknown is said, never 0."""
    return "unknown" if value is None else f"${value:,.4f}" if value < 1 else f"${value:,.2f}"


def roughly(count: int) -> str:
    """Return an estimated count to three digits, so that it does not look exact."""
    return f"{int(float(f'{count:.3g}')):,}"


def several(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: ``1 pair``, ``1,200 pairs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def plain(text: str) -> str:
    """Return text for Markdown that shows as it is written; our own `code` spans stay code."""
    return "".join(
        part if i % 2 else _MARKS.sub(r"\\\1", part) for i, part in enumerate(re.split(r"(`[^`\n]+`)", text))
    )


def problem(error: WorkbenchError) -> str:
    """Return an error as Markdown: what is wrong in bold, then what to do about it."""
    return f"**{plain(error.message)}** {plain(error.hint)}"

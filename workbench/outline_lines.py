"""What one line, item or table of a document says: a level, a term, a clause id, a gate, a settled example.

Every function returns None, or nothing found, for a text that does not say it; the caller keeps such a text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from workbench.outline import Block, Item, Paragraph, Table
from workbench.policy import Level

_DASH = r"[-–—:=.)]"
_LEVEL = re.compile(
    rf"(?P<word>(?:level|grade|score|rating)\s+)?(?P<value>\d{{1,2}})(?!\d)"
    rf"(?:\s*\((?P<inner>[^()]+)\)\s*{_DASH}?\s*|\s*{_DASH}\s*(?=\s|$)|\s*$)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_BOLD_HEAD = re.compile(r"\*\*(?P<head>.+?)\*\*(?P<rest>.*)", re.DOTALL)
_ID = r"[a-z][a-z0-9_]*\.[a-z]?[0-9]+"
_BOLD_ID = re.compile(rf"\*\*(?P<id>{_ID})\*\*[.:)]?(?:\s+|$)(?:\(from (?P<from>{_ID})\)(?:\s+|$))?")
_ID_IN_BOLD = re.compile(rf"\*\*(?P<id>{_ID})[.:)]?\s+(?=[^*\n]*\*\*)")
_PLAIN_ID = re.compile(rf"(?P<id>{_ID})(?:[.:)]|\b)(?:\s+|$)", re.IGNORECASE)
_NUMBER_ID = re.compile(r"(?:§\s*)?(?P<id>\d{1,2}(?:\.\d{1,3})+)[.):]?\s+(?=[^a-zà-ÿ\s%])")
_FACT = re.compile(
    r"\**(?P<key>[a-z][a-z /]{0,30})\**\s*:\**(?:\s+|$)(?P<value>.*)", re.IGNORECASE | re.DOTALL
)
_TERM = re.compile(
    r"(?:\*\*(?P<bold>[^*\n]+?)(?::\*\*|\*\*\s*[:–—=-])|(?P<plain>[^\n:.;]{1,60}?)\s*(?::|\s[–—=-]))"
    r"\s+(?P<meaning>\S.*)",
    re.DOTALL,
)
_GATE = re.compile(
    rf"\*\*(?P<id>{_ID})\*\*\s+at (?P<bound>most|least) (?P<grade>\d+) when "
    r"(?:`(?P<when>[^`]+)`\.?|(?P<bare>[^`]+?)(?:\.(?=\s)|\.?$))(?P<because>.*)",
    re.IGNORECASE | re.DOTALL,
)
_GRADE = re.compile(r"\b(?:grade|level|score|rating)[ds]?\s*[:=]?\s*(\d{1,2}\b|n/a)", re.IGNORECASE)
_QUESTION = re.compile(r"(?:^|(?<=[.!?:]\s))(?P<question>[^.!?]*(?:\.(?!\s)[^.!?]*)*\?)(?:\s+|$)")
_QUESTION_WITHIN = 2_000
"""Characters in which a dimension's question is looked for; bounds the time that a huge paragraph takes."""
_SHORT_NAME = 40
"""Characters up to which a text behind a level's number is its name rather than its criteria."""


class WrittenId(NamedTuple):
    """An id at the start of a text, the clause it was split from, and the text after it."""

    id: str
    split_from: str | None
    rest: str


def written_id(text: str, sections: Sequence[str]) -> WrittenId | None:
    """Return the clause id that ``text`` begins with: ``**skills.3**``, ``skills.3`` or a number such as ``3.2``.

    An id that is not bold by itself counts only where its first part is one of ``sections``, so that ``fig.3`` is
    no id. A word processor makes one bold stretch of a bold id and a bold word after it.
    """
    if match := _BOLD_ID.match(text):
        return WrittenId(match["id"], match["from"], text[match.end() :])
    if (match := _ID_IN_BOLD.match(text)) and match["id"].partition(".")[0] in sections:
        return WrittenId(match["id"], None, f"**{text[match.end() :]}")
    if (match := _PLAIN_ID.match(text)) and match["id"].lower().partition(".")[0] in sections:
        return WrittenId(match["id"].lower(), None, text[match.end() :])
    if match := _NUMBER_ID.match(text):
        return WrittenId(match["id"], None, text[match.end() :])
    return None


def fact(text: str) -> tuple[str, str] | None:
    """Return (key in lower case, value) of a text such as ``**Weight:** 3``."""
    match = _FACT.match(text)
    return (match["key"].strip().lower(), match["value"].strip()) if match else None


def term(text: str) -> tuple[str, str] | None:
    """Return (term, meaning) of a text such as ``**silent**: says nothing`` or ``rung – one of five steps``."""
    match = _TERM.match(text)
    return ((match["bold"] or match["plain"]).strip(" *"), match["meaning"].strip()) if match else None


class GateLine(NamedTuple):
    """A gate as it is written: ``**gate.1** At most 1 when `location == 0`. Reason``."""

    id: str
    bound: str
    grade: int
    when: str
    because: str


def gate(text: str) -> GateLine | None:
    """Return the gate that a text says."""
    match = _GATE.fullmatch(text)
    if not match:
        return None
    bound = f"at_{match['bound'].lower()}"
    when = match["when"] or match["bare"].replace("\\", "")  # without code marks, signs of it were escaped
    return GateLine(match["id"], bound, int(match["grade"]), when.strip(), match["because"].strip())


def grade(text: str, *, bare: bool = False) -> int | Literal["N/A"] | None:
    """Return the first grade a text speaks of, ``"N/A"`` for not applicable; ``bare``: the text is to be one."""
    match = (
        re.fullmatch(r"\s*(\d{1,2}|n/a)\b.*", text, re.IGNORECASE | re.DOTALL)
        if bare
        else _GRADE.search(text)
    )
    if not match:
        return None
    return int(match[1]) if match[1].isdigit() else "N/A"


def question(text: str) -> tuple[str, str] | None:
    """Return (first sentence that ends in a question mark, the text without it)."""
    match = _QUESTION.search(text, 0, _QUESTION_WITHIN)
    if not match or not match["question"].strip(" *_"):
        return None
    start, end = match.start("question"), match.end()
    return match["question"].strip(), f"{text[:start]}{text[end:]}".strip()


def level(text: str, number: int | None = None) -> Level | None:
    """Return the level that a line says: ``0 - None: no skill``, ``Level 3 (Most): …``, ``**4 – All** …``.

    Args:
        number: the number a numbered list shows for the text; it is the value where the text has none.
    """
    head, rest = text.strip(), ""
    bold = _BOLD_HEAD.match(head)
    if bold and re.fullmatch(r"(?:\w+ )?\d+", bold["head"].strip(" :.–—-")):  # only the number is bold
        head, bold = f"{bold['head']}{bold['rest']}", None
    if bold:
        head, rest = bold["head"].strip(" :"), bold["rest"]
    match = _LEVEL.fullmatch(head)
    if match is None:
        if number is None:
            return None
        value, name, after = number, "", head
    else:
        value, name, after = int(match["value"]), (match["inner"] or "").strip(), match["rest"].strip()
    if bold:
        name, criteria = (
            " ".join(part for part in (name, after) if part),
            re.sub(r"^(?::|\s+[–—])\s+", "", rest).strip(),
        )
    elif name:
        criteria = after
    else:
        name, criteria = _named(after)
    if value > 20:
        return None
    return Level(value=value, name=name or f"Level {value}", criteria=criteria)


def _named(text: str) -> tuple[str, str]:
    """Return (name, criteria) of what follows a level's number."""
    head, mark, rest = text.partition(": ")
    if not mark:
        head, mark, rest = re.sub(r"\s+[–—-]\s+", "\0", text, count=1).partition("\0")
    if mark and len(head) <= _SHORT_NAME and "\n" not in head:
        return head.strip(), rest.strip()
    return (text.strip(" :"), "") if len(text) <= _SHORT_NAME and "\n" not in text else ("", text)


class Scale(NamedTuple):
    """Levels that a block or a run of blocks says; ``rest`` are texts among them that are no level."""

    levels: tuple[Level, ...]
    rest: tuple[str, ...] = ()
    header: tuple[str, ...] = ()


_HEADERS = {"level", "levels", "grade", "score", "value", "name", "label", "title", "criteria", "description",
            "meaning", "definition", "rating"}  # fmt: skip


def table_scale(table: Table) -> Scale | None:
    """Return the levels of a table whose first column holds at least two different level values."""
    rows = [[cell.strip() for cell in row] for row in table.rows if any(cell.strip() for cell in row)]
    firsts = [level(row[0]) if row else None for row in rows]
    if firsts and firsts[0] is None and len(rows) > 1:
        header, rows, firsts = rows[0], rows[1:], firsts[1:]
    else:
        header = []
    values = [found.value for found in firsts if found]
    others = sum(found is None for found in firsts)
    if len(set(values)) < 2 or len(set(values)) < len(values) or others > len(values):
        return None
    levels, rest = [], []
    for row, found in zip(rows, firsts, strict=True):
        if found is None:
            rest.append(": ".join(cell for cell in row if cell))
        else:
            levels.append(_from_row(found, row, header))
    return Scale(tuple(levels), tuple(rest), tuple(cell for cell in header if cell))


def _from_row(found: Level, row: Sequence[str], header: Sequence[str]) -> Level:
    name = "" if found.name == f"Level {found.value}" else found.name
    cells = [(i, cell) for i, cell in enumerate(row) if i and cell]
    if not name and len(cells) > 1 and len(cells[0][1]) <= _SHORT_NAME and "\n" not in cells[0][1]:
        name = cells.pop(0)[1]
    elif not name and len(cells) == 1 and len(row) > 2 and cells[0][0] == 1 and "\n" not in cells[0][1]:
        name = cells.pop(0)[1]  # a third column for criteria that was left empty
    parts = [found.criteria]
    for place, (i, cell) in enumerate(cells):
        head = header[i] if i < len(header) else ""
        parts.append(f"{head}: {cell}" if place and head and head.lower() not in _HEADERS else cell)
    return Level(
        value=found.value, name=name or found.name, criteria="\n\n".join(part for part in parts if part)
    )


def lines(block: Paragraph | Item) -> list[str]:
    """Return the lines of a paragraph in which every line is a level, else the text as one."""
    split = block.text.split("\n")
    if isinstance(block, Paragraph) and len(split) > 1 and all(level(line) for line in split):
        return split
    return [block.text]


def runs(blocks: Sequence[Block]) -> set[int]:
    """Return the positions of blocks that are levels by their looks alone.

    These are level tables, and runs of neighbouring paragraphs or items that say two or more different levels.
    """
    found: set[int] = set()
    run: list[int] = []
    values: list[int] = []

    def close() -> None:
        if len(set(values)) >= 2 and len(set(values)) == len(values):
            found.update(run)
        run.clear()
        values.clear()

    for i, block in enumerate(blocks):
        if isinstance(block, Table):
            close()
            if table_scale(block):
                found.add(i)
            continue
        said = [level(line) for line in lines(block)]
        if not all(said):
            close()
            continue
        run.append(i)
        values.extend(one.value for one in said if one)
    close()
    return found


def entries(text: str) -> tuple[str, list[tuple[str, str]]] | None:
    """Return (head, (key, value) of each nested item) of an item whose nested items are all ``key: value``.

    A line without indentation that does not begin an entry belongs to the head, and ends this reading.
    """
    head, *rest = text.split("\n")
    found: list[tuple[str, list[str]]] = []
    for line in rest:
        match = re.match(r"- ([^:\n]+):(?: (.*))?$", line)
        if match:
            found.append((match[1].strip(), [match[2] or ""]))
        elif found and (line.startswith("  ") or not line.strip()):
            found[-1][1].append(line[2:])
        elif line.strip():
            return None
    return (head, [(key, "\n".join(value).strip("\n")) for key, value in found]) if found else None

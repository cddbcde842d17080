"""The text of an opened .docx document, element by element; used by :mod:`workbench.word_files` only.

The XML is read directly, because python-docx's own paragraphs leave out tracked insertions, content controls,
fields and text boxes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from markdown_it import MarkdownIt

from workbench.outline import Item, OutlineBuilder, Paragraph, Table, indented

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"

_THROUGH = {
    f"{_W}{tag}"
    for tag in ("ins", "moveTo", "smartTag", "customXml", "sdt", "sdtContent", "fldSimple", "dir", "bdo")
}
"""Elements that only wrap others. Their opposites ``del`` and ``moveFrom`` are not read."""
_IGNORED = {
    f"{_W}footnoteReference": "footnote",
    f"{_W}endnoteReference": "endnote",
    f"{_W}commentReference": "comment",
    f"{_W}drawing": "picture or drawing",
    f"{_W}pict": "picture or drawing",
}
_LONGEST_HEADING = 120
"""Characters up to which a wholly bold paragraph is taken for a heading."""
_INLINE = MarkdownIt("commonmark", {"html": True})

Run = tuple[str, bool, bool]
"""(Markdown text, bold, italic)"""


class Walk:
    """Reads a document's body into an outline builder."""

    def __init__(self, document: Any, builder: OutlineBuilder) -> None:
        self.body = document.element.body
        self.builder = builder
        self.rels = document.part.rels
        self.styles = {
            style.get(f"{_W}styleId"): style for style in document.styles.element.iter(f"{_W}style")
        }
        self.numbering = _numbering(document)
        self.counters: dict[tuple[str, int], int] = {}
        self.ignored: Counter[str] = Counter()
        self.level = 0
        """Level of the last heading that is one by its style."""

    def read(self) -> None:
        """Read all of the body and note what was left out."""
        for element in _children(self.body):
            if element.tag == f"{_W}p":
                self._paragraph(element)
            elif element.tag == f"{_W}tbl":
                self._table(element)
        for what, n in sorted(self.ignored.items()):
            self.builder.notes.append(f"Left out: {n} {what}{'s' if n > 1 else ''}.")

    def _paragraph(self, element: Any) -> None:
        names = self._style_names(element)
        name = names[0] if names else ""
        boxes: list[Any] = []
        runs = list(self._runs(element, boxes))
        text = _markdown(runs)
        plain = "".join(run[0] for run in runs)
        if re.match(r"toc( |$)", name):
            self.ignored["line of a table of contents"] += bool(text)
        elif not text.strip():
            pass
        elif "title" in names:
            self.builder.heading(plain, 0)
        elif level := self._heading_level(element, names):
            self.level = level
            self.builder.heading(plain, level)
        elif (found := self._list_place(element, name)) is not None:
            self._item(text, *found)
        elif _is_bold_heading(runs):
            self.builder.heading(plain, self.level + 1)
        else:
            self.builder.add(Paragraph(text=text))
        for box in boxes:
            for inner in _children(box):
                if inner.tag == f"{_W}p":
                    self._paragraph(inner)
                elif inner.tag == f"{_W}tbl":
                    self._table(inner)

    def _item(self, text: str, numbered: str, depth: int) -> None:
        number = self._next_number(numbered, depth) if numbered else None
        if depth == 0:
            self.builder.add(Item(text=text, number=number))
        else:
            marker = "-" if number is None else f"{number}."
            self.builder.nest(text, marker=marker, depth=depth)

    def _table(self, element: Any) -> None:
        rows = tuple(self._rows(element))
        if rows and all(len(row) == 1 for row in rows):  # a frame around text
            for row in rows:
                self.builder.add(Paragraph(text=row[0]))
        elif rows:
            self.builder.add(Table(rows=rows))

    def _rows(self, element: Any) -> Iterator[tuple[str, ...]]:
        for row in _children(element):
            if row.tag == f"{_W}tr" and row.find(f"{_W}trPr/{_W}del") is None:
                yield tuple(self._cell(cell) for cell in _children(row) if cell.tag == f"{_W}tc")

    def _cell(self, element: Any) -> str:
        parts: list[str] = []
        for inner in _children(element):
            if inner.tag == f"{_W}p":
                boxes: list[Any] = []
                text = _markdown(list(self._runs(inner, boxes)))
                names = self._style_names(inner)
                found = self._list_place(inner, names[0] if names else "")
                if text.strip():
                    parts.append(text if found is None else indented(text, f"{'  ' * found[1]}- "))
                parts.extend(filter(None, map(self._cell, boxes)))
            elif inner.tag == f"{_W}tbl":
                parts.extend(" | ".join(row) for row in self._rows(inner))
        return "\n".join(parts)

    def _runs(self, element: Any, boxes: list[Any]) -> Iterator[Run]:
        """Yield the runs of a paragraph in order; contents of text boxes are appended to ``boxes``."""
        for child in _children(element):
            if child.tag == f"{_W}hyperlink":
                yield from self._link(child, boxes)
            elif child.tag in (f"{_M}oMath", f"{_M}oMathPara"):
                yield _escaped("".join(t.text or "" for t in child.iter(f"{_M}t"))), False, False
            elif child.tag == f"{_W}r":
                text = self._text(child, boxes)
                if text:
                    yield _escaped(text), self._is(child, "b"), self._is(child, "i")

    def _link(self, element: Any, boxes: list[Any]) -> Iterator[Run]:
        runs = list(self._runs(element, boxes))
        rel = self.rels.get(element.get(f"{_R}id"))
        target = rel.target_ref if rel is not None and rel.is_external else ""
        text = "".join(run[0] for run in runs)
        if re.fullmatch(r"(https?://|mailto:)[^\s()<>]+", target) and text.strip() and target != text:
            yield f"[{text}]({target})", False, False
        else:
            yield from runs

    def _text(self, run: Any, boxes: list[Any]) -> str:
        parts = []
        for child in run:
            if child.tag == f"{_W}t":
                parts.append(child.text or "")
            elif child.tag in (f"{_W}tab", f"{_W}ptab"):
                parts.append(" ")
            elif child.tag in (f"{_W}br", f"{_W}cr"):
                parts.append("\n")
            elif child.tag == f"{_W}noBreakHyphen":
                parts.append("-")
            else:
                self._other(child, boxes)
        return "".join(parts)

    def _other(self, element: Any, boxes: list[Any]) -> None:
        # Word writes a text box twice: as a drawing (Choice) and for old readers (Fallback).
        drawn = element.find(f"{_MC}Choice") if element.tag == f"{_MC}AlternateContent" else element
        found = [] if drawn is None else list(drawn.iter(f"{_W}txbxContent"))
        boxes.extend(found)
        what = _IGNORED.get(element.tag) or ("picture or drawing" if drawn is not element else "")
        if what and not found:
            self.ignored[what] += 1

    def _is(self, run: Any, mark: str) -> bool:
        """Whether a run is bold (``b``) or italic (``i``), by itself or by its character style."""
        props = run.find(f"{_W}rPr")
        if props is None:
            return False
        own = props.find(f"{_W}{mark}")
        if own is not None:
            return _on(own)
        named = props.find(f"{_W}rStyle")
        style = self.styles.get(named.get(f"{_W}val")) if named is not None else None
        said = style.find(f"{_W}rPr/{_W}{mark}") if style is not None else None
        return said is not None and _on(said)

    # Styles and lists

    def _style_chain(self, element: Any) -> Iterator[Any]:
        named = element.find(f"{_W}pPr/{_W}pStyle")
        key, seen = (named.get(f"{_W}val") if named is not None else None), set()
        while key and key not in seen and key in self.styles:
            seen.add(key)
            yield self.styles[key]
            based = self.styles[key].find(f"{_W}basedOn")
            key = based.get(f"{_W}val") if based is not None else None

    def _style_names(self, element: Any) -> list[str]:
        """Return the names of a paragraph's style and those it is based on; Word writes them in English."""
        names = (style.find(f"{_W}name") for style in self._style_chain(element))
        return [(name.get(f"{_W}val") or "").lower() for name in names if name is not None]

    def _heading_level(self, element: Any, names: list[str]) -> int | None:
        own = element.find(f"{_W}pPr/{_W}outlineLvl")
        said = [own] if own is not None else []
        said += [style.find(f"{_W}pPr/{_W}outlineLvl") for style in self._style_chain(element)]
        for level in said:
            if level is not None:
                value = int(level.get(f"{_W}val") or 9)
                return value + 1 if value < 9 else None
        for name in names:
            if match := re.fullmatch(r"heading ([1-9])", name):
                return int(match[1])
        return None

    def _list_place(self, element: Any, name: str) -> tuple[str, int] | None:
        """Return (numbering id, or nothing for bullets; depth) of a list item, None for another paragraph."""
        places = [element.find(f"{_W}pPr/{_W}numPr")]
        places += [style.find(f"{_W}pPr/{_W}numPr") for style in self._style_chain(element)]
        styled = re.fullmatch(r"list (bullet|number)(?: ([2-9]))?", name)
        depth = int(styled[2] or 1) - 1 if styled else 0
        for place in places:
            number = place.find(f"{_W}numId") if place is not None else None
            if number is None:
                continue
            key = number.get(f"{_W}val") or "0"
            if key == "0":
                return None
            level = place.find(f"{_W}ilvl")
            depth = min(int(level.get(f"{_W}val") or 0), 8) if level is not None else depth
            kind, _ = self.numbering.get(key, {}).get(depth, ("bullet", 1))
            return ("" if kind in ("bullet", "none") else key), depth
        if styled:
            return ("" if styled[1] == "bullet" else f"style {name}"), depth
        return None

    def _next_number(self, key: str, depth: int) -> int:
        _, start = self.numbering.get(key, {}).get(depth, ("decimal", 1))
        number = self.counters.get((key, depth), start - 1) + 1
        self.counters[key, depth] = number
        for other in [k for k in self.counters if k[0] == key and k[1] > depth]:
            del self.counters[other]
        return number


def _numbering(document: Any) -> dict[str, dict[int, tuple[str, int]]]:
    """Return numbering id -> depth -> (format, first number)."""
    part = next(
        (rel.target_part for rel in document.part.rels.values() if rel.reltype.endswith("/numbering")), None
    )
    if part is None:
        return {}
    root = part.element
    kinds: dict[str, dict[int, tuple[str, int]]] = {}
    for abstract in root.iter(f"{_W}abstractNum"):
        levels = {}
        for level in abstract.iter(f"{_W}lvl"):
            kind, start = level.find(f"{_W}numFmt"), level.find(f"{_W}start")
            levels[int(level.get(f"{_W}ilvl"))] = (
                kind.get(f"{_W}val") if kind is not None else "decimal",
                int(start.get(f"{_W}val")) if start is not None else 1,
            )
        kinds[abstract.get(f"{_W}abstractNumId")] = levels
    found = {}
    for number in root.iter(f"{_W}num"):
        of = number.find(f"{_W}abstractNumId")
        found[number.get(f"{_W}numId")] = kinds.get(of.get(f"{_W}val"), {}) if of is not None else {}
    return found


def _children(element: Any) -> Iterator[Any]:
    """Yield child elements, those in wrappers included."""
    for child in element:
        if child.tag in _THROUGH:
            yield from _children(child)
        elif child.tag == f"{_MC}AlternateContent" and element.tag != f"{_W}r":
            choice = child.find(f"{_MC}Choice")
            yield from _children(choice) if choice is not None else ()
        else:
            yield child


def _on(mark: Any) -> bool:
    return mark.get(f"{_W}val") not in ("0", "false", "off", "none")


def _is_bold_heading(runs: list[Run]) -> bool:
    text = "".join(run[0] for run in runs).strip()
    bold = all(run[1] for run in runs if run[0].strip())
    return bold and len(text) <= _LONGEST_HEADING and "\n" not in text and text[-1] not in ".;,!"


def _escaped(text: str) -> str:
    """Return plain text so that Markdown shows it as it is; texts without special meaning stay untouched."""
    tokens = _INLINE.parseInline(text)[0].children or []
    if all(token.type in ("text", "softbreak") for token in tokens) and (
        "".join(token.content if token.type == "text" else "\n" for token in tokens) == text
    ):
        return text
    return re.sub(r"[\\*_`\[\]<&]", r"\\\g<0>", text)


def _markdown(runs: list[Run]) -> str:
    """Return runs as Markdown; neighbours of one look are one, and marks touch their text."""
    merged: list[Run] = []
    for text, bold, italic in runs:
        if merged and (merged[-1][1:] == (bold, italic) or not text.strip()):
            merged[-1] = (merged[-1][0] + text, *merged[-1][1:])
        else:
            merged.append((text, bold, italic))
    parts = []
    for text, bold, italic in merged:
        marks = "*" * (2 * bold + italic)
        inner = text.strip()
        if not marks or not inner:
            parts.append(text)
            continue
        before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        lines = [f"{marks}{line.strip()}{marks}" if line.strip() else line for line in inner.split("\n")]
        parts.append(before + "\n".join(lines) + after)
    return "".join(parts).strip()

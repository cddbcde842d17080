"""Policies as a word processor has them: thirty pages of one, and Markdown written to a .docx file."""

from __future__ import annotations

import io
from typing import Any

import docx
from markdown_it import MarkdownIt
from markdown_it.token import Token

from workbench.policy import Layout

LAYOUT = Layout.model_validate(
    {"query": {"name": "member", "fields": ["skills"]}, "document": {"name": "job", "fields": ["title"]}}
)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600

KEYS = ("skills", "seniority", "location", "industry", "wishes", "title_match")
TITLES = ("Skills", "Seniority", "Location", "Industry", "Wishes", "Title match")
NAMES = ("None", "Little", "Half", "Most", "All")

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_STYLES = {"bullet_list_open": "List Bullet", "ordered_list_open": "List Number"}


def saved(document: Any) -> bytes:
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def thirty_pages() -> tuple[Any, set[str]]:
    """A policy as a word processor has it, about 10,000 words; with it the set of its counted words.

    Every sentence carries counted words (``w1``, ``w2`` …) of its own, so that one that is lost is seen.
    """
    counter = iter(range(1, 10**6))
    words: set[str] = set()

    def text(n: int) -> str:
        made = [f"w{next(counter)}" for _ in range(n)]
        words.update(made)
        return " ".join(made)

    document = docx.Document()
    document.add_paragraph("Is this job right for this member?", style="Title")
    document.add_paragraph(text(80))
    document.add_heading("General rules", 1)
    for _ in range(12):
        document.add_paragraph(text(45), style="List Number")
    document.add_heading("Glossary", 1)
    terms = document.add_table(1, 2)
    terms.rows[0].cells[0].text, terms.rows[0].cells[1].text = "Term", "Meaning"
    for _ in range(8):
        cells = terms.add_row().cells
        cells[0].text, cells[1].text = text(2), text(20)
    for i, title in enumerate(TITLES):
        document.add_heading(title, 1)
        document.add_paragraph(f"How well does {text(6)} fit? It is asked {text(30)}.")
        if i % 2:
            document.add_paragraph().add_run("Levels").bold = True
            for value, name in enumerate(NAMES):
                document.add_paragraph(f"{value} - {name}: {text(40)}")
        else:
            table = document.add_table(1, 3)
            for cell, head in zip(table.rows[0].cells, ("Level", "Name", "Criteria"), strict=True):
                cell.text = head
            for value, name in reversed(list(enumerate(NAMES))):
                for cell, said in zip(table.add_row().cells, (str(value), name, text(40)), strict=True):
                    cell.text = said
        document.add_heading("Rules", 2)
        for n in range(28):
            line = document.add_paragraph(text(25), style="List Bullet" if n % 3 else None)
            line.add_run(f" {text(5)}").bold = True
            line.add_run(f" {text(12)}")
            if n % 3 == 1:
                document.add_paragraph(text(10), style="List Bullet 2")
        document.add_heading("Examples", 2)
        for value in (1, 3):
            document.add_paragraph(f"Grade {value}: {text(30)}")
    document.add_heading("Overall grade", 1)
    document.add_paragraph(text(60))
    return document, words


def word_file(markdown: str) -> bytes:
    """Return Markdown as a .docx file: heading and list styles, bold and italic runs; code marks are lost."""
    document = docx.Document()
    lists: list[str] = []
    rows: list[list[str]] = []
    style, fresh = "", False
    for token in _MARKDOWN.parse(markdown):
        if token.type in _STYLES:
            lists.append(_STYLES[token.type])
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif token.type == "list_item_open":
            fresh = True
        elif token.type == "heading_open":
            style = f"Heading {token.tag[1]}"
        elif token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            style = "cell"
        elif token.type == "table_close":
            table = document.add_table(len(rows), len(rows[0]))
            for i, row in enumerate(rows):
                for j, text in enumerate(row):
                    table.cell(i, j).text = text
        elif token.type == "inline" and style == "cell":
            rows[-1].append(token.content)
            style = ""
        elif token.type == "inline":
            if not style and lists:
                depth = len(lists)
                name = lists[-1] if fresh else "List Continue"
                style = name if depth == 1 else f"{name} {min(depth, 3)}"
                fresh = False
            _runs(document.add_paragraph(style=style or None), token.children or [])
            style = ""
    return saved(document)


def _runs(paragraph: Any, tokens: list[Token]) -> None:
    bold = italic = False
    for token in tokens:
        if token.type in ("strong_open", "strong_close"):
            bold = token.type.endswith("open")
        elif token.type in ("em_open", "em_close"):
            italic = token.type.endswith("open")
        else:
            text = " " if token.type == "softbreak" else "\n" if token.type == "hardbreak" else token.content
            run = paragraph.add_run(text)
            run.bold, run.italic = bold or None, italic or None

"""Markdown and .docx files to outlines; every broken file is one sentence."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from hypothesis import given, settings
from hypothesis import strategies as st
from word_samples import KEYS, LAYOUT, NAMES, OLE, TITLES, saved, thirty_pages

from workbench.errors import BadInput, NotFound
from workbench.outline import Item, Outline, Paragraph, Table
from workbench.outline_roles import propose
from workbench.policy_outline import build
from workbench.word_files import MAX_XML, read_markdown, read_outline


def read(document: Any) -> Outline:
    return read_outline(saved(document), "policy.docx")


def blocks(document: Any) -> tuple[Any, ...]:
    return read(document).sections[0].blocks


def paragraph_xml(document: Any, inner: str) -> None:
    """Append a paragraph with raw XML in it, before the section properties that end a body."""
    body = document.element.body
    body.insert(len(body) - 1, parse_xml(f"<w:p {nsdecls('w', 'r')}>{inner}</w:p>"))


# Markdown


def test_markdown_blocks() -> None:
    text = """Before **all**.

# Title

A *paragraph*
of two lines.

- one
  more of one

  - nested
- two
3. three

| a | b \\| c |
|---|---|
| x<br>y | **z** |

> quoted

```
# code
```

Setext
------

<b>html</b> is text
"""
    outline = read_markdown(text, "policy.md")
    assert outline.name == "policy"
    assert [(s.title, s.level) for s in outline.sections] == [("", 0), ("Title", 1), ("Setext", 2)]
    assert outline.sections[0].blocks == (Paragraph(text="Before **all**."),)
    assert outline.sections[1].blocks == (
        Paragraph(text="A *paragraph*\nof two lines."),
        Item(text="one\nmore of one\n\n- nested"),
        Item(text="two"),
        Item(text="three", number=3),
        Table(rows=(("a", "b | c"), ("x\ny", "**z**"))),
        Paragraph(text="> quoted"),
        Paragraph(text="```\n# code\n```"),
    )
    assert outline.sections[2].blocks == (Paragraph(text="<b>html</b> is text"),)


def test_a_reference_definition_is_text() -> None:
    """CommonMark would take the line away and show nothing of it."""
    outline = read_markdown("[a]: http://example.com 'words'\n", "x.md")
    assert outline.sections[0].blocks == (Paragraph(text="[a]: http://example.com 'words'"),)


def test_windows_line_ends_byte_order_mark_and_nul() -> None:
    outline = read_outline("\ufeff# A\r\n\r\nb\0c\r\n".encode(), "x.md")
    assert outline.sections[1].title == "A"
    assert outline.sections[1].blocks == (Paragraph(text="b\ufffdc"),)


# Word


def test_headings_by_style_by_bold_and_by_outline_level() -> None:
    document = docx.Document()
    document.add_paragraph("My policy", style="Title")
    document.add_heading("Chapter", 1)
    document.add_paragraph().add_run("Bold alone").bold = True
    document.add_paragraph().add_run("Bold, but a sentence.").bold = True
    mixed = document.add_paragraph("not ")
    mixed.add_run("all bold").bold = True
    document.add_heading("Deeper", 3)
    paragraph_xml(document, '<w:pPr><w:outlineLvl w:val="1"/></w:pPr><w:r><w:t>By level</w:t></w:r>')
    outline = read(document)
    # The bold paragraph is one deeper than the last heading by style, "Chapter" (1).
    assert [(s.title, s.level) for s in outline.sections] == [
        ("My policy", 0), ("Chapter", 1), ("Bold alone", 2), ("Deeper", 3), ("By level", 2),
    ]  # fmt: skip
    assert outline.sections[2].blocks == (
        Paragraph(text="**Bold, but a sentence.**"),
        Paragraph(text="not **all bold**"),
    )


def test_emphasis_and_signs_become_markdown() -> None:
    document = docx.Document()
    line = document.add_paragraph("a ")
    line.add_run("bold ").bold = True
    line.add_run("part").bold = True
    line.add_run(" and ")
    line.add_run("italic").italic = True
    both = line.add_run(" both")
    both.bold = both.italic = True
    document.add_paragraph("2 * 3 * 4, snake_case, a < b & c")
    document.add_paragraph("*starred* and [x](y)")
    assert [block.text for block in blocks(document)] == [
        "a **bold part** and *italic* ***both***",
        "2 * 3 * 4, snake_case, a < b & c",  # Markdown shows it as it is, so nothing is escaped
        r"\*starred\* and \[x\](y)",
    ]


def test_lists_nest_and_count() -> None:
    document = docx.Document()
    for text, style in [
        ("one", "List Number"),
        ("under one", "List Bullet 2"),
        ("two", "List Number"),
        ("point", "List Bullet"),
    ]:
        document.add_paragraph(text, style=style)
    assert blocks(document) == (
        Item(text="one\n- under one", number=1),
        Item(text="two", number=2),
        Item(text="point"),
    )


def test_tables_with_lists_merged_and_nested_cells() -> None:
    document = docx.Document()
    table = document.add_table(2, 2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "over both"
    table.cell(1, 0).text = "left"
    right = table.cell(1, 1)
    right.text = "first"
    right.add_paragraph("point", style="List Bullet")
    right.add_table(1, 2).rows[0].cells[1].text = "nested"
    frame = document.add_table(1, 1)
    frame.cell(0, 0).text = "framed"
    assert blocks(document) == (
        Table(rows=(("over both",), ("left", "first\n- point\n | nested"))),
        Paragraph(text="framed"),
    )


def test_tracked_changes_links_fields_and_controls() -> None:
    document = docx.Document()
    paragraph_xml(
        document,
        '<w:r><w:t xml:space="preserve">kept </w:t></w:r>'
        '<w:ins w:id="1" w:author="a"><w:r><w:t xml:space="preserve">inserted </w:t></w:r></w:ins>'
        '<w:del w:id="2" w:author="a"><w:r><w:delText>deleted</w:delText></w:r></w:del>'
        '<w:moveFrom w:id="3" w:author="a"><w:r><w:t>moved away</w:t></w:r></w:moveFrom>'
        '<w:fldSimple w:instr="PAGE"><w:r><w:t xml:space="preserve">field </w:t></w:r></w:fldSimple>'
        "<w:sdt><w:sdtContent><w:r><w:t>control</w:t></w:r></w:sdtContent></w:sdt>"
        "<w:r><w:noBreakHyphen/><w:t>x</w:t><w:tab/><w:t>y</w:t><w:br/><w:t>z</w:t></w:r>",
    )
    rel = document.part.relate_to(
        "https://example.com/a",
        "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink",
        is_external=True,
    )
    paragraph_xml(document, f'<w:hyperlink r:id="{rel}"><w:r><w:t>a link</w:t></w:r></w:hyperlink>')
    assert [block.text for block in blocks(document)] == [
        "kept inserted field control-x y\nz",
        "[a link](https://example.com/a)",
    ]


def test_what_is_left_out_is_noted_and_text_boxes_are_read_once() -> None:
    document = docx.Document()
    paragraph_xml(document, '<w:r><w:t>claim</w:t><w:footnoteReference w:id="2"/></w:r>')
    paragraph_xml(document, '<w:r><w:t>more</w:t><w:commentReference w:id="0"/></w:r>')
    paragraph_xml(document, "<w:r><w:drawing/></w:r>")
    box = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>"
    mc = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    paragraph_xml(
        document,
        f'<w:r><mc:AlternateContent xmlns:mc="{mc}"><mc:Choice Requires="wps"><w:drawing>{box}</w:drawing>'
        f"</mc:Choice><mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r>",
    )
    outline = read(document)
    assert [block.text for block in outline.sections[0].blocks] == ["claim", "more", "boxed"]
    assert outline.notes == (
        "Left out: 1 comment.", "Left out: 1 footnote.", "Left out: 1 picture or drawing.",
    )  # fmt: skip


# Files that are wrong


def bomb() -> bytes:
    """A small archive whose document.xml unfolds past the limit."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
        archive.writestr("word/document.xml", b" " * (MAX_XML + 1))
    return stream.getvalue()


def other_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
        archive.writestr("xl/workbook.xml", "<x/>")
    return stream.getvalue()


def with_document(xml: str) -> bytes:
    """A whole .docx file whose document.xml is replaced."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(docx.Document()))) as old, zipfile.ZipFile(stream, "w") as new:
        for info in old.infolist():
            new.writestr(info, xml if info.filename == "word/document.xml" else old.read(info))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "says", "remedy"),
    [
        (b"", "a.docx", "a.docx is empty.", "Choose the file"),
        (b"", "a.md", "a.md is empty.", "Choose the file"),
        (b" \n\n", "a.md", "a.md is empty.", "Choose the file"),
        (OLE, "a.doc", "a.doc is in Word's old format.", "save it as .docx"),
        (OLE, "a.docx", "protected by a password", "take the password away"),
        (b"hello", "a.docx", "not a whole .docx file", "Save it again"),
        (saved(docx.Document())[:3000], "a.docx", "not a whole .docx file", "Save it again"),
        (bomb(), "a.docx", "unfolds to more", "Take out its pictures"),
        (other_archive(), "a.docx", "not a Word document", "Save the text as .docx"),
        (with_document("<w:document"), "a.docx", "broken inside (XMLSyntaxError)", "save it under a new name"),
        (saved(docx.Document()), "a.docx", "holds no text", "paste it"),
        (saved(docx.Document()), "a.md", "is a Word document", "true name"),
        ("ä".encode("latin-1"), "a.md", "not UTF-8 text (byte 1)", "Save it as UTF-8"),
        (b"x", "a.pdf", "a.pdf is of an unknown kind.", ".docx"),
    ],
)  # fmt: skip
def test_wrong_files_are_one_sentence_with_a_remedy(data: bytes, name: str, says: str, remedy: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_outline(data, name)
    assert says in caught.value.message
    assert remedy in caught.value.hint
    assert "\n" not in str(caught.value)


def test_entities_are_not_unfolded() -> None:
    """The billion-laughs document: ten levels of ten references each."""
    entities = "".join(
        f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' if i else '<!ENTITY e0 "ha">' for i in range(10)
    )
    xml = (
        f'<?xml version="1.0"?><!DOCTYPE d [{entities}]><w:document {nsdecls("w")}><w:body><w:p><w:r>'
        "<w:t>seen &e9;</w:t></w:r></w:p></w:body></w:document>"
    )
    with pytest.raises(BadInput, match="broken inside"):
        read_outline(with_document(xml), "a.docx")


def test_a_file_that_an_entity_names_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    xml = (
        f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY e SYSTEM "{(tmp_path / "secret.txt").as_uri()}">]>'
        f"<w:document {nsdecls('w')}><w:body><w:p><w:r><w:t>seen &e;</w:t></w:r></w:p></w:body></w:document>"
    )
    (block,) = read_outline(with_document(xml), "a.docx").sections[0].blocks
    assert block == Paragraph(text="seen")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_outline(tmp_path / "none.md")
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(BadInput, match="cannot be read"):
        read_outline(tmp_path / "folder.md")


WHOLE = saved(docx.Document())


@settings(max_examples=40)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_escapes(place: int, flip: int) -> None:
    data = bytearray(WHOLE)
    data[place] ^= flip
    with suppress(BadInput):  # anything else fails the test
        assert read_outline(bytes(data), "a.docx").name == "a"


def test_python_docx_is_loaded_only_for_word_files() -> None:
    code = (
        "import sys; from workbench.word_files import read_outline; read_outline(b'# A', 'a.md');"
        "sys.exit(any(m in sys.modules for m in ('docx', 'lxml')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Thirty pages


def test_thirty_pages_of_word_come_in_with_nothing_lost() -> None:
    document, words = thirty_pages()
    outline = read(document)
    built = build(outline, propose(outline), pair=LAYOUT)
    body = built.body
    kept = set(re.findall(r"w\d+", body.model_dump_json()))
    # 80 + 12 * 45 + 8 * 22 + 60 outside dimensions; 36 + 5 * 40 + 28 * 42 + 9 nested * 10 + 2 * 30 in each of six.
    # At 340 words a page that is 30 pages.
    assert len(words) == 856 + 6 * 1_562 == 10_228
    assert words - kept == set()
    assert body.title == "Is this job right for this member?"
    assert body.keys == KEYS
    assert [dimension.title for dimension in body.dimensions] == list(TITLES)
    assert len(body.terms) == 8
    # 12 rules of its own, and the paragraph on the overall grade, which is no rule that can be computed.
    assert [clause.id for clause in body.general] == [f"general.{i}" for i in range(1, 14)]
    assert [(one.heading, one.id) for one in built.unplaced] == [("Overall grade", "general.13")]
    for dimension in body.dimensions:
        assert dimension.question.startswith("How well does w")
        assert dimension.question.endswith("fit?")
        assert [level.name for level in dimension.levels] == list(NAMES)
        assert all(len(level.criteria.split()) == 40 for level in dimension.levels)
        # 28 rules (nested points belong to theirs) after the rest of the paragraph with the question.
        assert [clause.id for clause in dimension.clauses] == [f"{dimension.key}.{i}" for i in range(1, 30)]
        assert [precedent.grade for precedent in dimension.precedents] == [1, 3]
        bold = [clause for clause in dimension.clauses if re.search(r"\*\*w\d+( w\d+){4}\*\*", clause.text)]
        assert len(bold) == 28

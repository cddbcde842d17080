"""Markdown and Word (.docx) files to an outline: headings with the paragraphs, list items and tables under them.

The only place that knows python-docx, and only while a .docx file is read. Emphasis becomes Markdown; tracked
insertions are read as accepted, deletions as gone; what an outline does not hold is named in its notes.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePath

from markdown_it import MarkdownIt
from markdown_it.token import Token

from workbench.errors import BadInput, NotFound
from workbench.identity import keepable
from workbench.outline import Item, Outline, OutlineBuilder, Paragraph, Table

MAX_BYTES = 50 * 2**20
"""Largest file read."""
MAX_UNFOLDED = 200 * 2**20
"""What a .docx file may unfold to, pictures included."""
MAX_XML = 40 * 2**20
"""What its parts of text may unfold to; 30 pages have less than 1 MB."""
MAX_MARKDOWN = 4 * 2**20
"""Characters of Markdown; 30 pages have about 100,000."""
SUFFIXES = (".md", ".markdown", ".txt", ".docx")

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("reference")


def read_outline(source: Path | bytes, name: str = "") -> Outline:
    """Return the outline of a Markdown, text or Word file.

    Args:
        source: a path, or the content itself.
        name: the file's name where ``source`` is its content; its ending says what it is.

    Raises:
        NotFound: if the path is not there.
        BadInput: one sentence for a file that is empty, broken, protected, too large or of another kind.
    """
    name = name or (source.name if isinstance(source, Path) else "")
    suffix = PurePath(name).suffix.lower()
    if suffix == ".doc":
        raise BadInput(f"{name} is in Word's old format.", "Open it and save it as .docx.")
    if suffix not in SUFFIXES:
        raise BadInput(f"{name or 'The file'} is of an unknown kind.", f"It may be {', '.join(SUFFIXES)}.")
    data = _content(source, name)
    return read_word(data, name) if suffix == ".docx" else read_markdown(read_plain(data, name), name)


def read_plain(source: Path | bytes, name: str) -> str:
    """Return the text of a file that is text.

    Raises:
        BadInput: one sentence for a file that is empty, too large, not UTF-8 or not text at all.
    """
    data = _content(source, name)
    for magic, what in (
        (b"PK\x03\x04", "a Word document or zip archive"),
        (b"\xd0\xcf\x11\xe0", "a Word file"),
    ):
        if data.startswith(magic):
            raise BadInput(f"{name} is {what}, not text.", "Give it its true name, such as policy.docx.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 text (byte {error.start + 1}).", "Save it as UTF-8.") from error


def _content(source: Path | bytes, name: str) -> bytes:
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size > MAX_BYTES:
            raise BadInput(
                f"{name} has {size / 2**20:,.1f} MB; a document may have {MAX_BYTES / 2**20:,.0f} MB.",
                "Take out its pictures, or divide it.",
            )
        data = source if isinstance(source, bytes) else source.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"No file is called '{name}'.", "Check the folder and the name.") from error
    except OSError as error:
        raise BadInput(f"{name} cannot be read ({error.strerror}).", "Check its permissions.") from error
    if not data.strip(b"\0 \r\n\t"):
        raise BadInput(f"{name} is empty.", "Choose the file that holds the text.")
    return data


# Markdown


def read_markdown(text: str, name: str) -> Outline:
    """Return the outline of a Markdown text; emphasis, links and code stay as they are written.

    A list item keeps what is nested in it, as Markdown. HTML is text.

    Raises:
        BadInput: if it is empty or longer than ``MAX_MARKDOWN``.
    """
    if len(text) > MAX_MARKDOWN:
        raise BadInput(
            f"{name} has {len(text):,} characters; a document may have {MAX_MARKDOWN:,}.", "Divide it."
        )
    if not text.strip():
        raise BadInput(f"{name} is empty.", "Choose the file that holds the text.")
    text = keepable(text).replace("\r\n", "\n").replace("\r", "\n")
    source = text.split("\n")
    tokens = _MARKDOWN.parse(text)
    builder = OutlineBuilder(PurePath(name).stem)
    for i, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0:
            builder.heading(tokens[i + 1].content, int(token.tag[1]))
        elif token.type == "paragraph_open" and token.level == 0:
            builder.add(Paragraph(text=tokens[i + 1].content))
        elif token.type == "list_item_open" and token.level == 1:
            number = int(token.info) if token.info.isdigit() else None
            builder.add(Item(text=_item_text(_lines(token, source)), number=number))
        elif token.type == "table_open" and token.level == 0:
            builder.add(Table(rows=tuple(_markdown_rows(tokens, i))))
        elif token.type in ("fence", "code_block", "blockquote_open") and token.level == 0:
            builder.add(Paragraph(text="\n".join(_lines(token, source)).strip("\n")))
    return builder.outline()


def _lines(token: Token, source: list[str]) -> list[str]:
    start, end = token.map or (0, 0)
    return source[start:end]


def _item_text(lines: list[str]) -> str:
    match = re.match(r"[ \t]*(?:[-+*]|\d{1,9}[.)])(?:[ \t]{1,4}(?=\S)|[ \t]|$)", lines[0])
    width = match.end() if match else 0
    rest = (re.sub(rf"^ {{0,{width}}}", "", line) for line in lines[1:])
    return "\n".join([lines[0][width:], *rest]).strip()


def _markdown_rows(tokens: list[Token], start: int) -> Iterator[tuple[str, ...]]:
    row: list[str] = []
    for i in range(start + 1, len(tokens)):
        token = tokens[i]
        if token.type == "table_close":
            return
        if token.type == "tr_open":
            row = []
        elif token.type in ("th_open", "td_open"):
            row.append(re.sub(r"<br\s*/?>", "\n", tokens[i + 1].content))
        elif token.type == "tr_close":
            yield tuple(row)


# Word


def read_word(data: bytes, name: str) -> Outline:
    """Return the outline of a .docx file.

    Headings are paragraphs of a heading style or outline level, and paragraphs that are wholly bold, which stand
    one level below the last heading. Nested list items belong to the item they stand under.

    Raises:
        BadInput: if it is no .docx file, broken, protected by a password, or unfolds to too much.
    """
    _check_archive(data, name)
    import docx  # lxml takes 0.1 s that only this needs

    from workbench.word_text import Walk

    try:
        document = docx.Document(io.BytesIO(data))
        builder = OutlineBuilder(PurePath(name).stem)
        Walk(document, builder).read()
    except Exception as error:  # python-docx and lxml raise a dozen types, bare KeyError among them
        raise BadInput(
            f"{name} is broken inside ({type(error).__name__}).",
            "Open it in a word processor, save it under a new name and choose that.",
        ) from error
    outline = builder.outline()
    if not any(section.blocks or section.title for section in outline.sections):
        raise BadInput(f"{name} holds no text.", "Text in pictures cannot be read; type or paste it.")
    return outline


def _check_archive(data: bytes, name: str) -> None:
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise BadInput(
            f"{name} is protected by a password, or in Word's old format.",
            "Open it, take the password away and save it as .docx.",
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError) as error:
        raise BadInput(
            f"{name} is not a whole .docx file.", "Save it again in a word processor, or copy it again."
        ) from error
    # zipfile never unfolds more of a part than its directory says, so these sizes can be trusted as bounds.
    text = sum(info.file_size for info in infos if info.filename.endswith((".xml", ".rels")))
    if sum(info.file_size for info in infos) > MAX_UNFOLDED or text > MAX_XML or len(infos) > 5_000:
        raise BadInput(
            f"{name} unfolds to more than a document of text has ({MAX_UNFOLDED / 2**20:,.0f} MB).",
            "Take out its pictures, or paste the text into a new document.",
        )
    if any(info.flag_bits & 1 for info in infos):
        raise BadInput(f"{name} is protected by a password.", "Save it without one.")
    if not any(info.filename == "[Content_Types].xml" for info in infos) or not any(
        info.filename.startswith("word/") for info in infos
    ):
        raise BadInput(f"{name} is not a Word document.", "Save the text as .docx.")

"""A document as headings with the blocks of text under them: what a word processor's file is before it is a policy.

Texts are Markdown. Reading files into an outline is :mod:`workbench.word_files`; saying what each heading is,
:mod:`workbench.outline_roles`; making a policy of it, :mod:`workbench.policy_outline`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from workbench.identity import Value
from workbench.policy import Text


class Paragraph(Value):
    """A paragraph, or anything else that is kept as it is written (code, a quotation)."""

    text: str


class Item(Value):
    """One item of a list with all that is nested in it; ``number`` is what a numbered list shows for it."""

    text: str
    number: int | None = None


class Table(Value):
    """Rows of cells, of any lengths; whether the first is a header is for the reader to see."""

    rows: tuple[tuple[str, ...], ...]


Block = Paragraph | Item | Table


class Section(Value):
    """A heading and the blocks up to the next heading of any level; level 1 is the highest."""

    title: Text = ""
    level: int = 0
    blocks: tuple[Block, ...] = ()


class Outline(Value):
    """A document in reading order.

    ``sections[0]`` is what stands before the first heading (level 0; its title is the document's title, if the
    file has one); ``name`` is the file's name without its ending; ``notes`` say what was left out in reading.
    """

    name: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()

    def parents(self) -> tuple[int | None, ...]:
        """Return for each section the position of the heading it stands under, None for the first."""
        found: list[int | None] = []
        open_: list[int] = []
        for i, section in enumerate(self.sections):
            while open_ and open_[-1] != 0 and self.sections[open_[-1]].level >= section.level:
                open_.pop()
            found.append(open_[-1] if open_ else None)
            open_.append(i)
        return tuple(found)


class OutlineBuilder:
    """Collects headings and blocks in reading order; blocks without text are dropped."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notes: list[str] = []
        self._heads: list[tuple[str, int]] = [("", 0)]
        self._blocks: list[list[Block]] = [[]]

    @property
    def last(self) -> Block | None:
        """The block that was added last under the current heading."""
        return self._blocks[-1][-1] if self._blocks[-1] else None

    def heading(self, title: str, level: int) -> None:
        """Begin a section; level 0 names the document, if nothing has before."""
        title = " ".join(title.split())
        if not title:
            return
        if level == 0 and len(self._heads) == 1 and not self._heads[0][0]:
            self._heads[0] = (title, 0)
        else:
            self._heads.append((title, max(level, 1)))
            self._blocks.append([])

    def add(self, block: Block) -> None:
        """Add a block to the current section."""
        if has_text(block):
            self._blocks[-1].append(block)

    def nest(self, text: str, *, marker: str, depth: int) -> None:
        """Add a list item that belongs to the last item, or an item of its own where there is none."""
        if not isinstance(self.last, Item):
            self.add(Item(text=text))
        elif text.strip():
            line = indented(text, f"{'  ' * (depth - 1)}{marker} ")
            self._blocks[-1][-1] = self.last.model_copy(update={"text": f"{self.last.text}\n{line}"})

    def outline(self) -> Outline:
        """Return what was collected."""
        sections = (
            Section(title=title, level=level, blocks=tuple(blocks))
            for (title, level), blocks in zip(self._heads, self._blocks, strict=True)
        )
        return Outline(name=self.name, sections=tuple(sections), notes=tuple(self.notes))


def has_text(block: Block) -> bool:
    """Whether a block holds more than blanks."""
    texts = (cell for row in block.rows for cell in row) if isinstance(block, Table) else (block.text,)
    return any(text.strip() for text in texts)


def indented(text: str, marker: str) -> str:
    """Return ``text`` as a Markdown list item: ``marker`` before its first line, blanks before the others."""
    blanks = " " * len(marker)
    first, *rest = text.split("\n")
    return "\n".join([marker + first, *(blanks + line if line.strip() else line for line in rest)])


def led(head: str, text: str) -> str:
    """Return ``text`` behind ``head``: in the same paragraph, or after it where the text begins a block."""
    gap = "\n\n" if re.match(r"[-+*>#]+\s|\||```|~~~|\d{1,9}[.)]\s", text) else " "
    return f"{head}{gap}{text}".strip()


def to_markdown(blocks: Iterable[Block]) -> str:
    """Return blocks as Markdown: items of one list on neighbouring lines, blank lines between all else."""
    parts: list[str] = []
    last: Block | None = None
    for block in blocks:
        if isinstance(block, Table):
            text = table_markdown(block.rows)
        elif isinstance(block, Item):
            text = indented(block.text, "- " if block.number is None else f"{block.number}. ")
        else:
            text = block.text
        if parts:
            same = isinstance(block, Item) and isinstance(last, Item)
            parts.append("\n" if same else "\n\n")
        parts.append(text)
        last = block
    return "".join(parts)


def table_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table whose header is the first row."""
    width = max(len(row) for row in rows)
    lines = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows]
    cells = [row + [""] * (width - len(row)) for row in lines]
    cells.insert(1, ["---"] * width)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)

"""An outline and the role of each heading to a policy body, with nothing lost.

Text that has no place becomes clauses of the general rules. What turns into structure and is not seen as text any
more (the heading *Levels*, a table's header, a list's numbering) is listed in :class:`Built`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

from pydantic import ValidationError

from workbench import outline_lines as read
from workbench.outline import Block, Item, Outline, Paragraph, Section, Table, has_text, led, to_markdown
from workbench.outline_examples import read_entries, read_free, read_table
from workbench.outline_roles import HeadingRole, Role, RoleMapping, is_word_for, plain_title
from workbench.policy import Body, Gate, Layout, Overall, Side
from workbench.policy_assembly import Built, DimensionParts, Parts, Rule, assemble

DEFAULT_LAYOUT = Layout(
    query=Side(name="query", fields=("text",)), document=Side(name="document", fields=("text",))
)


def build(
    outline: Outline, mapping: RoleMapping, *, pair: Layout | None = None, base: Body | None = None
) -> Built:
    """Return the body that ``outline`` says when each heading has the role that ``mapping`` gives it.

    Clause ids that the document writes are kept where they are valid and unique, all others given in reading
    order. A gap in a scale is filled with a level without criteria; a dimension without levels gets those of a
    scale shared by the document, else the usual 0 to 4.

    Args:
        pair: the layout of a pair; without it the document's own, else that of ``base``, else ``DEFAULT_LAYOUT``.
        base: the policy that the document is another wording of. What the document does not say at all stays as
            it is there: a dimension's scale, question, weight, fields and N/A, the overall rule.

    Raises:
        BadInput: if the mapping belongs to another document.
    """
    mapping.check(outline)
    return _Builder(outline, mapping, pair, base).build()


class _Builder:
    def __init__(
        self, outline: Outline, mapping: RoleMapping, pair: Layout | None, base: Body | None
    ) -> None:
        self.outline = outline
        self.mapping = mapping
        self.pair = pair
        self.base = base
        self.parts = Parts(notes=list(outline.notes))
        self.parts.dimensions = {key: DimensionParts() for key in mapping.keys}
        self.known = ("general", *mapping.keys)

    def build(self) -> Built:
        steps = list(zip(self.outline.sections, self.mapping.headings, strict=True))
        # The layout first: dimensions say which of its fields they consider.
        for section, item in sorted(steps, key=lambda step: step[1].role != "pair"):
            if item.role != "pair" and self.pair is None and self.base:
                self.pair = self.base.pair
            blocks = tuple(block for block in section.blocks if has_text(block))
            self._section(section.model_copy(update={"blocks": blocks}), item)
        if self.pair is None:
            self.pair = DEFAULT_LAYOUT
            self.parts.notes.append(
                "The document does not say how a pair is laid out; one text a side is assumed."
            )
        self.parts.title = self.parts.title or self.outline.name.strip() or "Imported policy"
        return assemble(self.parts, self.pair, self.base)

    def _section(self, section: Section, item: HeadingRole) -> None:
        of = self.parts.dimensions.get(item.dimension)
        if of is None and item.role in ("clauses", "precedents"):
            self._rules(self.parts.general, section, section.blocks, unplaced=True)
            return
        to = of or self.parts.shared
        read_by: dict[Role, Callable[[], None]] = {
            "title": lambda: self._title(section),
            "purpose": lambda: self._purpose(section),
            "terms": lambda: self._by_line(section, item.role, self._term),
            "pair": lambda: self._pair(section),
            "general": lambda: self._rules(self.parts.general, section, section.blocks, role=item.role),
            "dimension": lambda: self._dimension(to, section),
            "levels": lambda: self._levels(to, section),
            "level": lambda: self._level(to, section),
            "clauses": lambda: self._rules(to.rules, section, section.blocks, role=item.role),
            "precedents": lambda: self._precedents(to, section),
            "overall": lambda: self._by_line(section, item.role, lambda text: self._overall(text, section)),
            "retired": lambda: self._by_line(section, item.role, self._retired),
            "group": lambda: self._by_line(section, item.role, lambda text: False),
            "leave_out": lambda: self.parts.left_out.append(
                "\n\n".join(part for part in (section.title, to_markdown(section.blocks)) if part)
            ),
        }
        read_by[item.role]()

    # Headings and their own text

    def _title(self, section: Section) -> None:
        if section.title and not self.parts.title:
            self.parts.title = section.title
        elif section.title:
            self.parts.purpose.append(f"# {section.title}")
        self.parts.purpose.extend(filter(None, [to_markdown(section.blocks)]))

    def _purpose(self, section: Section) -> None:
        if is_word_for(section.title, "purpose"):
            self.parts.structural.append(section.title)
        elif section.title:
            self.parts.purpose.append(f"{'#' * max(1, section.level - 2)} {section.title}")
        self.parts.purpose.extend(filter(None, [to_markdown(section.blocks)]))

    def _by_line(self, section: Section, role: Role, place: Callable[[str], bool]) -> None:
        """Give each item, paragraph and two-column row to ``place``; what it refuses is a general rule."""
        left: list[Block] = []
        for block in section.blocks:
            if not isinstance(block, Table):
                if not place(block.text):
                    left.append(block)
            elif role == "terms" and all(len([c for c in row if c.strip()]) == 2 for row in block.rows):
                left.extend(self._term_rows(block))
            else:
                left.append(block)
        if left and not (is_word_for(section.title, role) or role == "group"):
            self._rules(self.parts.general, section, left, unplaced=True)
            return
        self.parts.structural.extend(filter(None, [section.title]))
        self._rules(self.parts.general, section, left, unplaced=True, lead=False)

    def _rules(
        self,
        rules: list[Rule],
        section: Section,
        blocks: Sequence[Block],
        *,
        role: Role = "general",
        unplaced: bool = False,
        lead: bool = True,
    ) -> None:
        """Append one rule for each block; a heading that says more than its role leads the first of them."""
        under = section.title if unplaced else None
        title = section.title if lead else ""
        if title and is_word_for(title, role):
            self.parts.structural.append(title)
            title = ""
        texts = [to_markdown([block]) if isinstance(block, Table) else block.text for block in blocks]
        if title and read.written_id(title, self.known):
            texts, title = ["\n\n".join(filter(None, [title, to_markdown(blocks)]))], ""
        made = [self._rule(text, under) for text in texts if text.strip()]
        heading = f"**{title.replace('**', '')}**"
        if title and made:
            made[0].text = led(heading, made[0].text)
        elif title:
            made = [Rule(heading, unplaced_under=under)]
        rules.extend(made)

    def _rule(self, text: str, under: str | None = None) -> Rule:
        found = read.written_id(text.strip(), self.known)
        if found and found.rest.strip():
            return Rule(found.rest.strip(), found.id, found.split_from, under)
        return Rule(text.strip(), unplaced_under=under)

    # Lines of the sections that are not rules

    def _term(self, text: str) -> bool:
        found = read.term(text)
        if not found or found[0] in self.parts.terms or not found[0]:
            return False
        self.parts.terms[found[0]] = found[1]
        return True

    def _term_rows(self, table: Table) -> list[Block]:
        rows = [[cell.strip() for cell in row if cell.strip()] for row in table.rows]
        if is_word_for(rows[0][0], "terms") or rows[0][0].lower() in ("term", "word"):
            self.parts.structural.extend(rows.pop(0))
        left: list[Block] = []
        for name, meaning in rows:
            name = name.strip("* ") or name
            if name in self.parts.terms:
                left.append(Paragraph(text=f"{name}: {meaning}"))
            else:
                self.parts.terms[name] = meaning
        return left

    def _pair(self, section: Section) -> None:
        sides: dict[str, Side] = {}
        for block in section.blocks:
            said = read.fact(getattr(block, "text", ""))
            match = re.fullmatch(r"(\w+) \(([\w, ]+)\)", said[1]) if said else None
            if said and match:
                with suppress(ValidationError):
                    sides[said[0]] = Side(name=match[1], fields=tuple(map(str.strip, match[2].split(","))))
        layout = None
        if set(sides) == {"query", "document"} and len(section.blocks) == 2:
            with suppress(ValidationError):
                layout = Layout(query=sides["query"], document=sides["document"])
        if layout is None or self.pair not in (None, layout):
            self._rules(self.parts.general, section, section.blocks, role="pair", unplaced=True)
            return
        self.pair = layout
        self.parts.structural.append(section.title)

    def _retired(self, text: str) -> bool:
        ids = re.findall(r"[a-z][a-z0-9_]*\.[a-z]?[0-9]+", text)
        if not ids or re.sub(r"[\s,*`]", "", text) != "".join(ids) or any(len(one) > 80 for one in ids):
            return False
        self.parts.retired.extend(one for one in ids if one not in self.parts.retired)
        return True

    def _overall(self, text: str, section: Section) -> bool:
        if found := read.gate(text):
            bound: dict[str, int] = {found.bound: found.grade}
            with suppress(ValidationError):
                made = Gate.model_validate(
                    {"id": found.id, "when": found.when, "because": found.because, **bound}
                )
                self.parts.gates.append((text, section.title, made))
                return True
        key, value = read.fact(text) or ("", "")
        if key == "combine" and value.lower() in ("weighted mean", "minimum"):
            self.parts.combine = value.lower().replace(" ", "_")
            return True
        if key == "cut points" and not self.parts.cut_points:
            with suppress(ValidationError, ValueError):
                self.parts.cut_points = Overall(cut_points=tuple(map(float, value.split(",")))).cut_points
                return True
        return False

    # Dimensions

    def _dimension(self, to: DimensionParts, section: Section) -> None:
        title, lead = plain_title(section.title), bool(to.title)
        if not lead:
            to.title = title
            if title != section.title:
                self.parts.structural.append(section.title)
        scale = read.runs(section.blocks)
        rest: list[Block] = []
        for i, block in enumerate(section.blocks):
            if i in scale:
                self._scale(to, block, rest)
            elif isinstance(block, Table) or not self._dimension_fact(to, block.text):
                rest.append(block)
        if not to.question:
            self._take_question(to, rest)
        self._rules(to.rules, section, rest, role="dimension", lead=lead)

    def _dimension_fact(self, to: DimensionParts, text: str) -> bool:
        key, value = read.fact(text) or ("", "")
        if key == "key" and re.fullmatch(r"[a-z][a-z0-9_]*", value.strip("`")):
            self.parts.structural.append(value)  # the mapping says which key it is
            return True
        if key == "question" and value and not to.question:
            to.question = value
            return True
        if key == "n/a" and value.lower() in ("allowed", "not allowed"):
            to.allow_na, to.facts = value.lower() == "allowed", True
            return True
        if key == "weight" and re.fullmatch(r"\d{1,4}(\.\d+)?(e-?\d+)?", value) and float(value) <= 1000:
            to.weight, to.facts = float(value), True
            return True
        if key == "considers" and self.pair:
            names = tuple(name.strip(" `") for name in value.split(","))
            if set(names) <= set(self.pair.field_names()):
                to.considers, to.facts = names, True
                return True
        return False

    def _take_question(self, to: DimensionParts, rest: list[Block]) -> None:
        paragraphs = [i for i, block in enumerate(rest) if isinstance(block, Paragraph)]
        for i in paragraphs:
            found = read.question(to_markdown([rest[i]]))
            if found:
                to.question = found[0]
                rest[i : i + 1] = [Paragraph(text=found[1])] if found[1] else []
                return
        if paragraphs:
            to.question = to_markdown([rest.pop(paragraphs[0])])

    def _scale(self, to: DimensionParts, block: Block, rest: list[Block], *, numbered: bool = False) -> None:
        """Take the levels that a block says; texts of it that are none are appended to ``rest``."""
        if isinstance(block, Table):
            found = read.table_scale(block)
            if found is None:
                rest.append(block)
                return
            self.parts.structural.extend(found.header)
            for level in found.levels:
                to.add_level(level)
            rest.extend(Item(text=text) for text in found.rest)
            return
        number = block.number if numbered and isinstance(block, Item) else None
        for line in read.lines(block):
            said = read.level(line, number)
            if said:
                to.add_level(said)
            else:
                rest.append(Paragraph(text=line))

    def _levels(self, to: DimensionParts, section: Section) -> None:
        rest: list[Block] = []
        for block in section.blocks:
            self._scale(to, block, rest, numbered=True)
        if rest and not is_word_for(section.title, "levels"):
            self._rules(self._rules_of(to), section, rest, unplaced=to is self.parts.shared)
        else:
            self.parts.structural.append(section.title)
            self._rules(self._rules_of(to), section, rest, unplaced=to is self.parts.shared, lead=False)

    def _level(self, to: DimensionParts, section: Section) -> None:
        said = read.level(section.title)
        if said is None:
            self._rules(self._rules_of(to), section, section.blocks, unplaced=to is self.parts.shared)
            return
        criteria = "\n\n".join(filter(None, [said.criteria, to_markdown(section.blocks)]))
        to.add_level(said.model_copy(update={"criteria": criteria}))

    def _rules_of(self, to: DimensionParts) -> list[Rule]:
        return self.parts.general if to is self.parts.shared else to.rules

    def _precedents(self, to: DimensionParts, section: Section) -> None:
        layout = self.pair or DEFAULT_LAYOUT
        if not is_word_for(section.title, "precedents"):
            text = "\n\n".join(filter(None, [section.title, to_markdown(section.blocks)]))
            to.examples.append(read_free(text, self.known))
            return
        self.parts.structural.append(section.title)
        for block in section.blocks:
            if isinstance(block, Table):
                rows = read_table(block, layout)
                if rows:
                    to.examples.extend(rows)
                else:
                    self._rules(to.rules, section, [block], lead=False)
            else:
                structured = read_entries(block.text, layout) if isinstance(block, Item) else None
                to.examples.append(structured or read_free(block.text, self.known))

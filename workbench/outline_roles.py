"""What each heading of an outline is to a policy: a guess that a person corrects heading by heading."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal

from pydantic import ValidationError, model_validator

from workbench import outline_lines as read
from workbench.errors import BadInput
from workbench.identity import Value
from workbench.outline import Outline, Paragraph, Section
from workbench.policy import OVERALL

Role = Literal[
    "title", "purpose", "terms", "pair", "general", "dimension", "levels", "level", "clauses", "precedents",
    "overall", "retired", "group", "leave_out",
]  # fmt: skip

ROLES: Mapping[Role, str] = {
    "title": "Title of the policy; its text is the purpose",
    "purpose": "Purpose",
    "terms": "Terms",
    "pair": "Layout of the pair",
    "general": "General rules",
    "dimension": "A dimension",
    "levels": "Levels of a dimension, or of all that have none of their own",
    "level": "One level",
    "clauses": "Clauses of a dimension",
    "precedents": "Settled examples of a dimension",
    "overall": "Overall rule",
    "retired": "Ids that were retired",
    "group": "Only groups the headings under it",
    "leave_out": "Left out",
}
"""Each role in words for a mapping screen."""

OF_A_DIMENSION: tuple[Role, ...] = ("dimension", "levels", "level", "clauses", "precedents")

_WORDS: dict[Role, set[str]] = {
    "purpose": {"purpose", "introduction", "overview", "about this policy", "background", "aim", "scope"},
    "terms": {"terms", "glossary", "definitions", "terminology", "terms and definitions", "vocabulary"},
    "pair": {"the pair", "layout of the pair"},
    "general": {"general rules", "general", "general principles", "principles", "general guidelines",
                "ground rules", "rules", "rules for all dimensions"},
    "levels": {"levels", "level", "scale", "grades", "grading scale", "rating scale", "scores", "scoring",
               "rubric", "criteria", "level criteria"},
    "clauses": {"clauses", "rules", "guidelines", "notes", "edge cases", "details"},
    "precedents": {"precedents", "examples", "worked examples", "settled cases", "example"},
    "overall": {"overall", "overall rule", "overall grade", "overall score", "overall rating"},
    "retired": {"retired ids"},
    "group": {"dimensions", "the dimensions", "grading dimensions"},
    "leave_out": {"this version", "contents", "table of contents"},
}  # fmt: skip
_INSIDE: tuple[Role, ...] = ("levels", "clauses", "precedents")
_OUTSIDE: tuple[Role, ...] = (
    "purpose", "terms", "pair", "general", "overall", "retired", "group", "leave_out", "levels",
)  # fmt: skip
_INHERITED: tuple[Role, ...] = ("purpose", "terms", "general", "overall", "leave_out")
_PREFIX = re.compile(r"^(?:dimension|criterion|aspect)\s*\d*\s*(?:[:.–—-]\s*|\s)(?=\S)", re.IGNORECASE)
_NUMBERING = re.compile(r"^(?:\d{1,2}(?:\.\d{1,2})+[.)]?|\d{1,2}[.)])\s+(?=\S)")


class HeadingRole(Value):
    """The role of one heading; ``dimension`` is the key of the dimension it is, or belongs to."""

    heading: str
    role: Role
    dimension: str = ""


class RoleMapping(Value):
    """One role for each section of an outline, in its order."""

    headings: tuple[HeadingRole, ...]

    @model_validator(mode="after")
    def _dimensions_known(self) -> RoleMapping:
        for item in self.headings:
            if item.role == "dimension" and not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", item.dimension):
                raise ValueError(f"the dimension '{item.heading}' needs a key such as 'location'")
            if item.dimension == OVERALL:
                raise ValueError("'overall' is reserved for the grade of the whole pair; choose another key")
        keys = self.keys
        for item in self.headings:
            if item.role in OF_A_DIMENSION and item.dimension and item.dimension not in keys:
                raise ValueError(
                    f"'{item.heading}' belongs to '{item.dimension}', which no heading is mapped to"
                )
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the dimensions in the document's order."""
        found = (item.dimension for item in self.headings if item.role == "dimension")
        return tuple(dict.fromkeys(found))

    def check(self, outline: Outline) -> None:
        """Refuse a mapping of another document.

        Raises:
            BadInput: if headings and roles do not belong together.
        """
        if [item.heading for item in self.headings] != [section.title for section in outline.sections]:
            raise BadInput(
                f"The mapping does not fit the headings of '{outline.name}'.",
                "Make the mapping from this document again.",
            )


def plain_title(title: str) -> str:
    """Return a heading without emphasis, numbering (``3.1``) and the word *Dimension* before its name."""
    text = _NUMBERING.sub("", title.replace("**", "").strip())
    return _PREFIX.sub("", text).strip() or title.strip()


def words_of(title: str) -> str:
    """Return a heading as it is compared: plain, lower case, without punctuation at its ends."""
    return re.sub(r"^\d{1,2}\s+", "", plain_title(title)).strip(" :.*_").lower()


def is_word_for(title: str, role: Role) -> bool:
    """Whether a heading only says what its role says, so that nothing is lost without it."""
    return words_of(title) in _WORDS.get(role, ())


def propose(outline: Outline, chosen: Mapping[int, HeadingRole] | None = None) -> RoleMapping:
    """Return a role for every heading.

    A heading is known by what it says (*Glossary*, *Levels*, *Level 3 (Most)*), by what stands under it (a scale
    of levels makes the heading above it a dimension, as does a first sentence that is a question), and by what it
    stands under. What nothing is known of is general rules.

    Args:
        chosen: position of a section -> the role a person gave it; the others are guessed around them.

    Raises:
        BadInput: if a chosen key is no key, or belongs to no dimension.
    """
    try:
        return RoleMapping(headings=tuple(_Guess(outline, chosen or {}).roles()))
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise BadInput(
            f"The headings do not fit together: {reason}.", "Change its role or its key."
        ) from error


class _Guess:
    def __init__(self, outline: Outline, chosen: Mapping[int, HeadingRole]) -> None:
        self.sections = outline.sections
        self.parents = outline.parents()
        self.chosen = chosen
        self.children: list[list[int]] = [[] for _ in self.sections]
        for i, parent in enumerate(self.parents):
            if parent is not None:
                self.children[parent].append(i)
        heads = [section.level for section in self.sections[1:]]
        # A single highest heading at the start names the document; several of its rank are chapters.
        self.title = 1 if heads and heads.count(min(heads)) == 1 and heads[0] == min(heads) else 0
        if self.sections[0].title or len(heads) == 1:
            self.title = 0
        self.keys = {item.dimension for item in chosen.values() if item.role == "dimension"}

    def roles(self) -> list[HeadingRole]:
        found: list[HeadingRole] = []
        for i, section in enumerate(self.sections):
            parent = self.parents[i]
            above = found[parent] if parent is not None else HeadingRole(heading="", role="group")
            if i in self.chosen:
                found.append(self.chosen[i].model_copy(update={"heading": section.title}))
                continue
            role = self._role(i, above)
            key = ""
            if role == "dimension":
                key = self._key(section)
                self.keys.add(key)
            elif role in OF_A_DIMENSION:
                key = above.dimension
            found.append(HeadingRole(heading=section.title, role=role, dimension=key))
        return found

    def _role(self, i: int, above: HeadingRole) -> Role:
        section = self.sections[i]
        if i in (0, self.title):
            return "title"
        if _fact(section, "key"):
            return "dimension"
        if above.dimension:
            return self._inside(i, above)
        words = words_of(section.title)
        dimension_like = self._is_dimension(i, above)
        for role in _OUTSIDE:
            if words in _WORDS[role] and not (role == "levels" and not self._has_scale(i)):
                return role
        if dimension_like:
            return "dimension"
        if above.role in _INHERITED:
            return above.role
        if above.role == "levels" and read.level(section.title):
            return "level"
        return "group" if self.children[i] and not section.blocks else "general"

    def _inside(self, i: int, above: HeadingRole) -> Role:
        section = self.sections[i]
        if read.level(section.title):
            return "level"
        words = words_of(section.title)
        for role in _INSIDE:
            if words in _WORDS[role]:
                return role
        if words.startswith("example"):
            return "precedents"
        if read.runs(section.blocks):
            return "levels"
        return above.role if above.role in ("clauses", "precedents") else "clauses"

    def _is_dimension(self, i: int, above: HeadingRole) -> bool:
        section = self.sections[i]
        words = words_of(section.title)
        if any(words in _WORDS[role] for role in _OUTSIDE) or read.level(section.title):
            return False
        named = _PREFIX.match(_NUMBERING.sub("", section.title.replace("**", "").strip()))
        said = {found[0] for block in section.blocks if (found := read.fact(getattr(block, "text", "")))}
        if named or words_of(above.heading) in _WORDS["group"] or said & {"weight", "considers"}:
            return True
        texts = [block.text for block in section.blocks if isinstance(block, Paragraph)]
        asked = read.question(texts[0]) if texts else None
        if (asked and texts[0].lstrip(" *_").startswith(asked[0].lstrip(" *_"))) or read.runs(section.blocks):
            return True
        return self._level_headings(i) or any(
            words_of(self.sections[child].title) in _WORDS["levels"] and self._has_scale(child)
            for child in self.children[i]
        )

    def _level_headings(self, i: int) -> bool:
        values = {
            found.value for child in self.children[i] if (found := read.level(self.sections[child].title))
        }
        return len(values) >= 2

    def _has_scale(self, i: int) -> bool:
        section = self.sections[i]
        numbers = [getattr(block, "number", None) for block in section.blocks]
        numbered = len({n for n in numbers if n is not None}) >= 2
        return bool(read.runs(section.blocks)) or numbered or self._level_headings(i)

    def _key(self, section: Section) -> str:
        key = base = _fact(section, "key") or key_for(plain_title(section.title))
        n = 2
        while key in self.keys or key == OVERALL:
            key = f"{base[:56]}_{n}"
            n += 1
        return key


def _fact(section: Section, key: str) -> str:
    for block in section.blocks:
        said = read.fact(getattr(block, "text", ""))
        if said and said[0] == key and re.fullmatch(r"[a-z][a-z0-9_]{0,59}", said[1].strip("`")):
            return said[1].strip("`")
    return ""


def key_for(title: str) -> str:
    """Return a dimension key made of a title: ``Work & travel`` -> ``work_travel``."""
    text = unicodedata.normalize("NFKD", title.casefold()).encode("ascii", "ignore").decode()
    key = re.sub(r"^[^a-z]+|_+$", "", re.sub(r"[^a-z0-9]+", "_", text))[:60].rstrip("_")
    return key or "dimension"

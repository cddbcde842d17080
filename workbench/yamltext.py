"""YAML text to plain data with line numbers, and back; and validation errors as one sentence with a line.

Only the safe subset of YAML is read. A key written twice is an error (YAML would keep the last one silently).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from workbench.errors import BadInput

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

MOST_DEPTH = 40
MOST_PLACES = 200_000
"""Places in one document, aliases written out; a policy of 30 pages has about 3,000."""


class _Loader(yaml.SafeLoader):
    """Safe loader that leaves times as text, so that the model decides what a field is."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the node's value; a scalar that is none of its tag's type is an error with a line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, OverflowError) as error:
            problem = f"{_shown(node.value)} is not a value of its type"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class YamlText:
    """Parsed YAML: ``data`` as plain Python values, and the line of every place in it."""

    def __init__(self, text: str, where: str) -> None:
        """Parse ``text``; ``where`` names it in errors (a file name).

        Raises:
            BadInput: for anything that is not one YAML document with unique keys.
        """
        self.where = where
        self._lines: dict[Place, int] = {}
        try:
            node = yaml.compose(text, Loader=_Loader)
            if node is None:
                raise BadInput(f"{where} is empty.", "It needs a YAML document.")
            self._walk(node, ())
            self.data: Any = yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f", line {mark.line + 1}" if mark else ""
            raise BadInput(
                f"{where}{line}: not valid YAML ({error.problem or error.context}).",
                "Check the indentation and quotes there; text with ': ' or a leading special sign needs quotes.",
            ) from error
        except yaml.reader.ReaderError as error:
            line = f", line {text.count(chr(10), 0, error.position) + 1}"
            raise BadInput(
                f"{where}{line}: holds the control character {chr(error.character)!r}.",
                "Remove it; it may not be seen in every editor.",
            ) from error
        except RecursionError as error:
            raise BadInput(f"{where}: nested too deeply.", "A document has at most a few levels.") from error

    def line(self, place: Place) -> int | None:
        """Return the 1-based line of ``place``, or of the nearest part of the document above it."""
        for end in range(len(place), -1, -1):
            if place[:end] in self._lines:
                return self._lines[place[:end]]
        return None

    def _walk(self, node: yaml.Node, place: Place, depth: int = 0) -> None:
        line = node.start_mark.line + 1
        if depth > MOST_DEPTH:
            raise BadInput(
                f"{self.where}, line {line}: nested too deeply.", "A document has at most a few levels."
            )
        if len(self._lines) > MOST_PLACES:  # a few lines of aliases of aliases stand for billions of places
            raise BadInput(
                f"{self.where}, line {line}: more than {MOST_PLACES:,} values.",
                "Write the repeated parts out, or split the document.",
            )
        self._lines.setdefault(place, line)
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise BadInput(
                        f"{self.where}, line {key.start_mark.line + 1}: a key is a list or mapping.",
                        "A key is one word before a colon; text that starts with [ or { needs quotes.",
                    )
                if key.value in seen:
                    raise BadInput(
                        f"{self.where}, line {key.start_mark.line + 1}: '{key.value}' is given twice.",
                        "Keep one of them.",
                    )
                seen.add(key.value)
                self._lines[(*place, key.value)] = key.start_mark.line + 1
                self._walk(value, (*place, key.value), depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self._walk(item, (*place, i), depth + 1)


def validate(model: type[Model], data: Any, where: str, source: YamlText | None = None) -> Model:
    """Return ``data`` as a ``model``.

    Raises:
        BadInput: one sentence for the first thing that is wrong: file, line, place and reason; the hint counts
            the others.
    """
    if not isinstance(data, Mapping):
        raise BadInput(f"{where} is not a document with keys.", "It should start with 'key: value' lines.")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise BadInput(*describe(error, where, source)) from error


def describe(error: ValidationError, where: str, source: YamlText | None = None) -> tuple[str, str]:
    """Return (message, hint) for a validation error."""
    problems = error.errors(include_url=False)
    first = problems[0]
    place: Place = tuple(first["loc"])
    line = source.line(place) if source else None
    spot = ".".join(str(part) if not isinstance(part, int) else f"[{part + 1}]" for part in place)
    reason = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "this key is not known here"
    given = first.get("input")
    if first["type"] in {"string_type", "int_type", "int_parsing", "bool_type", "string_pattern_mismatch"}:
        reason += f" (it is {_shown(given)})"
    at = f", line {line}" if line else ""
    of = f" at {spot.replace('.[', '[')}" if spot else ""
    hint = (
        "Correct it and try again." if len(problems) == 1 else f"There are {len(problems) - 1} more after it."
    )
    if first["type"] == "string_type" and isinstance(given, bool | int | float | None):
        hint = (
            "Put quotes around it: YAML reads bare No, Yes, On, null and numbers as something else than text."
        )
    return f"{where}{at}{of}: {reason}.", hint


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


class _Dumper(yaml.SafeDumper):
    """Block style, long texts folded as literal blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # A literal block cannot hold trailing spaces or control characters; PyYAML then falls back to quotes. It does
    # not for these line separators, which would come back as line feeds or not at all.
    separators = not {"\x85", "\u2028", "\u2029"}.isdisjoint(value)
    style = '"' if separators else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dump(data: Any) -> str:
    """Return ``data`` as YAML text: keys in their order, one key a line, texts unbroken up to 110 columns."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)

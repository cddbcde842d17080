"""What this installation can do: packages, keys, database, executor, GPU."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess

from workbench.backbone import minilm_available
from workbench.errors import WorkbenchError
from workbench.identity import Value
from workbench.workspace import Settings, open_workspace

PROVIDER_KEYS = {
    "OpenAI": "OPENAI_API_KEY",
    "Anthropic": "ANTHROPIC_API_KEY",
    "Google": "GEMINI_API_KEY",
    "Mistral": "MISTRAL_API_KEY",
    "Azure": "AZURE_API_KEY",
    "OpenRouter": "OPENROUTER_API_KEY",
    "Groq": "GROQ_API_KEY",
}
_PACKAGES = {
    "streamlit": "the pages",
    "litellm": "hosted models",
    "openai": "OpenAI-compatible servers",
    "torch": "training, checkpoints, MiniLM features (extra: train)",
    "transformers": "training, checkpoints, MiniLM features (extra: train)",
    "ray": "a Ray cluster as executor (extra: ray)",
    "psycopg": "PostgreSQL (extra: postgres)",
}
_NEEDED = ("streamlit", "litellm", "openai")


class Check(Value):
    """One line of the report; a ``needed`` part that is not ok makes the answer no."""

    part: str
    ok: bool
    state: str
    needed: bool = False


def examine() -> list[Check]:
    """Return what was found, without importing a heavy package or sending anything anywhere."""
    return [*_packages(), *_keys(), *_workspace(), _gpu()]


def _packages() -> list[Check]:
    checks = []
    for name, purpose in _PACKAGES.items():
        found = importlib.util.find_spec(name) is not None
        state = importlib.metadata.version(name) if found else f"not installed; for {purpose}"
        checks.append(Check(part=name, ok=found, state=state, needed=name in _NEEDED))
    minilm = minilm_available()
    state = (
        "installed" if minilm else "not installed; the baseline uses lexical features only (extra: offline)"
    )
    return [*checks, Check(part="MiniLM weights", ok=minilm, state=state)]


def _keys() -> list[Check]:
    """Say whether keys are set, never what they are."""
    return [
        Check(
            part=f"{provider} key",
            ok=bool(os.environ.get(name)),
            state=f"{name} is {'set' if os.environ.get(name) else 'not set'}",
        )
        for provider, name in PROVIDER_KEYS.items()
    ]


def _workspace() -> list[Check]:
    settings = Settings.from_environment()
    try:
        workspace = open_workspace(settings)
    except WorkbenchError as error:
        return [Check(part="database", ok=False, state=str(error), needed=True)]
    jobs = len(workspace.store.jobs(open_only=True))
    return [
        Check(part="database", ok=True, state=workspace.store.name, needed=True),
        Check(part="executor", ok=True, state=f"{workspace.executor.name}, {jobs} jobs open", needed=True),
        Check(
            part="documents", ok=(settings.root / "policies").is_dir(), state=str(settings.root), needed=True
        ),
    ]


def _gpu() -> Check:
    if shutil.which("nvidia-smi") is None:
        return Check(part="GPU", ok=False, state="none (no nvidia-smi); training uses the CPU")
    try:
        query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
        names = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return Check(part="GPU", ok=False, state=f"nvidia-smi failed: {error}")
    return Check(part="GPU", ok=bool(names), state=names.replace("\n", "; ") or "none found")

"""Packages that offer judges, laid out as pip leaves them: modules and a dist-info folder on the path."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "plugins.md"


def documented() -> dict[str, str]:
    """The files of the package in docs/plugins.md: name -> content."""
    page = DOCS.read_text(encoding="utf-8")
    found = re.findall(r"^## (\S+\.(?:toml|py))\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return dict(found)


def install(folder: Path, files: dict[str, str]) -> Path:
    """Lay a package out in ``folder``: its modules, and what its pyproject.toml says as metadata."""
    project = tomllib.loads(files["pyproject.toml"])["project"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if name.endswith(".py"):
            (folder / name).write_text(content, encoding="utf-8")
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {where}" for name, where in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def package(name: str, code: str, *, version: str = "0.1") -> dict[str, str]:
    """A package ``name`` that offers its ``make`` as a judge called ``name``."""
    module = name.replace("-", "_")
    pyproject = (
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
        f'[project.entry-points."policy_workbench.judges"]\n{name} = "{module}:make"\n'
    )
    return {"pyproject.toml": pyproject, f"{module}.py": code}

"""Settings to a wired workspace: the only place where store, executor and folders meet.

Settings come from the environment:

============================  ============================================================================
``WORKBENCH_ROOT``            folder with policies/, golden_sets/, students/, teachers/ (default: here)
``WORKBENCH_HOME``            folder for the database, jobs and checkpoints (default: ROOT/var)
``WORKBENCH_DATABASE_URL``    database (default: sqlite:///HOME/workbench.db)
``WORKBENCH_EXECUTOR``        where jobs run; ``local`` is the only one so far
``WORKBENCH_USER``            who acts, where nobody is signed in (default: the login name)
============================  ============================================================================
"""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from workbench.documents import read_recipe
from workbench.errors import NotFound
from workbench.executors import Executor
from workbench.executors.local import LocalExecutor
from workbench.recipe import StudentRecipe, TeacherRecipe
from workbench.store import Store

_EXECUTORS = {"local": LocalExecutor}


@dataclass(frozen=True)
class Settings:
    """What the environment says."""

    root: Path
    home: Path
    database_url: str
    executor: str
    user: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; unset ones take their defaults."""
        root = Path(environ.get("WORKBENCH_ROOT", "") or ".").resolve()
        home = Path(environ.get("WORKBENCH_HOME", "") or root / "var").resolve()
        return cls(
            root=root,
            home=home,
            database_url=environ.get("WORKBENCH_DATABASE_URL", "") or f"sqlite:///{home / 'workbench.db'}",
            executor=environ.get("WORKBENCH_EXECUTOR", "") or "local",
            user=environ.get("WORKBENCH_USER", "").strip() or _login_name(),
        )


@dataclass(frozen=True)
class Workspace:
    """What the verbs need: the store, the executor and the folders."""

    settings: Settings
    store: Store
    executor: Executor

    @property
    def root(self) -> Path:
        """The folder that holds the documents."""
        return self.settings.root

    @property
    def jobs_folder(self) -> Path:
        """Where job folders lie."""
        return self.settings.home / "jobs"

    @property
    def cache_folder(self) -> Path:
        """Where verdicts and embeddings are kept between jobs."""
        return self.settings.home / "cache"

    def recipes(self) -> dict[str, Path]:
        """Return recipe name -> file of all students and teachers."""
        files = sorted([*self.root.glob("students/*.yaml"), *self.root.glob("teachers/*.yaml")])
        return {file.stem: file for file in files}

    def recipe(self, name: str) -> StudentRecipe | TeacherRecipe:
        """Return a recipe by name.

        Raises:
            NotFound: with the nearest names there are.
        """
        recipes = self.recipes()
        if name not in recipes:
            raise NotFound.among("recipe", name, recipes)
        return read_recipe(recipes[name])


def open_workspace(settings: Settings | None = None) -> Workspace:
    """Connect to the store (bringing its schema up to date) and to the executor.

    Raises:
        NotFound: for an executor that does not exist.
        WorkbenchError: when the database cannot be used.
    """
    settings = settings or Settings.from_environment()
    if settings.executor not in _EXECUTORS:
        raise NotFound.among("executor", settings.executor, _EXECUTORS)
    return Workspace(settings, Store(settings.database_url), _EXECUTORS[settings.executor]())


@lru_cache(maxsize=1)
def code_revision() -> str:
    """Return the git commit of the code, with ``+`` for uncommitted changes; "" outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=5
    )
    return done.stdout.strip()


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no passwd entry, as in some containers
        return "someone"

"""Settings to a wired workspace: the only place where store, executor and folders meet.

Settings come from the environment:

============================  ============================================================================
``WORKBENCH_ROOT``            folder with policies/, golden_sets/, students/, teachers/ (default: here)
``WORKBENCH_HOME``            folder for the database, jobs and checkpoints (default: ROOT/var)
``WORKBENCH_DATABASE_URL``    database (default: sqlite:///HOME/workbench.db)
``WORKBENCH_EXECUTOR``        where jobs run unless they say otherwise: ``local`` (default) or ``ray``
``WORKBENCH_QUEUE``           folder of this machine's queue (default: HOME/queue); several homes may share one
``WORKBENCH_CPU_SLOTS``       jobs that may use the CPUs at once, such as trainings (default: 1)
``WORKBENCH_USER``            who acts, where nobody is signed in (default: the login name)
============================  ============================================================================
"""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from workbench.documents import read_recipe
from workbench.errors import NotFound
from workbench.executors import EXECUTORS, Executor, Places, make
from workbench.recipe import StudentRecipe, TeacherRecipe
from workbench.store import Store


@dataclass(frozen=True)
class Settings:
    """What the environment says."""

    root: Path
    home: Path
    database_url: str
    executor: str
    user: str
    queue: Path

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
            queue=Path(environ.get("WORKBENCH_QUEUE", "") or home / "queue").resolve(),
        )


@dataclass(frozen=True)
class Workspace:
    """What the verbs need: the store, the default executor and the folders."""

    settings: Settings
    store: Store
    executor: Executor
    _made: dict[str, Executor] = field(default_factory=dict, repr=False, compare=False)

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

    def executor_named(self, name: str | None) -> Executor:
        """Return the executor of that name; the default one for None or "".

        Raises:
            NotFound: for an executor that does not exist.
            WorkbenchError: when it cannot be used.
        """
        if not name or name == self.executor.name:
            return self.executor
        if name not in self._made:
            self._made[name] = make(name, Places(self.settings.queue))
        return self._made[name]

    def executor_of(self, handle: str) -> Executor:
        """Return the executor that gave a job its handle; the default one for a handle that names none."""
        name = handle.partition(":")[0]
        if name.isdecimal():  # pid:start, as the local executor once wrote it
            name = "local"
        return self.executor_named(name if name in EXECUTORS else None)

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
    executor = make(settings.executor, Places(settings.queue))
    return Workspace(settings, Store(settings.database_url), executor)


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

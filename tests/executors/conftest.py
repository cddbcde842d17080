"""The executors that the contract tests run on.

A module ``contract_<name>.py`` in this folder offers one:

- ``NAME``, for the names of the tests;
- ``unavailable() -> str``, why it cannot be tested on this machine, "" where it can;
- ``opened(path) -> ContextManager[Executor]``, opened once for all tests, with its files under ``path``;
- ``source(path) -> str``, Python that sets ``executor`` to one that is the same, in another process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from workbench.executors import Executor

ONLY = os.environ.get("WORKBENCH_TEST_EXECUTOR", "")
"""Name of the one executor to test, set by a test that runs these in surroundings of its own."""
OFFERED = [import_module(path.stem) for path in sorted(Path(__file__).parent.glob("contract_*.py"))]
OFFERED = [module for module in OFFERED if ONLY in ("", module.NAME)]


@pytest.fixture(scope="session", params=OFFERED, ids=lambda module: str(module.NAME))
def opened_executor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Executor, str]]:
    """Each executor that is offered here, and the source that makes its like."""
    offer: ModuleType = request.param
    if why := offer.unavailable():
        pytest.skip(why)
    path = tmp_path_factory.mktemp(offer.NAME)
    with offer.opened(path) as executor:
        yield executor, offer.source(path)

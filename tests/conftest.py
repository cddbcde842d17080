"""What all tests share: no network for model hubs, and the data that lies beside the checkout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import policy_samples
import pytest
from hypothesis import settings

from workbench.documents import sync
from workbench.workspace import Workspace, open_workspace

# Several people share the cores of a machine: how long one example takes says nothing.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets: WORKBENCH_SHARED_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("WORKBENCH_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set WORKBENCH_SHARED_DATA")
    return folder


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace of the test's own with the policy ``tea-match`` v1; its user is ``Ida``."""
    for name, value in {
        "WORKBENCH_ROOT": str(tmp_path),
        "WORKBENCH_HOME": str(tmp_path / "var"),
        "WORKBENCH_DATABASE_URL": "",
        "WORKBENCH_EXECUTOR": "",
        "WORKBENCH_USER": "Ida",
    }.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "policies" / "tea-match" / "v1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(policy_samples.TEXT, encoding="utf-8")
    opened = open_workspace()
    assert sync(opened.root, opened.store).problems == ()
    yield opened
    opened.store.close()

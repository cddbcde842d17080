"""What all tests share: no network for model hubs, and the data that lies beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

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

"""The docs say what the program says."""

import importlib.util
import json
import re
from pathlib import Path

from workbench.policy import Policy

ROOT = Path(__file__).parents[1]


def test_command_line_page_is_current():
    spec = importlib.util.spec_from_file_location("make_cli", ROOT / "docs" / "make_cli.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.TARGET.read_text("utf-8") == page.text(), "run: python docs/make_cli.py"


def test_links_between_documents_lead_somewhere():
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_published_policy_schema_is_current():
    published = json.loads((ROOT / "policies" / "policy.schema.json").read_text("utf-8"))
    assert published == Policy.model_json_schema(by_alias=True), (
        "run: workbench app, or documents.write_policy_schema"
    )

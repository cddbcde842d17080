"""The Settings page: keys by name only, places without a password, people, the audit log, saved judges."""

from __future__ import annotations

import pytest
from page_samples import OpenPage, text_of

from workbench.workspace import Workspace

SECRET = "sk-a1b2c3d4e5f6"


def test_the_audit_log_is_read_by_pages_and_narrowed(space: Workspace, open_page: OpenPage) -> None:
    for i in range(60):
        space.store.record_event("ben", "resumed job", f"job-run-{i:02d}", "<b>x</b>")
    page = open_page("settings", section="log")
    said = text_of(page)
    assert "job-run-59" in said
    assert "job-run-10<" in said  # fifty lines: 59 to 10
    assert "job-run-09" not in said
    assert "&lt;b&gt;x&lt;/b&gt;" in said
    assert "1 to 50 of 61 entries." in said  # and the one of the policy that was read
    page.number_input(key="log_page").set_value(2).run()
    assert "job-run-09" in text_of(page)
    assert "51 to 61 of 61 entries." in text_of(page)
    page.number_input(key="log_page").set_value(3).run()
    assert "The last page is 2." in text_of(page)
    page.number_input(key="log_page").set_value(1)
    page.text_input(key="about").set_value("run-42").run()
    assert "1 to 1 of 1 entry." in text_of(page)
    page.selectbox(key="by").set_value("ben")
    page.text_input(key="did").set_value("published").run()
    assert "No entry is like that." in text_of(page)
    assert not page.exception


def test_people_are_those_who_acted(space: Workspace, open_page: OpenPage) -> None:
    space.store.record_event("<i>eve</i>", "stopped job", "job-1")
    said = text_of(open_page("settings", section="people"))
    assert "<td>&lt;i&gt;eve&lt;/i&gt;</td>" in said
    assert '<td class="num">1</td>' in said


def test_places_are_named_without_a_password(
    space: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = text_of(open_page("settings", section="place"))
    assert str(space.jobs_folder) in said
    assert "local: jobs are processes of this machine" in said
    assert f"{space.cache_folder}: empty" in said

"""The Jobs page: the table and its filters, one job opened, stopped and killed, the clean-up behind its tick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from job_samples import Held, finish, folder_of, progress
from page_samples import OpenPage
from streamlit.testing.v1 import AppTest

from workbench import jobs
from workbench.jobfolder import Result
from workbench.run import JobKind
from workbench.workspace import Workspace


def job(space: Workspace, job_id: str, kind: JobKind = "lint", author: str = "anna", log: str = "") -> None:
    """Submit a job; what it does is up to the executor."""
    spec, folder = jobs.prepare(space, kind, job_id=job_id, title=f"Look {job_id}", author=author, payload={})
    (folder.path / "log.txt").write_text(log)
    jobs.submit(space, spec, folder)


def ended(
    space: Workspace, job_id: str, *, status: str = "finished", days: float = 0, author: str = "anna"
) -> None:
    """Submit a job that has ended, without an executor."""
    spec, folder = jobs.prepare(
        space, "lint", job_id=job_id, title=f"Look {job_id}", author=author, payload={}
    )
    (folder.path / "log.txt").write_text("first line\nSecond line\n")
    at = datetime.now(UTC) - timedelta(days=days)
    folder.finish(
        Result.model_validate(
            {"status": status, "finished_at": at, "error": "No <b>luck</b>." * (status == "failed")}
        )
    )
    space.store.save_job(spec, str(folder.path), "local:0:0")
    jobs.collect(space)


def table(page: AppTest) -> list[str]:
    return page.dataframe[0].value["job"].tolist()


def texts(page: AppTest) -> str:
    return "\n".join(
        str(one.value)
        for one in (*page.markdown, *page.caption, *page.error, *page.warning, *page.info, *page.success)
    )


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label == label).click()
    page.run()
    assert not page.exception, page.exception
    return page


def test_an_empty_workspace_says_what_to_do(open_page: OpenPage) -> None:
    assert "Nothing has run yet." in texts(open_page("jobs"))


def test_the_filters_are_in_the_url_and_choose(space: Workspace, open_page: OpenPage) -> None:
    ended(space, "a")
    ended(space, "b", author="ben")
    ended(space, "c", status="failed", author="ben")
    assert table(open_page("jobs")) == ["Look c", "Look b", "Look a"]
    page = open_page("jobs", by="ben", status="failed")
    assert table(page) == ["Look c"]
    page.selectbox(key="by").set_value("anna").run()
    assert "No job is like that." in texts(page)
    assert page.query_params["by"] == "anna"


def test_more_than_a_page_is_turned(
    space: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.job_list.PAGE", 2)
    monkeypatch.setattr(
        "workbench.job_list.job_page.__kwdefaults__",
        {"kind": "", "person": "", "status": "any", "page": 1, "size": 2},
    )
    for name in "abc":
        ended(space, name)
    page = open_page("jobs")
    assert table(page) == ["Look c", "Look b"]
    press(page, "Older")
    assert table(page) == ["Look a"]
    assert "3–3 of 3 jobs" in texts(page)


def test_an_opened_job_tells_its_error_its_command_and_its_log(space: Workspace, open_page: OpenPage) -> None:
    ended(space, "c", status="failed")
    page = open_page("jobs", job="c")
    assert page.error[0].value == r"No \<b\>luck\</b\>."
    command, log = page.code[0].value, page.code[1].value
    assert command.endswith(f"-m workbench.worker {folder_of(space, 'c').path}")
    assert log == "first line\nSecond line"
    page.text_input(key="log").set_value("second").run()
    assert page.code[1].value == "Second line"
    page.text_input(key="log").set_value("third").run()
    assert "Nothing in the log says 'third'." in texts(page)
    assert "There is no job 'nope'" in texts(open_page("jobs", job="nope"))


def test_a_job_is_stopped_killed_and_resumed(
    space: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    job(space, "long")
    folder = folder_of(space, "long")
    progress(folder, 3, 10)
    page = open_page("jobs", job="long")
    assert page.dataframe[0].value["status"].tolist() == ["running"]
    press(page, "Stop")
    assert folder.stop_asked() is not None
    assert not held.killed
    press(page, "Kill it now")
    assert len(held.killed) == 1
    held.alive = False
    finish(folder, "cancelled")
    jobs.collect(space)
    page = open_page("jobs", job="long")
    press(page, "Resume")
    assert held.started == ["long", "long"]


def test_a_clean_up_needs_its_tick(space: Workspace, open_page: OpenPage) -> None:
    ended(space, "old", status="failed", days=60)
    ended(space, "report", days=60)
    page = open_page("jobs")
    assert len(page.dataframe) == 1  # nothing is measured while the section is folded
    page.session_state["disk"] = True
    page.run()
    assert page.dataframe[1].value["stays because"].tolist() == [
        "it can still be resumed", "its report is kept nowhere else",
    ]  # fmt: skip
    page.session_state["kinds"] = ["unfinished"]
    page.run()
    assert page.dataframe[1].value["what"].tolist() == ["Look old"]
    press(page, "Clean up")
    assert "Nothing was removed: tick the box first." in texts(page)
    assert (folder_of(space, "old").path / "log.txt").exists()
    page.checkbox(key="sure").check()
    press(page, "Clean up")
    assert "Removed 1 thing" in texts(page)
    assert not (folder_of(space, "old").path / "log.txt").exists()
    assert Path(folder_of(space, "old").path / "spec.json").exists()
    page = open_page("jobs", job="old")
    assert "Its files were removed" in page.info[0].value
    assert "Resume" not in [button.label for button in page.button]

"""Connections, migrations, failures of the database, and several programs at once."""

from __future__ import annotations

import importlib
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from workbench.errors import BadInput, Unavailable
from workbench.store import Store, tables

ROOT = Path(__file__).parents[2]


def test_the_migrated_schema_is_that_of_the_tables(store: Store) -> None:
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() is not None


def test_opening_again_keeps_what_is_there(url: str) -> None:
    for _ in range(3):
        store = Store(url)
        store.record_event("ann", "opened", "it")
        store.close()
    store = Store(url)
    assert [event["what"] for event in store.events()] == ["opened"] * 3
    store.close()


def test_the_tables_can_be_executed_again_by_a_hot_reload(store: Store) -> None:
    before = tables.metadata
    try:
        again = importlib.reload(tables)
        assert again.metadata is not before
        assert set(again.metadata.tables) == set(before.tables)
        store.record_event("ann", "after", "reload")  # what was imported before goes on working
        assert store.events(1)[0]["what"] == "after"
    finally:
        importlib.reload(tables)


def test_the_audit_log_is_newest_first_and_in_utc(store: Store) -> None:
    for number in range(4):
        store.record_event("ann", "did", f"thing {number}", detail="nul \x00 and half \ud83d")
    events = store.events(3)
    assert [event["subject"] for event in events] == ["thing 3", "thing 2", "thing 1"]
    assert events[0]["at"].utcoffset().total_seconds() == 0
    assert abs((datetime.now(UTC) - events[0]["at"]).total_seconds()) < 60
    assert events[0]["detail"] == "nul � and half �"  # no database keeps these two


def test_one_transaction_is_kept_whole_or_not_at_all(store: Store) -> None:
    def broken() -> None:
        with store._write() as connection:
            store._event(connection, "ann", "did", "it")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert store.events() == []


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "workbench.db"
    Store(f"sqlite:///{path}").close()
    assert path.exists()


def test_sqlite_keeps_a_write_ahead_log(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'w.db'}")
    with store._read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 15000
    store.close()


@pytest.mark.parametrize("bad", ["", "workbench.db", "://", "sqlite", "sqlite:/workbench.db@:x"])
def test_what_is_no_url_is_refused(bad: str) -> None:
    with pytest.raises(BadInput, match="database URL cannot be read") as caught:
        Store(bad)
    assert "sqlite:///" in caught.value.hint


@pytest.mark.parametrize(
    "bad", ["mysql://me@host/db", "oracle://host/db", "nothing://x", "http://example.org"]
)
def test_a_database_that_we_do_not_know_is_refused(bad: str) -> None:
    with pytest.raises(BadInput, match="does not keep things in") as caught:
        Store(bad)
    assert "postgresql://" in caught.value.hint


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    path.write_bytes(b"This is no database, and never was one. " * 200)
    with pytest.raises(Unavailable, match=r"w\.db does not answer: file is not a database") as caught:
        Store(f"sqlite:///{path}")
    assert "restore" in caught.value.hint
    assert path.read_bytes().startswith(b"This is no database")  # and is left as it is


def test_damage_that_shows_later_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    store = Store(f"sqlite:///{path}")
    for number in range(400):
        store.record_event("ann", "did", f"thing {number}", "x" * 400)
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)  # the first page, with the schema, stays
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="does not answer"):
        Store(f"sqlite:///{path}").events()


@pytest.mark.parametrize("name", ["taken/w.db", "taken/deeper/w.db"])
def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(Unavailable, match=r"w\.db cannot be made"):
        Store(f"sqlite:///{tmp_path / name}")


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer: unable to open database file"):
        Store(f"sqlite:///{tmp_path}")


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    with pytest.raises(Unavailable, match="does not answer") as caught:
        Store("postgresql://me:hunter2@127.0.0.1:9/db")  # port 9 is nobody's
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "server runs" in caught.value.hint


def test_a_database_of_a_newer_version_is_named(url: str) -> None:
    store = Store(url)
    with store._write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(Unavailable, match=r"newer version of the workbench .*9999") as caught:
        Store(url)
    assert caught.value.hint.startswith("Update the workbench")


def test_a_database_that_stays_locked_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    store = Store(f"sqlite:///{path}")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=50")  # kept by the pooled connection
        with pytest.raises(Unavailable, match="does not answer: database is locked"):
            store.record_event("ann", "did", "it")
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    store.record_event("ann", "did", "it")
    assert len(store.events()) == 1
    store.close()


WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from workbench.golden import Label, Pair
from workbench.run import Judgement, Verdict
from workbench.store import Store

url, who = sys.argv[1:]
store = Store(url)  # all meet an empty database
store.create_golden("g", "p")
pairs = [Pair(query={"q": str(i)}, document={"d": str(i)}) for i in range(20)]
store.add_pairs("g", pairs)
for i in range(20):
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=i)
    label = Label(pair_id=pairs[i % 20].id, dimension="d", grade=i % 5, labeler=who, at=at)
    assert store.add_labels("g", [label], repeated=True) == 1
    store.add_verdicts("run", [Verdict(pair_id=f"{who} {i}", judgements=(Judgement(dimension="d", grade=1),))])
    store.record_event(who, "did", str(i))
store.close()
"""


def test_programs_that_start_and_write_at_once_lose_nothing(url: str) -> None:
    names = ["ann", "bob", "cem"]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, name], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for name in names
    ]
    errors = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], errors
    store = Store(url)
    labels = store.labels("g")
    assert labels.groupby("labeler").size().to_dict() == dict.fromkeys(names, 20)
    assert len(store.grades("run")) == 60
    assert len(store.events(1000)) == 60
    members = store.members("g")
    assert len(members) == len(set(members["pair_id"])) == 20
    store.close()


def test_many_threads_open_one_new_database(url: str) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(6)

    def open_it() -> None:
        try:
            start.wait()
            Store(url).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []

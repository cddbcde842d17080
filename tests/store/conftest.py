"""Each store test runs on SQLite, and on PostgreSQL where WORKBENCH_TEST_POSTGRES_URL names a server."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from workbench.store import Store

POSTGRES = os.environ.get("WORKBENCH_TEST_POSTGRES_URL", "")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of the test's own (a schema of its own on PostgreSQL)."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'workbench.db'}"
        return
    if not POSTGRES:
        pytest.skip("set WORKBENCH_TEST_POSTGRES_URL to run on PostgreSQL too")
    server = sa.make_url(POSTGRES).set(drivername="postgresql+psycopg")
    schema = f"test_{secrets.token_hex(6)}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    try:
        own = server.update_query_dict({"options": f"-csearch_path={schema}"})
        yield own.set(drivername="postgresql").render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A new store."""
    opened = Store(url)
    yield opened
    opened.close()

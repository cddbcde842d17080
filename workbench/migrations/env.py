"""Alembic environment: migrates over the connection that the store hands in, or over a URL for developers."""

from alembic import context
from sqlalchemy import create_engine

from workbench.store.tables import metadata


def _migrate(connection):
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


connection = context.config.attributes.get("connection")
if connection is not None:
    _migrate(connection)
else:
    with create_engine(context.config.get_main_option("sqlalchemy.url")).begin() as own:
        _migrate(own)

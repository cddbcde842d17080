"""Alembic migrations of the store; run by the store itself when it connects."""

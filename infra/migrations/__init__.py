"""Alembic migrations of the tables of infra.database."""

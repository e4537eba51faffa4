"""Runs the migrations on the connection that `infra.database` hands over, inside its transaction."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=context.config.attributes.get("metadata"),
    transactional_ddl=True,  # both databases can; Alembic assumes that SQLite cannot
)
with context.begin_transaction():
    context.run_migrations()

"""How Alembic runs the steps: on the connection, and in the transaction, that it was given."""

from alembic import context

from labelwise.review.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()

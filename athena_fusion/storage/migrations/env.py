"""Alembic environment: the caller passes its connection, so migrations share its transaction."""

from alembic import context

from athena_fusion.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

"""The tables that migrations make are the tables that the code declares."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from athena_fusion.storage.database import Database
from athena_fusion.storage.schema import metadata


def test_schema_and_migrations_agree(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/state.db")
    database.migrate()
    database.migrate()
    with database.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()

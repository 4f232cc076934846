"""One PostgreSQL database for both servers [psycopg]: a schema each."""

import psycopg
from psycopg import sql

from infra.services import SCHEMAS
from pipeline.errors import ExternalError


def prepare_database(url: str) -> None:
    """Create the servers' schemas if they do not exist.

    Both servers keep the number of their last migration in a table `alembic_version`, so they cannot share a schema.

    Raises ExternalError if the database does not answer, or its user may not create a schema.
    """
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            for schema in SCHEMAS.values():
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise ExternalError(f"--database-url {url}: {reason}") from None

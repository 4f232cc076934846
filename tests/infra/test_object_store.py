"""The users of the S3 store, as infra/ makes them, on a real one: nobody may do more than what is theirs."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.infra.manifests import KUBERNETES
from tests.infra.test_commands import KEYS_OF_S3
from tests.s3_server import BUCKET, KEYS, s3_server

GIVEN = {name: f"{name.lower().replace('_', '-')}-of-the-tests" for name in KEYS_OF_S3}
GIVEN |= {"NMT_S3_ACCESS_KEY": KEYS[0], "NMT_S3_SECRET_KEY": KEYS[1], "NMT_STORAGE": f"s3://{BUCKET}/nmt"}
ARTIFACTS, STORE = "nmt/mlartifacts/1/model", "nmt/store/corpus/manifest.json"


def identities(variables: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    script = KUBERNETES / "s3-identities.sh"
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(["/bin/sh", str(script)], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """A client for each user, of a store with another bucket and files of everybody's."""
    with s3_server(tmp_path_factory.mktemp("s3"), identities(GIVEN).stdout) as running:

        def make(user: str) -> Any:
            return boto3.client(
                "s3",
                endpoint_url=running.endpoint,
                region_name="us-east-1",
                aws_access_key_id=GIVEN[f"NMT_S3_{user}ACCESS_KEY"],
                aws_secret_access_key=GIVEN[f"NMT_S3_{user}SECRET_KEY"],
            )

        make("").create_bucket(Bucket="another")
        for bucket, key in (("another", "file"), (BUCKET, ARTIFACTS), (BUCKET, STORE)):
            make("").put_object(Bucket=bucket, Key=key, Body=b"1")
        yield make


def may(store: Any, bucket: str, key: str) -> dict[str, bool]:
    """Return what a user may do with a file."""
    folder = key.rpartition("/")[0]
    calls = {
        "read": lambda: store.get_object(Bucket=bucket, Key=key),
        "write": lambda: store.put_object(Bucket=bucket, Key=key, Body=b"2"),
        "list": lambda: store.list_objects_v2(Bucket=bucket, Prefix=folder),
        "delete": lambda: store.delete_object(Bucket=bucket, Key=f"{folder}/none"),
    }
    return {name: allowed(call) for name, call in calls.items()}


def allowed(call: Callable[[], object]) -> bool:
    try:
        call()
    except ClientError as error:
        return bool(error.response["Error"]["Code"] != "AccessDenied")
    return True


@pytest.mark.parametrize(("user", "places"), [("WORKER_", (ARTIFACTS, STORE)), ("MLFLOW_", (ARTIFACTS,))])
def test_a_user_has_its_own_place_and_no_other(
    client: Callable[[str], Any], user: str, places: tuple[str, ...]
) -> None:
    store = client(user)
    for bucket, key in ((BUCKET, ARTIFACTS), (BUCKET, STORE), ("another", "file")):
        assert {*may(store, bucket, key).values()} == {bucket == BUCKET and key in places}, key
    assert not allowed(lambda: store.create_bucket(Bucket="more"))
    assert not allowed(lambda: store.delete_bucket(Bucket="another"))
    assert not allowed(lambda: store.put_bucket_acl(Bucket=BUCKET, ACL="public-read"))


@pytest.mark.parametrize("missing", sorted(GIVEN))
def test_there_are_no_users_without_every_key(missing: str) -> None:
    for value in ({}, {missing: ""}, {missing: 'x", "actions": ["Admin"]'}):
        variables = {name: given for name, given in GIVEN.items() if name != missing} | value
        made = identities(variables)
        assert (made.returncode, made.stdout) != (0, identities(GIVEN).stdout)
        if missing != "NMT_STORAGE":
            assert made.returncode != 0

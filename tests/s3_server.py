"""A real S3 server on the loopback: SeaweedFS, which a package of the index carries whole."""

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from tests.conftest import free_port, server

KEYS = ("access-key-of-the-tests", "secret-key-of-the-tests")
BUCKET = "bucket"


@dataclass(frozen=True)
class S3Server:
    """A server that runs, with an empty bucket."""

    endpoint: str
    bucket: str = BUCKET

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client needs to be told."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",  # A client whose keys are refused looks for others there.
        }


@contextmanager
def s3_server(folder: Path, identities: str | None = None) -> Iterator[S3Server]:
    """Run a server on free ports, with its files in `folder`, for the user of the tests or, in JSON, others."""
    ports = {name: free_port() for name in ("master", "volume", "filer", "s3")}
    identity = {"accessKey": KEYS[0], "secretKey": KEYS[1]}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    config = {"identities": [{"name": "tests", "credentials": [identity], "actions": actions}]}
    (folder / "s3.json").write_text(identities or json.dumps(config))
    options = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        **{f"{name}.port": port for name, port in ports.items()},
        **{f"{name}.port.grpc": free_port() for name in ports},
        **{f"{name}.localSocket": folder / f"{name}.sock" for name in ("filer", "s3")},
        "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.autoCreateBucket": "false",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 64,
        "volume.max": 20,
        "volume.preStopSeconds": 0,
    }
    weed = Path(sys.executable).with_name("weed")
    command = [str(weed), f"-logdir={folder}", "server", "-filer", "-s3", *(f"-{k}={v}" for k, v in options.items())]
    # It takes a quarter of a minute to end in peace.
    with server(command, {**os.environ}, ports["s3"], end=signal.SIGKILL):
        running = S3Server(f"http://127.0.0.1:{ports['s3']}")
        fs.S3FileSystem(
            access_key=KEYS[0],
            secret_key=KEYS[1],
            region="us-east-1",
            endpoint_override=running.endpoint,
            allow_bucket_creation=True,
        ).create_dir(BUCKET)
        yield running

"""Thin Prefect flows over the stages, and the command line."""

import os

# No telemetry leaves, whoever starts a flow. The libraries read these when they are imported, which is after this.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Not telemetry, but read at the same time. The first start of Prefect's own server migrates its database, which
    # takes over a minute on a slow machine; and nobody should wait in silence for a tracking server that is away.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    # Nor should a command that asks Ray something after its cluster has ended join whatever else runs on the machine.
    "RAY_ENABLE_AUTO_CONNECT": "0",
}.items():
    os.environ.setdefault(_name, _value)
if os.environ.get("RAY_ADDRESS", "127.0.0.1:").startswith(("127.", "localhost:")):
    # Else Ray's processes listen on the machine's outer addresses, in spite of all options.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

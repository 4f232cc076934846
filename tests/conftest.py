"""What tests of several stages share: a home of their own, and a run small enough for seconds."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from pipeline.config import RunConfig
from pipeline.overrides import build_config

TINY = {
    "corpus.captions_pairs": 400,
    "corpus.validation_size": 40,
    "corpus.test_size": 30,
    "tokenizer.vocabulary_size": 250,
    "batching.tokens": 512,
    "model.embedding_size": 32,
    "model.encoder_size": 16,
    "model.decoder_size": 32,
    "model.dropout": 0.1,
    "training.epochs": 2,
    "training.patience": 9,
    "training.learning_rate": 0.02,
    "training.warmup_steps": 10,
    "training.log_every": 1,
    "training.num_workers": 1,  # Each is a process that takes seconds to start; test_distributed.py has two.
    "evaluation.beam": 2,
}
LONGEST = (
    *("flows/test_chaos.py", "flows/test_train.py", "cluster/test_training.py", "infra/test_stack.py"),
    *("flows/test_ablation.py", "flows/test_interruption.py"),
    *("commands/test_serve.py", "infra/test_security.py", "upkeep/test_verification.py", "home/test_verify.py"),
    *("flows/test_translate_files.py", "commands/test_app.py"),
)
# Ray's workers give way to all else on a machine: among other tests they would stand still.
os.environ.setdefault("RAY_worker_niceness", "0")
# Two tests run at once: threads that wait for a core that the other test has, spin, and take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Kernels take a second of each process to load: tests of the model, of training and of one whole run have them. They
# are compiled once for all, not in each test's home.
os.environ.setdefault("NMT_KERNELS", "off")
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled"))
# Where Triton is installed, but no GPU: it reads this when it is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
SERVERS = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS", "PREFECT_API_URL", "NMT_STORAGE")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, keep a file's in one: before xdist looks at the marks.

    The longest first: the last to start would run alone, when the others have ended.
    """
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get("/".join(item.path.parts[-2:]), len(order)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(str(item.path)))


@pytest.fixture
def tiny() -> RunConfig:
    return build_config({"name": "tiny"}, TINY)


@pytest.fixture
def nmt_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh $NMT_HOME, and no server or cluster from the user's environment."""
    for name in SERVERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NMT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tracked_home(nmt_home: Path) -> Path:
    """A fresh $NMT_HOME with MLflow's database, in which nothing is."""
    from tests.databases import put_mlflow

    put_mlflow(nmt_home)
    return nmt_home


@dataclass(frozen=True)
class CommandLine:
    """The command `nmt` in a process and a folder of its own, as its users call it."""

    folder: Path
    environment: dict[str, str]

    def with_databases(self) -> "CommandLine":
        """Spare the first command the migrations of MLflow's and Prefect's databases, where they are not tested."""
        from tests.databases import put_mlflow, put_prefect  # MLflow takes seconds, and tests of the model need none.

        put_mlflow(self.folder / ".nmt")
        put_prefect(Path(self.environment["PREFECT_HOME"]))
        return self

    def command(self, *arguments: str, tiny: bool = False) -> Sequence[str]:
        overrides = [text for name, value in TINY.items() for text in ("--set", f"{name}={value}")] if tiny else []
        return [str(Path(sys.executable).with_name("nmt")), *arguments[:1], *overrides, *arguments[1:]]

    def run(self, *arguments: str, tiny: bool = False, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run to the end; `tiny` puts the overrides of a run of seconds before the other options."""
        return subprocess.run(
            self.command(*arguments, tiny=tiny),
            cwd=self.folder,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *arguments: str, tiny: bool = False) -> subprocess.Popen[str]:
        """Start in the background, in a process group of its own, with its messages in a pipe."""
        return subprocess.Popen(
            self.command(*arguments, tiny=tiny),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell that starts the tests in the background has them, and all their children, ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def command_line(folder: Path, **environment: str) -> CommandLine:
    """Return a command line that works in `folder`, with its home and Prefect's there."""
    inherited = {name: value for name, value in os.environ.items() if name not in (*SERVERS, "NMT_HOME")}
    return CommandLine(
        folder, inherited | {"PREFECT_HOME": str(folder / "prefect"), "NMT_KERNELS": "off"} | environment
    )


def free_port() -> int:
    """Return a port of loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(
    command: Sequence[str], environment: dict[str, str], port: int, end: signal.Signals = signal.SIGTERM
) -> Iterator[None]:
    """Run a server while the context lasts, from when it accepts connections; end all its processes after."""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            for _ in range(1200):
                assert process.poll() is None, f"{command} ended with {process.returncode}"
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            else:
                pytest.fail(f"{command} did not listen on {port}")
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, end)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server for all tests that do not test how a run starts its own; its address."""
    from tests.databases import put_prefect

    port, folder = free_port(), tmp_path_factory.mktemp("prefect")
    put_prefect(folder)
    start = [sys.executable, "-m", "prefect", "server", "start", "--no-services"]  # They poll, and no test needs them.
    command = [*start, "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    with server(command, environment, port):
        yield f"http://127.0.0.1:{port}/api"


def training_workers() -> list[int]:
    """Return the processes of the training workers that this process has started, and of no other's."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in table.stdout.splitlines()]
    family = {os.getpid()}
    for _ in range(5):  # Children, their children, and so on.
        family |= {int(pid) for pid, parent, _ in rows if int(parent) in family}
    return [int(pid) for pid, _, args in rows if int(pid) in family and "TrainWorker" in args]

import signal
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from infra.ui import serve_ui
from pipeline.errors import InputError
from tests.conftest import command_line, free_port


def test_the_ui_answers_on_loopback_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    with command_line(tmp_path).start("ui", "--port", str(port)) as process:
        assert process.stderr is not None
        threading.Thread(target=process.stderr.read, daemon=True).start()
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
                    assert answer.status == 200
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail("the UI did not answer")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) in {0, 130}


def test_a_port_that_is_taken(nmt_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: Address already in use; choose another"):
            serve_ui("127.0.0.1", port)


def test_a_server_has_its_own_ui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    with pytest.raises(InputError, match="that server has the UI"):
        serve_ui("127.0.0.1", 5000)

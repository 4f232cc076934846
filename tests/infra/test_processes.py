"""Servers as processes in the background."""

import os
import stat
import sys
from pathlib import Path

import pytest

from infra.processes import start
from tests.infra.conftest import wait_for


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_what_a_server_writes_is_nobody_elses(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write = "open('file', 'w').close(); import os; os.mkdir('folder')"
        start([sys.executable, "-c", write], dict(os.environ), tmp_path / "log", tmp_path)
    finally:
        os.umask(before)
    wait_for("the files", (tmp_path / "folder").exists)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "log")] == [0o600, 0o600]
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700

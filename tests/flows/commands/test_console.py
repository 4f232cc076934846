"""What a command prepares before its flow is imported."""

import logging
import os
from pathlib import Path

import pytest

from flows.commands.console import _display, _use_writable_prefect_home
from flows.progress import CURRENT_VIEW
from pipeline.errors import InputError


@pytest.fixture
def file(tmp_path: Path, nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, in which nobody can make a folder."""
    assert nmt_home
    monkeypatch.setenv("PREFECT_HOME", "")  # So that it is taken back.
    monkeypatch.delenv("PREFECT_HOME")
    (tmp_path / "file").write_text("")
    return tmp_path / "file"


def test_prefect_keeps_its_own_folder_where_it_can(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    _use_writable_prefect_home()
    assert "PREFECT_HOME" not in os.environ
    assert (file.parent / ".prefect").is_dir()


def test_else_it_gets_one_in_ours(file: Path, nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(file))
    _use_writable_prefect_home()
    assert os.environ["PREFECT_HOME"] == str(nmt_home / "prefect")
    assert (nmt_home / "prefect").is_dir(), "Prefect makes it only in a folder that exists"


def test_one_that_the_user_names_must_be_writable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(file / "prefect"))
    with pytest.raises(InputError, match=f"PREFECT_HOME={file}/prefect: {file} is a file; name a folder that can be"):
        _use_writable_prefect_home()


def test_what_our_own_code_warns_of_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with _display():
        logging.getLogger("pipeline.store.store").warning("%s: damaged", "store/corpus/1")
    assert capsys.readouterr().err.strip() == "WARNING: store/corpus/1: damaged"


def test_how_far_it_is_is_shown_on_a_terminal_beside_the_bar_and_not_in_the_log_of_a_short_stage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "lab/x: 1.2 GB of 3.4 GB"
    with _display():
        logging.getLogger("pipeline.corpus.hub.downloads").info(told)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with _display():
        view = CURRENT_VIEW.get()
        assert view is not None
        view.began("corpus")
        logging.getLogger("pipeline.corpus.hub.downloads").info(told)
    assert told in capsys.readouterr().err
    assert logging.getLogger("pipeline").level == logging.NOTSET

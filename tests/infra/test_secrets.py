"""Secrets that are made: once, for everybody alike, and never readable by others."""

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from infra.secrets import PREFECT_AUTH, PREFECT_SERVER_AUTH, is_kept, make_prefect_auth, prefect_auth
from pipeline.errors import InputError
from pipeline.store.secrets import kept_secret


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        secret = kept_secret(tmp_path / "new" / "token")
    finally:
        os.umask(before)
    assert len(secret) == 64
    assert mode(tmp_path / "new" / "token") == 0o600
    assert mode(tmp_path / "new") == 0o700
    assert kept_secret(tmp_path / "new" / "token") == secret


def test_one_that_others_can_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("known\n")
    (tmp_path / "token").chmod(0o644)
    assert kept_secret(tmp_path / "token") == "known"
    assert mode(tmp_path / "token") == 0o600


def test_an_empty_file_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    assert len(kept_secret(tmp_path / "token")) == 64


@pytest.mark.parametrize("turn", range(20))
def test_all_that_make_it_at_once_have_the_same_which_nobody_else_could_read(tmp_path: Path, turn: int) -> None:
    found: list[str] = []
    path, modes, before = tmp_path / "token", set[int](), os.umask(0)
    if turn % 2:
        path.touch(mode=0o600)  # As one that was killed has left it.
    threads = [threading.Thread(target=lambda: found.append(kept_secret(path))) for _ in range(16)]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            with suppress(FileNotFoundError):
                modes.add(mode(path))
        for thread in threads:
            thread.join()
    finally:
        os.umask(before)
    assert len(found) == 16
    assert len(set(found)) == 1
    assert modes <= {0o600}


def test_prefects_secret_is_kept_unless_the_environment_gives_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PREFECT_SERVER_AUTH, raising=False)
    monkeypatch.setenv(PREFECT_AUTH, "of:another-server")
    make_prefect_auth(tmp_path)
    assert is_kept(tmp_path)
    assert prefect_auth(tmp_path).startswith("nmt:")
    monkeypatch.setenv(PREFECT_SERVER_AUTH, "engineer:given")
    assert prefect_auth(tmp_path).startswith("nmt:"), "the server that runs has this one"
    make_prefect_auth(tmp_path)
    assert not is_kept(tmp_path), "it is written nowhere"
    assert prefect_auth(tmp_path) == "engineer:given"
    monkeypatch.delenv(PREFECT_SERVER_AUTH)
    monkeypatch.delenv(PREFECT_AUTH)
    with pytest.raises(InputError, match="PREFECT_API_AUTH_STRING: it is not set"):
        prefect_auth(tmp_path)

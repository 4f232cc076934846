"""What keeps files from being made in a folder is found without making any."""

import os
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.store.storage import home
from pipeline.store.writable import check_home, obstacle


def test_a_folder_that_can_be_made_is_not_made(nmt_home: Path) -> None:
    assert obstacle(nmt_home / "deep" / "down") is None
    check_home()
    assert not nmt_home.exists()


def test_a_file_is_in_the_way(nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nmt_home.write_text("")
    for given in (nmt_home, nmt_home / "deep" / "down"):
        monkeypatch.setenv("NMT_HOME", str(given))
        with pytest.raises(InputError, match=f"NMT_HOME={given}: {nmt_home} is a file; name a folder that can be writ"):
            check_home()


def test_a_folder_that_cannot_be_written(nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nmt_home.mkdir()
    assert obstacle(nmt_home / "below") is None
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: allowed(path, mode) and (path != nmt_home or mode == os.F_OK))
    with pytest.raises(InputError, match=f"NMT_HOME={nmt_home}: {nmt_home} cannot be written; name a folder that can"):
        check_home()
    assert obstacle(nmt_home / "below") == f"{nmt_home} cannot be written"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("what?", r"NMT_HOME=what\?: SQLite or MLflow would misread /.*what\?; name one without \? and % in it"),
        ("100%25", "NMT_HOME=100%25: SQLite or MLflow would misread /.*100%25;"),
        ("~no-such-user/nmt", "NMT_HOME=~no-such-user/nmt: .* name a folder"),
    ],
)
def test_a_home_that_no_file_can_be_in(given: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMT_HOME", given)
    with pytest.raises(InputError, match=message):
        home()


@pytest.mark.parametrize("given", ["a b", "#1", "100%", "Müller & Söhne", "a;b+c=d:e@f", "it's"])
def test_homes_with_other_characters(given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NMT_HOME", given)
    assert home() == tmp_path / given

"""Files with a structure that translation line by line would break are refused, by name and by content."""

import pytest

from pipeline.errors import InputError
from pipeline.rows.structured import plain, refuse_unreadable


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("film.srt", "subtitles"),
        ("film.VTT.gz", "subtitles"),
        ("messages.xliff", "markup"),
        ("index.html", "markup"),
        ("news.docx", "a document"),
        ("all.tar.zst", "an archive"),
        ("all.tgz", "an archive"),
        ("text.lz4", "compressed in a way that is not read"),
    ],
)
def test_by_the_suffix(name: str, what: str) -> None:
    with pytest.raises(InputError, match=rf"given: {what}.*; "):
        refuse_unreadable(name, "given")


@pytest.mark.parametrize("name", ["news.de", "news.txt", "README", "a.tmx", "a.json", "a.zip", "a.srt.de", "notes.md"])
def test_text_and_tables_are_not_refused(name: str) -> None:
    refuse_unreadable(name, name)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["WEBVTT", ""], "line 1 is that of subtitles"),
        (["1", "00:00:01,000 --> 00:00:02,500", "Hallo"], "line 2 is that of subtitles"),
        (["", "01:02.000 --> 01:03.000 align:start"], "line 2 is that of subtitles"),
        (['<?xml version="1.0"?>'], "line 1 is that of XML or HTML"),
        (["<!doctype html>"], "line 1 is that of XML or HTML"),
        (['{"de": "Hund"}'], "line 1 is that of JSON; name a .jsonl file with one object per line"),
        (["[", '  {"de": "Hund"},'], "line 1 is that of JSON"),
        (['["Hund"]'], "line 1 is that of JSON"),
    ],
)
def test_by_the_first_lines(lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=f"standard input {message}"):
        list(plain(iter(lines), "standard input"))


@pytest.mark.parametrize("line", ["[Musik]", "[1]", "{x} ist eine Menge.", "12:30", "<3 dich", "1 --> 2", "", "3,5"])
def test_sentences_are_not_refused(line: str) -> None:
    assert list(plain(iter([line]), "standard input")) == [line]

"""TMX: languages and their regions, tags inside segments, entities, broken files, and memory."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.rows.columns import Column
from pipeline.rows.files import RowFile, find_files
from pipeline.rows.lines import BadLines
from pipeline.rows.readers import read_rows, read_texts

HEAD = '<?xml version="1.0"?>\n<tmx version="1.4"><header srclang="de"/><body>\n'
TAIL = "</body></tmx>\n"


def unit(**segments: str) -> str:
    sides = (f"<tuv xml:lang='{code}'><seg>{text}</seg></tuv>" for code, text in segments.items())
    return f"<tu>{''.join(sides).replace('_', '-')}</tu>\n"


def write(folder: Path, body: str, head: str = HEAD) -> Path:
    (folder / "a.tmx").write_text(head + body + TAIL)
    return folder / "a.tmx"


def texts_of(path: Path, language: str) -> list[str]:
    return list(read_texts(find_files(str(path)), Column("--column", language)))


def test_a_language_is_found_by_its_regions(tmp_path: Path) -> None:
    path = write(tmp_path, unit(de_DE="Hund", en_GB="dog") + unit(de_DE="Katze", en_GB="cat"))
    for language in ("de", "de-DE", "DE_de"):
        assert texts_of(path, language) == ["Hund", "Katze"]
    for language in ("fr", "en-US", "source"):
        with pytest.raises(InputError, match=rf"a.tmx has no column {language}; its columns are de-DE, en-GB"):
            texts_of(path, language)


def test_several_regions_of_a_language(tmp_path: Path) -> None:
    path = write(tmp_path, unit(de="Farbe", en_GB="colour", en_US="color") + unit(de="Hund", en_US="dog"))
    with pytest.raises(InputError, match=r"a.tmx line 3 has several regions of it \(en-GB, en-US\); name one of them"):
        texts_of(path, "en")
    assert texts_of(path, "en-us") == ["color", "dog"]
    assert texts_of(path, "en-GB") == ["colour", ""], "a unit without the language has no text"


def test_the_language_itself_goes_before_its_regions(tmp_path: Path) -> None:
    assert texts_of(write(tmp_path, unit(en="colour", en_US="color")), "en") == ["colour"]


@pytest.mark.parametrize(
    ("segment", "text"),
    [
        ("a &amp; b &lt;c&gt; &#228;&#x1F600;", "a & b <c> ä😀"),
        ("<![CDATA[a < b]]>", "a < b"),
        (
            '<bpt i="1">&lt;b&gt;</bpt>Hund<ept i="1">&lt;/b&gt;</ept> <ph x="1"/>bellt<it pos="end">x</it><ut>y</ut>',
            "Hund bellt",
        ),
        ("ein <hi type='x'>gut<hi>er</hi></hi> Hund", "ein guter Hund"),
        ('Siehe<ph>&lt;img alt="<sub>ein Bild</sub>"&gt;</ph>hier', "Siehe ein Bild hier"),
        ("\n    Ein Hund\n    bellt.\n  ", "Ein Hund bellt."),
        ("zwei  Leerzeichen", "zwei  Leerzeichen"),
        ("", ""),
    ],
)
def test_the_text_of_a_segment(tmp_path: Path, segment: str, text: str) -> None:
    assert texts_of(write(tmp_path, unit(de=segment, en="x")), "de") == [text]


def test_what_surrounds_segments_is_no_text(tmp_path: Path) -> None:
    source = '<note>n</note><tuv lang="DE"><prop type="x">p</prop><seg>Hund</seg></tuv>'
    body = f'<tu>{source}<tuv lang="en"><seg>dog</seg></tuv></tu>'
    assert texts_of(write(tmp_path, body), "de") == ["Hund"]


def test_utf16_and_a_dtd_that_is_not_there(tmp_path: Path) -> None:
    head = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx version="1.4"><header/><body>'
    path = tmp_path / "a.tmx"
    path.write_bytes(f"{head}{unit(de='Tür&nbsp;zu', en='x')}{TAIL}".encode("utf-16"))
    assert texts_of(path, "de") == ["Tür\xa0zu"]


BROKEN = {
    "cut": (HEAD + unit(de="x", en="y") + "<tu>", r"a.tmx line \d+: broken XML \(no element found\); correct the file"),
    "crossed": (HEAD + "<tu><tuv></tu>" + TAIL, r"a.tmx line 3: broken XML \(mismatched tag\)"),
    "other XML": ("<html/>", r"a.tmx line 1: <html> is not the <tmx> of a translation memory"),
    "no XML": ("de\ten\n", r"a.tmx line 1: broken XML \(syntax error\)"),
    "a bomb": (
        '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><tmx><body/></tmx>',
        r"a.tmx line 1: it defines the entity a; remove the definition",
    ),
    "another file": (
        '<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]><tmx><body/></tmx>',
        r"a.tmx line 1: it defines the entity a; remove the definition",
    ),
    "other letters": (
        '<?xml version="1.0" encoding="shift_jis"?><tmx/>',
        r"a.tmx line 1: its encoding cannot be read \(multi-byte encodings are not supported\); convert the file",
    ),
    "no such entity": (HEAD + unit(de="&foo;") + TAIL, r"a.tmx line 3: broken XML \(undefined entity\)"),
    "no language": (HEAD + "<tu><tuv><seg>x</seg></tuv></tu>" + TAIL, r"a.tmx line 3: a <tuv> without xml:lang; add"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.tmx").write_text(content)
    with pytest.raises(InputError, match=message) as refused:
        texts_of(tmp_path / "a.tmx", "de")
    assert "\n" not in str(refused.value)


def test_a_bad_unit_may_be_skipped(tmp_path: Path) -> None:
    path = write(
        tmp_path, unit(de="Hund", en="dog") + "<tu><tuv><seg>x</seg></tuv></tu>\n" + unit(de="Uhr", en="clock")
    )
    bad = BadLines(1, "corpus.skip_bad_lines")
    assert [row["de"] for _, row in read_rows(RowFile.local(path), bad=bad)] == ["Hund", "Uhr"]
    assert bad.figures() == {"lines": 1, "first": [f"{path} line 4"]}


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(units: int) -> int:
        path = write(tmp_path, unit(de="Ein Hund läuft durch den Park.", en="A dog runs through the park.") * units)
        rows: Iterator[object] = read_rows(RowFile.local(path))
        tracemalloc.start()
        assert sum(1 for _ in rows) == units
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(20_000) < 1.5 * peak(2_000)

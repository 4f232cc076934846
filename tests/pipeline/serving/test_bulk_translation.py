"""Files in chunks: what was done is not done again, in order, nothing twice, nothing lost."""

import json
import tracemalloc
from pathlib import Path

import pytest

import pipeline.serving.bulk_translation
from pipeline.errors import ExternalError, InputError
from pipeline.registry.pull import PulledVersion
from pipeline.rows.columns import Column
from pipeline.rows.files import RowFile, find_files
from pipeline.serving.bulk_translation import (
    TranslationPlan,
    answers_folder,
    answers_name,
    plan_translation,
    texts_name,
    write_translation,
)
from pipeline.store.storage import Folder, folder_and_name, local_folder
from pipeline.store.store import Reuse
from tests.s3_server import s3_server

TEXT = Column("--column", "source")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.serving.bulk_translation, "CHUNK_TEXTS", 10)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return local_folder(tmp_path / "answers")


def lines(path: Path, count: int, first: int = 0) -> list[RowFile]:
    path.write_text("".join(f"line {number}\n" for number in range(first, first + count)))
    return find_files(str(path))


def translate(plan: TranslationPlan, most: int | None = None) -> int:
    """Do what workers do, with so many chunks at most."""
    for chunk in plan.missing[:most]:
        texts = json.loads(plan.folder.read(texts_name(chunk.name)))
        plan.folder.write(answers_name(chunk.name), json.dumps([text.upper() for text in texts]).encode())
        plan.folder.remove(texts_name(chunk.name))
    return len(plan.missing[:most])


def output(plan: TranslationPlan, files: list[RowFile], path: Path) -> list[str]:
    folder, name = folder_and_name(str(path))
    write_translation(plan, files, TEXT, RowFile(folder, name, str(path)))
    return path.read_text().splitlines()


def test_a_stopped_run_goes_on_and_the_result_is_whole_and_in_order(tmp_path: Path, folder: Folder) -> None:
    files = lines(tmp_path / "a.txt", 95)
    first = plan_translation(files, TEXT, folder)
    assert (first.texts, len(first.chunks), len(first.missing)) == (95, 10, 10)
    translate(first, most=4)
    second = plan_translation(files, TEXT, folder)
    assert second.chunks == first.chunks
    assert second.missing == first.missing[4:]
    assert [chunk.first for chunk in second.chunks] == list(range(1, 96, 10))
    translate(second)
    expected = [f"LINE {number}" for number in range(95)]
    assert output(second, files, tmp_path / "out.txt") == expected
    third = plan_translation(files, TEXT, folder)
    assert third.missing == (), "given again, nothing is done again"
    assert output(third, files, tmp_path / "out.txt") == expected
    assert not [name for name in folder.names() if name.endswith(".texts.json")], "no texts wait"


def test_what_was_added_to_a_file_is_all_that_is_translated(tmp_path: Path, folder: Folder) -> None:
    assert translate(plan_translation(lines(tmp_path / "a.txt", 50), TEXT, folder)) == 5
    longer = lines(tmp_path / "a.txt", 75)
    assert translate(plan_translation(longer, TEXT, folder)) == 3
    assert output(plan_translation(longer, TEXT, folder), longer, tmp_path / "out.txt")[-1] == "LINE 74"


def test_the_same_texts_twice_are_translated_once(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "a.txt").write_text("same\n" * 40)
    files = find_files(str(tmp_path / "a.txt"))
    plan = plan_translation(files, TEXT, folder)
    assert (len(plan.chunks), translate(plan)) == (4, 1)
    assert output(plan, files, tmp_path / "out.txt") == ["SAME"] * 40


def test_answers_belong_to_texts_whatever_the_format_of_their_file(tmp_path: Path, folder: Folder) -> None:
    translate(plan_translation(lines(tmp_path / "a.txt", 30), TEXT, folder))
    (tmp_path / "a.tsv").write_text("id\tsource\n" + "".join(f"{n}\tline {n}\n" for n in range(30)))
    files = find_files(str(tmp_path / "a.tsv"))
    assert plan_translation(files, TEXT, folder).missing == ()
    plan = plan_translation(files, Column("--column", "id"), folder)
    assert len(plan.missing) == 3, "another column holds other texts"


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, folder: Folder) -> None:
    plan = plan_translation(lines(tmp_path / "a.txt", 30), TEXT, folder)
    translate(plan)
    for count, first in ((30, 1), (41, 0)):
        with pytest.raises(InputError, match=r"a.txt: it has changed since it was read; run the same command again"):
            output(plan, lines(tmp_path / "a.txt", count, first), tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("left", [b"", b'["LINE 10", "LI', b'["LINE 10"]', b"{}", b"\xff" * 9])
def test_answers_that_a_crash_cut_short_are_made_again(tmp_path: Path, folder: Folder, left: bytes) -> None:
    files = lines(tmp_path / "a.txt", 30)
    plan = plan_translation(files, TEXT, folder)
    translate(plan)
    folder.write(answers_name(plan.chunks[1].name), left)
    with pytest.raises(ExternalError, match=r"answers.json: damaged since it was written; run the same command again"):
        output(plan, files, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()
    again = plan_translation(files, TEXT, folder)
    assert (again.missing, again.damaged) == (plan.chunks[1:2], 1)
    assert translate(again) == 1
    assert output(again, files, tmp_path / "out.txt") == [f"LINE {number}" for number in range(30)]


def test_texts_that_a_crash_cut_short_are_written_again(tmp_path: Path, folder: Folder) -> None:
    files = lines(tmp_path / "a.txt", 30)
    plan = plan_translation(files, TEXT, folder)
    folder.write(texts_name(plan.chunks[1].name), b'["line 10", "li')
    again = plan_translation(files, TEXT, folder)
    assert (again.missing, again.damaged) == (plan.chunks, 0)
    translate(again)
    assert output(again, files, tmp_path / "out.txt") == [f"LINE {number}" for number in range(30)]


def test_an_empty_file_is_an_empty_file(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "a.txt").write_text("")
    files = find_files(str(tmp_path / "a.txt"))
    plan = plan_translation(files, TEXT, folder)
    assert (plan.texts, plan.missing) == (0, ())
    assert output(plan, files, tmp_path / "out.txt") == []


def test_a_mistake_at_the_end_is_found_before_anything_is_translated(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "a.jsonl").write_text('{"source": "x"}\n' * 25 + "{}\n")
    with pytest.raises(InputError, match="line 26 has no column source"):
        plan_translation(find_files(str(tmp_path / "a.jsonl")), Column("--column", "source"), folder)


def test_long_texts_make_smaller_chunks(tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.serving.bulk_translation, "CHUNK_CHARACTERS", 100)
    (tmp_path / "a.txt").write_text(("x" * 60 + "\n") * 5)
    plan = plan_translation(find_files(str(tmp_path / "a.txt")), TEXT, folder)
    assert [chunk.texts for chunk in plan.chunks] == [2, 2, 1]


def test_other_models_and_parameters_have_other_answers(nmt_home: Path) -> None:
    one = PulledVersion("captions", "1", None, "run", Path(), "fingerprint-1", "model/1", Reuse.NO)
    two = PulledVersion("captions", "2", None, "run", Path(), "fingerprint-2", "model/2", Reuse.NO)
    places = {answers_folder(model, values).uri for model in (one, two) for values in ({}, {"beam": 3})}
    assert len(places) == 4
    assert answers_folder(one, {}).local == nmt_home / "translations" / answers_folder(one, {}).name


def test_memory_does_not_grow_with_the_file(tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.serving.bulk_translation, "CHUNK_TEXTS", 1000)

    def peak(count: int) -> int:
        files = lines(tmp_path / f"{count}.txt", count)
        tracemalloc.start()
        plan = plan_translation(files, TEXT, folder)
        translate(plan)
        write_translation(plan, files, TEXT, RowFile(local_folder(tmp_path), f"{count}.out", "out"))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(160_000) < peak(40_000) * 1.5


def test_with_answers_in_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path) as s3:
        for variable, value in s3.environment.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("NMT_STORAGE", f"s3://{s3.bucket}/shared")
        model = PulledVersion("captions", "1", None, "run", Path(), "fingerprint", "model/1", Reuse.NO)
        shared = answers_folder(model, {})
        assert shared.uri.startswith(f"s3://{s3.bucket}/shared/translations/")
        source, name = folder_and_name(f"s3://{s3.bucket}/in/a.txt")
        source.write(name, "".join(f"line {number}\n" for number in range(25)).encode())
        files = find_files(f"s3://{s3.bucket}/in/a.txt")
        translate(plan_translation(files, TEXT, shared), most=2)
        plan = plan_translation(files, TEXT, shared)
        assert [chunk.first for chunk in plan.missing] == [21]
        translate(plan)
        target, name = folder_and_name(f"s3://{s3.bucket}/out.txt")
        write_translation(plan, files, TEXT, RowFile(target, name, "out"))
        assert target.read(name).decode().splitlines() == [f"LINE {number}" for number in range(25)]

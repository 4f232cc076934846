"""The options of `nmt translate`, on a registered version."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

import pipeline.registry.pull
from flows.commands.app import app
from flows.commands.line_translation import open_model
from flows.commands.search_options import SearchOptions
from pipeline.errors import InputError
from tests.conftest import command_line
from tests.flows.conftest import FinishedRun

LINES = ["Ein Hund schläft.", "", "Zwei Frauen lachen im Park."]
MODEL = "models:/captions/1"


@pytest.fixture
def _registry(finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished_run.tracking_uri)
    monkeypatch.setenv("NMT_HOME", str(finished_run.nmt.folder / ".nmt"))


def ask(**options: Any) -> list[str]:
    return open_model(MODEL, SearchOptions(**options))(LINES)


@pytest.mark.usefixtures("_registry")
def test_without_options_the_version_searches_as_it_was_scored() -> None:
    plain = ask()
    assert plain[0]
    assert not plain[1]
    assert (
        ask(beam=2) == ask(length_penalty=1.0) == ask(no_repeat_ngram=0) == plain
    )  # The fixture's run sets a beam of 2.
    assert [json.loads(line)["hypotheses"][0]["text"] for line in ask(as_json=True) if "[]" not in line] == [
        plain[0],
        plain[2],
    ]


@pytest.mark.usefixtures("_registry")
def test_json_tells_the_n_best_with_pieces_and_weights() -> None:
    lines = [json.loads(line) for line in ask(as_json=True, beam=4, n_best=3, attention=True, coverage_penalty=0.2)]
    assert [line["source"] for line in lines] == LINES
    assert [len(line["hypotheses"]) for line in lines] == [3, 0, 3]
    for line in (lines[0], lines[2]):
        scores = [hypothesis["score"] for hypothesis in line["hypotheses"]]
        assert scores == sorted(scores, reverse=True)
        for hypothesis in line["hypotheses"]:
            assert len(hypothesis["attention"]) == len(hypothesis["target_pieces"])
            for weights in hypothesis["attention"]:
                assert len(weights) == len(line["source_pieces"])
                assert sum(weights) == pytest.approx(1, abs=0.01)
    assert set(json.loads(ask(as_json=True)[0])["hypotheses"][0]) == {"text", "score", "truncated"}


@pytest.mark.usefixtures("_registry")
def test_draws_follow_the_seed() -> None:
    assert ask(sample=True, seed=3) == ask(temperature=1.0, seed=3)
    assert ask(sample=True, seed=3) != ask(sample=True, seed=4)
    assert ask(sample=True, top_k=1) == ask(beam=1)


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "--beam 0: beam=0 must be at least 1"),
        ({"n_best": 3, "as_json": True}, "--n-best 3: n_best=3 is more than the beam=2 can hold; raise beam or lower"),
        ({"length_penalty": -1.0}, "--length-penalty -1.0: length_penalty=-1.0 must be between 0 and 10"),
        ({"temperature": -1.0}, "--temperature -1.0: temperature=-1.0 must be above 0"),
        ({"no_repeat_ngram": -1}, "--no-repeat-ngram -1: no_repeat_ngram=-1 must be at least 0"),
        ({"min_length": 5, "max_length": 4}, "--min-length 5: min_length=5 is more than max_length=4"),
    ],
)
def test_a_bad_value_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        ask(**options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_best": 2}, "--n-best 2: plain output has one line per line of input; add --json"),
        ({"attention": True}, "--attention: plain output has no place for weights; add --json"),
        ({"sample": True, "beam": 3}, "--beam 3: --sample draws and does not search"),
        ({"top_k": 3}, "--top-k 3: nothing is drawn without --sample; add it"),
        ({"seed": 3}, "--seed 3: nothing is drawn without --sample; add it"),
        ({"beam": 1, "length_penalty": 2.0}, "--length-penalty 2.0: it ranks hypotheses, and --beam 1 has only one"),
        ({"sample": True, "coverage_penalty": 0.2}, "--coverage-penalty 0.2: it ranks hypotheses, and --sample has on"),
        ({"temperature": 0.0}, "--temperature 0.0: temperature=0.0 must be more than 0"),
    ],
)
def test_options_that_make_no_sense_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchOptions(**options).check()


class OldVersion:
    """A version from before there were parameters, as it is pulled."""

    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, _path: Path, _device: str) -> None:
        pass

    def predict(self, lines: list[str], _parameters: dict[str, Any]) -> list[str]:
        return [line.upper() for line in lines]


@pytest.mark.usefixtures("_registry")
def test_an_old_version_translates_but_takes_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.registry.pull, "LoadedModel", OldVersion)
    assert ask() == [line.upper() for line in LINES]
    with pytest.raises(InputError, match=f"--model {MODEL}: this version was registered before search options existed"):
        ask(beam=3)


def test_the_command_takes_them(finished_run: FinishedRun) -> None:
    nmt = finished_run.nmt
    run = nmt.run("translate", "--json", "--beam", "3", "--n-best", "2", "--replace-unknown", text="Ein Hund.\n\n")
    assert run.returncode == 0, run.stderr
    assert [len(json.loads(line)["hypotheses"]) for line in run.stdout.splitlines()] == [2, 0]


@pytest.mark.usefixtures("_registry")
def test_what_is_wrong_is_one_line() -> None:
    run = CliRunner().invoke(app, ["translate", "--max-length", "0"], input="Ein Hund.\n")
    assert (run.exit_code, run.stderr) == (2, "nmt: --max-length 0: max_length=0 must be more than 0\n")


@pytest.mark.usefixtures("_registry")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["film.srt"], "film.srt: subtitles, whose times are no text; extract the texts, one per line"),
        (
            ["renamed.txt"],
            "renamed.txt line 2 is that of subtitles, whose times are no text; extract the texts, one per",
        ),
        (["plain.txt", "--output", "x.docx"], "--output x.docx: such a file is not written; name a .txt, .jsonl,"),
        (
            ["plain.txt", "--column", "de"],
            "--column de: plain.txt is plain text, which has no columns; leave the option",
        ),
        (["--column", "de"], "--column de: standard input is plain text, which has no columns; name a FILE"),
        ([], "standard input line 1 is that of JSON; name a .jsonl file with one object per line, and the column with"),
        (["rows.zip"], "rows.zip: broken zip (Invalid position); download it or zip the files again"),
    ],
)
def test_what_would_be_translated_wrongly_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("film.srt", "renamed.txt"):
        (tmp_path / name).write_text("1\n00:00:01,000 --> 00:00:02,000\nHallo\n")
    for name in ("plain.txt", "rows.zip"):
        (tmp_path / name).write_text("Hallo\n")
    run = CliRunner().invoke(app, ["translate", *arguments], input='{"de": "Hund"}\n')
    assert (run.exit_code, run.stdout) == (2, "")
    assert run.stderr.startswith(f"nmt: {message}")
    assert run.stderr.count("\n") == 1


def test_the_file_to_translate_is_never_written_to(tmp_path: Path) -> None:
    """By whatever name, and through the shell's redirections, too; a model is not even looked for."""
    nmt = command_line(tmp_path)
    (tmp_path / "in.txt").write_text("Hallo\n")
    (tmp_path / "other.txt").hardlink_to(tmp_path / "in.txt")
    for command, message in (
        ("in.txt -o in.txt", "nmt: --output in.txt: that is the file to translate; name another\n"),
        ("-o ./other.txt < in.txt", "nmt: --output other.txt: that is the file to translate; name another\n"),
        (
            "in.txt >> other.txt",
            "nmt: standard output: that is the file to translate (in.txt); send it to another\n",
        ),
    ):
        program = shlex.quote(nmt.command()[0])
        run = subprocess.run(
            ["/bin/sh", "-c", f"{program} translate {command}"],
            cwd=tmp_path,
            env=nmt.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, run.stderr) == (2, message)
        assert (tmp_path / "in.txt").read_text() == "Hallo\n"


@pytest.mark.usefixtures("_registry")
def test_the_output_is_written_as_a_shell_would(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("Ein Hund schläft.\n")
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("out.txt", "null"):
        run = CliRunner().invoke(
            app, ["translate", "--model", MODEL, str(tmp_path / "in.txt"), "-o", str(tmp_path / name)]
        )
        assert run.exit_code == 0, run.stderr
    assert (tmp_path / "out.txt").read_text().count("\n") == 1
    assert (tmp_path / "out.txt").stat().st_mode == (tmp_path / "in.txt").stat().st_mode
    assert not Path("/dev/null").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "null", "out.txt"]

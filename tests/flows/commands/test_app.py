"""What is wrong gets one clear line and exit code 2, before anything is downloaded or started."""

import builtins
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner, Result

from flows.commands.__main__ import main
from flows.commands.app import app
from flows.commands.console import one_line_errors
from pipeline.errors import ExternalError
from tests.conftest import command_line

LINES = {"en.txt": "one\ntwo\nthree\n", "de.txt": "eins\nzwei\n", "empty.jsonl": "", "wrong.jsonl": '{"x": "a"}\n'}


SIZES = ("--set", "corpus.validation_size=5", "--set", "corpus.test_size=5")


def assert_one_line(code: int, out: str, messages: str, expected: str) -> None:
    assert code == 2, messages
    assert "Traceback" not in messages
    last = messages.splitlines()[-1]
    assert last.startswith("nmt: ")
    assert expected in last
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "captoins"], "--preset captoins: there is no such preset; did you mean captions?"),
        (["--preset", "missing.yaml"], "--preset missing.yaml: there is no such file"),
        (["--set", "training.epoch=3"], "training.epoch=3: there is no field training.epoch; did you mean"),
        (["--set", "training.epochs"], "--set training.epochs: write section.field=value"),
        (["--set", "training.epochs=none"], "training.epochs=none: Input should be a valid integer"),
    ],
)
def test_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    run = command_line(tmp_path).run("train", *SIZES, *arguments)
    assert_one_line(run.returncode, run.stdout, run.stderr, message)


@pytest.fixture
def train(
    tmp_path: Path, tracked_home: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    """`nmt train` in this process, which has imported all that it needs: in one of its own that takes ten seconds."""
    monkeypatch.chdir(tmp_path)
    for name in ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "MLFLOW_LOGGING_LEVEL"):
        monkeypatch.setenv(name, "CRITICAL")  # As the command sets them, but taken back.
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        yield lambda *arguments: CliRunner().invoke(app, ["train", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["corpus.path=no/such/folder"], "no/such/folder"),
        (["corpus.path=empty.jsonl"], "empty.jsonl"),
        (["corpus.path=wrong.jsonl"], "corpus.source_column"),
        (["corpus.path=de.txt", "corpus.target_path=en.txt"], "2"),
        (
            ["corpus.captions_pairs=50", "tokenizer.vocabulary_size=90000"],
            "tokenizer.vocabulary_size=90000 is too large for this corpus; the largest that fits is ",
        ),
        (
            ["corpus.captions_pairs=200", "tokenizer.vocabulary_size=200", "training.device=gpu"],
            "training.device=gpu: the cluster lists no GPU; start it where there is one, or choose cpu",
        ),
    ],
)
def test_what_a_flow_finds_is_one_line_too(
    tmp_path: Path, train: Callable[..., Result], arguments: list[str], message: str
) -> None:
    for name, text in LINES.items():
        (tmp_path / name).write_text(text)
    run = train(*SIZES, *[text for argument in arguments for text in ("--set", argument)])
    assert_one_line(run.exit_code, run.stdout, run.stderr, message)


def test_bad_lines_that_were_skipped_are_shown(tmp_path: Path, train: Callable[..., Result]) -> None:
    pairs = "".join(f"Satz {number}.\tSentence {number}.\n" for number in range(40))
    (tmp_path / "pairs.tsv").write_text(f"de\ten\n{pairs}one\ttoo\tmany\nonly one\n")
    fields = ("corpus.path=pairs.tsv", "corpus.skip_bad_lines=2", "tokenizer.vocabulary_size=90000")
    run = train(*SIZES, *[text for field in fields for text in ("--set", field)])
    assert_one_line(run.exit_code, run.stdout, run.stderr, "tokenizer.vocabulary_size=90000 is too large")
    assert "30 train + 5 validation + 5 test pairs, de → en, 2 bad lines skipped (" in run.stderr


def test_the_hub_is_away(tmp_path: Path, prefect_server: str) -> None:
    nmt = command_line(
        tmp_path, PREFECT_API_URL=prefect_server, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path / "hf")
    )
    run = nmt.run("train", "--preset", "multi30k-de-en")
    assert run.returncode == 2
    assert run.stderr.startswith("nmt: corpus.dataset=bentrevett/multi30k: cannot get corpus.revision=main from")
    assert "corpus.path=FOLDER" in run.stderr
    assert run.stderr.count("\n") == 1


def test_the_prefect_server_is_away(train: Callable[..., Result]) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        run = train()
    assert run.exit_code == 2
    assert run.stderr.startswith("nmt: PREFECT_API_URL: Failed to reach API at http://127.0.0.1:9/api")
    assert run.stderr.count("\n") == 1


def test_a_misspelt_option_names_the_right_one(tmp_path: Path) -> None:
    run = command_line(tmp_path).run("train", "--prset", "captions")
    assert run.returncode == 2
    assert "--preset" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_presets_lists_names_and_fields(tmp_path: Path) -> None:
    nmt = command_line(tmp_path, COLUMNS="200")
    assert "multi30k-de-en" in nmt.run("presets").stdout
    assert "training.learning_rate" in nmt.run("presets", "--fields").stdout


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ExternalError("the Hub is away"), 2, "nmt: the Hub is away\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/disk/x"), 2, "nmt: /disk/x: No space left on device; "),
        (KeyboardInterrupt(), 130, "nmt: stopped; run the same command again to continue\n"),
    ],
)
def test_failures_of_the_world(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_, one_line_errors():
        raise error
    assert exit_.value.code == code
    assert capsys.readouterr().err.startswith(message)


def test_ctrl_c_while_the_command_is_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str, *rest: Any) -> Any:
        if name == "flows.commands.app":
            raise KeyboardInterrupt
        return original(name, *rest)

    original = builtins.__import__
    with monkeypatch.context() as patch:
        patch.setattr("flows.commands.__main__.LAST_SECONDS", 3600.0)  # This process has other tests to run.
        patch.setenv("PYTHONSAFEPATH", "1")  # As `main` sets it, but taken back.
        patch.setattr(builtins, "__import__", interrupted)
        with pytest.raises(SystemExit) as exit_:
            main()
    assert exit_.value.code == 130
    assert capsys.readouterr().err == "nmt: stopped\n"


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0

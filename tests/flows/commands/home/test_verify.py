"""`nmt verify`: one page, what its exit code says, and the command that makes the same model again."""

import json
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from flows.commands.app import app
from flows.presets import load_config
from pipeline.config import RunConfig
from pipeline.overrides import build_config, parse_overrides
from pipeline.upkeep.recipe import changes, exactly, preset_of, recorded_config
from tests.flows.conftest import FinishedRun
from tests.untrained_chain import flip, own_home, restored

ODD = {
    "corpus.path": "/data/no: yes/2024",
    "corpus.source_column": "null_",
    "corpus.target_column": "no",
    "corpus.source_language": "no",
    "corpus.revision": "0123456789" * 4,
    "tokenizer.user_symbols": ["<br>", "{name}", "it's"],
    "training.until": ["2G tokens", "12 hours"],
    "training.learning_rate": 1e-05,
    "training.num_workers": 3,
    "model.attention": "concat",
    "evaluation.max_length": None,
    "evaluation.bleu_tokenizer": "none",
    "registry.model_name": "mine and yours",
}


@pytest.fixture(scope="module")
def home(finished_run: FinishedRun) -> Iterator[FinishedRun]:
    with own_home(finished_run.home):
        yield finished_run


def nmt_verify(*options: str, columns: int = 80) -> Result:
    return CliRunner().invoke(app, ["verify", *options], env={"COLUMNS": str(columns)})


def test_the_page_of_a_run(home: FinishedRun) -> None:
    page = nmt_verify("captions")
    assert page.exit_code == 0, page.output
    lines = page.stdout.splitlines()
    assert lines[0] == "model       models:/captions/1 @champion"
    assert home.result["run_id"] in lines[1]
    bleu = home.result["scores"]
    assert f"test {bleu['test']['bleu']:.2f}, validation {bleu['validation']['bleu']:.2f}; nrefs:1|" in lines[2]
    rows = {line.split()[0]: line for line in lines if line.endswith("  whole")}
    assert list(rows) == ["version", "evaluation", "training", "encoded", "tokenizer", "corpus"]
    for stage in ("evaluation", "training", "encoded", "tokenizer"):
        assert home.result["stages"][stage]["fingerprint"][:12] in rows[stage]
    assert "400 train + 40 validation + 30 test pairs" in page.stdout
    assert "6 epochs" in page.stdout
    assert "1 CPU worker" in page.stdout
    assert "code        this program's" in lines
    assert page.stderr == ""


def test_the_command_makes_the_same_again(home: FinishedRun) -> None:
    """Whoever runs it finds every stage made already."""
    page = json.loads(nmt_verify("captions", "--json").stdout)
    assert page["whole"] is True
    assert page["command"][:4] == ["nmt", "train", "--preset", "captions"]
    again = home.nmt.run(*page["command"][1:], "--json")
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout)
    assert all(stage["reused"] for stage in result["stages"].values())
    assert result["model_uri"] == "models:/captions/1"


def test_a_preset_of_the_whole_configuration_makes_the_same(home: FinishedRun, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    page = nmt_verify("captions", "--write-preset", str(file))
    assert page.exit_code == 0, page.output
    assert page.stdout.splitlines()[-1].split() == ["nmt", "train", "--preset", str(file)]
    command = json.loads(nmt_verify("captions", "--json").stdout)["command"]
    options = [after for before, after in pairwise(command) if before == "--set"]
    assert load_config(str(file), {}) == load_config("captions", parse_overrides(options))
    assert set(yaml.safe_load(file.read_text("utf8"))) == set(RunConfig.model_fields), (
        "complete, whatever defaults become"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("there.yaml", "it is there already; name another file"),
        ("run.txt", "`nmt train` takes presets that end in .yaml; name it so"),
        ("nowhere/run.yaml", "there is no folder"),
    ],
)
def test_a_preset_that_cannot_be_written(home: FinishedRun, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "there.yaml").write_text("description: my work\n")
    refused = nmt_verify("captions", "--write-preset", str(tmp_path / name))
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert (tmp_path / "there.yaml").read_text() == "description: my work\n"


def test_damage_is_named_with_its_remedy_and_ends_with_1(home: FinishedRun) -> None:
    file = home.home / "store" / "evaluation" / home.result["stages"]["evaluation"]["fingerprint"] / "test.jsonl"
    with restored(file):
        flip(file)
        page, told = nmt_verify("captions"), json.loads(nmt_verify("captions", "--json").stdout)
    assert page.exit_code == 1
    assert "damaged: test.jsonl" in page.stdout
    (line,) = (line for line in page.stdout.splitlines() if str(file) in line)
    assert line.endswith("the command below makes it again")
    assert (told["whole"], len(told["problems"])) == (False, 1)
    assert "Traceback" not in page.output


@pytest.mark.parametrize(
    ("model", "message"),
    [("captoins", "did you mean captions?"), ("models:/captions/7", "captions has the versions up to 1")],
)
def test_a_model_that_is_not_there(home: FinishedRun, model: str, message: str) -> None:
    refused = nmt_verify(model)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"nmt: {model}: ")
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_an_empty_home_stays_empty(nmt_home: Path) -> None:
    refused = nmt_verify("captions")
    assert refused.exit_code == 2
    assert "no model is registered in" in refused.stderr
    assert not nmt_home.exists()


def test_a_server_that_is_away(nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    refused = nmt_verify("captions")
    assert refused.exit_code == 2
    assert "no server answers there" in refused.stderr


@pytest.mark.parametrize("left_out", [(), *((name,) for name in ODD)], ids=str)
def test_options_and_presets_say_the_configuration_whatever_is_in_it(tmp_path: Path, left_out: tuple[str, ...]) -> None:
    base = load_config("captions", {})
    fields = {name: value for name, value in ODD.items() if name not in left_out}
    config = build_config(base.model_dump(), fields)
    options = changes(config, base)
    assert options is not None
    assert {option.partition("=")[0] for option in options} >= {name for name, value in fields.items() if value}
    typed = shlex.split(shlex.join(options))
    assert load_config("captions", parse_overrides(typed)) == config
    (tmp_path / "run.yaml").write_text(preset_of(config, "models:/captions/1"), "utf8")
    assert load_config(str(tmp_path / "run.yaml"), {}) == config
    assert recorded_config(json.loads(config.model_dump_json())) == config


def test_what_options_cannot_say_needs_a_preset() -> None:
    base = load_config("captions", {})
    assert changes(base.model_copy(update={"name": "mine"}), base) is None
    assert changes(base, base) == []


def test_fields_that_there_are_no_more_are_left_out() -> None:
    assert recorded_config({"name": "old", "training": {"epochs": 3, "gone": 1}, "gone": {"x": 1}}) == build_config(
        {"name": "old"}, {"training.epochs": 3}
    )
    assert recorded_config({"training": {"epochs": "many"}}) is None


@pytest.mark.parametrize(
    ("fields", "figures", "expected"),
    [
        ({}, {"workers": 1, "device": "cpu"}, (None, "auto")),
        ({}, {"workers": 2, "device": "cpu"}, (2, "cpu")),
        ({}, {"workers": 1, "device": "gpu"}, (1, "gpu")),
        ({"training.num_workers": 1}, {"workers": 1, "device": "gpu"}, (1, "auto")),
        ({"batching.tokens_per_worker": 512}, {"workers": 2, "device": "cpu"}, (None, "auto")),
        ({}, {}, (None, "auto")),
    ],
)
def test_the_number_of_workers_is_part_of_the_command_where_it_counts(
    fields: dict[str, object], figures: dict[str, object], expected: tuple[int | None, str]
) -> None:
    training = exactly(build_config({}, fields), figures).training
    assert (training.num_workers, training.device) == expected

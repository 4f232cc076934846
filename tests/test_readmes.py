"""Every README: what it says to type is tried, and what it names is there.

Code is in blocks, indented by four spaces or fenced, one command per line with `# comment` after it, and between
backticks in sentences. A fenced YAML block that begins with `# mine.yaml` is that preset in the README's commands.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from flows.commands.app import app
from flows.presets import load_config, preset_names
from pipeline.config import RunConfig
from pipeline.errors import InputError
from pipeline.overrides import build_config, field_names, parse_overrides
from tests.command_trials import check_paths, deployments, stop_at_boundaries, try_command
from tests.commands import nmt_commands, split_commands
from tests.readmes import NAMES, OTHER, PYTHON, ROOT, SHELL, YAML, Readme, anchors, language, readmes

READMES = {readme.name: readme for readme in readmes()}
FIELD = re.compile(rf"({'|'.join(RunConfig.model_fields)})\.(?!py$)([a-z_0-9*]+)(=.*)?")
SOURCES = "\n".join(
    path.read_text("utf8")
    for folder in ("pipeline", "flows", "infra", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".yaml", ".sql"}
)
COMMANDS = sorted(nmt_commands())
each = pytest.mark.parametrize("readme", list(READMES.values()), ids=lambda readme: readme.name)


def presets_of(readme: Readme) -> dict[str, str]:
    """Return the presets that a README shows, by the name in their first line."""
    named = ((re.match(r"# (\S+\.yaml)\n", code), code) for code in readme.codes(YAML))
    return {found[1]: code for found, code in named if found}


def typed() -> Iterator[tuple[str, list[str]]]:
    """Yield every command of a block, with its README."""
    for readme in READMES.values():
        for code in readme.codes(SHELL):
            yield from ((readme.name, words) for words in split_commands(code))


def mentioned() -> Iterator[tuple[str, list[str]]]:
    """Yield every command in a sentence; `nmt COMMAND --help` stands for any."""
    for readme in READMES.values():
        for code in readme.inline:
            if re.match(r"(nmt|make|prefect|mlflow|ray|docker|kubectl) [^:]", code) and "COMMAND" not in code:
                yield from ((readme.name, words) for words in split_commands(code))


@pytest.fixture
def _stopped(tmp_path: Path, nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not nmt_home.exists()
    monkeypatch.chdir(tmp_path)
    stop_at_boundaries(monkeypatch)


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize(
    ("name", "words"), list(typed()), ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_a_command_in_a_block(name: str, words: list[str]) -> None:
    try_command(words, presets_of(READMES[name]))


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize(
    ("name", "words"), list(mentioned()), ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_a_command_in_a_sentence(name: str, words: list[str]) -> None:
    try:
        try_command(words, presets_of(READMES[name]))
    except Exception as error:  # Of any program's: a sentence need not give all that a command takes.
        if not re.search(r"(?i)missing|requires an argument", f"{error!r} {error}"):
            raise


@pytest.mark.usefixtures("_stopped")
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("nmt trian", "No such command"),
        ("ntm train", "no such program"),
        ("nmt train --prest captions", "No such option"),
        ("nmt train --preset captoins", "there is no such preset"),
        ("nmt train --set training.epoch=3", "there is no field training.epoch"),
        ("nmt train --set training.epochs=many", "valid integer"),
        ("nmt train --set model.peeky=true", "peeky"),
        ("nmt train --fresh-from trainig", "there is no such stage"),
        ("nmt ablate --set model.coverage=true", "no system of the ablation has it"),
        ("nmt translate --n-best 3", "--n-best 3"),
        ("echo Hallo | nmt translate --beem 3", "No such option"),
        ("nmt translate --workers 3 < input.de", "--workers 3"),
        ("nmt serve --batch 0", "greater than"),
        ('eval "$(nmt status --shel)"', "No such option"),
        ("prefect deploy --al", "Unknown option"),
        ("prefect deploy --prefect-file infra/perfect.yaml", "infra/perfect.yaml"),
        ("prefect deployment run train/caption", "no such deployment"),
        ("prefect deployment run train/captions -p 'overide={}'", "takes preset"),
        ("prefect deployment run train/captions -p 'overrides={\"training.epoch\": 3}'", "there is no field"),
        ("make tset", "no such target"),
        ("make run PRSET=captions", "no such variable"),
        ("make run PRESET=captoins", "no such preset"),
        ("python -c 'import mlflow; mlflow.('", "invalid syntax"),
        ("python -m tests.benchmark.speed", "tests"),
        ("curl -s http://127.0.0.1:8000/invocations -d '{\"input\": []}'", "inputs"),
        ("docker compose exec perfect-worker nmt", "perfect-worker"),
        ("kubectl exec deployment/perfect-worker", "perfect-worker"),
        ("OMP_NUM_THREADS=1 mlflow models serve --modle x", "(?i)no such option"),
    ],
)
def test_a_wrong_command_is_found(command: str, message: str) -> None:
    with pytest.raises((Exception, SystemExit), match=message):  # noqa: PT012 - the last of them is the wrong one
        for words in split_commands(command):
            try_command(words, {})


@pytest.mark.parametrize("command", ["", "store", *COMMANDS])
def test_every_command_has_a_help_that_fits_a_terminal(command: str) -> None:
    run = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "80", "TERM": "dumb"})
    assert run.exit_code == 0
    assert max(len(line) for line in run.output.splitlines()) <= 80
    assert "…" not in run.output, "something is cut off"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("make run\n", SHELL),
        ("ntm train\n", SHELL),
        ("OMP_NUM_THREADS=1 .venv/bin/nmt train\n", SHELL),
        ("import mlflow\n", PYTHON),
        ("corpus ──> tokenizer ──> batches\n", OTHER),
        ("h_t = o_t * tanh(c_t)\n", OTHER),
    ],
)
def test_what_an_indented_block_holds(code: str, expected: str) -> None:
    assert language(code) == expected


@each
def test_python_compiles_and_runs(readme: Readme, tmp_path: Path) -> None:
    for code in readme.codes(PYTHON):
        compile(
            re.sub(r"^(>>>|\.\.\.) ", "", code, flags=re.M) if code.startswith(">>>") else code, readme.name, "exec"
        )
        if "mlflow" not in code:  # Those take a registered model: tests/flows/test_readme_programs.py.
            environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
            subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


@each
def test_yaml_is_yaml_and_a_preset_is_valid(readme: Readme, tmp_path: Path) -> None:
    for code in readme.codes(YAML):
        assert yaml.safe_load(code)
    for name, code in presets_of(readme).items():
        (tmp_path / name).write_text(code, "utf8")
        assert load_config(str(tmp_path / name), {}).description


@each
def test_paths_are_there(readme: Readme) -> None:
    for code in readme.inline:
        if re.fullmatch(r"[\w/]+\.py", code):
            assert (readme.folder / code).exists() or (ROOT / code).exists() or _in_a_part(readme, code), code
        check_paths(code.partition("*")[0], readme.folder)


def _in_a_part(readme: Readme, name: str) -> bool:
    """Whether a file of that name is in one of the folders below a README, whose files it lists in parts."""
    return any(path for pattern in (f"*/{name}", f"*/*/{name}") for path in readme.folder.glob(pattern))


@each
def test_fields_are_there(readme: Readme) -> None:
    for section, field, assigned in (found.groups() for code in readme.inline if (found := FIELD.fullmatch(code))):
        name = f"{section}.{field}"
        assert field == "*" or name in set(field_names()), name
        for value in (assigned or "=").removeprefix("=").split("|"):
            if value and value != "...":
                assert not wrong_value(name, value)


def wrong_value(name: str, value: str) -> str:
    """Return what is wrong with a value as one of the field's, or nothing; it may need others of other fields."""
    try:
        build_config({}, parse_overrides([f"{name}={value}"]))
    except InputError as error:
        return str(error) if "Input should" in str(error) else ""
    return ""


@each
def test_variables_deployments_and_options_are_there(readme: Readme) -> None:
    for variable in re.findall(r"\bNMT_[A-Z0-9_]+\b", readme.text):
        assert variable in SOURCES or variable.removeprefix("NMT_") in readme.text, variable
    for code in readme.inline:
        if re.fullmatch(r"(train|ablation|evaluate|translate)/[\w-]+", code):
            assert code in deployments()
        if code.startswith("--"):
            assert set(re.findall(r"--[a-z][\w-]+", code)) <= known_options(), code


def known_options() -> set[str]:
    """Return the options of all commands of `nmt`, and those that our programs and make pass on."""
    ours = {
        option
        for command in nmt_commands().values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    return ours | {"--help"} | set(re.findall(r"--[a-z][\w-]+", (ROOT / "Makefile").read_text("utf8") + SOURCES))


@each
def test_links_lead_somewhere(readme: Readme) -> None:
    for link in readme.links:
        path, _, anchor = link.partition("#")
        target = (readme.folder / path).resolve() if path else ROOT / readme.name
        name = str(target.relative_to(ROOT))
        if name in NAMES and name not in READMES:
            continue  # Not written yet.
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf8")), link


def test_flows_readme_leaves_out_no_command_preset_or_file() -> None:
    readme = READMES["flows/README.md"]
    inline = set(readme.inline)
    assert {f"nmt {command}" for command in COMMANDS} <= inline
    assert set(preset_names()) <= inline
    files = {path.name for path in (ROOT / "flows").rglob("*.py") if path.name != "__init__.py"}
    listed = set(re.findall(r"`([\w.]+\.py)`", readme.text.partition("## Files")[2]))
    assert listed == files

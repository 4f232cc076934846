"""Tries a command as far as it goes without servers, networks or seconds of work: what is wrong in it raises."""

import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.commands.app import app
from flows.presets import load_config, preset_names
from pipeline.inference.predictions import PARAMETERS
from pipeline.serving.protocol import Invocation, read_invocation
from tests.commands import ASSIGNMENT, PARSERS, UNTRIED, parse_nmt, parse_prefect
from tests.infra.manifests import compose_file, objects
from tests.readmes import ROOT

OUR_PATH = re.compile(r"(?:(?:--)?[\w-]+=)?((?:model|pipeline|flows|infra|tests)/[\w./-]*)")
BOUNDARIES = (
    *("flows.commands.app.running_flow", "flows.commands.models.running_flow"),
    *("flows.commands.models.serve_until_stopped", "flows.commands.line_translation.translate_lines_of"),
    *("infra.ui.serve_ui", "infra.stack.bring_up", "infra.stack.take_down", "infra.running_stack.find_stack"),
    *("infra.orchestrator.prepare_pool", "flows.commands.home.clean.clean_home"),
    *("flows.commands.home.runs.show_runs", "flows.commands.home.inspect.inspect_preset"),
    *("flows.commands.home.verify.verify_model", "flows.commands.home.store.list_home"),
    "flows.commands.home.store.collect_home",
)
"""Where the commands of `nmt` begin their work, after all checks of what was typed."""


class Reached(Exception):  # noqa: N818 - no error
    """The work would begin here: nothing that was typed is wrong."""


def stop_at_boundaries(patch: pytest.MonkeyPatch) -> None:
    """Have the commands of `nmt` raise Reached where their work begins, and leave the libraries' logs alone."""

    def stop(*_: Any, **__: Any) -> None:
        raise Reached

    for name in BOUNDARIES:
        patch.setattr(name, stop)
    for module in ("models", "stack"):
        patch.setattr(f"flows.commands.{module}.quieten_libraries", lambda: None)


def try_command(words: Sequence[str], presets: Mapping[str, str]) -> None:
    """Try a command in the current folder, which takes the files that it names; `presets` are those of the README."""
    words = list(words)
    while words and ASSIGNMENT.match(words[0]):
        del words[0]
    for word in words:
        check_paths(word, ROOT)
    if words and words != ["nmt"]:
        program = PurePath(words[0]).name
        if program == "nmt":
            try_nmt(words[1:], presets)
        elif program in TRIALS:
            TRIALS[program](words[1:])
        else:
            assert program in UNTRIED, f"{program}: no such program is known here"


def check_paths(word: str, folder: Path) -> None:
    """Raise AssertionError if a word is one of the repository's paths, and there is nothing."""
    found = OUR_PATH.fullmatch(word)
    if found and PurePath(found[1]).name != ".env":
        assert (folder / found[1]).exists() or (ROOT / found[1]).exists(), f"{found[1]}: there is no such file"


def try_nmt(words: list[str], presets: Mapping[str, str]) -> None:
    if "--help" not in words:
        make_files(parse_nmt(words), presets)
    run = CliRunner().invoke(app, words)
    assert isinstance(run.exception, Reached) or run.exit_code == 0, run.output


def make_files(parameters: Mapping[str, Any], presets: Mapping[str, str]) -> None:
    """Make, in the current folder, the files that a command of `nmt` reads before its work begins."""
    preset, source = parameters.get("preset"), parameters.get("source")
    if preset and preset.endswith(".yaml"):
        Path(preset).write_text(presets.get(preset, "description: mine\n"), "utf8")
    if source and "://" not in source:
        Path(source).write_text("Ein Hund.\n", "utf8")


def try_prefect(words: list[str]) -> None:
    parse_prefect(words)
    if words[:2] == ["deployment", "run"]:
        parameters = [after for before, after in pairwise(words) if before in {"-p", "--param"}]
        check_run(words[2], dict(parameter.split("=", 1) for parameter in parameters))


def deployments() -> dict[str, dict[str, Any]]:
    """Return the deployments of infra/prefect.yaml as `prefect deployment run` calls them."""
    content = yaml.safe_load((ROOT / "infra/prefect.yaml").read_text("utf8"))["deployments"]
    return {f"{each['entrypoint'].rpartition('.')[2]}/{each['name']}": each for each in content}


def check_run(name: str, given: Mapping[str, str]) -> None:
    """Raise if there is no such deployment, or its flow does not take these parameters."""
    assert name in deployments(), f"{name}: there is no such deployment"
    deployment = deployments()[name]
    module, _, function = deployment["entrypoint"].rpartition(".")
    takes = inspect.signature(getattr(importlib.import_module(module), function).fn).parameters
    assert set(given) <= set(takes), f"{name} takes {', '.join(takes)}"
    preset = given.get("preset", deployment["parameters"].get("preset"))
    if "overrides" in given:
        load_config(preset or "captions", json.loads(given["overrides"]))


def try_make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text("utf8")
    targets = {word for words in re.findall(r"^\.PHONY: (.+)$", text, flags=re.M) for word in words.split()}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            assert f"$({name})" in text, f"{name}: the Makefile has no such variable"
            assert name != "PRESET" or value in preset_names(), f"{value}: there is no such preset"
        else:
            assert name in targets, f"{name}: the Makefile has no such target"


def try_python(words: list[str]) -> None:
    if words[0] == "-c":
        compile(words[1], "README", "exec")
    elif words[0] == "-m":
        found = importlib.util.find_spec(words[1])
        assert found is not None, f"{words[1]}: there is no such module"
        if words[1].startswith("tests.") and found.origin:
            options = {word for word in words if word.startswith("--")}
            assert {word for word in options if f'"{word}"' not in Path(found.origin).read_text("utf8")} == set()
    else:
        assert (ROOT / words[0]).is_file(), f"{words[0]}: there is no such file"


def try_curl(words: list[str]) -> None:
    """A request to a served model."""
    assert words[1].endswith(("/invocations", "/ping", "/health", "/version"))
    if "-d" in words:
        asked = read_invocation(words[words.index("-d") + 1].encode(), PARAMETERS)
        assert isinstance(asked, Invocation), asked


def try_docker(words: list[str]) -> None:
    if words[0] == "compose":
        services, command = services_and_command(words[1:])
        assert set(services) <= set(compose_file()["services"]), services
        try_inside(command)
    elif words[0] == "run":
        volumes = {f"nmt_{volume}" for volume in compose_file()["volumes"]}
        assert set(re.findall(r"\bnmt_\w+", " ".join(words))) <= volumes


def services_and_command(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the services that `docker compose` is told, and the command that it is to execute in one."""
    plain: list[str] = []
    following = iter(words)
    for word in following:
        if word in {"--profile", "--scale"}:
            next(following)
        elif not word.startswith("-") or (len(plain) > 2 and plain[0] == "exec"):
            plain.append(word)
    return (plain[1:2], plain[2:]) if plain[0] == "exec" else (plain[1:], [])


def try_kubectl(words: list[str]) -> None:
    named = {f"{d['kind'].lower()}/{d['metadata']['name']}" for d in objects()} | {"service/nmt-head-svc"}
    for word in words:
        assert word in named or not re.match(r"(deployment|service|job)/", word), f"{word}: there is no such object"
    try_inside(words[words.index("--") + 1 :] if "--" in words else [])


def try_inside(command: list[str]) -> None:
    """Try what a container is to execute."""
    if command:
        assert command[0] in TRIALS or command[0] in UNTRIED, command
        TRIALS.get(command[0], list)(command[1:])


TRIALS: Mapping[str, Callable[[list[str]], Any]] = {
    **PARSERS,
    "prefect": try_prefect,
    "make": try_make,
    "python": try_python,
    "curl": try_curl,
    "docker": try_docker,
    "kubectl": try_kubectl,
}

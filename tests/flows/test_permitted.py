"""What a deployment's run may read and write: the attacks of one who may start runs, on the flows themselves."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.ablation import ablation
from flows.evaluate import evaluate
from flows.permitted import PATH_FIELDS, SOURCE_FIELDS, SOURCE_LISTS, check_read, check_write
from flows.presets import load_config
from flows.train import train
from flows.translate import translate
from pipeline.errors import InputError
from pipeline.overrides import text_fields

SECRET = "SECRETTOKEN"  # noqa: S105
FILES_TO_READ = ("corpus.path", "corpus.target_path", "tokenizer.model", "tokenizer.target_model")
TEXTS_THAT_ARE_NO_FILES = {
    *("name", "description", "corpus.dataset", "corpus.subset", "corpus.revision", "corpus.source_column"),
    *("corpus.target_column", "registry.experiment", "training.validate_every", "corpus.curriculum.until"),
    *(f"{name}.{field}" for name in SOURCE_LISTS for field in ("name", "dataset", "subset", "revision")),
    *(f"{name}.{side}_column" for name in SOURCE_LISTS for side in ("source", "target")),
    "evaluation.test_sets.split",
}


@pytest.fixture
def secret(tmp_path: Path, nmt_home: Path) -> Path:
    """A file of the worker's that is nobody else's business; a preset by its name."""
    file = tmp_path / "secret.yaml"
    file.write_text(f"token: {SECRET}\n")
    (nmt_home / "files").mkdir(parents=True)
    return file


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, secret: Path) -> None:
    """Be a run of a deployment, as Prefect lets a test say."""
    for name in ("NMT_READ_ROOTS", "NMT_WRITE_ROOTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "0c3d")


def with_path(name: str, path: str) -> dict[str, Any]:
    """Return overrides that name a file, and are valid."""
    more: dict[str, Any] = {}
    if name == "corpus.target_path":
        more = {"corpus.path": f"{os.environ['NMT_HOME']}/files/x.de"}
    if name == "tokenizer.target_model":
        more = {"tokenizer.model": f"{os.environ['NMT_HOME']}/files/x.model", "tokenizer.joint": False}
        more["model.tied_embeddings"] = "decoder"
    return {**more, name: path}


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("name", FILES_TO_READ)
@pytest.mark.parametrize("flow", [train, ablation])
def test_no_field_of_a_configuration_reads_another_file(flow: Any, name: str, secret: Path) -> None:
    with pytest.raises(InputError, match=rf"^{name}=.*: this run may read only in .*files; .*NMT_READ_ROOTS"):
        flow.fn(preset="captions", overrides=with_path(name, str(secret)))


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("flow", [train, ablation, evaluate])
def test_no_preset_is_read_from_elsewhere(flow: Any, secret: Path) -> None:
    with pytest.raises(InputError, match=r"^--preset .*secret.yaml: this run may read only in ") as caught:
        flow.fn(preset=str(secret))
    assert SECRET not in str(caught.value)
    with pytest.raises(InputError, match=r"^--preset .*missing.yaml: this run may read only in "):
        flow.fn(preset=str(secret.with_name("missing.yaml")))


@pytest.mark.usefixtures("deployed")
def test_an_evaluation_reads_no_other_pairs(secret: Path) -> None:
    with pytest.raises(InputError, match=r"^corpus.path=.*: this run may read only in "):
        evaluate.fn(preset="captions", overrides={"corpus.path": str(secret)})


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    "escape",
    [
        lambda files, secret: str(secret),
        lambda files, secret: f"{files}/../../{secret.name}",
        lambda files, secret: f"{files}/link",
        lambda files, secret: f"{files}/folder",
        lambda files, secret: f"{files}x/in.txt",
        lambda files, secret: f"file://{files}/../../{secret.name}",
        lambda files, secret: f"file://{files}/in.txt",
        lambda files, secret: "s3://bucket/in.txt",
        lambda files, secret: "~nobody-of-that-name/in.txt",
        lambda files, secret: f"{files}/\0",
    ],
)
def test_a_translation_reads_and_writes_nothing_else(
    escape: Callable[[Path, Path], str], secret: Path, nmt_home: Path
) -> None:
    files = nmt_home / "files"
    (files / "link").symlink_to(secret)
    (files / "folder").mkdir()
    (files / "folder" / "in.txt").symlink_to(secret)
    (files / "in.txt").write_text("Ein Hund.\n")
    outside = escape(files, secret)
    with pytest.raises(InputError, match=r"^source .*: this run may read only in .*NMT_READ_ROOTS"):
        translate.fn(source=outside, output=str(files / "out.txt"))
    if not outside.endswith("/folder"):  # Where it is a file that is written.
        with pytest.raises(InputError, match=r"^--output .*: this run may write only in .*NMT_WRITE_ROOTS"):
            translate.fn(source=str(files / "in.txt"), output=outside)
    assert secret.read_text() == f"token: {SECRET}\n"


@pytest.mark.usefixtures("deployed")
def test_roots_are_what_the_operator_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "data")
    monkeypatch.setenv("NMT_READ_ROOTS", f"s3://bucket/in:{tmp_path / 'alias'}:file://{tmp_path}/other")
    for given in ("s3://bucket/in/a.txt", "s3://bucket//in/a.txt", f"{tmp_path}/data/a.txt", f"{tmp_path}/other/a"):
        check_read(given, given)
    for given in ("s3://bucket/in/../a.txt", "s3://bucket/input", "s3://other/in/a", f"{tmp_path}/a", "gs://bucket/in"):
        with pytest.raises(InputError, match="may read only in s3://bucket/in, "):
            check_read(given, given)
    with pytest.raises(InputError, match="may write only in"):
        check_write(f"{tmp_path}/data/a.txt", "--output")


@pytest.mark.usefixtures("deployed")
def test_by_default_a_deployment_has_a_folder_of_the_storage(nmt_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_read(f"{nmt_home}/files/in.txt", "source")
    monkeypatch.setenv("NMT_STORAGE", "s3://nmt")
    check_write("s3://nmt/files/out.txt", "--output")
    for store in ("s3://nmt/store/x", f"{nmt_home}/files/in.txt"):
        with pytest.raises(InputError, match="may write only in s3://nmt/files"):
            check_write(store, "--output")


def test_the_command_line_may_what_its_user_may_unless_roots_are_named(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_read(str(secret), "source")
    check_write(str(secret), "--output")
    monkeypatch.setenv("NMT_READ_ROOTS", "/data")
    with pytest.raises(InputError, match="may read only in /data"):
        check_read(str(secret), "source")


def test_every_text_of_a_configuration_is_known_to_be_a_file_or_none() -> None:
    of_sources = {f"{name}.{field}" for name in SOURCE_LISTS for field in SOURCE_FIELDS}
    assert text_fields() == {*FILES_TO_READ} | of_sources | TEXTS_THAT_ARE_NO_FILES
    assert PATH_FIELDS == FILES_TO_READ


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("field", SOURCE_FIELDS)
@pytest.mark.parametrize("name", SOURCE_LISTS)
def test_no_source_of_several_reads_another_file(name: str, field: str, secret: Path, nmt_home: Path) -> None:
    own = {"name": "own", "path": f"{nmt_home}/files/x.de", field: str(secret)}
    with pytest.raises(InputError, match=rf"^{name}.1.{field}=.*: this run may read only in "):
        load_config("captions", {name: [{"name": "captions", "dataset": "captions"}, own]})


@pytest.mark.parametrize(
    "text",
    [
        f"token: {SECRET}\n",
        f"name: app\npassword: {SECRET}\n",
        f"corpus: {{path: x}}\nusers: [{{token: {SECRET}}}]\n",
        f"model: {SECRET}\n",
        f"name: [{SECRET}]\n",
        f"corpus: {{path: [{SECRET}]}}\n",
        f"training: {{epochs: {SECRET}}}\n",
        f"training: {{epoch: {SECRET}}}\n",
        f"paths: {SECRET}\n",
        f"token: *{SECRET}\n",
        f"token: !{SECRET} x\n",
        f"a: b: {SECRET}\n",
        f"{SECRET}\n",
        f"- {SECRET}\n",
    ],
)
def test_a_file_that_is_no_preset_is_not_quoted(text: str, tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_config(str(tmp_path / "app.yaml"), {})
    assert SECRET not in str(caught.value)


@pytest.fixture
def as_a_deployment(prefect_server: str) -> Iterator[Callable[[Any, dict[str, Any]], Any]]:
    """Run a flow as a worker does: in a run that Prefect has made of a deployment."""

    async def made(flow: Any, parameters: dict[str, Any]) -> Any:
        async with get_client() as client:
            deployment = await client.create_deployment(await client.create_flow(flow), name="attack")
            return await client.create_flow_run_from_deployment(deployment, parameters=parameters)

    with temporary_settings({PREFECT_API_URL: prefect_server}):
        yield lambda flow, parameters: run_flow(flow, asyncio.run(made(flow, parameters)), parameters)


def test_prefect_says_which_runs_are_of_a_deployment(
    as_a_deployment: Callable[[Any, dict[str, Any]], Any], secret: Path
) -> None:
    with pytest.raises(InputError, match="this run may read only in "):
        as_a_deployment(train, {"preset": str(secret)})
    with pytest.raises(InputError, match="not a preset"):
        train(preset=str(secret))

"""The direction flows -> pipeline -> model, and one third-party system a file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "model": {"model"},
    "pipeline": {"pipeline", "model"},
    "infra": {"infra", "pipeline"},
    "flows": {"flows", "pipeline", "infra"},
}
FILES_OF_SYSTEMS = {
    "ray": {
        "pipeline/cluster.py",
        "pipeline/distributed.py",
        "pipeline/ray_run.py",
        "pipeline/ray_translation.py",
        "pipeline/ray_worker.py",
        "pipeline/serving.py",
    },
    "mlflow": {
        "pipeline/runs.py",
        "pipeline/ablation_runs.py",
        "pipeline/registry.py",
        "pipeline/pulled.py",
        "pipeline/pyfunc.py",
        "pipeline/scored_runs.py",
    },
    "prefect": {
        "flows/tasks.py",
        "flows/train.py",
        "flows/ablation.py",
        "flows/evaluate.py",
        "flows/translate.py",
        "flows/server.py",
        "infra/pool.py",
        "infra/profile.py",
    },
    "psycopg": {"infra/postgres.py"},
    "psutil": {"infra/processes.py"},
    "httpx": {"infra/services.py"},
    "datasets": {"pipeline/sources.py"},
    "huggingface_hub": {"pipeline/hub.py"},
    "sentencepiece": {"pipeline/subwords.py"},
    "sacrebleu": {"pipeline/metrics.py"},
    "matplotlib": {"pipeline/report.py"},
    "pyarrow": {"pipeline/encoding.py", "pipeline/storage.py", "pipeline/text_files.py"},
}
FILES_OF_PACKAGES = [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    """Yield the top-level packages that a file imports anywhere; relative imports stay within its own."""
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_there_are_files_to_look_at() -> None:
    assert len(FILES_OF_PACKAGES) > 30


@pytest.mark.parametrize("path", FILES_OF_PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    assert set(imports(path)) & set(MAY_IMPORT) <= MAY_IMPORT[package]


@pytest.mark.parametrize(("system", "files"), FILES_OF_SYSTEMS.items())
def test_a_third_party_system_is_known_to_few_files_and_a_file_to_one_system(system: str, files: set[str]) -> None:
    assert {str(path.relative_to(ROOT)) for path in FILES_OF_PACKAGES if system in imports(path)} == files


def test_the_model_is_pure_torch() -> None:
    standard = {"typing", "dataclasses", "collections", "math", "random"}
    for path in (ROOT / "model").glob("*.py"):
        foreign = set(imports(path)) - standard - {"torch", "pydantic", "model"}
        assert foreign == set(), path

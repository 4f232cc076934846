"""The layout: rooms in one order, each third-party system known to one of them, and none of them too large."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = (
    "model.kernels",
    "model",
    "model.search",
    "pipeline.errors",
    "pipeline.amounts",
    "pipeline.stopping",
    "pipeline.processes",
    "pipeline.gc_tuning",
    "pipeline.language_tags",
    "pipeline.source_config",
    "pipeline.data_config",
    "pipeline.noise_config",
    "pipeline.config",
    "pipeline.overrides",
    "pipeline.store",
    "pipeline.rows",
    "pipeline.corpus.captions",
    "pipeline.corpus.cleaning",
    "pipeline.corpus",
    "pipeline.inference",
    "pipeline.batches",
    "pipeline.noise",
    "pipeline.metrics",
    "pipeline.training",
    "pipeline.evaluation",
    "pipeline.ablation",
    "pipeline.registry",
    "pipeline.serving",
    "pipeline.cluster",
    "pipeline.upkeep",
    "infra",
    "flows",
    "flows.commands",
)
"""The rooms from the ground up: each imports those before it, and no other."""
ROOM_OF_SYSTEM = {
    "numba": {"model.kernels"},
    "llvmlite": {"model.kernels"},
    "triton": {"model.kernels"},
    "pyarrow.fs": {"pipeline.store"},
    "pyarrow.parquet": {"pipeline.rows"},
    "pyarrow.ipc": {"pipeline.batches"},
    "pyarrow": {"pipeline.store", "pipeline.rows", "pipeline.batches"},  # Its arrays: these three alone.
    "datasets": {"pipeline.corpus"},
    "huggingface_hub": {"pipeline.corpus"},
    "sentencepiece": {"pipeline.inference"},
    "sacrebleu": {"pipeline.metrics"},
    "matplotlib": {"pipeline.ablation", "pipeline.corpus.cleaning"},
    "ftfy": {"pipeline.corpus.cleaning"},
    "py3langid": {"pipeline.corpus.cleaning"},
    "rensa": {"pipeline.corpus.cleaning"},
    "mlflow": {"pipeline.registry"},
    "ray": {"pipeline.cluster"},
    "starlette": {"pipeline.serving", "infra"},
    "uvicorn": {"pipeline.serving", "infra", "flows"},  # Prefect's server is one of its, too.
    "psycopg": {"infra"},
    "psutil": {"infra", "pipeline.cluster"},
    "httpx": {"infra"},
    "prefect": {"flows", "infra"},
    "typer": {"flows.commands"},
    "rich": {"flows.commands"},
}
FILES_WITH_PREFECT = {"infra/orchestrator.py", "infra/prefect_database.py", "infra/prefect_internals.py"}
"""Beside `flows/`."""
CAPTIONS = "pipeline.corpus.captions"
MOST_LINES, MOST_FILES = 300, 12
FILES = [path for package in ("model", "pipeline", "infra", "flows") for path in sorted((ROOT / package).rglob("*.py"))]


def name_of(path: Path) -> str:
    """Return a file's name as a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str | None:
    """Return the room that a module is in: the longest that its name begins with."""
    fitting = [room for room in ORDER if f"{module}.".startswith(f"{room}.")]
    return max(fitting, key=len, default=None)


def imports(path: Path) -> Iterator[str]:
    """Yield the full names that a file imports anywhere, relative ones too."""
    here = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here.split(".")[: len(here.split(".")) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            yield from (f"{source}.{alias.name}" for alias in node.names)


ids = [str(path.relative_to(ROOT)) for path in FILES]


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 100
    assert "pipeline.store.storage.Folder" in set(imports(ROOT / "pipeline/store/store.py"))
    assert "model.attention.SourceMemory" in set(imports(ROOT / "model/search/beam.py"))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    room = room_of(name_of(path))
    if path == ROOT / "pipeline/__init__.py":
        assert not list(imports(path))
        return
    assert room is not None, f"{path} is in no room; add it to ORDER"
    above = {name for name in imports(path) if (other := room_of(name)) and ORDER.index(other) > ORDER.index(room)}
    assert not above


def test_only_the_pool_and_the_door_know_what_is_theirs() -> None:
    """The captions have one door; `inference` runs without the rest of the pipeline."""
    for path in FILES:
        inside = room_of(name_of(path)) == CAPTIONS
        entered = {name for name in imports(path) if name.startswith(CAPTIONS)}
        assert inside or entered <= {f"{CAPTIONS}.generate_pairs"}, path
    for path in (ROOT / "pipeline/inference").glob("*.py"):
        ours = {name for name in imports(path) if name.startswith("pipeline.")}
        assert all(name.startswith(("pipeline.inference.", "pipeline.errors.")) for name in ours), path


@pytest.mark.parametrize(("system", "rooms"), ROOM_OF_SYSTEM.items())
def test_a_third_party_system_is_known_to_one_room(system: str, rooms: set[str]) -> None:
    knowing = {path for path in FILES if any(f"{name}.".startswith(f"{system}.") for name in imports(path))}
    assert {room_of(name_of(path)) for path in knowing} == rooms
    if system == "prefect":
        outside = {str(path.relative_to(ROOT)) for path in knowing if room_of(name_of(path)) == "infra"}
        assert outside == FILES_WITH_PREFECT


def test_the_model_is_pure_torch_beside_its_kernels() -> None:
    standard = {
        "typing",
        "dataclasses",
        "collections",
        "math",
        "random",
        "contextlib",
        "functools",
        "statistics",
        "time",
    }
    for path in (ROOT / "model").rglob("*.py"):
        if room_of(name_of(path)) == "model.kernels":
            continue
        foreign = {name.partition(".")[0] for name in imports(path)} - standard - {"torch", "pydantic", "model"}
        assert foreign == set(), path


def test_no_file_and_no_room_is_too_large() -> None:
    long = {name: lines for name, path in zip(ids, FILES, strict=True) if (lines := line_count(path)) > MOST_LINES}
    assert set(long) <= {"pipeline/corpus/captions/frames.py"}, long
    sizes = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in FILES}}
    rooms = {str(folder.relative_to(ROOT)): size for folder, size in sizes.items() if folder.parts[-1] in ROOM_NAMES}
    assert all(size <= MOST_FILES for room, size in rooms.items() if "captions" not in room), rooms


ROOM_NAMES = {room.rpartition(".")[2] for room in ORDER if room.startswith("pipeline.")}


def line_count(path: Path) -> int:
    """Return the lines of a file."""
    return path.read_text("utf8").count("\n")


def test_every_room_says_what_it_is() -> None:
    map_of_rooms = (ROOT / "pipeline/__init__.py").read_text("utf8")
    for folder in sorted(
        path for path in (ROOT / "pipeline").iterdir() if path.is_dir() and path.name != "__pycache__"
    ):
        tree = ast.parse((folder / "__init__.py").read_text("utf8"))
        assert ast.get_docstring(tree), folder
        assert len(tree.body) == 1, f"{folder}: nothing is re-exported"
        assert f"    {folder.name} " in map_of_rooms, f"{folder} is not in the list of rooms"

"""The digest of code: what counts and what does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store import code
from pipeline.store.code import code_digest

FILES = {
    "pipeline/__init__.py": "",
    "pipeline/stage.py": 'from pipeline import used\n\n\ndef build():\n    """Say."""\n    return used.VALUE\n',
    "pipeline/used.py": "VALUE = 1\n",
    "pipeline/unused.py": "VALUE = 1\n",
    "pipeline/errors.py": "VALUE = 1\n",
    "model/__init__.py": "from .deep import VALUE\n",
    "model/deep.py": "VALUE = 1\n",
}


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    code_digest.cache_clear()
    code._parsed.cache_clear()


def changes_digest(file: Path, text: str) -> bool:
    before = code_digest("pipeline.stage")
    file.write_text(text)
    forget()
    return code_digest("pipeline.stage") != before


def test_what_is_imported_counts_also_inside_functions(tree: Path) -> None:
    stage = tree / "pipeline/stage.py"
    assert changes_digest(tree / "pipeline/used.py", "VALUE = 2\n")
    assert changes_digest(stage, FILES["pipeline/stage.py"].replace("VALUE", "VALUE + 1"))
    assert changes_digest(stage, stage.read_text() + "\n\ndef late():\n    import model\n")
    assert changes_digest(tree / "model/deep.py", "VALUE = 2\n"), "relative imports too"


def test_comments_docstrings_and_what_is_not_imported_do_not_count(tree: Path) -> None:
    text = FILES["pipeline/stage.py"].replace("Say.", "Say it in other words.")
    assert not changes_digest(tree / "pipeline/stage.py", f"# A comment.\n{text}\n")
    assert not changes_digest(tree / "pipeline/unused.py", "VALUE = 2\n")
    with_errors = text.replace("import used", "import errors, used")
    changes_digest(tree / "pipeline/stage.py", with_errors)
    assert not changes_digest(tree / "pipeline/errors.py", "VALUE = 2\n")


def test_the_code_of_others_is_not_looked_into() -> None:
    """Their versions are in the manifest."""
    assert code._parsed("json") == ("", ())

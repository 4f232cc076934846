"""model/README.md lists every file of the folder, every option of the network and every value of it."""

import re
from pathlib import Path
from typing import get_args

import pytest

import model
from model.config import ModelConfig

FOLDER = Path(str(model.__file__)).parent
TEXT = (FOLDER / "README.md").read_text("utf8")


def test_every_file_has_a_line() -> None:
    listed = re.findall(r"^\| `([\w/]+\.py)` \|", TEXT, re.MULTILINE)
    assert sorted(listed) == sorted(
        str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.py") if path.name != "__init__.py"
    )


@pytest.mark.parametrize("name", ModelConfig.model_fields)
def test_every_option_and_value_is_there(name: str) -> None:
    assert f"`model.{name}" in TEXT
    assigned = re.findall(rf"`model\.{name}=([^`]+)`", TEXT)
    values = {value for values in assigned for value in values.split(r"\|")}
    expected = {str(value) for value in get_args(ModelConfig.model_fields[name].annotation) if isinstance(value, str)}
    assert expected - {"default"} <= values

"""The map of rooms and files in pipeline/README.md: complete, in order, and as the rooms describe themselves."""

import ast
import re
from pathlib import Path

PIPELINE = Path(__file__).parents[2] / "pipeline"
TABLE = (PIPELINE / "README.md").read_text("utf8").partition("## Rooms and files")[2].partition("\n## ")[0]
ROOMS = re.findall(r"^\| \*\*(\w+)/\*\*(?: (\[.*?\]))? \|", TABLE, flags=re.M)


def test_every_file_is_listed_in_its_room() -> None:
    listed: dict[str, set[str]] = {"": set()}
    room = ""
    for line in TABLE.splitlines():
        if found := re.match(r"\| \*\*(\w+)/\*\*", line):
            room = found[1]
            listed[room] = set()
        elif line.startswith("| `"):
            listed[room] |= set(re.findall(r"`(\w+\.py)`", line.split(" | ")[0]))
    folders = {
        "": PIPELINE,
        **{folder.name: folder for folder in PIPELINE.iterdir() if (folder / "__init__.py").exists()},
    }
    assert listed == {
        name: {path.name for path in folder.glob("*.py")} - {"__init__.py"} for name, folder in folders.items()
    }


def test_rooms_are_in_order_with_their_systems() -> None:
    order = re.findall(
        r"^    (\w+)  ", ast.get_docstring(ast.parse((PIPELINE / "__init__.py").read_text("utf8"))) or "", re.M
    )
    assert [name for name, _ in ROOMS] == order
    for name, systems in ROOMS:
        description = ast.get_docstring(ast.parse((PIPELINE / name / "__init__.py").read_text("utf8"))) or ""
        assert re.findall(r"\[.*?\]", description.splitlines()[0]) == [systems] * bool(systems), name

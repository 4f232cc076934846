"""The hashes are those of the versions that the lock pins, and of all of them but torch."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def normalized(pin: str) -> str:
    """Return a pinned version with the package's name as indexes compare it."""
    name, _, version = pin.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def test_every_locked_version_but_torch_has_its_hashes() -> None:
    locked = re.findall(r"^([\w.-]+==\S+)$", (ROOT / "requirements.lock").read_text("utf8"), flags=re.M)
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.hashes").read_text("utf8").strip())
    hashes = {entry.split()[0]: re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry) for entry in entries}
    assert all(hashes.values())
    wanted = {normalized(pin) for pin in locked if not pin.startswith("torch==")}
    assert {normalized(pin) for pin in hashes} == wanted, "run `make hashes`"

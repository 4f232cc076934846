"""A process that prepares corpora from a Hub, and answers what came of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Answer = dict[str, Any]


class Child:
    """A process that prepares corpora; the server may change between two requests."""

    def __init__(self, home: Path, endpoint: str, **environment: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
        hub = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf"), "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
        self.home, self.stderr, self._read = home, home / "stderr", 0
        with self.stderr.open("w") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.prepare_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
                text=True,
                env=kept | hub | {"HF_HUB_DISABLE_TELEMETRY": "1"} | environment,
            )

    def __call__(self, store: Path, **config: Any) -> Answer:
        """Prepare a corpus; return its figures or the error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"config": config, "store": str(store)}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self.stderr.read_text()
        answer: Answer = json.loads(line)
        return answer

    def stop(self) -> None:
        """End it."""
        self._process.communicate(timeout=20)

    def told(self) -> str:
        """Return what it has written on its standard error since this was called last."""
        text = self.stderr.read_text("utf8")
        new, self._read = text[self._read :], len(text)
        return new


def lines(*pairs: tuple[str, str]) -> bytes:
    """Return pairs as lines of JSON."""
    return "".join(json.dumps({"de": de, "en": en}) + "\n" for de, en in pairs).encode()

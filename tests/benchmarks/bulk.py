"""`make bench-bulk`: a large file through `nmt translate`, killed in the middle and started again, beside one process.

Prints sentences/s of the workers and of a single process, and the most memory that the command and all its workers
held, for a tenth of the file and for all of it.

    python -m tests.benchmarks.bulk --model captions --sentences 200000
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from pipeline.corpus.captions import generate_pairs

NMT = str(Path(sys.executable).with_name("nmt"))


def run(command: list[str], kill_after: float | None = None) -> dict[str, Any]:
    """Run a command; return its seconds and the most memory that it and its children held, in MiB."""
    began = time.monotonic()
    process = subprocess.Popen(command, start_new_session=True)
    peak = {"command": 0.0, "with workers": 0.0}
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(process.pid)
            sizes = [_unshared(child) for child in [own, *own.children(recursive=True)]]
            peak["command"] = max(peak["command"], sizes[0])
            peak["with workers"] = max(peak["with workers"], sum(sizes))
        if kill_after is not None and time.monotonic() - began > kill_after:
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(0.5)
    return {"seconds": round(time.monotonic() - began, 1), "rc": process.returncode} | {
        f"MiB of {name}": round(size) for name, size in peak.items()
    }


def _unshared(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().uss) / 2**20
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


def main() -> None:
    """Measure, check the result, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="captions")
    parser.add_argument("--sentences", type=int, default=200_000)
    parser.add_argument("--beam", default="5")
    parser.add_argument("--kill-after", type=float, default=240.0, help="seconds")
    arguments = parser.parse_args()
    count, options = arguments.sentences, ["--model", arguments.model, "--beam", arguments.beam]
    with TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.txt", Path(folder) / "large.txt"
        # Different sentences: what is done for one file is done for the other too.
        small.write_text("".join(f"{source}\n" for source, _ in generate_pairs(count // 10, seed=21)))
        large.write_text("".join(f"{source}\n" for source, _ in generate_pairs(count, seed=22)))
        single = Path(folder) / "single.txt"
        single.write_text("".join(large.read_text().splitlines(keepends=True)[: count // 20]))
        with single.open() as stream:
            began = time.monotonic()
            alone = subprocess.run([NMT, "translate", *options], stdin=stream, capture_output=True, check=True)
            seconds = time.monotonic() - began
        found: dict[str, Any] = {"single process": {"sentences": count // 20, "seconds": round(seconds, 1)}}
        workers = [NMT, "translate", *options, "--workers", str(os.cpu_count())]
        found["a tenth"] = run([*workers, str(small), "-o", f"{folder}/small.out"])
        found["killed"] = run([*workers, str(large), "-o", f"{folder}/large.out"], arguments.kill_after)
        assert not Path(folder, "large.out").exists()
        found["started again"] = run([*workers, str(large), "-o", f"{folder}/large.out"])
        lines = Path(folder, "large.out").read_text().split("\n")[:-1]
        assert len(lines) == count
        assert lines[: count // 20] == alone.stdout.decode().split("\n")[:-1], "in order, and the same"
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

"""`nmt verify`: whether all is still there and whole that a registered model was made from, on one page."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from flows.commands.console import one_line_errors, quieten_libraries
from flows.commands.streams import print_json
from flows.commands.tables import print_line, print_rows, size_text, time_text
from flows.presets import load_config, preset_names
from pipeline.errors import InputError

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.upkeep.verification import Verification


@one_line_errors()
def verify(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Check this registered model, by name (its champion) or URI.")
    ],
    write_preset: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Also write its whole configuration as a preset, for `nmt train --preset`."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")] = False,
) -> None:
    """Check what a registered model was made from, back to its corpus.

    Shows each stage, whether its files are those that were made, and the command that makes the model again. The exit
    code is 1 if anything is missing or damaged.
    """
    if write_preset is not None:
        _check_place(write_preset)
    if not verify_model(model, write_preset, as_json):
        sys.exit(1)


def _check_place(given: str) -> None:
    """Raise InputError where no preset can be written. One that is there may hold somebody's work."""
    path = Path(given)
    if path.suffix not in {".yaml", ".yml"}:
        raise InputError(f"--write-preset {given}: `nmt train` takes presets that end in .yaml; name it so")
    if path.exists() or not path.absolute().parent.is_dir():
        reason = "it is there already" if path.exists() else f"there is no folder {path.absolute().parent}"
        raise InputError(f"--write-preset {given}: {reason}; name another file")


def verify_model(model: str, write_preset: str | None, as_json: bool) -> bool:
    """Verify a model and print the page; return whether all of it is whole."""
    quieten_libraries()
    from infra.running_stack import use_running_stack
    from pipeline.store.outputs import whole_file
    from pipeline.store.storage import check_storage
    from pipeline.store.writable import check_home
    from pipeline.upkeep.recipe import preset_of
    from pipeline.upkeep.verification import public
    from pipeline.upkeep.verification import verify as check

    check_storage()
    check_home()
    use_running_stack()
    found = check(model)
    if write_preset is not None:
        if found.config is None:
            raise InputError(f"--write-preset {write_preset}: {found.version.uri} has no record of its configuration")
        with whole_file(Path(write_preset)) as place:
            place.write_text(preset_of(found.config, found.version.uri), "utf8")
    command = _command(found.config, write_preset)
    if as_json:
        print_json(public(found, command))
    else:
        _print_page(found, command)
    return found.whole


def _command(config: "RunConfig | None", written: str | None) -> list[str]:
    """Return the words of the command that makes the model again; none if one needs a file that is not written."""
    from pipeline.upkeep.recipe import changes

    if written is not None:
        return ["nmt", "train", "--preset", written]
    if config is None or config.name not in preset_names():
        return []
    options = changes(config, load_config(config.name, {}))
    if options is None:
        return []
    return ["nmt", "train", "--preset", config.name, *(word for option in options for word in ("--set", option))]


def _print_page(found: "Verification", command: list[str]) -> None:
    version, console = found.version, Console(highlight=False)
    aliases = "".join(f" @{alias}" for alias in version.aliases)
    print_line("model", f"{version.uri}{aliases}")
    print_line("registered", f"{time_text(version.registered)}, MLflow run {version.run_id or 'unknown'}")
    print_line("BLEU", _scores(found))
    print()  # noqa: T201
    print_rows(
        ("stage", "fingerprint", "made", "files", "size", "state"),
        [
            (
                row.name,
                row.fingerprint[:12],
                time_text(row.made),
                str(row.files or ""),
                size_text(row.bytes) if row.path else "",
                row.state,
            )
            for row in found.rows
        ],
        right=("files", "size"),
    )
    print()  # noqa: T201
    for name, text in _figures(found):
        print_line(name, text)
    for note in found.notes:
        print_line("note", note)
    if found.problems:
        print("\nmissing or damaged:")  # noqa: T201
    for problem in found.problems:
        console.print(f"  {problem}", markup=False, soft_wrap=True)
    print("\nmake it again:" if command else "\nmake it again, from its configuration:")  # noqa: T201
    for words in [command] if command else _two_steps(found):
        console.print(f"  {shlex.join(words)}", markup=False, soft_wrap=True)
    if not command and found.config is None:
        print("  how it was made was not recorded, or this program cannot read it")  # noqa: T201


def _two_steps(found: "Verification") -> list[list[str]]:
    if found.config is None:
        return []
    file = f"{found.version.name}-{found.version.version}.yaml"
    return [["nmt", "verify", found.version.uri, "--write-preset", file], ["nmt", "train", "--preset", file]]


def _scores(found: "Verification") -> str:
    scores = found.figures["evaluation"]
    if "test" not in scores:
        return found.version.description or "not recorded"
    signature = (scores.get("signatures") or {}).get("bleu", "no signature recorded")
    return f"test {scores['test']['bleu']:.2f}, validation {scores['validation']['bleu']:.2f}; {signature}"


def _figures(found: "Verification") -> Iterator[tuple[str, str]]:
    figures = found.figures
    yield "corpus", _corpus(figures["corpus"], found.config)
    yield "tokenizer", _tokenizer(figures["tokenizer"], found.config)
    yield "training", _training(figures["training"], found.config)
    if found.versions:
        changed = found.changed_versions
        yield (
            "versions",
            ", ".join(
                f"{name} {value}" + (f" (here {changed[name]})" if name in changed else "")
                for name, value in found.versions.items()
            ),
        )
    differs = f"differs from this program's: {', '.join(found.other_code)}"
    yield "code", differs if found.other_code else "this program's"


def _corpus(figures: Mapping[str, Any], config: "RunConfig | None") -> str:
    if not figures:
        return "no figures recorded"
    counts = " + ".join(f"{number:,} {split}" for split, number in figures.get("pairs", {}).items())
    origin = figures.get("origin", {})
    told = [" + ".join(origin.get("sources", ())) or f"{origin.get('path') or origin.get('dataset')}"]
    told += [f"{name} {origin[name]}" for name in ("subset", "commit", "license") if origin.get(name)]
    if config is not None and "commit" not in origin and "sources" not in origin:
        told.append(f"seed {config.corpus.seed}")
    return f"{', '.join(told)}: {counts} pairs"


def _tokenizer(figures: Mapping[str, Any], config: "RunConfig | None") -> str:
    if not figures:
        return "no figures recorded"
    told = [f"{figures.get('target_pieces', 0):,} pieces"]
    if config is not None:
        joint = "joint" if config.tokenizer.joint else "one of each language"
        told += [config.tokenizer.model or config.tokenizer.kind, joint]
    return ", ".join(told)


def _training(figures: Mapping[str, Any], config: "RunConfig | None") -> str:
    if not figures:
        return "no figures recorded"
    workers, device = figures.get("workers"), str(figures.get("device", "")).upper()
    told = [
        f"{figures.get('steps', 0):,} steps",
        f"{figures.get('epochs')} epochs, the best {figures.get('best_epoch')}",
    ]
    told += [] if config is None else [f"seed {config.training.seed}"]
    return ", ".join([*told, f"{workers} {device} worker{'' if workers == 1 else 's'}"])


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command to a command line, under a heading of its help."""
    app.command(rich_help_panel=panel)(verify)

"""`nmt inspect`: what a corpus is made of, and what the rules would do to it; trains nothing."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from flows.commands.console import one_line_errors, quieten_libraries
from flows.commands.streams import print_json
from flows.commands.tables import on_terminal
from flows.presets import load_config
from pipeline.errors import InputError
from pipeline.overrides import parse_overrides


@one_line_errors()
def inspect(
    preset: Annotated[
        str, typer.Option("--preset", "-p", metavar="PRESET", help="Look at the corpus of this preset.")
    ] = "captions",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="FIELD=VALUE", help="Override a field, such as corpus.path=data/."),
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also write the page, as Markdown, to this file.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Show other pairs with another seed.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one line of JSON.")] = False,
) -> None:
    """Show what a corpus is made of, and what every rule would drop.

    Sizes, lengths, scripts and characters, duplicates, what train shares with validation and test, what the tokenizer
    makes of it if there is one, and pairs drawn by chance. The corpus is read or downloaded as for a training, which
    finds it in the store then; nothing is trained.
    """
    inspect_preset(preset, overrides or [], output, seed, as_json)


def inspect_preset(preset: str, overrides: list[str], output: str | None, seed: int, as_json: bool) -> None:
    """Inspect the corpus of a preset and print the page. Raises InputError for what the user named."""
    config = load_config(preset, parse_overrides(overrides))
    if output is not None and not (folder := Path(output).absolute().parent).is_dir():
        raise InputError(f"--output {output}: there is no folder {folder}; name another file")
    quieten_libraries()
    from pipeline.batches.inspection import inspect_corpus
    from pipeline.corpus.scored import ScoredSet
    from pipeline.data_config import corpus_name
    from pipeline.evaluation.further_sets import prepare_test_sets
    from pipeline.store.outputs import whole_file
    from pipeline.store.storage import check_storage
    from pipeline.store.store import Store
    from pipeline.store.writable import check_home

    check_home()
    check_storage()
    store = Store()
    scored = [ScoredSet(each.name, each.fingerprint, each.read) for each in prepare_test_sets(config, store)]
    found = inspect_corpus(config, store, scored, seed)
    page = found.page(corpus_name(config.corpus)) + "\n"
    if output is not None:
        with whole_file(Path(output)) as file:
            file.write_text(page, "utf8", newline="\n")
    if as_json:
        print_json(found.public())
    elif on_terminal():
        Console().print(Markdown(page))
    else:
        print(page, end="")  # noqa: T201


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the command to a command line, under a heading of its help."""
    app.command(rich_help_panel=panel)(inspect)

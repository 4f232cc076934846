"""The commands that use registered models: translate, evaluate, serve."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import flows.commands.search_options as opt
from flows.commands.console import one_line_errors, quieten_libraries, running_flow
from flows.commands.serve import serve_until_stopped
from flows.commands.streams import print_json
from flows.presets import check_evaluation
from pipeline.corpus.splits import find_split
from pipeline.errors import InputError
from pipeline.overrides import parse_overrides

MODEL = "registered model, by name (its champion) or URI, such as models:/captions/3."
Model = Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help=f"Use this {MODEL}")]
SMALL_BYTES = 2**20
"""A text of up to this size is translated in this process: starting workers for it would take longer."""


@one_line_errors()
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=f"Score this {MODEL}")],
    against: Annotated[
        str | None,
        typer.Option("--against", "-a", metavar="MODEL", help="Compare with this one on the same sentences."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", "-p", metavar="PRESET", help="Score on this preset's corpus; else on the model's own."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="FIELD=VALUE", help="Set a field, such as corpus.path=news.tsv; repeatable."
        ),
    ] = None,
    references: Annotated[
        list[str] | None,
        typer.Option(
            "--reference",
            "-r",
            metavar="NAME",
            help="Score against this further column, or text file beside corpus.target_path, too; repeatable.",
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="SPLIT", help="Score on train, validation or test. A file of corpus.path is scored whole."
        ),
    ] = "test",
    test_set: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Score on this one of the preset's, or the model's, evaluation.test_sets."),
    ] = None,
    device: opt.Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")] = False,
) -> None:
    """Score a registered model with BLEU, chrF, chrF++ and TER, or compare it with another.

    The test set is the model's own, unless --preset names another or --set corpus.path=news.tsv pairs of your own.
    Scores have intervals, a comparison has significance tests.
    """
    values, wanted = parse_overrides(overrides or []), find_split(split)
    opt.check_device(device)
    check_evaluation(preset, values, references or [], test_set, wanted)
    with running_flow("flows.evaluate") as flow:
        result = flow.evaluate(model, against, preset, values, wanted, references, device, test_set)
    if as_json:
        print_json(result)
        return
    print(result["markdown"])  # noqa: T201
    print(f"translations {' '.join(result['translations'])}")  # noqa: T201
    print(f"MLflow run {result['run_id']} in {result['tracking_uri']}")  # noqa: T201


@one_line_errors()
def translate(
    source: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Translate this file or folder, here or at s3://; else standard input."),
    ] = None,
    model: Model = "captions",
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to this file, here or at s3://."),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Translate this column, or language of TMX, of a file with columns; else `source`."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Use N processes on Ray; else one per GPU or CPU for large files."),
    ] = None,
    device: opt.Device = "auto",
    beam: opt.Beam = None,
    length_penalty: opt.LengthPenalty = None,
    coverage_penalty: opt.CoveragePenalty = None,
    n_best: opt.NBest = None,
    min_length: opt.MinLength = None,
    max_length: opt.MaxLength = None,
    no_repeat_ngram: opt.NoRepeatNgram = None,
    sample: opt.Sample = False,
    temperature: opt.Temperature = None,
    top_k: opt.TopK = None,
    seed: opt.Seed = None,
    replace_unknown: opt.ReplaceUnknown = None,
    max_source_length: opt.MaxSourceLength = None,
    long_lines: opt.LongLines = None,
    as_json: opt.AsJson = False,
    attention: opt.Attention = False,
) -> None:
    """Translate text with a registered model: one line out per line in.

    Workers on Ray translate large files, compressed ones, files with columns, folders and S3 into --output; such a run
    continues where it was stopped. Omitted options of the search are those that the model was evaluated with.
    """
    options = opt.SearchOptions(
        beam=beam,
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty,
        n_best=n_best,
        min_length=min_length,
        max_length=max_length,
        no_repeat_ngram=no_repeat_ngram,
        sample=sample,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        replace_unknown=replace_unknown,
        max_source_length=max_source_length,
        long_lines=long_lines,
        as_json=as_json,
        attention=attention,
    )
    options.check()
    opt.check_device(device)
    _check_files(source, output, column)
    if source is not None and (workers is not None or _needs_workers(source, output)):
        _translate_with_workers(source, output, model, column or "source", workers, options, device)
        return
    if workers is not None:
        raise InputError(f"--workers {workers}: workers translate files, not standard input; name a FILE")
    if source is not None and not Path(source).is_file():
        raise InputError(f"{source}: there is no such file; correct the name")
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise InputError(f"--output {output}: there is no folder {Path(output).absolute().parent}")
    quieten_libraries()
    from flows.commands.line_translation import translate_lines_of
    from infra.running_stack import use_running_stack
    from pipeline.store.writable import check_home

    check_home()
    use_running_stack()
    translate_lines_of(model, Path(source) if source else None, Path(output) if output else None, options, device)


def _check_files(source: str | None, output: str | None, column: str | None) -> None:
    """Refuse, before anything starts, files that cannot be read or written and a column of plain text."""
    from pipeline.rows.columns import Column
    from pipeline.rows.files import find_files, refuse_column_of_text
    from pipeline.rows.structured import refuse_unwritable

    if output is not None:
        refuse_unwritable(output, f"--output {output}")
    if source is None:
        if column is not None:
            raise InputError(f"--column {column}: standard input is plain text, which has no columns; name a FILE")
    elif "://" not in source and Path(source).exists():
        looked_for = Column("--column", column or "source")
        files = find_files(source, looked_for)
        if column is not None:
            refuse_column_of_text(files, looked_for)


def _needs_workers(source: str, output: str | None) -> bool:
    """Whether it takes more than this process: a large file, or one that is no plain text of this machine."""
    from pipeline.rows.files import is_plain

    if not is_plain(source) or (output is not None and not is_plain(output)):
        return True
    path = Path(source)
    return path.is_dir() or (output is not None and path.is_file() and path.stat().st_size > SMALL_BYTES)


def _translate_with_workers(
    source: str,
    output: str | None,
    model: str,
    column: str,
    workers: int | None,
    options: opt.SearchOptions,
    device: str,
) -> None:
    if output is None:
        raise InputError(f"{source}: workers translate such a file into another; name it with --output")
    with running_flow("flows.translate") as flow:
        result = flow.translate(source, output, model, column, options.parameters(), workers, device)
    print(f"{result['texts']:,} translations in {result['output']}", file=sys.stderr)  # noqa: T201


@one_line_errors()
def serve(
    model: Model = "captions",
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen on this address. All but loopback need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=1, max=65535, help="Listen on this port.")] = 8000,
    min_replicas: Annotated[
        int, typer.Option(metavar="N", min=1, help="Keep at least N processes, with a model each.")
    ] = 1,
    max_replicas: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Add processes under load, up to N; else one per GPU or CPU.")
    ] = None,
    threads: Annotated[int, typer.Option(metavar="N", min=1, help="Give each process N CPUs.")] = 1,
    batch: Annotated[int, typer.Option(metavar="N", min=1, max=1024, help="Translate up to N requests together.")] = 64,
    request_seconds: Annotated[
        float, typer.Option(metavar="S", min=1, max=3600, help="Give up a request that takes longer than S seconds.")
    ] = 60,
    device: opt.Device = "auto",
) -> None:
    """Answer requests with a registered model, until Ctrl-C.

    The protocol is MLflow's: POST /invocations, GET /ping, /health and /version. If NMT_SERVE_TOKEN is set, requests
    must bring it as a bearer token.
    """
    opt.check_device(device)
    quieten_libraries()
    serve_until_stopped(
        model,
        host,
        port,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        threads=threads,
        batch=batch,
        seconds=request_seconds,
        device=device,
    )


def add_to(app: typer.Typer, panel: str) -> None:
    """Add the commands to a command line, under a heading of its help."""
    for command in (translate, evaluate, serve):
        app.command(rich_help_panel=panel)(command)

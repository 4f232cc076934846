"""The flow `translate`: files of any size through a registered model, on all workers of a cluster."""

from typing import Any

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE

from flows.permitted import check_read, check_write
from flows.publishing import hide_secrets_in_logs
from flows.refusals import check_parameters, in_option_names
from flows.tasks import RETRY_DELAYS, current_view, failed_externally, model_task
from pipeline.cluster.translation import translate_chunks
from pipeline.errors import InputError, without_secrets
from pipeline.inference.devices import check_choice
from pipeline.registry.pull import LoadedModel, PulledVersion
from pipeline.rows.answers import check_output
from pipeline.rows.columns import Column
from pipeline.rows.files import RowFile, find_files, refuse_column_of_text
from pipeline.serving.bulk_translation import TranslationPlan, answers_folder, plan_translation, write_translation
from pipeline.store.outputs import is_same
from pipeline.store.storage import folder_and_name
from pipeline.store.store import Reuse, Store

USUAL_COLUMN = "source"


@task(task_run_name="texts {source}", cache_policy=NO_CACHE)
def texts_task(source: str, column: str, model: PulledVersion, parameters: dict[str, Any]) -> TranslationPlan:
    """Read the files and find what is not translated yet."""
    view = current_view()
    view.began("texts")
    looked_for = Column("--column", column)
    plan = plan_translation(find_files(source, looked_for), looked_for, answers_folder(model, parameters))
    waiting = sum(chunk.texts for chunk in plan.missing)
    if plan.damaged:
        view.warned(
            f"the answers to {plan.damaged:,} chunks in {plan.folder.uri} are damaged: they are translated again"
        )
    view.ended(f"{plan.texts:,} in {len(plan.chunks):,} chunks, {waiting:,} to translate", Reuse(not plan.missing))
    return plan


@task(
    task_run_name="translation {model.label}",
    cache_policy=NO_CACHE,
    retries=len(RETRY_DELAYS),
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=failed_externally,
)
def chunks_task(
    plan: TranslationPlan, model: PulledVersion, parameters: dict[str, Any], workers: int | None, device: str
) -> int:
    """Translate what is not translated yet."""
    view = current_view()
    waiting = sum(chunk.texts for chunk in plan.missing)
    view.began("translation", waiting, system=model.label)
    try:
        used = translate_chunks(plan, model, parameters, workers, Store(), view.advanced, device)
    except InputError as error:
        raise InputError(in_option_names(str(error), parameters)) from None
    view.ended(f"{waiting:,} texts on {used}" if waiting else f"{plan.texts:,} texts", Reuse(not waiting))
    return waiting


@task(task_run_name="output {target.given}", cache_policy=NO_CACHE)
def output_task(plan: TranslationPlan, source: str, column: str, target: RowFile) -> None:
    """Write all translations in order."""
    view = current_view()
    view.began("output")
    looked_for = Column("--column", column)
    write_translation(plan, find_files(source, looked_for), looked_for, target)
    view.ended(target.given, Reuse.NO)


def _refuse_inside(source: str, target: RowFile) -> None:
    """Raise InputError for an output in the folder that is translated: the next run would translate it, too."""
    folder, name = folder_and_name(source)
    inside = folder / name
    if inside.uri == target.folder.uri or (
        inside.local is not None
        and target.folder.local is not None
        and inside.local.is_dir()
        and is_same(inside.local, target.folder.local)
    ):
        raise InputError(f"--output {target.given}: it is in the folder to translate; name a file in another folder")


def translate_run_name() -> str:
    """Name a run by its model and file."""
    parameters = runtime.flow_run.parameters
    return without_secrets(f"{parameters['model']}: {parameters['source']}")


@flow(name="translate", flow_run_name=translate_run_name)
def translate(
    source: str,
    output: str,
    model: str = "captions",
    column: str = USUAL_COLUMN,
    parameters: dict[str, Any] | None = None,
    workers: int | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Translate a file, or all files of a folder, in order, with a registered model.

    source, output: paths or s3:// addresses; JSON lines, CSV, TSV, TMX and Parquet have the text in `column`,
    everything else is text, one per line. model: a registered model's name (its champion), models:/name/3 or
    models:/name@alias. parameters: of the prediction, such as {"beam": 3}; the model's signature lists them. workers:
    processes with a model each; None: one per GPU or, without GPUs, per CPU. device: auto, cpu or gpu. A run that was
    stopped continues where it was.
    """
    hide_secrets_in_logs()
    given, looked_for = parameters or {}, Column("--column", column)
    check_read(source, f"source {source}")
    check_write(output, f"--output {output}")
    files = find_files(source, looked_for)
    if column != USUAL_COLUMN:
        refuse_column_of_text(files, looked_for)
    folder, name = folder_and_name(output)
    target = RowFile(folder, name, output)
    _refuse_inside(source, target)
    objects, attention = bool(given.get("scores")) or given.get("n_best", 1) > 1, bool(given.get("attention"))
    check_output(files, target, objects, attention, looked_for)
    check_choice(device, f"--device {device}")
    pulled = model_task(model)
    pulled.check_device(device)
    check_parameters(model, LoadedModel(pulled.path, "cpu"), given)  # Here there may be no GPU.
    plan = texts_task(source, column, pulled, given)
    translated = chunks_task(plan, pulled, given, workers, device)
    output_task(plan, source, column, target)
    return {"model_uri": pulled.uri, "output": output, "texts": plan.texts, "translated": translated}

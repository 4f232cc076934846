"""Which stages are made again although the store has them."""

from collections.abc import Mapping

from pipeline.errors import InputError
from pipeline.store.stages import StageName

STAGES: Mapping[str, StageName] = {
    "corpus": "corpus",
    "tokenizer": "tokenizer",
    "batches": "encoded",
    "training": "training",
    "evaluation": "evaluation",
}
"""The stages of a training in their order, as users call them."""
STAGES_OF_ABLATION: Mapping[str, StageName] = {**STAGES, "report": "ablation"}


def fresh_stages(first: str | None, stages: Mapping[str, StageName] = STAGES) -> list[StageName]:
    """Return the stages to make again: from `first` on, "all" for every one, none for None.

    Raises InputError for another name.
    """
    if first is None:
        return []
    names = ["all", *stages]
    if first not in names:
        raise InputError(f"fresh={first}: there is no such stage; choose one of {', '.join(names)}")
    return list(stages.values())[max(0, names.index(first) - 1) :]

"""How the champion is chosen: the version of a registered model that its name alone stands for."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.tracking import MlflowClient

from pipeline.config import BleuTokenizer
from pipeline.corpus.corpus import Corpus
from pipeline.errors import ExternalError
from pipeline.metrics.metrics import BLEU
from pipeline.registry.loader import download_version, is_missing, load_version
from pipeline.registry.runs import mlflow_failed
from pipeline.store.storage import home
from pipeline.training.progress import NEAR_ZERO

CHAMPION = "champion"
DATA_TAG, BLEU_TAG, DECISION_TAG = "nmt.validation_data", "nmt.validation_bleu", "nmt.decision"
TOKENIZER_TAG = "nmt.bleu_tokenizer"
"""Older versions have none: all were scored by 13a."""
PREVIOUS_TAG, PROMOTION_TAG = "nmt.previous_champion", "nmt.promotion"
"""The version to go back to; the decision, until it is carried out."""


def decide_champion(client: MlflowClient, version: MlflowVersion, corpus: Corpus) -> str:
    """Make `version` the champion if its validation BLEU is at least the champion's on the same data; return why.

    The first version becomes the champion whatever its BLEU. None does if both are near 0. A champion that cannot be
    run any more gives way. One that was interrupted after it made `version` the champion is completed.

    Raises ExternalError if the champion cannot be run for a reason that may pass, such as a full disk.
    """
    champion = _champion(client, version.name)
    own = float(version.tags[BLEU_TAG])
    if champion is None:
        return _promote(client, version, "champion: there was none", None)
    if str(champion.version) == str(version.version):
        return _record(client, version, version.tags.get(PROMOTION_TAG, "champion: it had been made so before"))
    before = f"version {champion.version}"
    try:
        other = _bleu_on_same_data(champion, version, corpus)
    except Exception as error:  # The code of another version may fail in any way.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if mlflow_failed(error) and not is_missing(error):
            raise  # The server's fault: a retry decides.
        if isinstance(error, OSError | MemoryError) and not is_missing(error):
            raise ExternalError(
                f"{before} of {version.name}, its champion, could not be run on the same data ({reason}); "
                "run the same command again to decide"
            ) from error
        unknown = f"BLEU {own:.2f}, {before} could not be run on the same data ({reason})"
        if own < NEAR_ZERO:
            return _record(client, version, f"not champion: {unknown}, but this is near 0")
        return _promote(client, version, f"champion: {unknown}", champion.version)
    scores = f"BLEU {own:.2f}, {before} has {other:.2f}"
    if max(own, other) < NEAR_ZERO:
        return _record(client, version, f"not champion: {scores}, both near 0, which says nothing")
    if own >= other:
        return _promote(client, version, f"champion: {scores}", champion.version)
    return _record(client, version, f"not champion: {scores}")


def _champion(client: MlflowClient, name: str) -> MlflowVersion | None:
    aliases = client.get_registered_model(name).aliases
    return client.get_model_version(name, aliases[CHAMPION]) if CHAMPION in aliases else None


def _bleu_on_same_data(champion: MlflowVersion, version: MlflowVersion, corpus: Corpus) -> float:
    """Return the champion's BLEU as that of `version` was measured: as recorded, or by translating now."""
    tokenizer = _tokenizer(version)
    same = champion.tags.get(DATA_TAG) == version.tags[DATA_TAG] and _tokenizer(champion) == tokenizer
    if same and BLEU_TAG in champion.tags:
        return float(champion.tags[BLEU_TAG])
    sources, references = map(list, zip(*corpus.pairs("validation"), strict=True))
    uri = f"models:/{champion.name}/{champion.version}"
    with TemporaryDirectory(dir=home(), prefix=".champion-") as folder:  # Where `nmt clean` finds it after a kill.
        loaded = load_version(download_version(uri, Path(folder)), uri)
        return BLEU.with_tokenizer(tokenizer).score(loaded.predict(sources), references)


def _tokenizer(version: MlflowVersion) -> BleuTokenizer:
    return cast(BleuTokenizer, version.tags.get(TOKENIZER_TAG, "13a"))


def _promote(client: MlflowClient, version: MlflowVersion, decision: str, before: str | None) -> str:
    # What a roll-back needs and what is decided are recorded first: whoever is interrupted then can be completed.
    tags = {PROMOTION_TAG: decision} | ({} if before is None else {PREVIOUS_TAG: str(before)})
    for name, value in tags.items():
        client.set_model_version_tag(version.name, version.version, name, value)
    client.set_registered_model_alias(version.name, CHAMPION, version.version)
    return _record(client, version, decision)


def _record(client: MlflowClient, version: MlflowVersion, decision: str) -> str:
    client.set_model_version_tag(version.name, version.version, DECISION_TAG, decision)
    if PROMOTION_TAG in client.get_model_version(version.name, version.version).tags:
        client.delete_model_version_tag(version.name, version.version, PROMOTION_TAG)
    return decision

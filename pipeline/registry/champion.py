"""How the champion is chosen: the version of a registered model that its name alone stands for."""

from typing import cast

import mlflow
import mlflow.pyfunc
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.tracking import MlflowClient

from pipeline.config import BleuTokenizer
from pipeline.corpus.corpus import Corpus
from pipeline.metrics.metrics import BLEU
from pipeline.registry.runs import mlflow_failed
from pipeline.training.trainer import NEAR_ZERO

CHAMPION = "champion"
DATA_TAG, BLEU_TAG, DECISION_TAG = "nmt.validation_data", "nmt.validation_bleu", "nmt.decision"
TOKENIZER_TAG = "nmt.bleu_tokenizer"
"""Older versions have none: all were scored by 13a."""


def decide_champion(client: MlflowClient, version: MlflowVersion, corpus: Corpus) -> str:
    """Make `version` the champion if its validation BLEU is at least the champion's on the same data; return why.

    The first version becomes the champion whatever its BLEU. None does if both are near 0, or if the champion cannot
    be run on data that it was not scored on.
    """
    champion = _champion(client, version.name)
    own = float(version.tags[BLEU_TAG])
    if champion is None:
        return _promote(client, version, "champion: there was none", None)
    before = f"version {champion.version}"
    try:
        other = _bleu_on_same_data(champion, version, corpus)
    except Exception as error:  # The code of another version may fail in any way.
        if mlflow_failed(error):
            raise  # The server's fault: a retry decides.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return _record(client, version, f"not champion: {before} could not be run on the same data ({reason})")
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
    loaded = mlflow.pyfunc.load_model(f"models:/{champion.name}/{champion.version}")
    return BLEU.with_tokenizer(tokenizer).score(loaded.predict(sources), references)


def _tokenizer(version: MlflowVersion) -> BleuTokenizer:
    return cast(BleuTokenizer, version.tags.get(TOKENIZER_TAG, "13a"))


def _promote(client: MlflowClient, version: MlflowVersion, decision: str, before: str | None) -> str:
    # The previous champion is recorded first: a roll-back needs it.
    if before is not None:
        client.set_model_version_tag(version.name, version.version, "nmt.previous_champion", str(before))
    client.set_registered_model_alias(version.name, CHAMPION, version.version)
    return _record(client, version, decision)


def _record(client: MlflowClient, version: MlflowVersion, decision: str) -> str:
    client.set_model_version_tag(version.name, version.version, DECISION_TAG, decision)
    return decision

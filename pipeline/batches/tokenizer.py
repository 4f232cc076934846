"""Stage `train_tokenizer`: trains SentencePiece on the training pairs, or takes models of the user's."""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.batches.survival import survival
from pipeline.corpus.corpus import Corpus
from pipeline.corpus.pairs import Pair
from pipeline.data_config import TokenizerConfig
from pipeline.errors import InputError
from pipeline.inference.model_files import adopt_model, user_defined, with_rule
from pipeline.inference.normalization import rules_of, unified
from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL, USER_SYMBOLS, Subwords, learn_pieces
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Artifact, Figures, Reuse, Store

SAMPLED_BYTES = 64_000_000
"""As much text is learnt from, whatever the number of sentences: in 1.6 GiB of memory, measured."""
OWN_MODELS = ("model", "target_model")
"""The fields that name files of the user's. Their content counts, not where they are."""


@dataclass(frozen=True)
class Tokenizer:
    """A trained tokenizer in the store."""

    path: Path
    fingerprint: str
    figures: Figures
    reused: Reuse

    def load(self) -> Subwords:
        """Load its two models."""
        return Subwords(self.path)


def train_tokenizer(corpus: Corpus, config: TokenizerConfig, store: Store) -> Tokenizer:
    """Train the tokenizer on the training split of a corpus, or take the models that `config` names.

    Writes source.model and target.model (SentencePiece), with the same pieces if `config.joint` is true, and
    user_symbols.json if there are any. Special tokens: padding 0, unknown 1, start 2, end 3. The figures have the sizes
    of both, and those of `survival`.

    Raises InputError, with the largest size that fits, if the corpus has too few pieces for the vocabulary; and for a
    file that is no SentencePiece model or lacks a user symbol.

    >>> from tempfile import TemporaryDirectory
    >>> from pipeline.config import CorpusConfig
    >>> from pipeline.corpus.corpus import prepare_corpus
    >>> with TemporaryDirectory() as folder:
    ...     store = Store(Path(folder))
    ...     corpus = prepare_corpus(CorpusConfig(captions_pairs=200, validation_size=1, test_size=1), store)
    ...     tokenizer = train_tokenizer(corpus, TokenizerConfig(vocabulary_size=200), store)
    ...     tokenizer.figures["target_pieces"], tokenizer.load().encode_source([""])
    (200, [[3]])
    """
    given = own_models(config)
    stage = _stage(corpus, config, given)

    def build(folder: Path) -> Figures:
        share = sampled_share(corpus, config)
        source, target = _adopted(given, config) if given else _learned(corpus, config, share)
        (folder / SOURCE_MODEL).write_bytes(source)
        (folder / TARGET_MODEL).write_bytes(target)
        if config.user_symbols:
            (folder / USER_SYMBOLS).write_text(json.dumps(config.user_symbols), "utf8")
        subwords = Subwords(folder)
        sizes = {"source_pieces": subwords.source_size, "target_pieces": subwords.target_size}
        sampled = {"sampled_share": round(share, 6)} if share < 1 and not given else {}
        return {**sizes, **sampled, **survival(corpus, subwords)}

    return _tokenizer(store.produce(stage, build))


def find_tokenizer(corpus: Corpus, config: TokenizerConfig, store: Store) -> Tokenizer | None:
    """Return the tokenizer that `train_tokenizer` would return, if no training is needed for it; else None."""
    given = own_models(config)
    if given:
        return train_tokenizer(corpus, config, store)
    found = store.find(_stage(corpus, config, given))
    return None if found is None else _tokenizer(found)


def _stage(corpus: Corpus, config: TokenizerConfig, given: Mapping[str, bytes]) -> Stage:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in given.items()}
    return Stage("tokenizer", Settings.of(config, exclude={*OWN_MODELS}), {"corpus": corpus.fingerprint, **digests})


def own_models(config: TokenizerConfig) -> Mapping[str, bytes]:
    """Return the content of the files that `config.model` and `config.target_model` name, by field.

    Raises InputError for a file that is not there.
    """
    contents: dict[str, bytes] = {}
    for name in OWN_MODELS:
        value = getattr(config, name)
        if value is not None:
            path = Path(value).expanduser().absolute()
            if not path.is_file():
                raise InputError(f"tokenizer.{name}={value}: there is no such file ({path}); correct the path")
            contents[name] = path.read_bytes()
    return contents


def check_own_models(config: TokenizerConfig) -> None:
    """Raise InputError for what is wrong with models of the user's, before there is a corpus."""
    if given := own_models(config):
        _adopted(given, config)


def _adopted(given: Mapping[str, bytes], config: TokenizerConfig) -> tuple[bytes, bytes]:
    """Return the models of the source and of the target from files of the user's."""
    models = []
    for name, content in given.items():
        option = f"tokenizer.{name}={getattr(config, name)}"
        models.append(adopt_model(content, option))
        missing = [symbol for symbol in config.user_symbols if symbol not in user_defined(content)]
        if missing:
            raise InputError(
                f"tokenizer.user_symbols: {missing[0]!r} is no user-defined symbol of {option}; train that model with "
                "--user_defined_symbols, or leave the symbol out"
            )
    return models[0], models[-1]


def sampled_share(corpus: Corpus, config: TokenizerConfig) -> float:
    """Return the share of the training pairs that a model learns from.

    What SentencePiece needs grows with the text: 22 bytes for each of the text's, measured with a unigram model. So
    long sentences, too, are bounded.
    """
    sides = 2 if config.joint else 1
    sentences, text = sides * int(corpus.figures["pairs"]["train"]), sides / 2 * corpus.train_bytes
    return min(1.0, config.sample_sentences / sentences, SAMPLED_BYTES / text)


def sample(pairs: Iterable[Pair], share: float) -> Iterator[Pair]:
    """Yield about this share of the pairs, always the same ones: drawn by their hashes."""
    limit = int(share * 2**32)
    for pair in pairs:
        if share >= 1 or zlib.crc32(f"{pair[0]}\n{pair[1]}".encode("utf8", "surrogatepass")) < limit:
            yield pair


def _learned(corpus: Corpus, config: TokenizerConfig, share: float) -> tuple[bytes, bytes]:
    """Return models of the source and of the target, trained on a share of the training pairs."""

    def pairs() -> Iterator[Pair]:
        return sample(corpus.pairs("train"), share)

    def learn(sentences: Iterator[str], rule: str) -> bytes:
        return learn_pieces(
            sentences,
            config.vocabulary_size,
            config.kind,
            config.byte_fallback,
            config.character_coverage,
            rule,
            config.user_symbols,
        )

    source_rule, target_rule = rules_of(config.normalization)
    if not config.joint:
        source = learn((source for source, _ in pairs()), source_rule)
        return source, learn((target for _, target in pairs()), target_rule)
    if source_rule == target_rule:
        model = learn((sentence for pair in pairs() for sentence in pair), target_rule)
        return model, model
    # A model has one rule: the sources come to it as their own rule leaves them.
    both = ((unified(source, source_rule), target) for source, target in pairs())
    model = learn((sentence for pair in both for sentence in pair), target_rule)
    return with_rule(model, source_rule), model


def _tokenizer(artifact: Artifact) -> Tokenizer:
    return Tokenizer(artifact.path, artifact.fingerprint, artifact.figures, artifact.reused)

"""Stage `train_tokenizer`: trains SentencePiece on the training pairs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import TokenizerConfig
from pipeline.corpus.corpus import Corpus
from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL, Subwords, learn_pieces
from pipeline.store.stages import Settings, Stage
from pipeline.store.store import Artifact, Figures, Reuse, Store


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
    """Train the tokenizer on the training split of a corpus.

    Writes source.model and target.model (SentencePiece), the same file twice if `config.joint` is true. Special tokens:
    padding 0, unknown 1, start 2, end 3.

    Raises InputError, with the largest size that fits, if the corpus has too few pieces for the vocabulary.

    >>> from tempfile import TemporaryDirectory
    >>> from pipeline.config import CorpusConfig
    >>> from pipeline.corpus.corpus import prepare_corpus
    >>> with TemporaryDirectory() as folder:
    ...     store = Store(Path(folder))
    ...     corpus = prepare_corpus(CorpusConfig(captions_pairs=200, validation_size=1, test_size=1), store)
    ...     tokenizer = train_tokenizer(corpus, TokenizerConfig(vocabulary_size=200), store)
    ...     tokenizer.figures, tokenizer.load().encode_source([""])
    ({'source_pieces': 200, 'target_pieces': 200}, [[3]])
    """
    stage = Stage("tokenizer", Settings.of(config), {"corpus": corpus.fingerprint})

    def learn(sentences: Iterator[str]) -> bytes:
        return learn_pieces(
            sentences, config.vocabulary_size, config.kind, config.byte_fallback, config.character_coverage
        )

    def build(folder: Path) -> Figures:
        pairs = corpus.pairs("train")
        if config.joint:
            source = target = learn(sentence for pair in pairs for sentence in pair)
        else:
            source = learn(source for source, _ in pairs)
            target = learn(target for _, target in corpus.pairs("train"))
        (folder / SOURCE_MODEL).write_bytes(source)
        (folder / TARGET_MODEL).write_bytes(target)
        subwords = Subwords(folder)
        return {"source_pieces": subwords.source_size, "target_pieces": subwords.target_size}

    return _tokenizer(store.produce(stage, build))


def _tokenizer(artifact: Artifact) -> Tokenizer:
    return Tokenizer(artifact.path, artifact.fingerprint, artifact.figures, artifact.reused)

"""Text in, the best translations out, with their pieces, their attention, and source words for unknown ones."""

from collections.abc import Callable

import pytest
import torch

import pipeline.translator
from model.config import ModelConfig
from model.search import Hypothesis, SearchConfig
from model.seq2seq import Seq2Seq
from pipeline.captions import generate_pairs
from pipeline.config import EvaluationConfig
from pipeline.decoding import search_config
from pipeline.subwords import SOURCE_MODEL, TARGET_MODEL, Subwords, learn_pieces
from pipeline.translator import Translator

LINES = ["Ein Hund schläft.", "", "Zwei Frauen lachen im Park.", "  ", "Ein Kind isst einen Apfel und lacht."]
NO_ATTENTION = ModelConfig(
    attention="none", input_feeding=False, embedding_size=16, encoder_size=8, decoder_size=16, layers=2
)


@pytest.fixture(scope="module")
def subwords(tmp_path_factory: pytest.TempPathFactory) -> Subwords:
    folder = tmp_path_factory.mktemp("subwords")
    sentences = [sentence for pair in generate_pairs(300, seed=3) for sentence in pair]
    for name in (SOURCE_MODEL, TARGET_MODEL):
        (folder / name).write_bytes(learn_pieces(sentences, 250, "unigram", False, 1.0))
    return Subwords(folder)


Make = Callable[..., Translator]


@pytest.fixture
def make(subwords: Subwords) -> Make:
    def run(model: ModelConfig | None = None, batch: int = 64, **search: object) -> Translator:
        torch.manual_seed(5)
        config = model or ModelConfig(embedding_size=16, encoder_size=8, decoder_size=16)
        network = Seq2Seq(config, subwords.source_size, subwords.target_size).double().eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(std=0.5)
        return Translator(network, subwords, SearchConfig(**search), batch)  # type: ignore[arg-type]

    return run


SEARCHES: list[dict[str, object]] = [{"beam": 1}, {"beam": 3, "n_best": 3}, {"temperature": 1.5, "n_best": 2}]


@pytest.mark.parametrize("search", SEARCHES)
def test_the_first_hypothesis_is_the_translation_whatever_the_batch(make: Make, search: dict[str, object]) -> None:
    found = make(**search).hypotheses(LINES)
    assert [len(row) for row in found] == [0 if not line.strip() else search.get("n_best", 1) for line in LINES]
    assert make(**search).translate(LINES) == [row[0].text if row else "" for row in found]
    alone = [make(**search, batch=1).hypotheses([line])[0] for line in LINES]
    assert [[one.text for one in row] for row in alone] == [[one.text for one in row] for row in found]


@pytest.mark.parametrize("model", [None, NO_ATTENTION])
def test_attention_has_a_row_for_each_target_piece_and_a_column_for_each_of_the_source(
    make: Make, model: ModelConfig | None
) -> None:
    for line, found in zip(LINES, make(model, beam=3, n_best=3, max_length=9).hypotheses(LINES), strict=True):
        for translation in found:
            assert translation.source_pieces[-1] == "</s>"
            assert "".join(translation.source_pieces[:-1]) == "▁" + line.replace(" ", "▁")
            ended = translation.target_pieces[-1] == "</s>"
            assert ended or len(translation.target_pieces) == 9
            columns = 0 if model else len(translation.source_pieces)
            assert [len(row) for row in translation.attention] == [columns] * len(translation.target_pieces)


def test_progress_counts_the_sentences_that_are_not_blank(make: Make) -> None:
    done: list[int] = []
    make(beam=1, batch=2).translate(LINES, done.append)
    assert done == [2, 1]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Ein Xqzwö lacht.", {"Ein": "Ein", "q": "Xqzwö", "ö": "Xqzwö", "▁lacht": "lacht", ".": "."}),
        ("  Die Ωμ-Bahn,\u00a0„ruht“ ", {"Ωμ": "Ωμ-Bahn", "B": "Ωμ-Bahn", ",": ",", "„": "„", "h": "ruht", "“": "“"}),
        ("Um 3,5 € …", {"3": "3,5", ",": "3,5", "€": "€", ".": "…"}),
    ],
)
def test_pieces_belong_to_words_as_they_are_spelled(subwords: Subwords, sentence: str, words: dict[str, str]) -> None:
    pieces = subwords.source_pieces(sentence)
    found = dict(zip(pieces, subwords.source_words(sentence), strict=False))
    assert len(subwords.source_words(sentence)) == len(pieces) - 1
    assert {piece: found.get(piece, found.get("▁" + piece)) for piece in words} == words


@pytest.mark.parametrize(
    ("target", "looks_at", "text"),
    [
        (["▁boy", "▁", "<unk>", "▁is", "▁happy", "."], ["q"], "boy Xqzwö is happy."),
        (["▁boy", "<unk>", "▁happy"], ["ö"], "boy Xqzwö happy"),
        (["<unk>", ",", "▁", "<unk>", "."], ["X", "Ωμάλα"], "Xqzwö, Ωμάλα."),
        (["<unk>", "s", "<unk>"], ["Ωμάλα", "X"], "Ωμάλα s Xqzwö"),
        (["▁boy", "."], [], "boy."),
    ],
)
def test_an_unknown_piece_becomes_the_source_word_that_is_attended_to(
    make: Make, monkeypatch: pytest.MonkeyPatch, subwords: Subwords, target: list[str], looks_at: list[str], text: str
) -> None:
    sentence = "Herr Xqzwö sieht Ωμάλα."
    pieces, eyes = subwords.source_pieces(sentence), iter(looks_at)

    def weights(piece: str) -> list[float]:
        place = pieces.index(next(eyes)) if piece == "<unk>" else 0
        # `end`, the last, has most; but it is no word.
        return [0.5 if column == len(pieces) - 1 else 0.3 * (column == place) for column in range(len(pieces))]

    vocabulary = {subwords.target_pieces([token])[0]: token for token in range(subwords.target_size)}
    tokens = [vocabulary[piece] for piece in target]
    found = Hypothesis(tokens, -1.0, [weights(piece) for piece in target], ended=False)
    monkeypatch.setattr(pipeline.translator, "search", lambda *_: [[found]])
    assert make().configured({"replace_unknown": True}).translate([sentence]) == [text]
    assert make().translate([sentence]) == subwords.decode_target([tokens])
    ((translation,),) = make().configured({"replace_unknown": True}).hypotheses([sentence])
    assert (translation.text, translation.target_pieces) == (text, target)


def test_options_can_be_changed_and_what_a_model_cannot_do_is_refused(make: Make) -> None:
    translator = make(beam=5)
    changed = translator.configured({"beam": 2, "n_best": 2, "max_length": 3})
    assert [len(row) for row in changed.hypotheses(LINES[:1])] == [2]
    assert translator.translate(LINES) == make(beam=5).translate(LINES), "the first is as it was"
    with pytest.raises(ValueError, match="n_best=6 is more than the beam=5 can hold"):
        translator.configured({"n_best": 6})
    without = make(NO_ATTENTION)
    assert translator.has_attention
    assert not without.has_attention
    for changes, message in (({"replace_unknown": True}, "replace_unknown=True"), ({"coverage_penalty": 0.2}, "0.2")):
        with pytest.raises(ValueError, match=f"{message} uses attention weights, which this model does not make"):
            without.configured(changes)


def test_a_configuration_says_how_to_search() -> None:
    assert search_config(EvaluationConfig()) == SearchConfig()
    fields = {"beam": 4, "length_penalty": 0.6, "coverage_penalty": 0.2, "min_length": 3, "max_length": 9}
    assert search_config(EvaluationConfig.model_validate(fields)) == SearchConfig(**fields)  # type: ignore[arg-type]
    sampling = {"sampling_temperature": 0.7, "sampling_top_k": 5, "sampling_seed": 3}
    drawn = SearchConfig(temperature=0.7, top_k=5, seed=3)
    assert search_config(EvaluationConfig.model_validate(sampling)) == drawn

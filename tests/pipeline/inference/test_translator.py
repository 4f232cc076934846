"""Text in, the best translations out, with their pieces, their attention, and source words for unknown ones."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import pipeline.inference.translator
from model.config import ModelConfig
from model.search.config import SearchConfig
from model.search.hypotheses import Hypothesis
from model.seq2seq import Seq2Seq
from pipeline.batches.collate import Ragged
from pipeline.config import EvaluationConfig
from pipeline.corpus.captions import generate_pairs
from pipeline.errors import InputError
from pipeline.evaluation.search_settings import line_policy, search_config
from pipeline.inference.segments import one_line
from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL, USER_SYMBOLS, Subwords, learn_pieces
from pipeline.inference.translator import LinePolicy, Translator
from pipeline.training.perplexity import teacher_forced_nll
from tests.pipeline.conftest import Make

LINES = ["Ein Hund schläft.", "", "Zwei Frauen lachen im Park.", "  ", "Ein Kind isst einen Apfel und lacht."]
NO_ATTENTION = ModelConfig(
    attention="none", input_feeding=False, embedding_size=16, encoder_size=8, decoder_size=16, layers=2
)


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
    monkeypatch.setattr(pipeline.inference.translator, "search", lambda *_: [[found]])
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
        with pytest.raises(ValueError, match=f"{message} needs attention weights, which this model does not have"):
            without.configured(changes)


def test_a_configuration_says_how_to_search() -> None:
    assert search_config(EvaluationConfig()) == SearchConfig()
    fields = {
        "beam": 4,
        "length_penalty": 0.6,
        "coverage_penalty": 0.2,
        "min_length": 3,
        "max_length": 9,
        "no_repeat_ngram": 3,
    }
    assert search_config(EvaluationConfig.model_validate(fields)) == SearchConfig(**fields)  # type: ignore[arg-type]
    sampling = {"sampling_temperature": 0.7, "sampling_top_k": 5, "sampling_seed": 3}
    drawn = SearchConfig(temperature=0.7, top_k=5, seed=3)
    assert search_config(EvaluationConfig.model_validate(sampling)) == drawn


def test_line_policies_are_part_of_a_configuration() -> None:
    assert line_policy(EvaluationConfig()) == LinePolicy()
    fields = {"replace_unknown": True, "max_source_length": 30}
    assert line_policy(EvaluationConfig.model_validate(fields)) == LinePolicy(True, 30)


LONG = "Ein Hund schläft im Park. Zwei Frauen lachen. Ein Kind isst einen Apfel und lacht, und ein Mann liest."


def test_a_long_line_is_the_translations_of_its_parts_in_order(make: Make, subwords: Subwords) -> None:
    parts = [
        "Ein Hund schläft im Park. Zwei Frauen lachen.",
        "Ein Kind isst einen Apfel und lacht, und ein Mann liest.",
    ]
    most = max(len(subwords.encode_source(parts)[0]), len(subwords.encode_source(parts)[1]))
    short = make(beam=2).configured({"max_source_length": most})
    expected = " ".join(text for text in make(beam=2).translate(parts) if text)
    assert short.translate([LONG]) == [expected]
    assert make(beam=2).translate([LONG]) != [expected], "else the line was short enough"
    mixed = short.translate(["Ein Hund schläft.", LONG, ""])
    assert mixed == [make(beam=2).translate(["Ein Hund schläft."])[0], expected, ""]


def test_hypotheses_of_a_long_line_join_those_of_equal_rank(make: Make) -> None:
    short = make(beam=3, n_best=2).configured({"max_source_length": 12})
    (found,) = short.hypotheses([LONG], attention=False)
    assert found[0].text == short.translate([LONG])[0]
    assert len(found) == 2
    assert found[0].source_pieces.count("</s>") > 1
    with pytest.raises(ValueError, match=r"attention: line 2 \(\d+ characters\) is translated in \d+ parts"):
        short.hypotheses(["Ein Hund.", LONG])


def test_a_long_line_is_refused_if_the_policy_says_so(make: Make) -> None:
    strict = make().configured({"max_source_length": 12, "long_lines": "refuse"})
    assert len(strict.translate(["Ein Hund."])) == 1
    with pytest.raises(ValueError, match=r"line 2 has \d+ tokens, more than max_source_length=12; shorten it, or set"):
        strict.translate(["Ein Hund.", LONG])
    with pytest.raises(ValueError, match="long_lines='cut' must be one of split, refuse"):
        make().configured({"long_lines": "cut"})
    with pytest.raises(ValueError, match="max_source_length=0 must be between 1 and 10000"):
        make().configured({"max_source_length": 0})


@pytest.mark.parametrize("line", ["\u200b", "\u0000\u0001", "\ufeff", "\u00ad\u200d", "\t \u3000"])
def test_a_line_without_a_word_stays_empty(make: Make, line: str) -> None:
    assert make().translate([line, "Ein Hund."])[0] == ""
    assert make().hypotheses([line]) == [[]]


@pytest.mark.parametrize("line", ["1999", "3,5", "12:30", "😀 – 5 €", "猫", "Ωμέγα 5"])
def test_a_line_without_a_letter_that_the_model_knows_is_copied(make: Make, line: str) -> None:
    translator = make(beam=2, n_best=2)
    assert translator.translate([line, "Ein Hund."])[0] == line
    (copied,), hypotheses = translator.hypotheses([line, "Ein Hund."])
    assert (copied.text, copied.score, copied.copied) == (line, 0.0, True)
    assert len(copied.attention) == len(copied.target_pieces) == len(copied.source_pieces)
    assert not any(hypothesis.copied for hypothesis in hypotheses)


def test_a_long_line_without_letters_is_copied_whole(make: Make) -> None:
    line = "1 2 3 4 5 6 7 8 9 " * 40
    policy = {"max_source_length": 5, "long_lines": "refuse"}
    assert make(beam=1).configured(policy).translate([line]) == [line]


def test_no_answer_holds_a_line_break_or_a_control_character(tmp_path: Path) -> None:
    """With byte fallback, pieces spell single bytes: a line feed among them."""
    sentences = [sentence for pair in generate_pairs(300, seed=3) for sentence in pair]
    for name in (SOURCE_MODEL, TARGET_MODEL):
        (tmp_path / name).write_bytes(learn_pieces(sentences, 500, "unigram", True, 1.0))
    subwords = Subwords(tmp_path)
    assert len(subwords.control_tokens) == 33
    torch.manual_seed(3)
    config = ModelConfig(embedding_size=16, encoder_size=8, decoder_size=16)
    network = Seq2Seq(config, subwords.source_size, subwords.target_size).eval()
    for search in (SearchConfig(temperature=5.0, n_best=20), SearchConfig(beam=20, n_best=20), SearchConfig(beam=1)):
        for translations in Translator(network, subwords, search).hypotheses(LINES):
            for translation in translations:
                assert not set(translation.target_pieces) & {"<0x0A>", "<0x00>", "<0x1B>", "<0x0D>"}
                assert translation.text == one_line(translation.text)
                assert len(translation.text.splitlines()) <= 1


@pytest.mark.parametrize("search", SEARCHES)
def test_a_translation_tells_whether_its_limit_cut_it_off(make: Make, search: dict[str, object]) -> None:
    found = make(**search, max_length=4).hypotheses([*LINES, "1999"])
    for translation in (translation for row in found for translation in row):
        ended = translation.copied or translation.target_pieces[-1] == "</s>"
        assert translation.truncated is not ended
    (long,) = make(beam=1, max_length=4).configured({"max_source_length": 12}).hypotheses([LONG], attention=False)
    assert long[0].truncated, "one of its parts was"


@pytest.fixture
def with_symbols(tmp_path: Path) -> Translator:
    symbols = ["{name}", "__URL__"]
    sentences = [sentence for pair in generate_pairs(300, seed=3) for sentence in pair]
    for name in (SOURCE_MODEL, TARGET_MODEL):
        (tmp_path / name).write_bytes(learn_pieces(sentences, 250, "unigram", False, 1.0, user_symbols=symbols))
    (tmp_path / USER_SYMBOLS).write_text(json.dumps(symbols))
    subwords = Subwords(tmp_path)
    config = ModelConfig(embedding_size=16, encoder_size=8, decoder_size=16)
    return Translator(Seq2Seq(config, subwords.source_size, subwords.target_size).eval(), subwords, SearchConfig())


@pytest.mark.parametrize("line", ["{name}", "__URL__ – {name}: 5 €", "{name}__URL__"])
def test_user_symbols_are_no_language(with_symbols: Translator, line: str) -> None:
    assert with_symbols.translate([line]) == [line]
    ((translation,),) = with_symbols.hypotheses([f"Ein Hund {line}"])
    assert not translation.copied
    assert "{name}" in translation.source_pieces or "__URL__" in translation.source_pieces


def test_a_user_symbol_is_a_word_of_its_own(with_symbols: Translator) -> None:
    """It replaces an unknown token whole, braces included."""
    words = with_symbols._subwords.source_words("Ein Hund, {name}, bellt.")
    assert "{name}" in words
    assert "name" not in words


def test_a_gpu_searches_and_scores_in_fp32_whatever_torch_does_by_default(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may be a user's program, or a worker that trains in bf16."""
    cudnn: Any = torch.backends.cudnn
    seen: list[str] = []
    monkeypatch.setattr(cudnn.rnn, "fp32_precision", "tf32")
    encode, forward = Seq2Seq.encode, Seq2Seq.forward

    def watch(method: Any) -> Any:
        def watched(*arguments: Any) -> Any:
            seen.append(cudnn.rnn.fp32_precision)
            return method(*arguments)

        return watched

    monkeypatch.setattr(Seq2Seq, "encode", watch(encode))
    translator = make(beam=2)
    translator.translate(LINES[:1])
    rows = Ragged.of_rows([[4, 5, 3]])
    monkeypatch.setattr(Seq2Seq, "forward", watch(forward))
    teacher_forced_nll(translator._model, rows, rows, range(1))
    assert seen
    assert set(seen) == {"ieee"}
    assert cudnn.rnn.fp32_precision == "tf32"


@pytest.mark.parametrize(
    "error", ["CUDA out of memory. Tried to allocate 2 GiB", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"]
)
def test_too_little_memory_is_told_with_what_was_asked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError(error) if "Tried" in error else RuntimeError(error)

    monkeypatch.setattr("pipeline.inference.translator.search", fail)
    message = (
        r"beam=7: 2 sentences of up to \d+ tokens at once do not fit this machine's memory \((CUDA|cuDNN) .*\); lower"
    )
    with pytest.raises(InputError, match=message):
        make(beam=7, batch=2).translate(LINES)
    monkeypatch.setattr("pipeline.inference.translator.search", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make(beam=7).translate(LINES)

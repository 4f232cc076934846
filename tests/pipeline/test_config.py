import pytest
from annotated_types import Le

from pipeline.config import EvaluationConfig, RunConfig
from pipeline.data_config import TokenizerConfig
from pipeline.errors import InputError
from pipeline.inference.predictions import LARGEST, MOST
from pipeline.overrides import (
    assignments,
    build_config,
    dump_fields,
    field_help,
    field_names,
    parse_overrides,
    read_yaml,
)

NO_ATTENTION = {"model.attention": "none", "model.input_feeding": False}


def test_overrides_are_read_as_yaml() -> None:
    assert parse_overrides(["training.epochs=3", "corpus.path=a=b", "corpus.subset=null", "model.dropout=1e-1"]) == {
        "training.epochs": 3,
        "corpus.path": "a=b",
        "corpus.subset": None,
        "model.dropout": "1e-1",  # YAML 1.1 wants 1.0e-1; pydantic reads the text as the number that it is.
    }
    assert build_config({}, {"model.dropout": "1e-1"}).model.dropout == 0.1


@pytest.mark.parametrize(
    "overrides",
    [
        {"training.epochs": 3, "training.learning_rate": 1e-05, "model.bidirectional": False},
        {"training.until": ["2G tokens", "1.5 hours"], "training.validate_every": "5k updates"},
        {"corpus.target_column": "no", "corpus.path": "data/my file=2.jsonl", "corpus.subset": None},
        {
            "tokenizer.user_symbols": ["<br>", "a,b"],
            "corpus.source_column": "12:30",
            "corpus.target_language": "zh-Hant",
        },
    ],
)
def test_overrides_that_are_written_as_assignments_mean_the_same(overrides: dict[str, object]) -> None:
    again = parse_overrides(assignments(overrides))
    assert list(again) == list(overrides)
    assert build_config({}, again) == build_config({}, overrides)


def test_a_text_stays_the_text_that_it_is() -> None:
    texts = ["corpus.source_column=no", "corpus.path=2024", "corpus.revision=1234567", "corpus.subset=null"]
    corpus = build_config({}, parse_overrides(texts)).corpus
    assert (corpus.source_column, corpus.path, corpus.revision, corpus.subset) == ("no", "2024", "1234567", None)


def test_a_text_in_a_list_is_one_too() -> None:
    text = "corpus.sources=[{name: 1, path: 007, source_column: no, subset: null, weight: 2}]"
    written = {
        "corpus": {"sources": [{"name": "1", "path": "007", "source_column": "no", "subset": None, "weight": 2}]}
    }
    assert parse_overrides([text]) == {"corpus.sources": written["corpus"]["sources"]}
    assert (
        read_yaml("corpus:\n  sources:\n  - {name: 1, path: 007, source_column: no, subset: null, weight: 2}")
        == written
    )
    config = build_config(written, {})
    again = parse_overrides(assignments({"corpus.sources": dump_fields(config)["corpus.sources"]}))
    assert build_config({}, again) == config


def test_a_source_of_the_command_line_takes_the_place_of_a_presets_several() -> None:
    sources = [{"name": "a", "seed": 1}, {"name": "b", "seed": 2}]
    preset = {"corpus": {"sources": sources, "temperature": 3.0, "source_language": "de"}}
    corpus = build_config(preset, {"corpus.path": "x.tsv"}).corpus
    assert (corpus.path, corpus.sources, corpus.temperature, corpus.source_language) == ("x.tsv", (), None, "de")
    with pytest.raises(InputError, match=r"path=x.tsv and sources=a, b"):
        build_config({}, {"corpus.path": "x.tsv", "corpus.sources": sources})


@pytest.mark.parametrize("value", ["mld", "duplicate", ["duplicat"], [["nfc"]], 3, None])
def test_rules_that_there_are_not_are_told_those_that_there_are(value: object) -> None:
    with pytest.raises(
        InputError, match=r"^corpus\.clean=.*: choose off, mild or strict, or a list of these rules.*ratio"
    ):
        build_config({}, {"corpus.clean": value})


@pytest.mark.parametrize("value", [False, 1, 750, 2024.5])
def test_a_text_that_yaml_read_as_something_else_is_refused(value: object) -> None:
    """Values that a deployment has parsed already: what was written is lost."""
    with pytest.raises(InputError, match=rf"corpus.target_column={value}: a text is needed; put it in quotes"):
        build_config({}, {"corpus.target_column": value})


def test_an_override_wins_over_the_preset_and_leaves_the_rest() -> None:
    config = build_config({"training": {"epochs": 9, "patience": 2}}, {"training.epochs": 3})
    assert (config.training.epochs, config.training.patience) == (3, 2)
    assert config.model == RunConfig().model


def test_a_model_of_ones_own_replaces_what_the_preset_says_of_training_one() -> None:
    preset = {"tokenizer.vocabulary_size": 1600, "tokenizer.kind": "bpe", "training.epochs": 9}
    config = build_config(preset, parse_overrides(["tokenizer.model=own.model", 'tokenizer.user_symbols=["<br>"]']))
    assert config.tokenizer == TokenizerConfig(model="own.model", user_symbols=("<br>",))
    assert config.training.epochs == 9
    assert build_config(preset, {"tokenizer.model": None}).tokenizer.vocabulary_size == 1600
    with pytest.raises(InputError, match="vocabulary_size=1600 is for training a model"):
        build_config(preset | {"tokenizer.model": "own.model", "tokenizer.kind": "unigram"}, {})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"trainig.epochs": 3}, "trainig.epochs=3: there is no field trainig.epochs; did you mean training.epochs?"),
        ({"training.epoch": 3}, "did you mean training.epochs?"),
        ({"epochs": 3}, "there is no field epochs; did you mean training.epochs?"),
        ({"zzz": 1}, "there is no field zzz; `nmt presets --fields` lists all names"),
        ({"training": 3}, "training is a section"),
        ({"training.epochs": 0}, "training.epochs=0: Input should be greater than or equal to 1"),
        ({"training.epochs": "many"}, "training.epochs=many: Input should be a valid integer"),
        ({"tokenizer.kind": "words"}, "tokenizer.kind=words: Input should be 'unigram' or 'bpe'"),
        ({"model.decoder_size": 8}, "embedding_size=256 and decoder_size=8 must be equal"),
        ({"tokenizer.joint": False}, "model.tied_embeddings=all shares one embedding table between both languages"),
        ({"evaluation.sampling_top_k": 5}, "sampling_top_k=5 needs sampling; set sampling_temperature"),
        ({"evaluation.min_length": 5, "evaluation.max_length": 4}, "min_length=5 is more than max_length=4"),
        ({"evaluation.beam": 101}, "evaluation.beam=101: Input should be less than or equal to 100"),
        ({"evaluation.sampling_seed": 2**31 + 1}, "less than or equal to 2147483648"),
        ({"tokenizer.character_coverage": 0.97}, "Input should be greater than or equal to 0.98"),
        *(
            ({"registry.model_name": name}, "choose one without / : ' \" @ ? # and line breaks")
            for name in ("a@b", "..", ".", " ", "a/b", "a:b", "a?b", "a#b", "a\nb", "..x")
        ),
        ({"evaluation.beam": 1, "evaluation.coverage_penalty": 0.2}, "ranks the hypotheses of a beam"),
        (
            {**NO_ATTENTION, "evaluation.coverage_penalty": 0.2},
            "evaluation.coverage_penalty=0.2 needs attention weights",
        ),
        (
            {**NO_ATTENTION, "evaluation.replace_unknown": True},
            "set evaluation.replace_unknown=false, or another model",
        ),
        *(
            ({"evaluation.test_sets": [{"path": "x", "name": "news"} | each for each in sets]}, message)
            for sets, message in (
                ([{"name": "news/2"}], "evaluation.test_sets.0.name=news/2: a test set's name has at most 50 letters"),
                ([{"name": "Test"}], "evaluation.test_sets.0.name=Test: the corpus's own are train, validation, test;"),
                ([{}, {"name": "News"}], "test_sets: two are called News, in capitals or not; give each a name"),
                ([{"colour": 1}], "evaluation.test_sets.0.colour=1: Extra inputs are not permitted"),
            )
        ),
        (
            {"evaluation.test_sets": [{"name": "news"}]},
            "evaluation.test_sets.0: news has neither path nor dataset; name the file, folder or data set of its pairs",
        ),
        (
            {
                "evaluation.test_sets": [{"name": "test_emoji", "path": "x"}],
                "evaluation.perturbations": ["typos", "emoji"],
            },
            "test_sets: MLflow calls test+emoji test_emoji; choose another name",
        ),
        (
            {"evaluation.perturbations": ["lower_case"]},
            "evaluation.perturbations.0=lower_case: Input should be 'upper_case', 'typos', 'no_final_punctuation' or",
        ),
        ({"evaluation.perturbations": ["typos", "typos"]}, "perturbations: typos is there twice; leave one out"),
        ({"evaluation.typo_share": 0}, "evaluation.typo_share=0: Input should be greater than 0"),
        ({"corpus.target_path": "x"}, "target_path=x needs the source side; set corpus.path"),
        ({"corpus.source_column": "en"}, "both 'en'; name two columns"),
        (
            {"batching.tokens_per_worker": 512, "batching.worker_tokens": 513},
            "batching: worker_tokens=513 would split no share of tokens_per_worker=512; lower it, or leave it out",
        ),
        ({"training.epochs": 0, "training.patience": 0}, "(and 1 more)"),
        (
            {"tokenizer.user_symbols": "<br>"},
            'tokenizer.user_symbols=<br>: must be a list of texts in quotes, such as ["',
        ),
        ({"tokenizer.user_symbols": [{"name": None}]}, "must be a list of texts in quotes"),
        ({"tokenizer.user_symbols": ["a b"]}, "'a b' must be one or more characters that are seen, without blanks"),
        ({"tokenizer.user_symbols": [""]}, "'' must be one or more characters"),
        ({"tokenizer.user_symbols": ["a", "\u00ad"]}, "'\\xad' must be one or more characters"),
        ({"tokenizer.user_symbols": ["<s>"]}, "'<s>' is a piece of SentencePiece's own; choose another"),
        ({"tokenizer.user_symbols": ["{n}", "<0x0A>"]}, "'<0x0A>' is a piece of SentencePiece's own"),
        ({"tokenizer.user_symbols": ["{n}", "{n}"]}, "'{n}' is there twice"),
        (
            {"tokenizer.normalization": "nfd"},
            "tokenizer.normalization=nfd: Input should be 'faithful', 'identity', 'nfc'",
        ),
        ({"tokenizer.model": ""}, "tokenizer.model=: String should have at least 1 character"),
        (
            {"tokenizer.model": "a", "tokenizer.kind": "bpe"},
            "kind=bpe is for training a model, and model=a is one; leave",
        ),
        (
            {"tokenizer.model": "a", "tokenizer.target_model": "b"},
            "target_model=b is for two vocabularies; set tokenizer",
        ),
        ({"tokenizer.model": "a", "tokenizer.joint": False}, "joint=false needs a model of the target as well; set"),
        ({"tokenizer.target_model": "b"}, "target_model=b needs the source's; set tokenizer.model as well"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        build_config({}, overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_assignment_needs_a_name_and_a_value() -> None:
    for text in ("training.epochs", "=3"):
        with pytest.raises(InputError, match="write section\\.field=value"):
            parse_overrides([text])


@pytest.mark.parametrize("value", ["&a [*a]", "[" * 5000, "{a: " * 5000, "2024-13-01", "0b", "!!binary x"])
def test_a_value_that_is_no_yaml_is_its_text(value: str) -> None:
    overrides = parse_overrides([f"training.epochs={value}"])
    assert overrides == {"training.epochs": value}
    with pytest.raises(InputError, match=r"training.epochs=.*: Input should be a valid integer"):
        build_config({}, overrides)


def test_every_field_is_described_and_listed() -> None:
    rows = {name: (default, meaning) for name, default, meaning in field_help()}
    assert list(rows) == list(field_names())
    assert rows["training.epochs"][0] == "15"
    assert rows["tokenizer.kind"][1].endswith("[unigram, bpe]")
    assert all(len(meaning) > 5 and "\n" not in meaning for _, meaning in rows.values())
    assert set(dump_fields(RunConfig())) == set(rows)


def test_what_a_version_would_refuse_by_default_is_no_configuration() -> None:
    """Its defaults come from the evaluation: a request that sets nothing must not be refused."""
    bounds = {name: next((rule.le for rule in field.metadata if isinstance(rule, Le)), None)
              for name, field in EvaluationConfig.model_fields.items()}  # fmt: skip
    assert bounds["beam"] == MOST["beam"]
    for name in ("min_length", "max_length", "no_repeat_ngram", "sampling_top_k", "sampling_seed"):
        assert bounds[name] == LARGEST

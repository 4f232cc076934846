"""The parameters of a prediction and its answer, the same in a program, in MLflow's server and in `nmt serve`.

Part of every registered version, as translator.py is.
"""

import json
import numbers
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.search.config import SearchConfig
from pipeline.inference.devices import open_device
from pipeline.inference.translator import LinePolicy, Translation, Translator

PARAMETERS: Mapping[str, str] = {
    "beam": "hypotheses kept per line; 1 is greedy search",
    "length_penalty": "alpha of Wu et al. 2016; 0 prefers short translations",
    "coverage_penalty": "beta of Wu et al. 2016: penalty for unattended source words; needs attention",
    "min_length": "minimum target tokens",
    "max_length": "maximum target tokens; 0: twice the source tokens plus ten",
    "no_repeat_ngram": "no sequence of this many target tokens occurs twice in a translation; 0: any may",
    "temperature": "0: search; else sample, with probabilities raised to 1 / temperature",
    "top_k": "sample only from this many of the most probable tokens; 0: from all",
    "seed": "seed of sampling",
    "replace_unknown": "replace an unknown token by the source word with the most attention",
    "max_source_length": "maximum source tokens translated at once",
    "long_lines": "split: translate longer lines in parts; refuse: raise an error",
    "n_best": "translations per line; more than one are returned as hypotheses",
    "scores": "return hypotheses: an object per line, with the texts and scores of its translations",
    "attention": "return hypotheses with their pieces and attention weights",
}
"""Every parameter of a prediction and its meaning."""
ANSWER = ("scores", "attention")
NONE_IS_ZERO = ("max_length", "temperature", "top_k")
"""Parameters that are None in a SearchConfig; MLflow's signature has no type for None."""
TYPES = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}
LARGEST = 2**31
"""Largest integer: tensors do not hold larger ones."""
MOST = {"beam": 100, "n_best": 100}
"""Upper bounds: more would exhaust a server's memory and improve no translation."""


def open_translator(folder: Path, device: str) -> Translator:
    """Load what `translator.json` in a version's folder describes, onto a device: auto, cpu or gpu.

    Raises ValueError for a GPU that cannot be used.
    """
    description = json.loads((folder / "translator.json").read_text("utf8"))
    return Translator.from_description(folder, description, open_device(device, f"device={device}"))


def defaults(config: SearchConfig, line_policy: LinePolicy) -> dict[str, Any]:
    """Return the value of every parameter for requests that do not set it."""
    known = asdict(config) | asdict(line_policy) | dict.fromkeys(ANSWER, False)
    values = {name: known[name] for name in PARAMETERS}
    numbers = {"max_length": 0, "temperature": 0.0, "top_k": 0}
    return values | {name: numbers[name] for name in NONE_IS_ZERO if values[name] is None}


def predict(translator: Translator, lines: Sequence[str], parameters: Mapping[str, Any]) -> list[Any]:
    """Return the translation of each line, in order; or an object per line, for scores, attention or `n_best` above 1.

    A parameter that is None counts as not set.

    An object has `hypotheses`, the best first, each with `text`, `score`, `truncated` (whether the limit of its length
    cut it off) and, if it is the source itself, `copied`; a line without words has none. With `attention` it also has
    `source_pieces`, and each hypothesis `target_pieces` and `attention`: a row of weights for each target piece.
    Raises ValueError with the parameter or the line number, the value and the remedy.
    """
    unknown = [name for name in parameters if name not in PARAMETERS]
    if unknown:
        raise ValueError(f"{unknown[0]:.40}: there is no such parameter; there are {', '.join(PARAMETERS)}")
    for number, line in enumerate(lines, start=1):
        _check_line(line, number)
    usual = defaults(translator.config, translator.line_policy)
    given = usual | {name: _typed(name, value, usual[name]) for name, value in parameters.items() if value is not None}
    for name, most in MOST.items():
        if given[name] > most:
            raise ValueError(f"{name}={given[name]} must be at most {most}")
    attention, objects = given["attention"], given["scores"] or given["attention"] or given["n_best"] > 1
    if attention and not translator.has_attention:
        raise ValueError("attention=True: this model has no attention; leave it out")
    chosen = {name: value for name, value in given.items() if name not in ANSWER}
    configured = translator.configured(chosen | {name: chosen[name] or None for name in NONE_IS_ZERO})
    if not objects:
        return list(configured.translate(lines))
    found = configured.hypotheses(lines, attention=attention)
    return [describe(n_best, attention) for n_best in found]


def _typed(name: str, value: Any, usual: Any) -> Any:
    """Return a parameter's value in the type of its default. Raises ValueError if it has another type."""
    kind = type(usual)
    if isinstance(value, bool) or kind not in (int, float):
        fits = type(value) is kind
    else:
        is_number = isinstance(value, numbers.Integral if kind is int else numbers.Real)
        fits = is_number and abs(value) <= sys.float_info.max  # False for NaN, too.
    if not fits:
        raise ValueError(f"{name}={value!r:.40} must be {TYPES[kind]}")
    if kind is int and abs(value) > LARGEST:
        raise ValueError(f"{name}={value!r:.40} must be between -{LARGEST} and {LARGEST}")
    return kind(value)


def _check_line(line: Any, number: int) -> None:
    if not isinstance(line, str):
        raise ValueError(f"line {number} is {line!r:.40} ({type(line).__name__}), not text")  # noqa: TRY004
    try:
        line.encode()
    except UnicodeEncodeError:
        raise ValueError(f"line {number} holds half of a surrogate pair, which is not a character") from None


def describe(n_best: Sequence[Translation], attention: bool) -> dict[str, Any]:
    """Return the JSON object of a line's translations."""
    hypotheses: list[dict[str, Any]] = [
        {"text": found.text, "score": found.score, "truncated": found.truncated}
        | ({"copied": True} if found.copied else {})
        for found in n_best
    ]
    if not attention:
        return {"hypotheses": hypotheses}
    for description, found in zip(hypotheses, n_best, strict=True):
        description["target_pieces"] = found.target_pieces
        description["attention"] = [[round(weight, 4) for weight in row] for row in found.attention]
    return {"source_pieces": n_best[0].source_pieces if n_best else [], "hypotheses": hypotheses}

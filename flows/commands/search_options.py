"""The options of `nmt translate`: how to search, what to do with long lines, and what to write."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from pipeline.errors import InputError

SEARCH, SAMPLING, LONG_LINES = "Search", "Sampling", "Long lines"


def _option(name: str, panel: str, metavar: str | None, text: str) -> Any:
    return typer.Option(name, rich_help_panel=panel, metavar=metavar, help=text)


Beam = Annotated[int | None, _option("--beam", SEARCH, "N", "Keep N hypotheses; 1 is greedy search.")]
LengthPenalty = Annotated[
    float | None,
    _option(
        "--length-penalty", SEARCH, "X", "Prefer longer translations: alpha of Wu et al. 2016; 0 prefers short ones."
    ),
]
CoveragePenalty = Annotated[
    float | None,
    _option("--coverage-penalty", SEARCH, "X", "Penalise unattended source words: beta of Wu et al. 2016."),
]
NBest = Annotated[int | None, _option("--n-best", SEARCH, "N", "Return N translations per line; needs --json.")]
MinLength = Annotated[int | None, _option("--min-length", SEARCH, "N", "Return at least N target tokens.")]
MaxLength = Annotated[int | None, _option("--max-length", SEARCH, "N", "Return at most N target tokens.")]
NoRepeatNgram = Annotated[
    int | None, _option("--no-repeat-ngram", SEARCH, "N", "Repeat no sequence of N target tokens; 0: repeat any.")
]
ReplaceUnknown = Annotated[
    bool | None,
    typer.Option(
        "--replace-unknown/--no-replace-unknown",
        rich_help_panel=SEARCH,
        help="Replace `<unk>` by the source word that attention points at.",
        show_default=False,
    ),
]
Sample = Annotated[bool, _option("--sample", SAMPLING, None, "Draw the tokens instead of searching.")]
Temperature = Annotated[
    float | None,
    _option("--temperature", SAMPLING, "X", "Draw from the probabilities to the power of 1/X; implies --sample."),
]
TopK = Annotated[int | None, _option("--top-k", SAMPLING, "N", "Draw from the N most probable tokens.")]
Seed = Annotated[int | None, _option("--seed", SAMPLING, "N", "Draw with this seed.")]
MaxSourceLength = Annotated[
    int | None, _option("--max-source-length", LONG_LINES, "N", "Translate up to N source tokens at once.")
]
LongLines = Annotated[
    str | None,
    _option("--long-lines", LONG_LINES, "split|refuse", "Split longer lines into parts, or refuse them with an error."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write a JSON object per line: translations and their scores.")]
Attention = Annotated[bool, typer.Option("--attention", help="Add pieces and attention weights; needs --json.")]

DEVICES = ("auto", "cpu", "gpu")
Device = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|gpu", help="Compute on a GPU, or not; auto: where one can be used.")
]


def check_device(device: str) -> None:
    """Raise InputError for a device that there is not, before anything is imported."""
    if device not in DEVICES:
        raise InputError(f"--device {device}: there is no such device; choose one of {', '.join(DEVICES)}")


@dataclass(frozen=True)
class SearchOptions:
    """The options as given; those that are None are as the version was evaluated."""

    beam: int | None = None
    length_penalty: float | None = None
    coverage_penalty: float | None = None
    n_best: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    no_repeat_ngram: int | None = None
    sample: bool = False
    temperature: float | None = None
    top_k: int | None = None
    seed: int | None = None
    replace_unknown: bool | None = None
    max_source_length: int | None = None
    long_lines: str | None = None
    as_json: bool = False
    attention: bool = False

    def check(self) -> None:
        """Raise InputError for options that make no sense together, before a model is loaded."""
        if self.n_best is not None and self.n_best > 1 and not self.as_json:
            raise InputError(f"--n-best {self.n_best}: plain output has one line per line of input; add --json")
        if self.attention and not self.as_json:
            raise InputError("--attention: plain output has no place for weights; add --json")
        for name, value in (("temperature", self.temperature), ("top-k", self.top_k), ("max-length", self.max_length)):
            if value == 0:  # To the version it would mean: none.
                raise InputError(f"--{name} {value}: {name.replace('-', '_')}={value} must be more than 0")
        if self._draws and self.beam is not None:
            raise InputError(f"--beam {self.beam}: --sample draws and does not search; leave one of them out")
        for name, value in (("length-penalty", self.length_penalty), ("coverage-penalty", self.coverage_penalty)):
            if value is not None and (self._draws or self.beam == 1) and not self.as_json:
                one = "--sample" if self._draws else "--beam 1"
                raise InputError(f"--{name} {value}: it ranks hypotheses, and {one} has only one; leave it out")
        for name, value in (("top-k", self.top_k), ("seed", self.seed)):
            if value is not None and not self._draws:
                raise InputError(f"--{name} {value}: nothing is drawn without --sample; add it")

    @property
    def _draws(self) -> bool:
        return self.sample or self.temperature is not None

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the prediction that differ from the version's own."""
        names = (
            *("beam", "length_penalty", "coverage_penalty", "n_best", "min_length", "max_length"),
            *("no_repeat_ngram", "temperature", "top_k", "seed", "replace_unknown", "max_source_length", "long_lines"),
        )
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.sample and self.temperature is None:
            given["temperature"] = 1.0
        if self.beam is not None:  # A search, even where the version draws by default.
            given |= {"temperature": 0.0, "top_k": 0}
        return given | ({"scores": True} if self.as_json else {}) | ({"attention": True} if self.attention else {})

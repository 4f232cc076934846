"""The options of `nmt translate`: how to search, what to do with long lines, and what to write."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from pipeline.errors import InputError

Beam = Annotated[int | None, typer.Option("--beam", help="hypotheses kept; 1 is greedy search")]
LengthPenalty = Annotated[
    float | None, typer.Option("--length-penalty", help="alpha of Wu et al. 2016; 0 prefers short translations")
]
CoveragePenalty = Annotated[
    float | None, typer.Option("--coverage-penalty", help="beta of Wu et al. 2016: what unattended source words cost")
]
NBest = Annotated[int | None, typer.Option("--n-best", help="translations of each line; more than one needs --json")]
MinLength = Annotated[int | None, typer.Option("--min-length", help="target tokens at least")]
MaxLength = Annotated[int | None, typer.Option("--max-length", help="target tokens at most")]
Sample = Annotated[bool, typer.Option("--sample", help="draw the tokens rather than search")]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="draw from the probabilities to the power of 1 / this; else 1")
]
TopK = Annotated[int | None, typer.Option("--top-k", help="draw from so many of the most probable tokens")]
Seed = Annotated[int | None, typer.Option("--seed", help="seed of the draws")]
MaxSourceLength = Annotated[
    int | None, typer.Option("--max-source-length", help="source tokens that are translated at once")
]
LongLines = Annotated[
    str | None, typer.Option("--long-lines", help="split: longer lines are translated in parts; refuse: an error")
]
ReplaceUnknown = Annotated[
    bool | None, typer.Option(help="put the source word that attention points at in place of <unk>", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="a line of JSON for each line: translations and their scores")]
Attention = Annotated[bool, typer.Option("--attention", help="with --json: pieces and attention weights too")]


@dataclass(frozen=True)
class SearchOptions:
    """What was said on the command line; where nothing was, the version's own description holds."""

    beam: int | None = None
    length_penalty: float | None = None
    coverage_penalty: float | None = None
    n_best: int | None = None
    min_length: int | None = None
    max_length: int | None = None
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
            raise InputError(f"--n-best {self.n_best}: plain output is one line for each line of input; add --json")
        if self.attention and not self.as_json:
            raise InputError("--attention: plain output has no place for weights; add --json")
        for name, value in (("temperature", self.temperature), ("top-k", self.top_k), ("max-length", self.max_length)):
            if value == 0:  # To the version it would mean: none.
                raise InputError(f"--{name} {value}: {name.replace('-', '_')}={value} must be more than 0")
        if self._draws and self.beam is not None:
            raise InputError(f"--beam {self.beam}: --sample draws and does not search; leave one of them out")
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
            *("temperature", "top_k", "seed", "replace_unknown", "max_source_length", "long_lines"),
        )
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.sample and self.temperature is None:
            given["temperature"] = 1.0
        if self.beam is not None:  # A search, even where the version draws by default.
            given |= {"temperature": 0.0, "top_k": 0}
        return given | ({"scores": True} if self.as_json else {}) | ({"attention": True} if self.attention else {})

"""The section of the noise in training pairs."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.source_config import Section


class NoiseConfig(Section):
    """What becomes of training pairs, drawn anew in every epoch; nothing that is stored changes."""

    upper_case: float = Field(0.0, ge=0.0, le=1.0, description="share of pairs in capitals, on both sides")
    title_case: float = Field(
        0.0, ge=0.0, le=1.0, description="share of pairs with a capital at the start of every word, on both sides"
    )
    typos: float = Field(0.0, ge=0.0, le=1.0, description="share of pairs with typos in the source")
    typo_words: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="share of the words of such a source that have a typo, one at least: a letter swapped, dropped, "
        "doubled, or replaced by its neighbour on the keyboard",
    )
    no_final_punctuation: float = Field(
        0.0, ge=0.0, le=1.0, description="share of pairs without the punctuation at their end, on both sides"
    )
    joined: float = Field(
        0.0, ge=0.0, le=1.0, description="share of pairs joined with another one, if batching.max_length allows"
    )
    subword_sampling: Literal["none", "source", "target", "both"] = Field(
        "none", description="the sides that are cut into other pieces each time: by sampling_alpha or bpe_dropout"
    )
    sampling_alpha: float = Field(
        0.2,
        ge=0.0,
        le=10.0,
        description="of a unigram tokenizer: probabilities to this power; 0: all ways of cutting are alike (Kudo 2018)",
    )
    bpe_dropout: float = Field(
        0.1, ge=0.0, le=1.0, description="of a bpe tokenizer: share of merges left out (Provilkov et al. 2020)"
    )

    @property
    def kinds(self) -> tuple[str, ...]:
        """What there is of it, in words; empty if there is none."""
        shares = ("upper_case", "title_case", "typos", "no_final_punctuation", "joined")
        shown = [f"{name} {share:.3g}" for name in shares if (share := getattr(self, name))]
        sampling = [] if self.subword_sampling == "none" else [f"subword_sampling {self.subword_sampling}"]
        return (*shown, *sampling)

    @property
    def clause(self) -> str:
        """What there is of it, at the end of a line of progress."""
        return f"; noise in training: {', '.join(self.kinds)}" if self.kinds else ""

    @model_validator(mode="after")
    def _a_pair_has_one_case(self) -> Self:
        if self.upper_case + self.title_case > 1.0:
            raise ValueError(
                f"upper_case={self.upper_case} and title_case={self.title_case} are shares of all pairs, of which none "
                "is both; lower one of them"
            )
        return self

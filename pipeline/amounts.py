"""Amounts of training in the units that people think in: epochs, updates, target tokens and time."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, Protocol, get_args

from pydantic import BeforeValidator

Unit = Literal["epochs", "updates", "tokens", "minutes", "hours"]
UNITS: tuple[Unit, ...] = get_args(Unit)
_NAMES: dict[str, Unit] = {
    **{name: unit for unit in UNITS for name in (unit, unit.removesuffix("s"))},
    "min": "minutes",
    "h": "hours",
}
_MULTIPLES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_SECONDS = {"minutes": 60, "hours": 3600}
_TEXT = re.compile(rf"(\d+(?:\.\d+)?)\s*([kMG]?)\s*({'|'.join(sorted(_NAMES, key=len, reverse=True))})")


class Place(Protocol):
    """How far a training is."""

    @property
    def epochs(self) -> Fraction:
        """Passes over the corpus, with the part of the one that has begun."""

    @property
    def step(self) -> int:
        """Updates: optimizer steps."""

    @property
    def tokens(self) -> int:
        """Target tokens."""

    @property
    def seconds(self) -> float:
        """Of steps."""


@dataclass(frozen=True)
class Amount:
    """So many of a unit."""

    number: Fraction
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> "Amount":
        """Read an amount.

        Raises ValueError for what is none.

        >>> [str(Amount.parse(text)) for text in ("12 epochs", "1epoch", "100k updates", "0.5G tokens", "1.5 hours")]
        ['12 epochs', '1 epoch', '100000 updates', '500000000 tokens', '1.5 hours']
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None or not float(found[1]):
            raise ValueError(f"not an amount; write a number and one of {', '.join(UNITS)}, such as 12 epochs")
        return cls(Fraction(found[1]) * _MULTIPLES[found[2]], _NAMES[found[3]])

    def __str__(self) -> str:
        """Return the amount as it is read, in one way."""
        number = str(self.number) if self.number.denominator == 1 else str(float(self.number))
        return f"{number} {self.unit.removesuffix('s') if self.number == 1 else self.unit}"

    @property
    def is_time(self) -> bool:
        """Whether a clock says when it has passed, and not the data."""
        return self.unit in _SECONDS

    @property
    def seconds(self) -> float:
        """Seconds of a time."""
        return float(self.number * _SECONDS[self.unit])

    def of(self, place: Place) -> Fraction:
        """Return how often the amount has passed, for example 1/4 for the third epoch of twelve."""
        if self.unit == "epochs":
            return place.epochs / self.number
        if self.unit == "updates":
            return place.step / self.number
        if self.unit == "tokens":
            return place.tokens / self.number
        return Fraction(place.seconds) / Fraction(self.seconds)

    def ends(self, before: Place, after: Place) -> bool:
        """Return whether the amount, or a multiple of it, ends on the way from one place to another."""
        return self.of(before) // 1 < self.of(after) // 1


def _checked(text: object, units: tuple[Unit, ...]) -> str:
    amount = Amount.parse(text if isinstance(text, str) else str(text))
    if amount.unit not in units:
        raise ValueError(f"{amount.unit} do not fit here; choose one of {', '.join(units)}")
    if not amount.is_time and amount.unit != "epochs" and amount.number.denominator != 1:
        raise ValueError(f"there are no parts of {amount.unit}; write a whole number")
    return str(amount)


def _several(value: object) -> Any:
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(_checked(part, UNITS) for part in (parts if isinstance(parts, list | tuple) else (parts,)))


Every = Annotated[str, BeforeValidator(lambda value: _checked(value, ("epochs", "updates", "tokens", "minutes")))]
"""The text of an amount after which something is done again and again."""
UntilData = Annotated[str, BeforeValidator(lambda value: _checked(value, ("epochs", "updates", "tokens")))]
"""The text of an amount of which the data alone says when it has passed."""
Until = Annotated[tuple[str, ...], BeforeValidator(_several)]
"""The texts of amounts, the first of which ends a training; also as one text, with commas between them."""

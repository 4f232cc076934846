"""Dirt of every kind that the rules look for, put into a clean corpus at known places."""

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Pair = tuple[str, str]
FOREIGN = (
    "Les enfants jouent au ballon dans le jardin pendant que leur mère prépare le repas.",
    "Un homme âgé est assis sur un banc et regarde les pigeons de la place.",
    "La mujer camina por la playa con su perro y lleva un sombrero azul.",
    "Dos chicos juegan al fútbol delante de una casa vieja en el pueblo.",
    "Il ragazzo con la maglietta rossa corre verso il treno che parte.",
    "Uma menina segura um guarda-chuva amarelo na rua debaixo da chuva.",
    "Dwóch mężczyzn siedzi przy stole i rozmawia o nowym samochodzie.",
    "Мужчина в чёрной куртке стоит на улице и ждёт автобус.",
)
WIDTHLESS = "\u200b\ufeff\u00ad\u0007"


@dataclass(frozen=True)
class Dirty:
    """A corpus with dirt in it."""

    pairs: list[Pair]
    kinds: dict[int, str]
    """The rule that should find a pair, by the pair's number from 1."""
    originals: dict[int, Pair]
    """What the pairs to be repaired were."""


def with_noise(pairs: Sequence[Pair], share: float, seed: int) -> Dirty:
    """Return the pairs with a share of each kind of dirt: some pairs spoilt, copies of others put in after them."""
    chance = random.Random(seed)
    count = max(1, round(share * len(pairs)))
    untouched = list(range(len(pairs)))
    chance.shuffle(untouched)
    spoilt: dict[int, tuple[str, Pair]] = {}
    for kind, spoil in SPOILERS.items():
        done = 0
        for row in list(untouched):
            if done == count:
                break
            pair = spoil(pairs[row], pairs[chance.randrange(len(pairs))], chance)
            if pair is not None:
                spoilt[row] = (kind, pair)
                untouched.remove(row)
                done += 1
    added = [
        (kind, copied)
        for kind, copy in COPIERS.items()
        for row in chance.sample(untouched, min(count, len(untouched)))
        if (copied := copy(pairs[row], chance)) is not None
    ]
    for row in chance.sample(untouched, max(1, count // 12)):
        # With its own, the ten that may stay are found among the first; all further ones are too many.
        added += [
            ("many_targets" if number >= 9 else "", (pairs[row][0], chance.choice(pairs)[1])) for number in range(21)
        ]
    result: list[Pair] = []
    kinds: dict[int, str] = {}
    originals: dict[int, Pair] = {}
    for row, pair in enumerate(pairs):
        kind, pair = spoilt.get(row, ("", pair))
        result.append(pair)
        if kind:
            kinds[len(result)], originals[len(result)] = kind, pairs[row]
    for kind, pair in added:
        result.append(pair)
        if kind:
            kinds[len(result)] = kind
    return Dirty(result, kinds, originals)


def _mojibake(pair: Pair, _other: Pair, chance: random.Random) -> Pair | None:
    if pair[0].isascii():
        return None
    try:
        return pair[0].encode("utf8").decode("cp1252"), pair[1]
    except UnicodeDecodeError:
        return None


def _controls(pair: Pair, _other: Pair, chance: random.Random) -> Pair:
    place = chance.randrange(1, len(pair[1])) if len(pair[1]) > 1 else 0
    return pair[0], pair[1][:place] + chance.choice(WIDTHLESS) + pair[1][place:]


def _nfc(pair: Pair, _other: Pair, chance: random.Random) -> Pair | None:
    decomposed = unicodedata.normalize("NFD", pair[0]), pair[1]
    return decomposed if decomposed != pair else None


def _long(pair: Pair, _other: Pair, chance: random.Random) -> Pair:
    times = 3_100 // min(map(len, pair)) + 1
    return " ".join([pair[0]] * times), " ".join([pair[1]] * times)


def _copy(pair: Pair, _other: Pair, chance: random.Random) -> Pair:
    return (pair[0], pair[0]) if chance.random() < 0.5 else (pair[1], pair[1])


def _letters(pair: Pair, _other: Pair, chance: random.Random) -> Pair:
    table = " | ".join(str(chance.randrange(10_000)) for _ in range(8))
    return (pair[0], table) if chance.random() < 0.5 else (table, table)


def _addresses(pair: Pair, _other: Pair, chance: random.Random) -> Pair:
    address = chance.choice(["https://example.org/{}", "www.example.com/{}.html", "info{}@example.net"])
    return f"{pair[0]} {address.format(chance.randrange(1000))}", pair[1]


def _numbers(pair: Pair, _other: Pair, chance: random.Random) -> Pair:
    return pair[0], f"{pair[1]} {chance.randrange(13, 3000)}"


def _language(pair: Pair, other: Pair, chance: random.Random) -> Pair:
    wrong = [
        (pair[0], other[0]),
        (other[1], pair[1]),
        (pair[0], chance.choice(FOREIGN)),
        (chance.choice(FOREIGN), pair[1]),
    ]
    return chance.choice(wrong)


def _ratio(pair: Pair, other: Pair, chance: random.Random) -> Pair | None:
    if min(map(len, pair)) < 30:
        return None
    return (pair[0], pair[1].split()[0]) if chance.random() < 0.5 else (pair[0].split()[0], pair[1])


SPOILERS: dict[str, Callable[[Pair, Pair, random.Random], Pair | None]] = {
    "mojibake": _mojibake,
    "controls": _controls,
    "nfc": _nfc,
    "long": _long,
    "copy": _copy,
    "letters": _letters,
    "addresses": _addresses,
    "numbers": _numbers,
    "language": _language,
    "ratio": _ratio,
}
"""What spoils a pair, with another one at hand, by the rule that should find it; None: this pair cannot be so."""


def _same(pair: Pair, chance: random.Random) -> Pair:
    return pair


def changed_form(pair: Pair, chance: random.Random) -> Pair:
    """Return a pair with other case, punctuation and spacing."""
    return pair[0].upper().rstrip(".") + " !", pair[1].lower().replace(" ", "  ").rstrip(".") + "..."


def changed_words(pair: Pair, chance: random.Random) -> Pair | None:
    """Return a pair with one word in twelve changed on each side; None if it has fewer words."""
    sides = [side.split() for side in pair]
    if min(map(len, sides)) < 12:
        return None
    for words in sides:
        for place in chance.sample(range(len(words) - 1), len(words) // 12):
            words[place] = "zzz"
    return " ".join(sides[0]), " ".join(sides[1])


COPIERS: dict[str, Callable[[Pair, random.Random], Pair | None]] = {
    "duplicate": _same,
    "similar": changed_form,
    "near_duplicate": changed_words,
}
"""What makes another pair of one that stays, by the rule that should find it."""

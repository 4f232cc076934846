"""Adjectives, adverbs, numerals and ready-made adverbial phrases of the caption grammar."""

from __future__ import annotations

from typing import Final

from pipeline.corpus.captions.types import Adjective, Adverb, Reason, Text

_SIZE, _STATE, _AGE, _COLOUR, _MATERIAL = 1, 2, 3, 4, 5

_PAINTED: Final = "clothes colour vehicle thing shape load book crockery furniture fence surface gift collar hard"
_THINGS: Final = "thing shape load crockery furniture"


def _adjective(stem: str, english: str, rank: int, classes: str, declined: bool = True) -> Adjective:
    return Adjective(stem, english, rank, tuple(classes.split()), declined)


ADJECTIVES: Final[tuple[Adjective, ...]] = (
    _adjective("groß", "tall", _SIZE, "person tree"),
    _adjective("groß", "big", _SIZE, f"animal bird {_THINGS} vehicle gift instrument rock built book stone bush"),
    _adjective("groß", "large", _SIZE, "area building room lake town shop station stage nature landmark meal"),
    _adjective("klein", "little", _SIZE, "child baby animal bird young insect"),
    _adjective("klein", "small", _SIZE, f"{_THINGS} vehicle gift instrument book area building room lake town shop"),
    _adjective("klein", "small", _SIZE, "station bridge bush tree meal nature hill river built plant"),
    _adjective("lang", "long", _SIZE, "hair beard stairs way song bridge rod"),
    _adjective("kurz", "short", _SIZE, "hair beard rod"),
    _adjective("breit", "wide", _SIZE, "way river stairs"),
    _adjective("schmal", "narrow", _SIZE, "way bridge"),
    _adjective("hoh", "high", _SIZE, "hill fence"),
    _adjective("tief", "deep", _SIZE, "snow water"),
    _adjective("dick", "thick", _SIZE, "book rod"),
    _adjective("dicht", "dense", _STATE, "wood"),
    _adjective("schlank", "slim", _SIZE, "man woman"),
    _adjective("müd", "tired", _STATE, "person child animal young"),
    _adjective("fröhlich", "cheerful", _STATE, "person child"),
    _adjective("glücklich", "happy", _STATE, "person child baby"),
    _adjective("lächelnd", "smiling", _STATE, "person child baby"),
    _adjective("lachend", "laughing", _STATE, "person child"),
    _adjective("neugierig", "curious", _STATE, "child animal young baby"),
    _adjective("freundlich", "friendly", _STATE, "person pet"),
    _adjective("nass", "wet", _STATE, "pet grass sand"),
    _adjective("schmutzig", "dirty", _STATE, "load crockery pet vehicle"),
    _adjective("schön", "beautiful", _STATE, "bird song lake building nature town beach insect gift area plant"),
    _adjective("hübsch", "pretty", _STATE, "gift crockery plant"),
    _adjective("elegant", "elegant", _STATE, "woman"),
    _adjective("warm", "warm", _STATE, "sand water room"),
    _adjective("kalt", "cold", _STATE, "water"),
    _adjective("ruhig", "quiet", _STATE, "lake town room way beach"),
    _adjective("leer", "empty", _STATE, "room building way beach shop station stage"),
    _adjective("voll", "crowded", _STATE, "shop station beach"),
    _adjective("sonnig", "sunny", _STATE, "area nature beach"),
    _adjective("hell", "bright", _STATE, "room sky"),
    _adjective("belebt", "busy", _STATE, "way town area"),
    _adjective("schwer", "heavy", _STATE, "load"),
    _adjective("voll", "full", _STATE, "load"),
    _adjective("steil", "steep", _STATE, "hill slope stairs"),
    _adjective("verschneit", "snowy", _STATE, "hill slope wood way nature"),
    _adjective("frisch", "fresh", _STATE, "fruit plainfruit meal"),
    _adjective("reif", "ripe", _STATE, "plainfruit fruit"),
    _adjective("lecker", "delicious", _STATE, "meal dish"),
    _adjective("spannend", "exciting", _STATE, "book"),
    _adjective("lustig", "funny", _STATE, "book song"),
    _adjective("traurig", "sad", _STATE, "song"),
    _adjective("gestreift", "striped", _COLOUR, "clothes pet"),
    _adjective("kariert", "plaid", _COLOUR, "clothes"),
    _adjective("bunt", "colorful", _COLOUR, "clothes bird insect thing crockery"),
    _adjective("jung", "young", _AGE, "junior animal wildcat bird tree"),
    _adjective("alt", "old", _AGE, f"elder animal {_THINGS} vehicle book instrument building bridge town station"),
    _adjective("alt", "old", _AGE, "fence tree landmark song stairs clothes room shop"),
    _adjective("älter", "elderly", _AGE, "elder"),
    _adjective("neu", "new", _AGE, f"{_THINGS} vehicle instrument clothes book"),
    _adjective("modern", "modern", _AGE, "building room"),
    _adjective("bärtig", "bearded", _STATE, "man"),
    _adjective("blond", "blond", _COLOUR, "junior hair child"),
    _adjective("dunkelhaarig", "dark-haired", _COLOUR, "junior child"),
    _adjective("rothaarig", "red-haired", _COLOUR, "junior child"),
    _adjective("lockig", "curly", _STATE, "hair"),
    _adjective("dunkl", "dark", _COLOUR, "hair wood tunnel"),
    _adjective("rot", "red", _COLOUR, f"{_PAINTED} fruit plant"),
    _adjective("blau", "blue", _COLOUR, f"{_PAINTED} sky"),
    _adjective("grün", "green", _COLOUR, f"{_PAINTED} fruit grass nature bush"),
    _adjective("gelb", "yellow", _COLOUR, f"{_PAINTED} insect plant"),
    _adjective("schwarz", "black", _COLOUR, f"{_PAINTED} animal young hair beard coat"),
    _adjective("weiß", "white", _COLOUR, f"{_PAINTED} animal bird young beard coat sand"),
    _adjective("braun", "brown", _COLOUR, f"{_PAINTED} animal young hair coat"),
    _adjective("grau", "gray", _COLOUR, f"{_PAINTED} animal beard bird coat young"),
    _adjective("rosa", "pink", _COLOUR, "clothes", declined=False),
    _adjective("lila", "purple", _COLOUR, "clothes", declined=False),
    _adjective("hellblau", "light blue", _COLOUR, "clothes"),
    _adjective("dunkelblau", "dark blue", _COLOUR, "clothes"),
    _adjective("hölzern", "wooden", _MATERIAL, "furniture fence bridge"),
)

NUMERALS: Final[tuple[Text, ...]] = (
    Text("zwei", "two"), Text("drei", "three"), Text("vier", "four"), Text("fünf", "five"),
    Text("sechs", "six"), Text("sieben", "seven"), Text("acht", "eight"), Text("neun", "nine"),
    Text("zehn", "ten"), Text("elf", "eleven"), Text("zwölf", "twelve"),
)  # fmt: skip

QUANTIFIERS: Final[tuple[Text, ...]] = (
    Text("mehrer", "several"), Text("einig", "some"), Text("viel", "many"),
)  # fmt: skip
"""German stems that decline like strong adjectives."""

ADVERBS: Final[tuple[Adverb, ...]] = (
    Adverb("langsam", "slowly", ("pace",)),
    Adverb("schnell", "quickly", ("pace", "quick")),
    Adverb("vorsichtig", "carefully", ("care",)),
    Adverb("sorgfältig", "carefully", ("craft",)),
    Adverb("geduldig", "patiently", ("patience",)),
    Adverb("ruhig", "calmly", ("patience", "calm")),
    Adverb("friedlich", "peacefully", ("calm",)),
    Adverb("tief und fest", "soundly", ("sleep",)),
    Adverb("laut", "loudly", ("loud",)),
    Adverb("leise", "quietly", ("quiet",)),
    Adverb("fröhlich", "happily", ("joy",)),
    Adverb("aufmerksam", "attentively", ("attention",)),
    Adverb("allein", "alone", ("alone",), after=True),
    Adverb("gemeinsam", "together", ("together",), after=True),
)

TIMES: Final[tuple[Text, ...]] = (
    Text("am Morgen", "in the morning"),
    Text("am Nachmittag", "in the afternoon"),
    Text("am frühen Abend", "in the early evening"),
    Text("am Abend", "in the evening"),
    Text("an einem warmen Tag", "on a warm day"),
    Text("heute", "today"),
    Text("jetzt", "now"),
)
"""Scene-setting phrases that open a sentence and draw the verb before the subject."""

SUNNY_TIMES: Final[tuple[Text, ...]] = (
    Text("an einem sonnigen Tag", "on a sunny day"),
    Text("an einem schönen Sommertag", "on a beautiful summer day"),
    Text("bei gutem Wetter", "in good weather"),
    Text("bei Sonnenuntergang", "at sunset"),
)
WINTER_TIMES: Final[tuple[Text, ...]] = (
    Text("an einem kalten Wintertag", "on a cold winter day"),
    Text("im Winter", "in winter"),
)


def _reason(german: str, german_plural: str, english: str, english_plural: str, tags: str) -> Reason:
    return Reason(Text(german, english), Text(german_plural, english_plural), tuple(tags.split()))


def _weather(german: str, english: str, tags: str) -> Reason:
    text = Text(german, english)
    return Reason(text, text, tuple(tags.split()), pronoun=False)


REASONS: Final[tuple[Reason, ...]] = (
    _reason("müde ist", "müde sind", "is tired", "are tired", "tired"),
    _reason("viel gearbeitet hat", "viel gearbeitet haben", "has worked a lot", "have worked a lot", "adulttired"),
    _reason("eine Pause braucht", "eine Pause brauchen", "needs a break", "need a break", "adulttired"),
    _reason("glücklich ist", "glücklich sind", "is happy", "are happy", "joy"),
    _reason("Spaß hat", "Spaß haben", "is having fun", "are having fun", "joy"),
    _reason("Geburtstag hat", "Geburtstag haben", "is celebrating a birthday", "are celebrating a birthday", "joy"),
    _reason("hingefallen ist", "hingefallen sind", "has fallen down", "have fallen down", "sad"),
    _reason("traurig ist", "traurig sind", "is sad", "are sad", "sad"),
    _reason("Angst hat", "Angst haben", "is afraid", "are afraid", "sad"),
    _reason("es eilig hat", "es eilig haben", "is in a hurry", "are in a hurry", "hurry"),
    _reason("zu spät kommt", "zu spät kommen", "is late", "are late", "hurry"),
    _reason("Hunger hat", "Hunger haben", "is hungry", "are hungry", "hunger"),
    _reason("Durst hat", "Durst haben", "is thirsty", "are thirsty", "thirst"),
    _reason("spielen will", "spielen wollen", "wants to play", "want to play", "playful"),
    _reason("nach Hause will", "nach Hause wollen", "wants to go home", "want to go home", "hurry"),
    _weather("es regnet", "it is raining", "rain"),
    _weather("es kalt ist", "it is cold", "cold"),
    _weather("es schneit", "it is snowing", "cold"),
    _weather("die Sonne scheint", "the sun is shining", "sun"),
    _weather("es sehr heiß ist", "it is very hot", "sun heat"),
    _weather("das Wetter schön ist", "the weather is nice", "sun"),
)

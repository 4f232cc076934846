"""The nouns of the caption grammar: persons, animals and things, with gender, plural and English forms."""

from __future__ import annotations

from pipeline.corpus.captions.types import Gender, Noun

_GENDERS = {"m": Gender.MASCULINE, "f": Gender.FEMININE, "n": Gender.NEUTER}


def _genitive(singular: str, gender: str, plural: str, weak: bool) -> str:
    """Return the regular genitive singular."""
    if gender == "f":
        return singular
    if weak:
        return plural
    return singular + ("es" if singular.endswith(("s", "ß", "z", "x", "tz", "sch")) else "s")


def _noun(
    german: str,
    gender: str,
    plural: str,
    english: str,
    tags: str,
    classes: str = "thing",
    *,
    key: str = "",
    genitive: str = "",
    weak: bool = False,
    pronoun: str = "it",
    pair: bool = False,
) -> Noun:
    """Read one row; `english` is 'singular/plural', or the singular alone where the plural adds -s."""
    singular, _, english_plural = english.partition("/")
    return Noun(
        key=key or german,
        singular=german,
        gender=_GENDERS[gender],
        plural=plural,
        english=singular,
        english_plural=english_plural or singular + "s",
        tags=tuple(tags.split()),
        adjective_classes=tuple(classes.split()),
        genitive=genitive or _genitive(german, gender, plural, weak),
        weak=weak,
        pronoun=pronoun,
        pair=pair,
    )


_AGELESS = ("Student", "Sportler", "Fußballspieler", "Torwart", "Soldat", "Polizist", "Feuerwehrmann",
            "Vater", "Mutter", "Tänzer", "Lehrer", "Arzt", "Ärztin", "Kellner", "Mechaniker")  # fmt: skip
"""Persons one would not call old in a caption."""


def _person_classes(german: str, sex: str) -> str:
    classes = f"person {sex}"
    if not german.startswith(_AGELESS):
        classes += " elder"
    return classes if german.startswith("Groß") else classes + " junior"


def _he(german: str, plural: str, english: str, tags: str, *, weak: bool = False, genitive: str = "") -> Noun:
    tags, classes = tags + " anyone he", _person_classes(german, "man")
    return _noun(german, "m", plural, english, tags, classes, weak=weak, genitive=genitive, pronoun="he")


def _she(german: str, plural: str, english: str, tags: str) -> Noun:
    tags, classes = tags + " anyone she", _person_classes(german, "woman")
    return _noun(german, "f", plural, english, tags, classes, pronoun="she")


PERSONS: tuple[Noun, ...] = (
    _he("Mann", "Männer", "man/men", "adult common suited", genitive="Mannes"),
    _he("Student", "Studenten", "student", "adult suited", weak=True),
    _he("Tourist", "Touristen", "tourist", "adult", weak=True),
    _he("Großvater", "Großväter", "grandfather", "adult kin"),
    _he("Vater", "Väter", "father", "adult kin suited"),
    _he("Wanderer", "Wanderer", "hiker", "adult hiker"),
    _he("Radfahrer", "Radfahrer", "cyclist", "adult cyclist"),
    _he("Kellner", "Kellner", "waiter", "waiter"),
    _he("Koch", "Köche", "cook", "cook"),
    _he("Bäcker", "Bäcker", "baker", "cook"),
    _he("Bauer", "Bauern", "farmer", "farmer", weak=True),
    _he("Gärtner", "Gärtner", "gardener", "farmer"),
    _he("Polizist", "Polizisten", "police officer", "pro uniformed", weak=True),
    _he("Feuerwehrmann", "Feuerwehrleute", "firefighter", "pro uniformed", genitive="Feuerwehrmannes"),
    _he("Soldat", "Soldaten", "soldier", "pro uniformed", weak=True),
    _he("Lehrer", "Lehrer", "teacher", "teacher"),
    _he("Arzt", "Ärzte", "doctor", "pro", genitive="Arztes"),
    _he("Arbeiter", "Arbeiter", "worker", "worker"),
    _he("Handwerker", "Handwerker", "craftsman/craftsmen", "worker"),
    _he("Mechaniker", "Mechaniker", "mechanic", "worker"),
    _he("Musiker", "Musiker", "musician", "musician suited"),
    _he("Sänger", "Sänger", "singer", "musician"),
    _he("Maler", "Maler", "painter", "artist"),
    _he("Fotograf", "Fotografen", "photographer", "photographer", weak=True),
    _he("Angler", "Angler", "angler", "angler"),
    _he("Sportler", "Sportler", "athlete", "athlete"),
    _he("Fußballspieler", "Fußballspieler", "soccer player", "athlete soccer"),
    _he("Torwart", "Torwarte", "goalkeeper", "athlete keeper"),
    _noun("Junge", "m", "Jungen", "boy", "child common anyone he", "child", weak=True, pronoun="he"),
    _she("Frau", "Frauen", "woman/women", "adult common"),
    _she("Dame", "Damen", "lady/ladies", "adult"),
    _she("Mutter", "Mütter", "mother", "adult kin"),
    _she("Großmutter", "Großmütter", "grandmother", "adult kin"),
    _she("Studentin", "Studentinnen", "student", "adult"),
    _she("Touristin", "Touristinnen", "tourist", "adult"),
    _she("Radfahrerin", "Radfahrerinnen", "cyclist", "adult cyclist"),
    _she("Kellnerin", "Kellnerinnen", "waitress/waitresses", "waiter"),
    _she("Köchin", "Köchinnen", "cook", "cook"),
    _she("Bäuerin", "Bäuerinnen", "farmer", "farmer"),
    _she("Polizistin", "Polizistinnen", "police officer", "pro uniformed"),
    _she("Lehrerin", "Lehrerinnen", "teacher", "teacher"),
    _she("Ärztin", "Ärztinnen", "doctor", "pro"),
    _she("Sängerin", "Sängerinnen", "singer", "musician"),
    _she("Musikerin", "Musikerinnen", "musician", "musician"),
    _she("Tänzerin", "Tänzerinnen", "dancer", "dancer"),
    _she("Künstlerin", "Künstlerinnen", "artist", "artist"),
    _she("Sportlerin", "Sportlerinnen", "athlete", "athlete"),
    _noun("Kind", "n", "Kinder", "child/children", "child common anyone", "child", genitive="Kindes", pronoun=""),
    _noun("Mädchen", "n", "Mädchen", "girl", "child common anyone she", "child", pronoun="she"),
    _noun("Kleinkind", "n", "Kleinkinder", "toddler", "baby", "baby", genitive="Kleinkindes", pronoun=""),
    _noun("Baby", "n", "Babys", "baby/babies", "baby", "baby", pronoun=""),
    _noun(
        "Mensch",
        "m",
        "Menschen",
        "person/people",
        "adult plural anyone",
        "person elder junior",
        weak=True,
        pronoun="",
    ),
    _noun("Leute", "f", "Leute", "people/people", "adult plural anyone", "person elder junior", pronoun=""),
    _noun("Person", "f", "Personen", "person/people", "adult anyone", "person elder junior", pronoun=""),
    _noun("Gruppe", "f", "Gruppen", "group", "group", "none", pronoun=""),
)

ANIMALS: tuple[Noun, ...] = (
    _noun("Hund", "m", "Hunde", "dog", "dog pet", "animal pet", genitive="Hundes"),
    _noun("Welpe", "m", "Welpen", "puppy/puppies", "dog pet", "young", weak=True),
    _noun("Schäferhund", "m", "Schäferhunde", "German shepherd", "dog", "animal", genitive="Schäferhundes"),
    _noun("Pudel", "m", "Pudel", "poodle", "dog", "animal"),
    _noun("Katze", "f", "Katzen", "cat", "cat pet", "animal pet"),
    _noun("Kater", "m", "Kater", "tomcat", "cat", "animal"),
    _noun("Kätzchen", "n", "Kätzchen", "kitten", "cat pet", "young"),
    _noun("Pferd", "n", "Pferde", "horse", "horse grazer ridden", "animal", genitive="Pferdes"),
    _noun("Pony", "n", "Ponys", "pony/ponies", "horse grazer ridden", "animal"),
    _noun("Esel", "m", "Esel", "donkey", "grazer ridden", "animal"),
    _noun("Kuh", "f", "Kühe", "cow", "grazer", "animal"),
    _noun("Schaf", "n", "Schafe", "sheep/sheep", "grazer", "animal"),
    _noun("Ziege", "f", "Ziegen", "goat", "grazer", "animal"),
    _noun("Vogel", "m", "Vögel", "bird", "bird sight", "animal bird"),
    _noun("Möwe", "f", "Möwen", "seagull", "bird seabird", "bird"),
    _noun("Taube", "f", "Tauben", "pigeon", "bird citybird", "bird"),
    _noun("Ente", "f", "Enten", "duck", "waterbird", "bird"),
    _noun("Schwan", "m", "Schwäne", "swan", "waterbird", "bird"),
    _noun("Gans", "f", "Gänse", "goose/geese", "waterbird", "bird"),
    _noun("Elefant", "m", "Elefanten", "elephant", "wild", "animal", weak=True),
    _noun("Affe", "m", "Affen", "monkey", "wild climber", "animal", weak=True),
    _noun("Bär", "m", "Bären", "bear", "wild climber", "animal", weak=True),
    _noun("Löwe", "m", "Löwen", "lion", "wild", "wildcat", weak=True),
    _noun("Wolf", "m", "Wölfe", "wolf/wolves", "wild forester", "animal", genitive="Wolfes"),
    _noun("Fuchs", "m", "Füchse", "fox/foxes", "forester", "wildcat"),
    _noun("Reh", "n", "Rehe", "deer/deer", "forester", "wildcat"),
    _noun("Hase", "m", "Hasen", "rabbit", "forester small", "animal", weak=True),
    _noun("Eichhörnchen", "n", "Eichhörnchen", "squirrel", "forester climber small", "wildcat"),
    _noun("Maus", "f", "Mäuse", "mouse/mice", "small prey", "animal"),
    _noun("Giraffe", "f", "Giraffen", "giraffe", "wild", "wildcat"),
    _noun("Zebra", "n", "Zebras", "zebra", "wild", "wildcat"),
    _noun("Fisch", "m", "Fische", "fish/fish", "fish", "animal"),
    _noun("Schmetterling", "m", "Schmetterlinge", "butterfly/butterflies", "insect", "insect"),
)

CLOTHES: tuple[Noun, ...] = (
    _noun("Hut", "m", "Hüte", "hat", "headwear", "clothes", genitive="Hutes"),
    _noun("Mütze", "f", "Mützen", "cap", "headwear", "clothes"),
    _noun("Helm", "m", "Helme", "helmet", "helmet", "colour"),
    _noun("Strohhut", "m", "Strohhüte", "straw hat", "headwear", "instrument", genitive="Strohhutes"),
    _noun("Jacke", "f", "Jacken", "jacket", "garment", "clothes"),
    _noun("Mantel", "m", "Mäntel", "coat", "garment", "clothes"),
    _noun("Hemd", "n", "Hemden", "shirt", "garment", "clothes", genitive="Hemdes"),
    _noun("Pullover", "m", "Pullover", "sweater", "garment", "clothes"),
    _noun("T-Shirt", "n", "T-Shirts", "T-shirt", "garment", "clothes"),
    _noun("Anzug", "m", "Anzüge", "suit", "suit", "clothes"),
    _noun("Uniform", "f", "Uniformen", "uniform", "uniform", "colour"),
    _noun("Schürze", "f", "Schürzen", "apron", "apron", "clothes"),
    _noun("Kleid", "n", "Kleider", "dress/dresses", "dress", "clothes", genitive="Kleides"),
    _noun("Rock", "m", "Röcke", "skirt", "dress", "clothes", genitive="Rockes"),
    _noun("Bluse", "f", "Blusen", "blouse", "dress", "clothes"),
    _noun("Hose", "f", "Hosen", "pants/pants", "legwear", "clothes", pair=True),
    _noun("Brille", "f", "Brillen", "glasses/glasses", "eyewear", "colour", pair=True),
    _noun("Sonnenbrille", "f", "Sonnenbrillen", "sunglasses/sunglasses", "eyewear", "colour", pair=True),
    _noun("Schal", "m", "Schals", "scarf/scarves", "scarf", "clothes"),
    _noun("Krawatte", "f", "Krawatten", "tie", "tie", "clothes"),
    _noun("Rucksack", "m", "Rucksäcke", "backpack", "bag carried", "clothes"),
    _noun("Schuh", "m", "Schuhe", "shoe", "footwear", "clothes"),
    _noun("Stiefel", "m", "Stiefel", "boot", "footwear", "clothes"),
    _noun("Handschuh", "m", "Handschuhe", "glove", "glove", "clothes"),
    _noun("Bart", "m", "Bärte", "beard", "beard", "beard", genitive="Bartes"),
    _noun("Haar", "n", "Haare", "hair/hair", "hair", "hair"),
    _noun("Halsband", "n", "Halsbänder", "collar", "collar", "colour", genitive="Halsbandes"),
    _noun("Fleck", "m", "Flecken", "spot", "spot", "coat", genitive="Fleckes"),
)

FOOD: tuple[Noun, ...] = (
    _noun("Apfel", "m", "Äpfel", "apple", "food fruit orchard", "fruit"),
    _noun("Birne", "f", "Birnen", "pear", "food fruit orchard", "plainfruit"),
    _noun("Banane", "f", "Bananen", "banana", "food fruit", "plainfruit"),
    _noun("Orange", "f", "Orangen", "orange", "food fruit", "plainfruit"),
    _noun("Erdbeere", "f", "Erdbeeren", "strawberry/strawberries", "berry", "plainfruit"),
    _noun("Kirsche", "f", "Kirschen", "cherry/cherries", "berry", "plainfruit"),
    _noun("Kuchen", "m", "Kuchen", "cake", "food baked tabled", "meal"),
    _noun("Keks", "m", "Kekse", "cookie", "food baked", "meal"),
    _noun("Pizza", "f", "Pizzas", "pizza", "food baked tabled", "meal"),
    _noun("Brezel", "f", "Brezeln", "pretzel", "food baked", "meal"),
    _noun("Sandwich", "n", "Sandwiches", "sandwich/sandwiches", "food", "meal"),
    _noun("Hamburger", "m", "Hamburger", "hamburger", "food", "meal"),
    _noun("Wurst", "f", "Würste", "sausage", "food grilled", "meal"),
    _noun("Eis", "n", "", "ice cream", "food", "meal"),
    _noun("Suppe", "f", "Suppen", "soup", "cooked", "dish"),
    _noun("Eintopf", "m", "Eintöpfe", "stew", "cooked", "dish", genitive="Eintopfes"),
    _noun("Salat", "m", "Salate", "salad", "food", "dish"),
    _noun("Kaffee", "m", "", "coffee", "drink hot", "none"),
    _noun("Tee", "m", "", "tea", "drink hot", "none"),
    _noun("Wasser", "n", "", "water", "drink cold", "none"),
    _noun("Saft", "m", "", "juice", "drink cold", "none"),
    _noun("Milch", "f", "", "milk", "drink cold", "none"),
)

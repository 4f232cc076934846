"""Places and directions of the caption grammar: which preposition and case each language wants, and where.

The same German preposition takes the dative for a location and the accusative for a direction (`im Park`,
`in den Park`), which English tells apart by `in` and `into`; hence locations and directions are rows of
their own. `kind` groups rows by what a verb asks for: an area, a seat, something to lie on, a path ...
"""

from __future__ import annotations

from typing import Final

from pipeline.corpus.captions.things import NOUN_BY_KEY
from pipeline.corpus.captions.types import Case, Place

_DATIVE = Case.DATIVE

ENVIRONMENTS: Final[tuple[str, ...]] = (
    "park", "park", "park", "street", "street", "street", "beach", "beach", "home", "home", "kitchen", "cafe",
    "snow", "farm", "farm", "sport", "stage", "forest", "work", "lake", "lake", "school", "station", "market",
    "play", "play", "zoo", "garden", "garden", "museum",
)  # fmt: skip
"""The scenes, repeated by weight; all clauses of one caption belong to one scene."""


def read_places(case: Case, kind: str, rows: str) -> tuple[Place, ...]:
    """Read rows 'noun german-preposition english_preposition determiners environments [of:whole]'."""
    places = []
    for row in rows.strip().splitlines():
        key, german, english, determiners, *rest = row.split()
        whole = "".join(word[3:] for word in rest if word.startswith("of:"))
        environments = tuple(word for word in rest if not word.startswith("of:"))
        places.append(
            Place(
                NOUN_BY_KEY[key],
                german,
                case,
                english.replace("_", " "),
                kind,
                environments,
                determiners,
                whole,
            )
        )
    return tuple(places)


_AREAS = read_places(
    _DATIVE,
    "area",
    """
Park in in id park
Wiese auf in id park farm
Garten in in id garden
Gras in in d park garden
Wald in in id forest
Weg auf on id forest
Straße auf on id street
Gehweg auf on d street
Platz auf in id street
Stadt in in id street
Dorf in in id street
Markt auf at d market
Geschäft vor in_front_of id street market
Haus vor in_front_of id street garden
Kirche vor in_front_of id street
Brunnen an at id street
bank in in id work
Strand an on d beach
Meer an by d beach
Sand in in d beach play
Wohnzimmer in in id home
Zimmer in in id home
Küche in in id kitchen
Café in in id cafe
Restaurant in in id cafe
Museum in in id museum
Gemälde vor in_front_of id museum
Bahnhof an at id station
Bahnsteig auf on id station
Bushaltestelle an at id station street
Schnee in in d snow
Hang an on id snow
Weide auf in id farm
Feld auf in id farm
Bauernhof auf on id farm
Scheune vor in_front_of id farm
Fußballplatz auf on id sport
Stadion in in id sport
Turnhalle in in id sport
Bühne auf on id stage
Werkstatt in in id work
Büro in in id work
Baustelle auf on id work
See an by id lake
Fluss an by id lake
Teich an by id lake
Ufer an on d lake of:river
shore an on d lake of:lake
Rand an at d forest of:wood
Rand an at d street of:town
Mitte in in d street of:square
Eingang vor in_front_of d zoo park street of:entered
Fuß an at d forest of:hill
Steg auf on id lake
Brücke auf on id street lake forest
Klassenzimmer in in id school
Bibliothek in in id school
Spielplatz auf on id play
Rutsche vor in_front_of id play
Zoo in at d zoo
Baum unter under id park garden forest lake
Baum neben next_to id park garden
Zaun neben next_to id street garden farm
Mauer vor in_front_of id street
Statue neben next_to id park street museum
Schatten in in d park garden of:tree
""",
)

_SEATS = read_places(
    _DATIVE,
    "seat",
    """
Bank auf on id park street garden lake station museum
Treppe auf on d street museum
Stuhl auf on id home kitchen cafe garden work school
Sofa auf on id home
Tisch an at id home kitchen cafe school work
Gras in in d park garden lake
Decke auf on id park beach garden
Mauer auf on id street market
Felsen auf on id beach lake forest
Steg auf on id lake
Boden auf on d home school sport museum
Sand in in d beach play
Schaukel auf on id play
Liegestuhl in in id beach garden
Teppich auf on id home
Handtuch auf on id beach
Schlitten auf on id snow
""",
)

_SPOTS = read_places(
    _DATIVE,
    "spot",
    """
Bank auf on id park street garden lake station
Tisch an at id home kitchen cafe garden school work
Sofa auf on id home
Gras in in d park garden lake
Decke auf on id park beach garden
Küche in in id kitchen
Wohnzimmer in in d home
Café in in id cafe
Restaurant in in id cafe
Bibliothek in in id school
Klassenzimmer in in id school
Baum unter under id park garden forest
Strand an on d beach
Park in in id park
Garten in in id garden
Bahnhof an at d station
Turnhalle in in id sport
Fluss an by id lake
Spielplatz auf on id play
""",
)

_CAMPS = read_places(
    _DATIVE,
    "camp",
    """
Wiese auf in id park
Wald in in id forest
Baum unter under id park forest
See an by id lake
Fluss an by id lake forest
Fuß an at d forest of:hill
Ufer an on d lake of:river
""",
)

_BEDS = read_places(
    _DATIVE,
    "bed",
    """
Sofa auf on id home
Bett in in id home
Decke auf on id park beach garden
Gras in in d park garden lake
Sand in in d beach
Liegestuhl in in id beach garden
Hängematte in in id garden
Teppich auf on id home
Handtuch auf on id beach
Wiese auf in id park
Schatten in in d park garden farm zoo of:tree
Boden auf on d kitchen home
Stall in in id farm
""",
)

_WATERS = read_places(
    _DATIVE,
    "water",
    """
Meer in in d beach
See in in id lake
Teich in in id lake garden
Fluss in in id lake
waters in in d beach lake
""",
)

_SURFACES = read_places(
    _DATIVE,
    "surface",
    """
See auf on id lake
Fluss auf on id lake
Meer auf on d beach
waters auf on d beach lake
""",
)

_TABLES = read_places(
    _DATIVE,
    "table",
    """
Tisch auf on id home kitchen cafe garden work school
Teppich auf on id home
Regal auf on id home kitchen school
""",
)

LOCATIONS: Final[tuple[Place, ...]] = _AREAS + _SEATS + _SPOTS + _CAMPS + _BEDS + _WATERS + _SURFACES + _TABLES

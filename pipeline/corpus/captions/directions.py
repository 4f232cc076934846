"""Directions and fixtures of the caption grammar: where events lead to, what things stand or hang on."""

from __future__ import annotations

from typing import Final

from pipeline.corpus.captions.places import LOCATIONS, read_places
from pipeline.corpus.captions.types import Case, Place

_DATIVE, _ACCUSATIVE = Case.DATIVE, Case.ACCUSATIVE

_PATHS = read_places(
    _ACCUSATIVE,
    "path",
    """
Park in into d park
Park in into id park
Park in into d park
Park in into id park
Park durch through id park
Garten in into id garden
Garten durch through id garden
Wald in into id forest
Wald durch through id forest
Wiese über across id park farm
Feld über across id farm
Straße über across id street
Platz über across id street
Stadt durch through d street
Dorf durch through id street
Markt über across d market
Geschäft in into id street
Brücke über across id street lake forest park
Strand an to d beach
Café in into id cafe
Restaurant in into id cafe
Museum in into id museum
Küche in into d kitchen home
Schnee durch through d snow
Fußballplatz auf onto id sport
Turnhalle in into id sport
Bühne auf onto id stage
Werkstatt in into id work
See um around id lake
Brunnen um around id street
Klassenzimmer in into id school
Bibliothek in into id school
Spielplatz über across id play
Stall in into id farm
Pfütze durch through id street park
Tunnel durch through id forest street
Gras durch through d park garden
""",
) + read_places(
    _DATIVE,
    "path",
    """
Haus aus out_of id street garden
Geschäft aus out_of id street market
Kirche aus out_of id street
Scheune aus out_of id farm
Stall aus out_of id farm
Bahnhof zu to id station street
Markt zu to d market street
Schloss zu to id park street
Ufer zu to d lake of:river
Strand zu to d beach
Bushaltestelle zu to id station street
Brunnen von away_from id street
Bibliothek aus out_of id school
""",
)

_BATHS = read_places(
    _ACCUSATIVE,
    "dive",
    """
Meer in into d beach
See in into id lake
Fluss in into id lake
waters in into d beach lake
Teich in into id lake
""",
)

_ROADS = read_places(
    _ACCUSATIVE,
    "road",
    """
Straße über across id street
Stadt durch through d street
Dorf durch through id street
Brücke über across id street lake forest
Tunnel durch through id street
Park durch through id park
Wald durch through id forest
""",
) + read_places(
    _DATIVE,
    "road",
    """
Bahnhof zu to d street station
Strand zu to d beach
Straße auf on id street
""",
)

_HURDLES = read_places(
    _ACCUSATIVE,
    "hurdle",
    """
Zaun über over id farm garden street
Mauer über over id street
Pfütze über over id street park play
Stock über over id park forest
""",
)

_CLIMBS = read_places(
    _ACCUSATIVE,
    "climb",
    """
Berg auf up id forest snow
Hügel auf up id park forest snow
Baum auf up id park garden forest
Leiter auf up id garden work
Felsen auf onto id beach lake forest
Mauer auf onto id street
""",
)

_SKIES = read_places(
    _ACCUSATIVE,
    "air",
    """
See über over id lake
Meer über over d beach
Strand über over d beach
Stadt über over id street
Haus über over id garden street
Feld über over id farm
Wald über over id forest
""",
)

_PERCHES = read_places(
    _DATIVE,
    "perch",
    """
Zaun auf on id garden farm street
Mauer auf on id street garden
Dach auf on d street garden of:roofed
Felsen auf on id beach lake
Steg auf on id lake
Statue auf on id street park
Brunnen auf on id street park
Bank auf on id park
""",
)

_SIT_DOWNS = read_places(
    _ACCUSATIVE,
    "sitdown",
    """
Bank auf on id park street garden lake station museum
Stuhl auf on id home kitchen cafe garden school
Sofa auf on id home
Tisch an at id home kitchen cafe school work
Gras in in d park garden lake
Decke auf on id park beach garden
Mauer auf on id street market
Felsen auf on id beach lake forest
Liegestuhl in in id beach garden
""",
)

_PUTS = read_places(
    _ACCUSATIVE,
    "put",
    """
Tisch auf on id home kitchen cafe garden
Regal auf on id home school
Stuhl auf on id home kitchen garden
""",
)

_HANGS = read_places(
    _ACCUSATIVE,
    "hangput",
    """
Wand an on id home school cafe museum
""",
)

_WALLS = read_places(
    _DATIVE,
    "wall",
    """
Wand an on id home school cafe museum
""",
)

_CEILINGS = read_places(
    _DATIVE,
    "ceiling",
    """
ceiling an from d home kitchen cafe
Tisch über over id home kitchen cafe
""",
)

_PARKINGS = read_places(
    _DATIVE,
    "parking",
    """
Haus vor in_front_of id street garden
Kirche vor in_front_of id street
Geschäft vor in_front_of id street
Garage in in id work street
Baum unter under id street park
Mauer neben next_to id street
Bahnhof vor in_front_of id station
Scheune hinter behind id farm
""",
)

PLACES: Final[tuple[Place, ...]] = (
    LOCATIONS
    + _PATHS
    + _BATHS
    + _ROADS
    + _HURDLES
    + _CLIMBS
    + _SKIES
    + _PERCHES
    + _SIT_DOWNS
    + _PUTS
    + _HANGS
    + _WALLS
    + _CEILINGS
    + _PARKINGS
)

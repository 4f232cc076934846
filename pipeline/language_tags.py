"""Tags of languages: BCP 47, such as de, pt-BR or zh-Hant."""

import re

CODES = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka "
    "kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng "
    "nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su "
    "sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
"""The two-letter codes of ISO 639-1."""


def is_language_code(word: str) -> bool:
    """Return whether a word is one of the two-letter codes.

    >>> is_language_code("ja"), is_language_code("jp")
    (True, False)
    """
    return word in CODES.split()


def checked_tag(tag: str) -> str:
    """Return a tag as it is. Raises ValueError if it is none: two letters of no language are mostly a country's."""
    match = re.fullmatch("([A-Za-z]{2,3})(-[A-Za-z0-9]{1,8})*", tag)
    if match is None or (len(match[1]) == 2 and not is_language_code(match[1].lower())):
        raise ValueError("not the tag of a language; give one such as de, ja, pt-BR or zh-Hant (BCP 47)")
    return tag

"""Which events a scene of the caption grammar offers, and who can take part in them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from pipeline.corpus.captions.frames import FRAMES
from pipeline.corpus.captions.phrases import (
    PLACES_OF,
    candidates,
    choose,
)
from pipeline.corpus.captions.places import ENVIRONMENTS
from pipeline.corpus.captions.types import Frame, Noun
from pipeline.corpus.captions.verbs import VERBS

_WORN: Final = ("garment", "headwear", "eyewear", "footwear", "apron", "helmet", "suit", "uniform")


def _has_place(frame: Frame, environment: str) -> bool:
    kind = frame.place.rstrip("!")
    return not frame.place.endswith("!") or bool(PLACES_OF.get((kind, environment)))


FRAMES_IN: dict[str, tuple[Frame, ...]] = {
    name: tuple(frame for frame in FRAMES if name in frame.environments and _has_place(frame, name))
    for name in dict.fromkeys(ENVIRONMENTS)
}
_HOMES: Final[dict[str, tuple[str, ...]]] = {
    "waiter": ("cafe", "street"),
    "cook": ("kitchen", "cafe", "market"),
    "farmer": ("farm", "garden", "market"),
    "worker": ("work", "street", "garden"),
    "pro": ("street", "station", "market"),
    "teacher": ("school", "museum", "zoo", "play"),
    "musician": ("stage", "street", "park"),
    "dancer": ("stage", "street"),
    "athlete": ("sport", "park", "forest"),
    "soccer": ("sport",),
    "keeper": ("sport",),
    "angler": ("lake",),
    "artist": ("home", "museum", "park", "beach", "street"),
    "photographer": ("street", "park", "beach", "zoo", "forest", "stage", "lake"),
    "cyclist": ("street", "park", "forest", "cafe"),
    "hiker": ("forest", "lake", "park", "snow"),
    "seabird": ("beach", "lake"),
}
"""Where those who do not go everywhere are met."""


def _at_home(noun: Noun, environment: str) -> bool:
    return all(environment in _HOMES[tag] for tag in noun.tags if tag in _HOMES)


SUBJECTS_OF: Final[dict[tuple[str, Frame], tuple[Noun, ...]]] = {
    (name, frame): tuple(noun for noun in candidates(" ".join(frame.subjects)) if _at_home(noun, name))
    for name in FRAMES_IN
    for frame in FRAMES_IN[name]
}
FRAMES_IN = {name: tuple(frame for frame in frames if SUBJECTS_OF[name, frame]) for name, frames in FRAMES_IN.items()}
_FRAMES_OF: Final[dict[tuple[str, int], tuple[Frame, ...]]] = {}
KEY_OF: Final[dict[int, str]] = {id(verb): key for key, verb in VERBS.items()}


def key_of(frame: Frame) -> str:
    """Return the key of the frame's verb."""
    return KEY_OF[id(frame.verb)]


def is_person(noun: Noun) -> bool:
    """Whether the noun names a person."""
    return "anyone" in noun.tags or "baby" in noun.tags or "group" in noun.tags


def mere_thing(noun: Noun) -> bool:
    """Whether the noun names a thing that just stands, lies or hangs there."""
    return not any(tag in _AGENTS for tag in noun.tags)


_AGENTS: Final = (
    "anyone", "baby", "group", "dog", "cat", "grazer", "bird", "waterbird", "wild", "forester", "small",
    "fish", "insect", "boat", "publicroad", "train",
)  # fmt: skip


def wears(frame: Frame) -> bool:
    """Whether the event is about clothes, so that no other clothes should be named."""
    return frame.object is not None and any(tag in _WORN for tag in frame.object.tag.split())


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a caption plays and how richly its phrases are filled (0 to 1)."""

    environment: str
    richness: float


def frames_for(scene: Scene, noun: Noun) -> tuple[Frame, ...]:
    """Return the events of the scene that the noun can be the subject of."""
    key = (scene.environment, id(noun))
    if key not in _FRAMES_OF:
        _FRAMES_OF[key] = tuple(
            frame for frame in FRAMES_IN[scene.environment] if noun in SUBJECTS_OF[scene.environment, frame]
        )
    return _FRAMES_OF[key]


def any_frame(random: Random, scene: Scene, only: str = "") -> Frame:
    """Return an event of the scene."""
    frame = choose(random, FRAMES_IN[scene.environment])
    while only == "person" and not is_person(SUBJECTS_OF[scene.environment, frame][0]):
        frame = choose(random, FRAMES_IN[scene.environment])
    return frame

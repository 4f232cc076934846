"""The pictures: made, of the right size, and the same each time."""

import struct
from pathlib import Path

import pytest

from pipeline.ablation.pictures import DOTS_PER_INCH, Curve, draw_attention, draw_bleu_by_length
from pipeline.metrics.lengths import Bucket

SOURCE = ["▁Über", "▁Straß", "en", "▁läuft", "▁$", "▁x$", ".", "</s>"]


def size(path: Path) -> tuple[int, int]:
    """Return a PNG's width and height."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.mark.parametrize("pieces", [1, 8, 40])
def test_a_map_of_attention_grows_with_the_sentences(tmp_path: Path, pieces: int) -> None:
    source, target = (SOURCE * 5)[:pieces], ["▁word"] * pieces
    weights = [[float(column == row) for column in range(pieces)] for row in range(pieces)]
    for name in ("a.png", "b.png"):
        draw_attention(tmp_path / name, "tiny: + attention $", source, target, weights)
    width, height = size(tmp_path / "a.png")
    assert width >= max(4.5, 0.3 * pieces) * DOTS_PER_INCH
    assert height >= 0.3 * pieces * DOTS_PER_INCH
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_script_that_the_font_lacks_is_no_error(tmp_path: Path) -> None:
    draw_attention(tmp_path / "a.png", "漢字", ["▁漢", "字"], ["▁sign"], [[0.5, 0.5]])
    assert size(tmp_path / "a.png")


def test_bleu_by_length(tmp_path: Path) -> None:
    buckets = [Bucket(3, 3, 20), Bucket(4, 9, 50), Bucket(10, 30, 12)]
    curves = [Curve(f"system {n}", [30.0 + n, 20.0, 10.0], attends=n > 3) for n in range(9)]
    draw_bleu_by_length(tmp_path / "a.png", "tiny", buckets, curves)
    assert size(tmp_path / "a.png") == (1275, 720)

from itertools import product

import pytest

from loom.draw.looks import DANGER, EFFECTS, FAN_OUT, INK, KINDS, MUTED, PAPER, SHADE, badge, look


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_measured_as_the_standard_does() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_every_text_can_be_read_on_every_ground() -> None:
    grounds = [PAPER, SHADE, *(its.fill for its in KINDS.values())]
    pairs = [*product((INK, MUTED, DANGER), grounds), *((its.ink, its.fill) for its in EFFECTS.values())]
    assert [(ink, ground) for ink, ground in pairs if contrast(ink, ground) < 4.5] == []


def test_every_border_and_line_can_be_seen_on_paper() -> None:
    assert [colour for colour in (FAN_OUT, *(its.line for its in KINDS.values())) if contrast(colour, PAPER) < 3] == []


def test_no_two_kinds_look_the_same() -> None:
    assert len({(its.fill, its.line) for its in KINDS.values()}) == len(KINDS)


def test_a_kind_of_the_users_own_looks_like_a_node() -> None:
    assert look("translate") == KINDS["node"]


def test_an_unknown_effect_looks_like_the_worst() -> None:
    assert badge("explode") == EFFECTS["write"]

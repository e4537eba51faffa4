"""Contrast of the style sheet's colours by the formula of WCAG 2.2, in the light and in the dark."""

import re

import pytest

from infra.console.page import FOLDER

TEXT, LARGE = 4.5, 3.0
PAIRS = [
    *((name, "card", TEXT) for name in ("text", "soft", "good", "busy", "bad", "idle")),
    *((name, "back", TEXT) for name in ("text", "soft", "busy", "bad", "good")),
    *((name, f"{name}-back", TEXT) for name in ("good", "busy", "bad", "idle")),
    ("card", "busy", TEXT),  # a button of its own colour
    ("card", "bad", TEXT),
    ("busy", "band", LARGE),  # a line over its band
    ("busy", "card", LARGE),
]


def schemes() -> dict[str, dict[str, str]]:
    css = (FOLDER / "static" / "console.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    known = {"light": dict(re.findall(r"--([\w-]+): (#\w+);", light))}
    return known | {"dark": known["light"] | dict(re.findall(r"--([\w-]+): (#\w+);", dark))}


def channels(colour: str) -> list[float]:
    digits = colour.removeprefix("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    return [int(digits[at : at + 2], 16) / 255 for at in range(0, len(digits), 2)]


def over(colour: str, ground: str) -> list[float]:
    """Return a colour, which may let through some of the ground, as it is seen on it."""
    *seen, share = [*channels(colour), 1.0][:4]
    return [share * one + (1 - share) * below for one, below in zip(seen, channels(ground), strict=True)]


def luminance(colour: list[float]) -> float:
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: list[float], second: list[float]) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_the_formula_gives_the_standards_own_numbers() -> None:
    assert contrast(channels("#fff"), channels("#000")) == pytest.approx(21.0)
    assert contrast(channels("#777777"), channels("#ffffff")) == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "ground", "least"), PAIRS)
def test_text_can_be_read_on_its_ground(scheme: str, front: str, ground: str, least: float) -> None:
    colours = schemes()[scheme]
    seen = over(colours[ground], colours["card"])

    assert contrast(over(colours[front], colours["card"]), seen) >= least

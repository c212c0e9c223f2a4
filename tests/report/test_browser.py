"""The page in a real browser: nothing is fetched, nothing complains, pointing, clicking, keys and the legend work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeper.report.build import report
from sweeper.report.page import page
from tests.report import kit
from tests.report.browser import Browser, browser, found

pytestmark = [pytest.mark.long, pytest.mark.skipif(found() is None, reason="no Chromium on this machine")]

FIGURE = "document.querySelector('figure.interactive')"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that shows the report of a study with three arms."""
    folder = tmp_path_factory.mktemp("page")
    file = folder / "report.html"
    file.write_text(page(report(kit.rich())), encoding="utf-8")
    program = found()
    assert program is not None
    with browser(program, folder / "profile") as opened:
        opened.look()
        opened.open(file)
        yield opened


def place(shown: Browser, selector: str) -> tuple[float, float]:
    """The middle of an element of the figure, in the window, after scrolling to it."""
    shown.value(f"{FIGURE}.querySelector('{selector}').scrollIntoView({{block: 'center', behavior: 'instant'}})")
    box = f"{FIGURE}.querySelector('{selector}').getBoundingClientRect()"
    x, y, width, height = shown.value(f"(box => [box.x, box.y, box.width, box.height])({box})")
    return x + width / 2, y + height / 2


def card(shown: Browser) -> str:
    return str(shown.value(f"{FIGURE}.querySelector('.card').textContent"))


def click(shown: Browser, selector: str) -> None:
    x, y = place(shown, selector)
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        shown.point(kind, x, y)


def test_nothing_is_fetched_and_nothing_complains(shown: Browser, tmp_path: Path) -> None:
    assert [address for address in shown.requests() if not address.endswith("report.html")] == []
    assert shown.complaints() == []
    # The policy of the page would stop and report what slipped in.
    shown.value("document.body.appendChild(document.createElement('img')).src = 'http://127.0.0.1:9/x.png'")
    shown.value("new Promise(done => setTimeout(done, 50))")
    assert any("Content Security Policy" in text for text in shown.complaints())


def test_pointing_tells_a_trial_and_the_command_that_trains_it_again(shown: Browser) -> None:
    trial = shown.value(
        f"JSON.parse({FIGURE}.querySelector('script').textContent).points.findIndex(p => p.trial === 'resnet-00004')"
    )
    shown.point("mouseMoved", *place(shown, f'[data-i="{trial}"]'))
    told = card(shown)
    assert "resnet-00004" in told
    assert "width=0.968 learning_rate=0.001535" in told
    assert "sweeper retrain digits resnet-00004" in told
    assert "confirmed: test accuracy 97.5 % (96.9 to 98.2 %)" in told


def test_a_click_keeps_a_trial_until_escape(shown: Browser) -> None:
    click(shown, '[data-i="0"]')
    kept = card(shown)
    assert "kept" in kept
    shown.point("mouseMoved", *place(shown, '[data-i="5"]'))
    assert card(shown) == kept
    shown.value(f"{FIGURE}.querySelector('svg[role]').focus()")
    shown.press("Escape")
    assert card(shown).startswith("Point at a trial")


def test_the_figure_works_from_the_keyboard(shown: Browser) -> None:
    shown.value(f"{FIGURE}.querySelector('svg[role]').focus()")
    shown.press("Home")
    first = card(shown)
    shown.press("ArrowRight")
    second = card(shown)
    shown.press("ArrowLeft")
    assert first != second
    assert card(shown) == first
    assert "sweeper retrain digits" in first


def test_the_legend_hides_and_shows_arms_and_the_front_follows(shown: Browser) -> None:
    def counts() -> list[int]:
        return list(shown.value(f"[{FIGURE}.querySelectorAll('.p').length, {FIGURE}.querySelectorAll('.p.hidden').length]"))

    def line() -> str:
        return str(shown.value(f"{FIGURE}.querySelector('path.front').getAttribute('d')"))

    before, (number, hidden) = line(), counts()
    assert hidden == 0
    click(shown, 'button[data-arm="0"]')
    assert 0 < counts()[1] < number
    assert line() != before
    assert shown.value(f"{FIGURE}.querySelector('button[data-arm=\"0\"]').getAttribute('aria-pressed')") == "false"
    click(shown, "button.all")
    assert counts() == [number, 0]
    # Computed here and there, the line is the same.
    assert line() == before


@pytest.mark.parametrize(("width", "is_dark"), [(1200, False), (360, False), (1200, True)])
def test_it_fits_any_width_and_both_schemes(width: int, is_dark: bool, shown: Browser) -> None:
    shown.look(width=width, is_dark=is_dark)
    assert shown.value("document.documentElement.scrollWidth") <= width
    colour = shown.value("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(21, 24, 27)" if is_dark else "rgb(255, 255, 255)")
    shown.look()

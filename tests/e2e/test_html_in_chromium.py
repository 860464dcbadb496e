"""The offline page in a real browser: it asks the network for nothing, filters, fits, and reads without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mpwake.reporting import files, html
from mpwake.suite.events import Run
from support import chromium, runs

SHOWN = (
    "return [...document.querySelectorAll('.requirement')].filter(card => card.checkVisibility()).map(card => card.id)"
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a browser that all tests here share."""
    with chromium.browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


def visit(driver: Any, folder: Path, run: Run, fragment: str = "", width: int = 1280) -> str:
    """Write the page of a run, open it, and return its address."""
    page = folder / "report.html"
    files.write(page, html.text(run))
    chromium.size(driver, width)
    driver.get("about:blank")
    chromium.requests(driver)
    driver.get(page.as_uri() + fragment)
    return page.as_uri()


def chip(driver: Any, facet: str, value: str) -> Any:
    """Return a filter's button."""
    return driver.find_element("css selector", f".chip[data-facet='{facet}'][data-value='{value}']")


def test_the_page_asks_for_nothing_but_itself(driver: Any, tmp_path: Path) -> None:
    address = visit(driver, tmp_path, runs.worded("<img src=http://x.invalid/i.png><script>fetch('http://x.invalid')"))
    driver.find_element("id", "unfold").click()
    assert chromium.requests(driver) == [address]
    assert driver.get_log("browser") == []


def test_the_log_of_requests_would_show_one(driver: Any, tmp_path: Path) -> None:
    page = tmp_path / "loud.html"
    page.write_text("<!DOCTYPE html><img src='http://x.invalid/i.png'>")
    driver.get("about:blank")
    chromium.requests(driver)
    driver.get(page.as_uri())
    assert "http://x.invalid/i.png" in chromium.requests(driver)
    driver.get_log("browser")


def test_a_chip_filters_and_the_address_keeps_it(driver: Any, tmp_path: Path) -> None:
    visit(driver, tmp_path, runs.every_verdict())
    assert len(driver.execute_script(SHOWN)) == 13
    chip(driver, "verdict", "fail").click()
    assert driver.execute_script(SHOWN) == ["MADT-03.tables", "MEM-01.tables"]
    chip(driver, "area", "MEM").click()
    assert driver.execute_script(SHOWN) == ["MEM-01.tables"]
    assert driver.find_element("id", "shown").text == "1 of 13 shown"
    assert driver.current_url.endswith("#verdict=fail&area=MEM")
    driver.refresh()
    assert driver.execute_script(SHOWN) == ["MEM-01.tables"]
    assert chip(driver, "verdict", "fail").get_attribute("aria-pressed") == "true"
    driver.find_element("id", "clear").click()
    assert len(driver.execute_script(SHOWN)) == 13


def test_text_is_searched_in_evidence_too(driver: Any, tmp_path: Path) -> None:
    visit(driver, tmp_path, runs.every_verdict())
    driver.find_element("id", "search").send_keys("EFFFF reserved")
    assert driver.execute_script(SHOWN) == ["MEM-01.tables"]
    driver.find_element("id", "search").send_keys(" no such text")
    assert driver.execute_script(SHOWN) == []
    assert driver.find_element("id", "nothing").is_displayed()


def test_a_number_in_the_table_of_areas_filters(driver: Any, tmp_path: Path) -> None:
    visit(driver, tmp_path, runs.every_verdict())
    driver.find_element("css selector", "tbody td.is-finding a").click()
    assert driver.execute_script(SHOWN) == ["MADT-14.tables", "MADT-29.tables"]


def test_an_address_can_name_a_requirement(driver: Any, tmp_path: Path) -> None:
    visit(driver, tmp_path, runs.every_verdict(), "#MADT-14.tables")
    assert driver.execute_script("return document.getElementById('MADT-14.tables').open") is True
    assert len(driver.execute_script(SHOWN)) == 13


def test_the_keyboard_reaches_and_presses_a_chip(driver: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    visit(driver, tmp_path, runs.every_verdict())
    driver.find_element("id", "search").send_keys(Keys.TAB)
    focused = driver.switch_to.active_element
    assert focused.get_attribute("data-value") == "fail"
    focused.send_keys(Keys.SPACE)
    assert driver.execute_script(SHOWN) == ["MADT-03.tables", "MEM-01.tables"]


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", ["every_verdict", "incomplete", "worded"])
def test_nothing_makes_the_page_scroll_sideways(driver: Any, tmp_path: Path, width: int, name: str) -> None:
    made = {"every_verdict": runs.every_verdict, "incomplete": runs.incomplete}
    visit(driver, tmp_path, made[name]() if name in made else runs.worded("x" * 400), width=width)
    driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    assert driver.execute_script("return document.querySelector('pre').scrollHeight > 0")


@pytest.mark.parametrize("width", [400, 1280])
def test_a_diagram_scrolls_in_a_frame_of_its_own_and_is_cut_nowhere(driver: Any, tmp_path: Path, width: int) -> None:
    visit(driver, tmp_path, runs.run_of(runs.traffic_fails()), width=width)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    wide, seen = driver.execute_script(
        "const one = document.querySelector('.wide'); return [one.scrollWidth, one.clientWidth]"
    )
    assert (wide > seen) is (width == 400)
    outside = """
      const svg = document.querySelector('svg');
      const {width, height} = svg.viewBox.baseVal;
      return [...svg.querySelectorAll('text')].map(one => one.getBBox())
        .filter(box => box.x < 0 || box.y < 0 || box.x + box.width > width || box.y + box.height > height).length;"""
    assert driver.execute_script(outside) == 0


def test_a_diagram_follows_the_colours_of_the_page(driver: Any, tmp_path: Path) -> None:
    visit(driver, tmp_path, runs.run_of(runs.traffic_fails()))
    ink = "return getComputedStyle(document.querySelector('svg .bold')).fill"
    ground = "return getComputedStyle(document.querySelector('svg .ground')).fill"
    light = [driver.execute_script(one) for one in (ink, ground)]
    driver.find_element("id", "theme").click()
    dark = [driver.execute_script(one) for one in (ink, ground)]
    driver.find_element("id", "theme").click()
    assert [driver.execute_script(one) for one in (ink, ground)] == light
    assert light[1] == driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert len({*light, *dark}) == 4


def test_the_colours_can_be_switched(driver: Any, tmp_path: Path) -> None:
    visit(driver, tmp_path, runs.conforming())
    ground = "return getComputedStyle(document.body).backgroundColor"
    before = driver.execute_script(ground)
    driver.find_element("id", "theme").click()
    assert driver.execute_script(ground) != before
    driver.find_element("id", "theme").click()
    assert driver.execute_script(ground) == before


def test_an_incomplete_run_has_no_green_anywhere(driver: Any, tmp_path: Path) -> None:
    colours = """
      const green = ([r, g, b]) => g > 1.25 * r && g > 1.25 * b;
      const parse = (text) => (text.match(/[\\d.]+/g) || []).slice(0, 3).map(Number);
      return [...document.querySelectorAll('body, body *')].filter((one) => {
        const style = getComputedStyle(one);
        return ['color', 'backgroundColor', 'borderLeftColor'].some((key) => green(parse(style[key])));
      }).length;"""
    visit(driver, tmp_path, runs.incomplete())
    assert driver.execute_script(colours) == 0
    visit(driver, tmp_path, runs.conforming())
    assert driver.execute_script(colours) > 0


def test_print_shows_everything_but_the_filters(driver: Any, tmp_path: Path) -> None:
    visit(driver, tmp_path, runs.every_verdict())
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        closed = "document.querySelector('.requirement:not([open]) .statement')"
        assert driver.execute_script(f"return {closed}.checkVisibility() && {closed}.offsetHeight > 0")
        assert not driver.find_element("css selector", ".filters").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_javascript_everything_is_there(driver: Any, tmp_path: Path) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        visit(driver, tmp_path, runs.every_verdict())
        seen = "one => one.checkVisibility({contentVisibilityAuto: true}) && one.offsetHeight > 0"
        every = "[...document.querySelectorAll('.statement, .seen, .steps')]"
        hidden = driver.execute_script(f"return {every}.filter(one => !({seen})(one)).length")
        filters = driver.find_element("css selector", ".filters").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert hidden == 0
    assert not filters

"""Allure's own page: made by the pinned Allure 3 from our results, and kept off the network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpwake.reporting import allure, allure_html
from mpwake.spec.errors import InputError
from support import chromium, runs


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render a run with every verdict; skip where Allure cannot be installed."""
    folder = tmp_path_factory.mktemp("allure [1]")
    cache = Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))) / "mpwake" / "allure"
    try:
        allure_html.command(cache)
    except InputError as error:
        pytest.skip(f"Allure 3 is not to be had: {error}")
    allure.write_results(runs.every_verdict(), folder / "results")
    allure.write_results(runs.run_of(runs.traffic_fails()), folder / "more")
    for path in [*(folder / "more").glob("*-result.json"), *(folder / "more").glob("*-attachment.*")]:
        path.rename(folder / "results" / path.name)
    return allure_html.render(folder / "results", folder / "out", cache)


def test_the_page_is_one_file_without_analytics(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]
    assert "googletagmanager" not in text
    assert "gtag(" not in text
    assert f'content="{allure_html.POLICY}"' in text


def test_the_page_shows_the_results_and_asks_the_network_for_nothing(page: Path, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    with chromium.browser(tmp_path / "profile") as driver:
        driver.get("about:blank")
        chromium.requests(driver)
        driver.get(page.as_uri())
        body = "return document.body.innerText"
        WebDriverWait(driver, 60).until(lambda one: "acpi-6.6" in one.execute_script(body))
        shown = driver.execute_script(body)
        asked = chromium.requests(driver)
    assert "mpwake conformance report" in shown
    assert asked == [page.as_uri()]


def test_the_page_shows_the_diagram_of_a_failure(page: Path, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    name, found = "The acknowledgement modifies only Command, as published", "a store of 8 bytes at 0x0"
    with chromium.browser(tmp_path / "profile") as driver:
        chromium.size(driver, 1280, 1400)
        driver.get(page.as_uri())
        for text in (name, f"mailbox traffic: {found}"):
            WebDriverWait(driver, 60).until(
                lambda one, text=text: one.find_element("xpath", f"//*[text()='{text}']").is_displayed()
            )
            driver.find_element("xpath", f"//*[text()='{text}']").click()
        widths = "return [...document.querySelectorAll('img')].map(one => one.complete && one.naturalWidth)"
        WebDriverWait(driver, 60).until(lambda one: any(width > 500 for width in one.execute_script(widths)))

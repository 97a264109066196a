"""A person's way through the page, in a real browser, without a network."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plankton_da.evaluation.report.page import write_report

DRIVER = shutil.which("chromedriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
CSS = "css selector"

pytestmark = pytest.mark.skipif(
    not (DRIVER and CHROMIUM),
    reason="no chromium with chromedriver here (Debian: apt-get install chromium chromium-driver)",
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    environment = {**os.environ, "SE_OFFLINE": "true", "NO_PROXY": "localhost,127.0.0.1"}
    driver = webdriver.Chrome(options=options, service=Service(DRIVER, env=environment))
    yield driver
    driver.quit()


@pytest.fixture
def show(chromium: Any, predictions: Path, tmp_path: Path) -> Callable[..., Any]:
    """``show(width)`` opens the page from disk."""
    write_report(predictions, tmp_path / "P.html")

    def opened(width: int = 1200, height: int = 900) -> Any:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for kind in ("browser", "performance"):
            chromium.get_log(kind)  # forget what was
        chromium.get("about:blank")
        chromium.get((tmp_path / "P.html").as_uri())
        return chromium

    return opened


def press(driver: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def texts(driver: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility())"
    script += ".map(e => e.textContent)"
    found: list[str] = driver.execute_script(script, selector)
    return found


def focused(driver: Any) -> str:
    return str(driver.switch_to.active_element.get_attribute("aria-label"))


def test_no_network_no_error_no_foreign_script(show: Callable[..., Any]) -> None:
    driver = show()
    assert driver.title == "P.csv"  # the object_id with a script would have changed it
    assert driver.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in sent
        if message["method"] == "Network.requestWillBeSent"
    ]
    asked = [url for url in asked if url != "about:blank"]
    assert any(url.endswith("/P.html") for url in asked)
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    broken = (
        "return [...document.images].filter(i => i.checkVisibility() && !i.naturalWidth).length"
    )
    assert driver.execute_script(broken) == 0
    assert driver.execute_script("return document.images.length") > 100


def test_from_the_table_to_the_pictures(show: Callable[..., Any]) -> None:
    driver = show()
    folded = "details.class:not([open]) h3"
    (name, *_) = texts(driver, folded)
    driver.find_element("link text", name).click()
    assert name not in texts(driver, folded)
    tops = "return document.activeElement.getBoundingClientRect().top"
    assert 0 <= driver.execute_script(tops) < 100
    assert driver.switch_to.active_element.text.startswith(name)


def test_classes_are_found_and_sorted(show: Callable[..., Any]) -> None:
    driver = show()
    names = "#classes tbody th"
    every = texts(driver, names)
    driver.find_element(CSS, "#filter").send_keys("MEDU")
    assert texts(driver, names) == ["medusa"]
    assert texts(driver, "details.class h3") == ["medusa"]
    assert driver.find_element(CSS, "#found").text == f"1 of {len(every)} classes"
    driver.find_element(CSS, "#filter").send_keys("\ue003" * 4)  # backspace
    assert texts(driver, names) == every
    head = driver.find_element("xpath", "//th/button[text()='class']")
    head.click()
    assert texts(driver, names) == sorted(every, key=str.lower)
    head.click()
    assert texts(driver, names) == sorted(every, key=str.lower, reverse=True)
    driver.find_element("xpath", "//section[@id='classes']//th/button[text()='images']").click()
    assert texts(driver, names) == every
    assert driver.find_element(CSS, "[aria-sort]").get_attribute("aria-sort") == "descending"


def test_all_classes_unfold_and_fold(show: Callable[..., Any]) -> None:
    driver = show()
    button = driver.find_element(CSS, "#unfold")
    button.click()
    assert texts(driver, "details.class:not([open]) h3") == []
    assert button.text == "Fold all"
    button.click()
    assert texts(driver, "details.class[open] h3") == []


def test_pictures_by_mouse(show: Callable[..., Any]) -> None:
    driver = show()
    driver.find_element(CSS, "#unfold").click()
    tile = driver.find_element(CSS, '.tile[data-id*="script"]')
    tile.click()
    viewer = driver.find_element(CSS, "#viewer")
    assert viewer.is_displayed()
    # as text, to the letter
    assert '<script>document.title = "taken"</script>\\n"&\'</details>' in viewer.text
    assert driver.title == "P.csv"
    shown = driver.execute_script("return document.querySelector('#viewer img').naturalWidth")
    assert shown == 160
    driver.find_element(CSS, "#close").click()
    assert not viewer.is_displayed()


def test_pictures_by_keyboard(show: Callable[..., Any]) -> None:
    driver = show()
    tiles = driver.find_elements(CSS, "details.class[open] .tile")
    labels = [tile.get_attribute("aria-label") for tile in tiles[:3]]
    for _ in range(200):
        press(driver, "\ue004")  # tab
        if focused(driver) == labels[0]:
            break
    else:
        pytest.fail("tab never reaches the first picture")
    press(driver, "\ue007")  # enter
    viewer = driver.find_element(CSS, "#viewer")
    place = driver.find_element(CSS, "#place")
    assert viewer.is_displayed()
    assert place.text.startswith("1 of ")
    press(driver, "\ue014", "\ue014")  # right
    assert place.text.startswith("3 of ")
    press(driver, "\ue012", "\ue012", "\ue012")  # left, once too often
    assert place.text.startswith("1 of ")
    press(driver, "\ue014")
    press(driver, "\ue00c")  # escape
    assert not viewer.is_displayed()
    assert focused(driver) == labels[1]


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_phone_scrolls_in_one_direction_only(width: int, show: Callable[..., Any]) -> None:
    driver = show(width, 800)
    driver.find_element(CSS, "#unfold").click()
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    tile = driver.find_element(CSS, "details.class[open] .tile")
    tile.click()
    box = driver.find_element(CSS, "#viewer").rect
    assert box["width"] <= width
    close = driver.find_element(CSS, "#close")
    assert min(close.rect["width"], close.rect["height"]) >= 36  # a finger's
    close.click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: str, show: Callable[..., Any]) -> None:
    driver = show()
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    colors = driver.execute_script(
        "const s = getComputedStyle(document.documentElement);"
        "return ['--ground', '--raised', '--ink', '--faint', '--link', '--warn']"
        ".map(n => s.getPropertyValue(n).trim())"
    )
    ground, raised, *inks = (_luminance(color) for color in colors)
    for ink in inks:
        for behind in (ground, raised):  # WCAG 2.2, 1.4.3: at least 4.5
            light, dark = max(ink, behind), min(ink, behind)
            assert (light + 0.05) / (dark + 0.05) >= 4.5
    assert (ground > 0.5) == (scheme == "light")


def _luminance(color: str) -> float:
    """Relative luminance as WCAG defines it, of ``#rgb`` or ``#rrggbb``."""
    digits = color.removeprefix("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    channels = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

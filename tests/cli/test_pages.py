"""The report, in a real browser where there is one."""

import json
import shutil
import time

import pytest

from cli.main import main
from cli.pages import write_pages
from tests.footage import write_clip

FRAMES = 20
EVIL = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The result of a real run on two clips, one of them with a name to beware of."""
    root = tmp_path_factory.mktemp("run")
    for name in ("calm", EVIL):
        write_clip(root, name, FRAMES)
    given = ["--masks", str(root / "masks"), "--out", str(root / "out")]
    assert main([str(root / "footage"), *given, "--executor", "inline", "--workers", "1"]) == 0
    return root / "out"


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium that reports what it logs."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver on this machine: apt install chromium-driver")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = Chrome(options, ChromeService(driver))
    yield made
    made.quit()


def opened(browser, page):
    browser.get(page.as_uri())
    return browser


def errors(browser):
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def until(browser, script, seconds=10):
    """Wait until a script's value is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if browser.execute_script(f"return {script}"):
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {script}")


def page_of(out, name):
    return next((out / "report").glob(f"{name}-*.html"))


def numbers(browser, column):
    cells = browser.find_elements("css selector", f"#clips tbody td:nth-child({column})")
    return [float(cell.get_attribute("data-v")) for cell in cells]


def test_the_first_page_lists_the_clips_and_sorts_them(out, browser):
    opened(browser, out / "report" / "index.html")
    assert len(numbers(browser, 5)) == 2
    assert numbers(browser, 5) == sorted(numbers(browser, 5), reverse=True)
    button = browser.find_element("css selector", "#clips th:nth-child(5) button")
    button.click()
    assert numbers(browser, 5) == sorted(numbers(browser, 5))
    button.click()
    assert numbers(browser, 5) == sorted(numbers(browser, 5), reverse=True)
    assert browser.find_elements("css selector", ".moments img")
    assert errors(browser) == []


def test_a_name_from_strangers_is_shown_and_does_nothing(out, browser):
    opened(browser, out / "report" / "index.html")
    assert EVIL in [cell.text for cell in browser.find_elements("css selector", "td.name")]
    assert "steadymask" in browser.title
    browser.find_element("link text", EVIL).click()
    until(browser, "document.getElementById('film').readyState >= 2")
    assert browser.title == EVIL
    assert errors(browser) == []


def test_players_follow_slider_keys_hash_and_plot(out, browser):
    from selenium.webdriver import ActionChains, Keys

    opened(browser, page_of(out, "calm"))
    until(browser, "document.getElementById('film').readyState >= 2 && !film.seeking")
    rate = browser.execute_script("return clip.rate")

    def stands_at(frame):
        until(browser, f"!film.seeking && Math.floor(film.currentTime * {rate}) === {frame}")
        assert browser.find_element("id", "number").text == f"{frame} / {FRAMES - 1}"
        assert browser.find_element("id", "frame").get_attribute("value") == str(frame)

    stands_at(0)
    browser.execute_script("slider.value = 7; slider.dispatchEvent(new Event('input'))")
    stands_at(7)
    keys = ActionChains(browser)
    keys.send_keys(Keys.ARROW_RIGHT).send_keys(Keys.ARROW_RIGHT).perform()
    stands_at(9)
    ActionChains(browser).send_keys(Keys.ARROW_LEFT).perform()
    stands_at(8)
    ActionChains(browser).send_keys(Keys.END).perform()
    stands_at(FRAMES - 1)
    ActionChains(browser).send_keys(Keys.HOME).perform()
    stands_at(0)
    browser.execute_script("location.hash = '#5'")
    stands_at(5)
    browser.execute_script(
        "document.getElementById('flicker').emit('plotly_click', {points: [{x: 12}]})"
    )
    stands_at(12)
    ActionChains(browser).send_keys(" ").perform()
    until(browser, f"film.ended || Math.floor(film.currentTime * {rate}) > 12")
    assert errors(browser) == []


def test_a_click_on_the_curve_goes_there(out, browser):
    from selenium.webdriver import ActionChains

    opened(browser, page_of(out, "calm"))
    until(browser, "document.getElementById('film').readyState >= 2 && !film.seeking")
    until(browser, "document.querySelector('#flicker .nsewdrag') !== null")
    area = browser.find_element("css selector", "#flicker .nsewdrag")
    plot = "document.getElementById('flicker')"
    browser.execute_script(
        f"window.near = null; {plot}.on('plotly_hover', (e) => {{ near = e.points[0].x; }});"
        "arguments[0].scrollIntoView({block: 'center'})",
        area,
    )
    for _ in range(10):  # what is above may still load and push the plot down
        ActionChains(browser).move_to_element(area).move_by_offset(3, 3).pause(0.3).perform()
        if browser.execute_script("return near !== null"):
            break
    ActionChains(browser).click().perform()
    until(browser, f"near !== null && shown === near && Math.abs(shown - {(FRAMES - 1) / 2}) < 3")


def test_opacity_changes_what_is_drawn_and_both_players_show_the_picture(out, browser):
    opened(browser, page_of(out, "calm"))
    until(browser, "document.getElementById('film').readyState >= 2 && !film.seeking")
    shots = []
    for value in (0, 1):
        browser.execute_script(
            f"opacity.value = {value}; opacity.dispatchEvent(new Event('input'))"
        )
        shots.append(
            [browser.find_element("id", name).screenshot_as_png for name in ("before", "after")]
        )
    assert shots[0][0] == shots[0][1]  # no masks: the same picture
    assert shots[1][0] != shots[0][0]
    assert shots[1][1] != shots[0][1]


def test_the_theme_can_be_turned_and_a_phone_has_one_column(out, browser):
    opened(browser, page_of(out, "calm"))
    back = "getComputedStyle(document.body).backgroundColor"
    first = browser.execute_script(f"return {back}")
    browser.find_element("id", "theme").click()
    assert browser.execute_script(f"return {back}") != first
    browser.find_element("id", "theme").click()
    browser.set_window_size(420, 800)
    try:
        columns = "getComputedStyle(document.querySelector('.players')).gridTemplateColumns"
        assert len(browser.execute_script(f"return {columns}").split()) == 1
        until(browser, "document.body.scrollWidth <= innerWidth + 1")
    finally:
        browser.set_window_size(1200, 900)


def write_library(out, clips):
    """Make up what a run of many clips leaves."""
    stages = {"smooth": {"hits": 0, "computed": 1, "seconds": 1.5, "bytes": 10}}
    flicker = [1.0] * 40
    for k in range(clips):
        folder = out / f"clip {k}"
        (folder / "report").mkdir(parents=True)
        system = {"E_cons": k % 97 / 10, "E_smooth_mean": 0.1}
        metrics = {
            "frames": 40, "iou_with_input": [0.9] * 40, "warnings": [], "holes": [],
            "changed_frames": [], "input": system, "output": system,
        }  # fmt: skip
        (folder / "metrics.json").write_text(json.dumps(metrics))
        shown = {
            "frames": 40, "rate": 24, "every": 1, "pane": [320, 180], "shots": [[0, 40]],
            "flicker": {"before": flicker, "after": flicker}, "flows": [], "classes": [],
            "moments": [{"frame": 5, "strip": "strip-000005.jpg", "value": k / 10}],
            "slices": {"every": 1, "rows": [1], "before": ["b.jpg"], "after": ["a.jpg"]},
        }  # fmt: skip
        (folder / "report" / "clip.json").write_text(json.dumps(shown))
    run = {
        "clips": {f"clip {k}": {"done": True, "stages": stages} for k in range(clips)},
        "failures": {"broken": "ingest: <b>not</b> a video"}, "seconds": 100.0,
    }  # fmt: skip
    (out / "run.json").write_text(json.dumps(run))


def test_a_library_of_500_clips_opens_at_once(tmp_path, browser):
    write_library(tmp_path, 500)
    page = write_pages(tmp_path)
    opened(browser, page)
    timing = browser.execute_script(
        "const t = performance.getEntriesByType('navigation')[0]; return t.domComplete"
    )
    assert timing < 2000
    assert len(numbers(browser, 5)) == 500
    assert len(browser.find_elements("css selector", ".moments a")) == 20
    assert browser.find_element("css selector", ".failures dd").text == "ingest: <b>not</b> a video"


def test_pages_of_clips_that_are_gone_go_too(tmp_path):
    write_library(tmp_path, 3)
    write_pages(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    del run["clips"]["clip 1"]
    (tmp_path / "run.json").write_text(json.dumps(run))
    index = write_pages(tmp_path).read_text()
    assert "clip 1<" not in index
    assert len(list((tmp_path / "report").glob("*.html"))) == 3

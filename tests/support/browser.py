"""A headless Chromium for tests of pages; where there is none they skip, saying so."""

import json
import shutil
import time

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def start():
    """Return a browser that is not in a window and reads only what a test gives it."""
    chrome = next((path for name in NAMES if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if chrome is None or driver is None:
        pytest.skip("no chromium and chromedriver on the PATH: apt-get install chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chrome
    # Without a sandbox, since containers run as root; the pages are those that the test wrote.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1280,1600")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def page_of(out, name):
    """Return the page whose data are of this clip."""
    for path in sorted((out / "report").glob("*.html")):
        if path.name != "index.html":
            text = path.read_text().split('id="clip">')[1].split("</script>")[0]
            if json.loads(text)["clip"] == name:
                return path
    raise AssertionError(f"no page of {name}")


def visit(driver, path, anchor=""):
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(path.as_uri() + anchor)
    loaded(driver)
    if path.name != "index.html":
        until(driver, "film.readyState >= 2 && !film.seeking && !!at('flicker')._fullLayout")
    return driver


def loaded(driver):
    """Wait for a page from the disk: on a busy machine `get` may return before it is there."""
    until(driver, "location.protocol === 'file:' && document.readyState === 'complete'")


def until(driver, condition, seconds=10):
    """Wait until an expression is true in the page."""
    end = time.monotonic() + seconds
    while not driver.execute_script(f"return {condition}"):
        assert time.monotonic() < end, f"never: {condition}"
        time.sleep(0.02)


def settled(driver, frame):
    until(driver, f"shown === {frame} && !film.seeking && film.readyState >= 2")
    driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def press(driver, *keys):
    from selenium.webdriver import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def set_range(driver, name, value):
    """Move a slider as a hand does: the value, then the event."""
    driver.execute_script(
        "const it = document.getElementById(arguments[0]); it.value = arguments[1];"
        "it.dispatchEvent(new Event('input', {bubbles: true}));",
        name, str(value),
    )  # fmt: skip


def by_id(driver, name):
    return driver.find_element("id", name)


def severe(driver):
    return [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]

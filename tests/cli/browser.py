"""A headless Chromium for tests of pages; where there is none they skip, saying so."""

import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def start():
    """Return a browser that is not in a window and reads only what a test gives it."""
    chrome = next((found for name in NAMES if (found := shutil.which(name))), None)
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

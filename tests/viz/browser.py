"""A real browser for tests: Chromium without a window, driven by Selenium; skipped where either is missing."""

import json
import os
import shutil
import time

import pytest

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
SECONDS = 30


def open_browser():
    """A driver of Chromium; the test is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    driver = shutil.which("chromedriver")
    if CHROMIUM is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1500,900", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.chrome.service.Service(driver, env={**os.environ, "LANG": "C.UTF-8"})
    return webdriver.Chrome(options=options, service=service)


class Page:
    """A ledger that is open in the browser, as somebody who looks at it sees and uses it."""

    def __init__(self, driver, path, frame=False):
        self.driver = driver
        driver.get_log("performance")
        driver.get(path.as_uri())
        if frame:  # the first one on the page
            driver.switch_to.frame(0)
        self.wait("return document.body.dataset.ready || document.body.dataset.failed")
        assert self.js("return document.body.dataset.failed || ''") == ""

    @property
    def milliseconds(self):
        """Until the page could be used."""
        return int(self.js("return document.body.dataset.ready"))

    def js(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def wait(self, text, *arguments):
        """The value of a script once it is true."""
        end = time.monotonic() + SECONDS
        while not (found := self.js(text, *arguments)):
            assert time.monotonic() < end, f"the page never came to: {text}"
            time.sleep(0.02)
        return found

    def click(self, selector, **keys):
        """Click the first element of a selector."""
        self.on(selector, f"new MouseEvent('click', {json.dumps({'bubbles': True, **keys})})")

    def point_at(self, selector):
        self.on(selector, "new PointerEvent('pointerenter')")

    def on(self, selector, event):
        """Let something happen to the first element of a selector, once there is one."""
        at = "const at = document.querySelector(arguments[0]);"
        self.wait(f"{at} if (!at) return false; at.dispatchEvent({event}); return true", selector)

    def text(self, selector):
        return self.js("return (document.querySelector(arguments[0]) || {}).textContent || ''", selector)

    def count(self, selector):
        return self.js("return document.querySelectorAll(arguments[0]).length", selector)

    def has(self, selector):
        return self.wait("return document.querySelectorAll(arguments[0]).length", selector)

    def stage(self, number):
        """Move the slider."""
        self.enter("slider", number, "input")

    def choose(self, mode):
        self.enter("mode", mode, "change")

    def enter(self, name, value, event):
        """Give an input a value."""
        script = (
            "const at = document.getElementById(arguments[0]); at.value = arguments[1]; at.dispatchEvent(new Event(arguments[2]))"
        )
        self.js(script, name, value, event)

    def search(self, words):
        """The names found."""
        self.enter("search", words, "input")
        return self.js("return [...document.querySelectorAll('#found li span')].map((found) => found.textContent)")

    def pick(self):
        """Go to what was found first."""
        self.js("document.querySelector('#found li').dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}))")

    def complaints(self):
        """What the browser had to say, and what the page asked of any network."""
        found = [entry["message"] for entry in self.driver.get_log("browser")]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not url.startswith(("file:", "blob:", "data:")):
                    found.append(f"a request: {url}")
        return found

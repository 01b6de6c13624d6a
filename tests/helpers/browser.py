"""Pages in headless Chromium: ``open_page(path)`` opens one; ``check()`` holds for every page.

Chromium is the one of the system (/usr/bin/chromium, from Debian's packages), driven by Playwright;
without them the tests are skipped. Tests that use the fixture have the marker ``browser``.
"""

import shutil

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
_LOCAL = ("file:", "data:", "blob:", "about:")
WIDTHS = (390, 1280)

_LOW_CONTRAST = """() => {
  const parse = (text) => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    const scale = text.startsWith("color(") ? 1 : 255;
    return [numbers.slice(0, 3).map((n) => n / scale), numbers[3] ?? 1];
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const [rgb, alpha] = parse(getComputedStyle(at).backgroundColor);
      if (alpha > 0.5) return rgb;
    }
    return [1, 1, 1];
  };
  const low = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].find((n) => n.nodeType === 3 && n.textContent.trim());
    if (!text || !node.checkVisibility() || node.closest("script, noscript")) continue;
    const a = light(parse(getComputedStyle(node).color)[0]);
    const b = light(behind(node));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(`${node.tagName} "${text.textContent.trim()}": ${ratio.toFixed(2)}`);
  }
  return low.slice(0, 5);
}"""
_NAMELESS = """() => [...document.querySelectorAll(
    "button, input, select, img, audio, video, a, [role=img]")]
  .filter((node) => node.checkVisibility() && !(node.getAttribute("aria-label") || node.alt
    || node.textContent.trim() || (node.labels && node.labels.length)))
  .map((node) => node.outerHTML.slice(0, 200))"""


class OpenPage:
    """A page in Chromium.

    Attributes:
        page: Playwright's page, for what is not here.
        errors: Errors in the console, and exceptions.
        requests: URLs that were asked from a server.
        dialogs: Texts of dialogs: code of a file name that was run.
    """

    def __init__(self, page):
        self.page, self.errors, self.requests, self.dialogs = page, [], [], []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        page.on("dialog", self._dismiss)
        page.on("request", self._note)

    def _note(self, request):
        if not request.url.startswith(_LOCAL):
            self.requests.append(request.url)

    def _dismiss(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def check(self):
        """Check what holds for every page: width, contrast, names, no error, no request."""
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                self.show(width, scheme)
                wide = self.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{wide} pixels at a width of {width}"
                low = self.page.evaluate(_LOW_CONTRAST)
                assert low == [], f"contrast below 4.5 at {width} pixels, {scheme}: {low}"
        nameless = self.page.evaluate(_NAMELESS)
        assert nameless == [], f"without a name: {nameless}"
        assert self.errors == []
        assert self.requests == []
        assert self.dialogs == []

    def show(self, width=1280, scheme="light", height=900):
        """Set the width of the window and the color scheme of the system."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme=scheme)
        self.page.wait_for_timeout(60)  # charts follow the size after a frame

    def screenshot(self, file, *, full=False):
        """Write a PNG of the window, or of the page in full length."""
        self.page.screenshot(path=file, full_page=full)

    def column(self, table, number):
        """Return the texts of a column (from 0) of a table's rows that are shown.

        ``table`` is a selector; the first match counts.
        """
        rows = self.page.locator(table).first.locator("tbody tr:not([hidden])")
        return rows.locator(f"td:nth-child({number + 1})").all_inner_texts()

    def sort(self, table, header):
        """Click on the header of a column."""
        self.page.locator(f"{table} th button", has_text=header).first.click()

    def filter(self, box, text):
        """Type into the filter of a ``.list`` (a selector); return the number of shown items."""
        found = self.page.locator(box).first
        found.locator("input[type=search]").fill(text)
        return found.locator("tbody tr:not([hidden]), .gallery > :not([hidden])").count()

    def play(self, selector):
        """Play an audio or a video; return the seconds that it advanced, once they are > 0.2."""
        media = self.page.locator(selector).first
        media.evaluate("(media) => { media.muted = true; return media.play(); }")
        self.page.wait_for_function(
            "(media) => media.currentTime > 0.2", arg=media.element_handle(), timeout=10_000
        )
        seconds = media.evaluate("(media) => media.currentTime")
        media.evaluate("(media) => media.pause()")
        return seconds


@pytest.fixture(scope="session")
def chromium():
    """Chromium, for the session."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on PATH; on Debian: apt-get install chromium")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install 'slowfast-stica[dev]'"
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Open a page from a file, offline; returns an ``OpenPage``. All are closed after the test."""
    contexts = []

    def open_file(path, width=1280, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        opened = OpenPage(context.new_page())
        opened.page.goto(path.absolute().as_uri())
        return opened

    yield open_file
    for context in contexts:
        context.close()

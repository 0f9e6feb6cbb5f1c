"""Open pages in the system's Chromium, headless."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Response, sync_playwright

SETTING = "M2V_BENCH_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome")
# no sandbox, which root cannot use, and no background requests
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
# only this machine can be reached, by pages, their workers and the browser itself
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
LOOPBACK_ONLY = f"--host-resolver-rules=MAP * ~NOTFOUND, {', '.join(f'EXCLUDE {host}' for host in LOOPBACK)}"


@dataclass
class Visit:
    """A page, its errors and requests.

    Attributes:
        page: playwright's page.
        errors: console errors and uncaught exceptions.
        failed: requests without a response or with status >= 400, as `URL: reason`.
        requested: requested URLs, including the page, without `data:` and `blob:`.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._on_request)
        self.page.on("requestfailed", lambda request: self.failed.append(f"{request.url}: {request.failure}"))
        self.page.on("response", self._on_response)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.requested.append(request.url)

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.failed.append(f"{response.url}: {response.status}")

    @property
    def outside(self) -> list[str]:
        """Requested URLs that are neither files nor on this machine."""
        hosts = {host.strip("[]") for host in LOOPBACK} | {None}
        return [url for url in self.requested if urlsplit(url).hostname not in hosts]

    def another(self, *, width: int = 1280, height: int = 800) -> "Visit":
        """Open an empty page in the same browser, as a second browser cannot run beside it."""
        browser = self.page.context.browser
        assert browser is not None
        return Visit(browser.new_page(viewport={"width": width, "height": height}))

    def open(self, page: str | Path) -> None:
        """Open a URL or a file, and wait until it is loaded."""
        self.page.goto(page.resolve().as_uri() if isinstance(page, Path) else page)

    def print_to(self, file: Path, **options: object) -> None:
        """Print the page as PDF with its print styles; `options` are those of playwright's `pdf`."""
        self.page.pdf(path=file, **{"format": "A4", "print_background": True, **options})


def find_chromium() -> str | None:
    """Return the program named by `M2V_BENCH_CHROMIUM`, else the first of `NAMES` on the PATH, or None."""
    names = [os.environ[SETTING]] if os.environ.get(SETTING) else NAMES
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def visit(*, width: int = 1280, height: int = 800, offline: bool = True) -> Iterator[Visit]:
    """Open an empty page in a new browser, closed at the end of the block; skip the test without Chromium.

    Args:
        width: window width in CSS pixels.
        height: window height in CSS pixels.
        offline: whether only this machine can be reached.
    """
    program = find_chromium()
    if program is None:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} on the PATH, and {SETTING} names no program")
    with sync_playwright() as playwright:
        flags = [*FLAGS, LOOPBACK_ONLY] if offline else FLAGS
        browser: Browser = playwright.chromium.launch(executable_path=program, headless=True, args=flags)
        try:
            yield Visit(browser.new_page(viewport={"width": width, "height": height}))
        finally:
            browser.close()

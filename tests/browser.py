"""Pages in a headless Chromium, which is the system's own: what a person would see of what we write and serve."""

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
# without a sandbox, which root has none of, and without what a browser asks of the world by itself
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
# no name and no address leads anywhere but to this machine, for pages, their workers and the browser itself
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
LOOPBACK_ONLY = f"--host-resolver-rules=MAP * ~NOTFOUND, {', '.join(f'EXCLUDE {host}' for host in LOOPBACK)}"


@dataclass
class Visit:
    """A page and what went wrong on it.

    Attributes:
        page: of playwright: `goto`, `get_by_text`, `locator`, `set_viewport_size`, `screenshot`.
        errors: what the console showed as errors, and exceptions that nothing caught.
        failed: requests without an answer, or with one from 400 up, as `URL: why`.
        requested: the URLs that the page asked for, its own included, without `data:` and `blob:`.
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
        """What was asked for that is neither a file nor on this machine."""
        hosts = {host.strip("[]") for host in LOOPBACK} | {None}
        return [url for url in self.requested if urlsplit(url).hostname not in hosts]

    def open(self, page: str | Path) -> None:
        """Go to a URL, or to a file, and wait until it is loaded."""
        self.page.goto(page.resolve().as_uri() if isinstance(page, Path) else page)

    def print_to(self, file: Path, **options: object) -> None:
        """Print the page as PDF, in the styles that it has for paper; `options` are those of playwright's `pdf`."""
        self.page.pdf(path=file, **{"format": "A4", "print_background": True, **options})


def find_chromium() -> str | None:
    """The program that `M2V_BENCH_CHROMIUM` names, else the first of `NAMES` on the PATH; None without any."""
    names = [os.environ[SETTING]] if os.environ.get(SETTING) else NAMES
    return next((found for name in names if (found := shutil.which(name))), None)


@contextmanager
def visit(*, width: int = 1280, height: int = 800, offline: bool = True) -> Iterator[Visit]:
    """An empty page in a browser of its own, which ends with the block; skips the test where there is no Chromium.

    Args:
        width: of the window, in CSS pixels; `visit.page.set_viewport_size` changes it later.
        height: of the window, in CSS pixels.
        offline: whether nothing but this machine can be reached.
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

"""`m2v-bench leaderboard`: write all models and scores as one HTML page to explore, or serve it while runs go on."""

import functools
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from markupsafe import Markup

from m2v_bench.cache import cache_dir, write_text
from m2v_bench.errors import BenchError
from m2v_bench.reports.document import template, template_text
from m2v_bench.reports.leaderboard import Board, gather
from m2v_bench.reports.style import DARK
from m2v_bench.results.jobs import SWEEP
from m2v_bench.results.record import RECORD
from m2v_bench.system.environment import version_of


def render(board: Board, *, title: str, live: str | None = None) -> str:
    """Return the page, which loads nothing else.

    Args:
        board: its content.
        title: heading and title of the page.
        live: version of a served page, which reloads itself when the server has another one.
    """
    data = json.dumps(board.to_json(), separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return template("leaderboard.html").render(
        title=title,
        live=live,
        dark=DARK,
        data=Markup(data),
        css=template_text("report.css") + template_text("leaderboard.css"),
        js=template_text("leaderboard.js"),
        vega=Markup(vega()),
    )


@functools.cache
def vega() -> str:
    """Return the script of Vega-Lite, Vega and Vega-Embed, for inclusion in a page."""
    import vl_convert

    file = cache_dir() / "scripts" / f"vega-{version_of('vl-convert-python')}.js"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # takes seconds
    script = str(bundle).replace("</script", "<\\/script")
    with suppress(OSError):  # as on a full disk; the page needs no cache
        write_text(file, script)
    return script


def write_leaderboard(
    paths: Sequence[Path], out: Path | None = None, *, models: Sequence[str] = (), intervals: bool | None = True
) -> Path:
    """Write the page of one or several results folders or exported tables.

    Args:
        paths: the folders or files.
        out: the page; None means leaderboard.html in the first folder, or beside the first table.
        models: as in `gather`.
        intervals: as in `gather`.

    Raises:
        BenchError: when there are no scores, or the page cannot be written.
    """
    folder = paths[0].parent if paths[0].is_file() else paths[0]
    page = out or folder / "leaderboard.html"
    if page.suffix != ".html":
        raise BenchError(f"--out {page}: must end in .html")
    text = render(gather(paths, models=models, intervals=intervals), title=title_of(paths))
    try:
        write_text(page, text)
    except OSError as error:
        raise BenchError(f"--out {page}: cannot be written ({error.strerror}); name another file") from error
    return page


def title_of(paths: Sequence[Path]) -> str:
    """Name a page by the folders or tables that it shows."""
    names = [path.stem if path.is_file() else path.resolve().name for path in paths]
    return f"Leaderboard of {', '.join(names)}" if len(names) < 4 else f"Leaderboard of {len(names)} results"


class _Served:
    """The page of results that may change; made again when they have changed."""

    def __init__(self, paths: Sequence[Path], models: Sequence[str]) -> None:
        self.paths, self.models = paths, models
        self._made: tuple[str, bytes] | None = None

    def version(self) -> str:
        """Return a text that changes with the results."""
        newest, n_files = 0, 0
        for path in self.paths:
            patterns = ("results/**/*.json", f"runs/*/{RECORD}", f"sweeps/*/*/{RECORD}", f"sweeps/*/{SWEEP}")
            for file in [path] if path.is_file() else [file for pattern in patterns for file in path.glob(pattern)]:
                try:
                    newest = max(newest, file.stat().st_mtime_ns)
                except FileNotFoundError:  # replaced while the folder was read
                    continue
                n_files += 1
        return f"{n_files}-{newest}"

    def page(self) -> bytes:
        """Return the page, or one that says why there is none yet."""
        version = self.version()
        if self._made is None or self._made[0] != version:
            try:
                # intervals take long to compute again after each score
                text = render(
                    gather(self.paths, models=self.models, intervals=False), title=title_of(self.paths), live=version
                )
            except BenchError as error:
                text = template("waiting.html").render(message=str(error))
            self._made = version, text.encode()
        return self._made[1]


def serve(paths: Sequence[Path], *, models: Sequence[str] = (), port: int, ready: Callable[[str], None]) -> None:
    """Serve the page on this machine until interrupted; an open page shows new scores by itself.

    Args:
        paths: results folders or exported tables.
        models: as in `gather`.
        port: on 127.0.0.1; 0 for any free one.
        ready: called with the address.

    Raises:
        BenchError: when the port is taken.
    """
    served = _Served(paths, models)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path not in ("/", "/version"):
                self.send_error(404)
                return
            kind = "text/html; charset=utf-8" if path == "/" else "text/plain"
            body = served.page() if path == "/" else served.version().encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except (OSError, OverflowError) as error:
        raise BenchError(
            f"--port {port}: cannot be used ({getattr(error, 'strerror', None) or error}); name another one"
        ) from error
    with server:
        ready(f"http://127.0.0.1:{server.server_port}/")
        server.serve_forever()

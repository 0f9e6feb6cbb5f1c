"""Measure the leaderboard's page in headless Chromium: size, time to open, time to sort.

    python -m benchmarks.leaderboard

Makes a page of 1,000 models on 72 tasks, opens it several times and sorts it by every column of scores, and writes
results/bench/leaderboard.md. A sort is timed from the click until the frame with the sorted table has been painted.
"""

import statistics
import tempfile
from pathlib import Path

from m2v_bench.reports.leaderboard_page import render
from tests.browser import visit
from tests.reports.test_leaderboard import large_board

OUT = Path(__file__).parents[1] / "results" / "bench" / "leaderboard.md"
N_MODELS, N_TASKS, ROUNDS = 1000, 72, 7
SORT = """selector => new Promise(done => {
    const started = performance.now();
    document.querySelector(selector).click();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - started)));
})"""


def main() -> None:
    text = render(large_board(N_MODELS, N_TASKS), title="Large")
    opened, drawn, sorts = [], [], []
    with tempfile.TemporaryDirectory() as folder, visit(width=1440, height=900) as browser:
        page = Path(folder) / "large.html"
        page.write_text(text, encoding="utf-8")
        for _ in range(ROUNDS):
            browser.page.goto("about:blank")
            browser.open(f"{page.resolve().as_uri()}#base=scores")
            browser.page.wait_for_selector("#board tbody tr")
            opened.append(browser.page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart"))
            browser.page.wait_for_selector("#heat svg")
            drawn.append(browser.page.evaluate("performance.now()"))
            for key in ("average", "type:Class", "type:STS", "dims"):
                sorts.append(browser.page.evaluate(SORT, f"#board th[data-key='{key}'] button"))
                browser.page.wait_for_timeout(1500)  # figures are drawn again
    lines = [
        "| Models x tasks | MB | open, table shown (s) | figures drawn (s) | sort (ms) | slowest sort (ms) |",
        "|---|---:|---:|---:|---:|---:|",
        f"| {N_MODELS:,} x {N_TASKS} | {len(text.encode()) / 1e6:.2f} | {statistics.median(opened) / 1000:.2f} | "
        f"{statistics.median(drawn) / 1000:.2f} | {statistics.median(sorts):.0f} | {max(sorts):.0f} |",
        "",
    ]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines), f"wrote {OUT}", sep="\n")


if __name__ == "__main__":
    main()

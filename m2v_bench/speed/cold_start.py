"""Measure load time, time to first embedding and peak memory of this process; see `benchmark.cold_start`.

    python -m m2v_bench.speed.cold_start LOADER SOURCE TEXTS

Prints one line of JSON. TEXTS is a JSON file of texts: first one text is embedded, then all.
"""

import sys
import time


def main(loader: str, source: str, texts_file: str) -> None:
    """Load the model, embed one text, then all texts, and print the measurements."""
    started = time.perf_counter()  # before all imports beyond those of the interpreter
    import json
    from pathlib import Path

    from m2v_bench.speed.loaders import LOADERS

    loaded = LOADERS[loader](source)
    ready = time.perf_counter()
    texts = json.loads(Path(texts_file).read_text(encoding="utf-8"))
    begun = time.perf_counter()
    loaded.encode(texts[:1])
    first = time.perf_counter()

    from m2v_bench.system.memory import peak_of_process

    loaded.encode(texts)
    print(
        json.dumps(
            {
                "load_seconds": ready - started,
                "first_seconds": ready - started + first - begun,
                "peak_rss_bytes": peak_of_process(),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

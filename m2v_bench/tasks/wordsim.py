"""The seven word similarity sets of the paper's WordSim column, as mteb STS tasks.

Files and columns are those of the authors' evaluation repository. A pair with a word that a model does not know has
cosine 0 and counts.
"""

from pathlib import Path
from typing import ClassVar

from datasets import Dataset
from mteb.abstasks import AbsTaskSTS

from m2v_bench.errors import BenchError
from m2v_bench.tasks.own_task import FromFiles, own_metadata


class _WordSim(FromFiles, AbsTaskSTS):
    group = "WordSim"
    columns: ClassVar[tuple[int, int, int]]  # of the two words and of the score
    min_score = 0
    max_score = 10

    def read(self, path: Path) -> Dataset:
        first, second, score = self.columns
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        try:
            columns = {
                "sentence1": [row[first].strip() for row in rows],
                "sentence2": [row[second].strip() for row in rows],
                "score": [float(row[score]) for row in rows],
            }
        except (IndexError, ValueError) as error:
            raise BenchError(f"{path}: not the {self.metadata.name} file, columns {self.columns}: {error}") from error
        return Dataset.from_dict(columns)


def _set(name: str, file: str, columns: tuple[int, int, int], max_score: int, about: str) -> type[_WordSim]:
    metadata = own_metadata(
        f"WordSim-{name}",
        "STS",
        "cosine_spearman",
        f"{about} Spearman correlation of cosine and human judgement.",
        path=f"wordsim/{file}",
        date=("2001-01-01", "2018-12-31"),
    )
    fields = {"files": {"test": f"wordsim/{file}"}, "columns": columns, "max_score": max_score, "metadata": metadata}
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

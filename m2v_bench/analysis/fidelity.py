"""Fidelity to the teacher beside the scores on tasks: a table of the records of both."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from m2v_bench.analysis.grid import Grid
from m2v_bench.analysis.signature import merged
from m2v_bench.analysis.sweeps import Record
from m2v_bench.analysis.tables import AVERAGE, ScoreTable, header, score_table

# Below the results; a record per model and set of texts.
FOLDER = "fidelity"

_FEW = 5  # students that a correlation is not worth telling of


def fidelity_grid(found: Sequence[Mapping[str, Any]], records: Sequence[Record]) -> Grid:
    """A row per model and teacher.

    Args:
        found: what was measured of each.
        records: of the runs that scored them.
    """
    table, labels = _scores(records)
    columns = [AVERAGE, *(name for name in table.columns if name != AVERAGE)]
    rows = []
    for each in found:
        label = labels[each["model"], each["revision"]]
        points = [table.cells[label, column].text for column in columns]
        fit = [f"{100 * each['neighbour_overlap']:.1f}", f"{each['linear_cka']:.3f}"]
        rows.append([label, each["teacher"], *fit, *points])
    texts = found[0]["texts"]
    overlap = f"Overlap@{found[0]['neighbours']}"
    zeros = {each["label"]: each["zero_vectors"] for each in found if each["zero_vectors"]}
    drawn = f", drawn of {texts['n_all']:,} with seed {texts['seed']}" if texts["texts"] < texts["n_all"] else ""
    notes = [
        f"{overlap}: % of a text's {found[0]['neighbours']} nearest by the teacher (cosine) that are so by the model, "
        "mean over texts; CKA: linear centered kernel alignment of unit rows (Kornblith et al., 2019)",
        f"{texts['texts']:,} distinct texts of {texts['label']}{drawn}",
        *(f"embeds {n} of the texts by zeros: {label}" for label, n in zeros.items()),
        *_correlations(found, table, labels),
        merged(each["signature"] for each in records),
    ]
    names = [header(column, table) for column in columns]
    return Grid(["Model", "Teacher", overlap, "CKA", *names], rows, title="fidelity to the teacher", notes=notes)


def _scores(records: Sequence[Record]) -> tuple[ScoreTable, dict[tuple[str, str], str]]:
    """The table of all runs, and by name and revision the label that each model has in it."""
    rows = pd.concat([pd.DataFrame(each["scores"]).assign(teacher=None) for each in records])
    rows = rows.drop_duplicates(["model", "revision", "task"])
    shared = rows.groupby("label")["revision"].transform("nunique") > 1
    rows.loc[shared, "label"] += " " + rows.loc[shared, "revision"].str[:6]
    labels = {(row.model, row.revision): row.label for row in rows.itertuples()}
    return score_table(rows, records[0]["settings"].get("suite.aggregation", "micro")), labels


def _correlations(
    found: Sequence[Mapping[str, Any]], table: ScoreTable, labels: Mapping[tuple[str, str], str]
) -> list[str]:
    """Per teacher, whether more faithful students score higher."""
    notes = []
    for teacher in dict.fromkeys(each["teacher"] for each in found):
        own = [each for each in found if each["teacher"] == teacher and each["student"]]
        scores = [table.cells[labels[each["model"], each["revision"]], AVERAGE].value for each in own]
        if len(own) < _FEW or np.ptp(scores) == 0:
            continue
        told = [
            f"{spearmanr(scores, [each[name] for each in own]).statistic:+.2f} ({short})"
            for name, short in (("neighbour_overlap", "overlap"), ("linear_cka", "CKA"))
        ]
        notes.append(
            f"Spearman's correlation with the average over {len(own)} students of {teacher}: {', '.join(told)}"
        )
    return notes

"""Effects of the settings in a factorial sweep, and a test of the paper's findings on it, made from files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from m2v_bench.errors import BenchError
from m2v_bench.paper.findings import FINDINGS, Judged, judge_findings
from m2v_bench.reports.compare import interval, p_text
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.score_table import AVERAGE, AVERAGE_MTEB
from m2v_bench.reports.signature import merged
from m2v_bench.results.experiment import Experiment
from m2v_bench.results.scores import read_results
from m2v_bench.stats.aggregates import OWN_GROUPS, TYPE_LABELS
from m2v_bench.stats.factorial import Contrast, Design, Estimate, design_of, effects, estimate
from m2v_bench.stats.paired import CONFIDENCE, REPLICATES, Compared, load
from m2v_bench.stats.significance import holm


@dataclass(frozen=True)
class Ablations:
    """The tables of a factorial sweep.

    Attributes:
        grids: by the end of their files' names, to be shown and written as Markdown: the effects on the average, the
            effects by task type, the findings.
        effects, findings: the same numbers as long tables, scores 0 to 1.
    """

    grids: dict[str, Grid]
    effects: pd.DataFrame
    findings: pd.DataFrame


@dataclass(frozen=True)
class _Data:
    """A sweep's variants, compared, and how to average over tasks."""

    design: Design
    compared: Compared
    average: str
    seed: int
    notes: list[str]
    unscored: list[str]  # the task types, as tables call them, of which no task has a score of every variant

    @property
    def types(self) -> list[str]:
        """The task types, in the order of the paper's columns."""
        return list(dict.fromkeys(self.compared.types))

    def columns(self) -> dict[str, list[int]]:
        """The tasks of each column, by number: all, MTEB's own where the authors' stand beside them, each type."""
        types = self.compared.types
        found = {AVERAGE: list(range(len(types)))}
        mteb = [number for number, each in enumerate(types) if each not in OWN_GROUPS]
        if 0 < len(mteb) < len(types):
            found[AVERAGE_MTEB] = mteb
        return found | {name: [n for n, each in enumerate(types) if each == name] for name in self.types}

    def estimate(self, contrasts: Sequence[Contrast], column: str) -> list[Estimate]:
        return estimate(
            contrasts,
            self.compared.comparison,
            self.compared.types,
            self.columns()[column],
            average=self.average if column in (AVERAGE, AVERAGE_MTEB) else "tasks",
            replicates=REPLICATES,
            seed=self.seed,
            confidence=CONFIDENCE,
        )


def ablations(sweep: Experiment, *, seed: int = 42) -> Ablations:
    """Estimate all main effects and two-way interactions of a sweep, and test the authors' findings on it.

    Args:
        sweep: the experiment, from a results folder or an exported table.
        seed: seed of the draws.

    Raises:
        BenchError: when it has not ended, or is no full factorial design.
    """
    data = _read(sweep, seed)
    mains, interactions = effects(data.design)
    contrasts, kinds = mains + interactions, ["main effect"] * len(mains) + ["interaction"] * len(interactions)
    by_column = {column: data.estimate(contrasts, column) for column in data.columns()}
    findings = judge_findings(
        data.design,
        lambda own: data.estimate([own], AVERAGE)[0],
        lambda own: {TYPE_LABELS.get(name, name): data.estimate([own], name)[0] for name in data.types},
        alpha=1 - CONFIDENCE,
        withheld=data.compared.withheld(data.average),
        unscored=data.unscored,
    )
    return Ablations(
        {
            "effects": _average_grid(data, by_column[AVERAGE], kinds),
            "effects_by_type": _types_grid(data, by_column),
            "findings": _findings_grid(data, findings),
        },
        pd.concat([_long(column, kinds, estimates) for column, estimates in by_column.items()]),
        _findings(findings),
    )


def write(found: Ablations, name: str, folder: Path) -> list[Path]:
    """Write the tables to NAME_*.md and .csv in a folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for end, grid in found.grids.items():
        written.append(folder / f"{name}_{end}.md")
        written[-1].write_text(grid.markdown(), encoding="utf-8")
    for end, table in (("effects", found.effects), ("findings", found.findings)):
        written.append(folder / f"{name}_{end}.csv")
        table.to_csv(written[-1], index=False)
    return written


def _read(sweep: Experiment, seed: int) -> _Data:
    records = sweep.all_records()
    design = design_of(records)
    scored = [{score.task for score in record.student_scores if score.main_score is not None} for record in records]
    tasks = sorted(set.intersection(*scored))
    if not tasks:
        raise BenchError(f"{sweep.name}: its variants have no scored task in common")
    all_tasks = {score.task for record in records for score in record.scores}
    results = read_results(sweep.results)
    compared = load([results.student_of(record) for record in records], results, tasks=tasks, seed=seed)
    macro = records[0].aggregation == "macro" and "types" in compared.averages
    average = "types" if macro else "tasks"
    reason = compared.withheld(average)
    notes = [
        *([f"tasks like these: no verdict, {reason}"] if reason else []),
        *compared.notes,
        f"{len(records)} variants: {' x '.join(f'{len(each.levels)} {each.setting}' for each in design.factors)}; "
        f"{len(tasks)}/{len(all_tasks)} tasks; average over {'types' if macro else 'tasks'}",
        f"points (scores x 100); {CONFIDENCE:.0%} intervals, not corrected; these tasks: had other samples of them "
        "been drawn; tasks like these: had other tasks been drawn; base models and settings are those of the sweep",
        f"{REPLICATES} replicates, bootstrap seed {seed}; {merged(record.signature for record in records)}",
    ]
    types = {score.type: None for record in records for score in record.scores}
    unscored = [TYPE_LABELS.get(name, name) for name in types if name not in compared.types]
    return _Data(design, compared, average, seed, notes, unscored)


def _average_grid(data: _Data, estimates: Sequence[Estimate], kinds: Sequence[str]) -> Grid:
    p_values = [holm([getattr(each, question).p for each in estimates]) for question in ("these", "like")]
    rows = []
    for kind, each, these, like in zip(kinds, estimates, *p_values, strict=True):
        points = [*interval(each.these), p_text(these), *interval(each.like)[1:], p_text(like)]
        rows.append([each.contrast.name, kind, *points])
    percent = f"{CONFIDENCE:.0%}"
    header = ["Effect", "Kind", "Value", f"{percent} low", f"{percent} high", "p (Holm)"]
    header += ["tasks like these: low", "high", "p (Holm)"]
    note = f"an interaction is a difference of differences; Holm over the {len(estimates)} effects"
    return Grid(header, rows, title="effects on the average", notes=[note, *data.notes])


def _types_grid(data: _Data, by_column: dict[str, list[Estimate]]) -> Grid:
    names = [f"{TYPE_LABELS.get(column, column)} ({by_column[column][0].n_tasks})" for column in by_column]
    starred = {column: holm([each.these.p for each in own]) < 1 - CONFIDENCE for column, own in by_column.items()}
    rows = [
        [
            own[0].contrast.name,
            *(
                f"{100 * each.these.value:+.2f}{'*' * bool(starred[column][number])}"
                for column, each in zip(by_column, own, strict=True)
            ),
        ]
        for number, own in enumerate(zip(*by_column.values(), strict=True))
    ]
    marked = f"* separable from 0 at {1 - CONFIDENCE:.2g} on these tasks (Holm over the effects of the column)"
    if all(np.isnan(each.these.p) for own in by_column.values() for each in own):
        marked = "no *: not tested, samples are missing"
    note = f"{marked}; (n tasks)"
    return Grid(["Effect", *names], rows, title="effects by task type", notes=[note, *data.notes])


def _long(column: str, kinds: Sequence[str], estimates: Sequence[Estimate]) -> pd.DataFrame:
    adjusted = [holm([getattr(each, question).p for each in estimates]) for question in ("these", "like")]
    rows = [
        {"column": column, "effect": each.contrast.name, "kind": kind, "n_tasks": each.n_tasks, **_fields(each)}
        for kind, each in zip(kinds, estimates, strict=True)
    ]
    return pd.DataFrame(rows).assign(these_p_holm=adjusted[0], like_p_holm=adjusted[1])


def _fields(each: Estimate) -> dict[str, float]:
    found = {"value": each.these.value}
    for name, own in (("these", each.these), ("like", each.like)):
        found |= {f"{name}_low": own.low, f"{name}_high": own.high, f"{name}_p": own.p}
    return found


def _findings(found: Sequence[Judged]) -> pd.DataFrame:
    rows = []
    for each in found:
        row = {"finding": each.claim, "scope": each.scope, "published": each.published}
        row |= {} if each.estimate is None else _fields(each.estimate)
        row |= {"p_holm": each.p, "n_tasks": each.n_tasks, "n_variants": each.n_variants, "verdict": each.verdict}
        rows.append(row)
    return pd.DataFrame(rows)


def _findings_grid(data: _Data, found: Sequence[Judged]) -> Grid:
    rows = []
    for each in found:
        published = "-" if np.isnan(each.published) else f"{100 * each.published:+.2f}"
        own = each.estimate
        points = ["-"] * 5 if own is None else [*interval(own.these), *interval(own.like)[1:]]
        counts = [p_text(each.p), str(each.n_tasks), str(each.n_variants)]
        rows.append([each.claim, each.scope, published, *points, *counts, each.verdict])
    header = ["Finding", "Over", "Published", "Here", "these tasks: low", "high", "tasks like these: low", "high"]
    notes = [
        f"verdict by tasks like these, Holm over all {2 * len(FINDINGS)} tests, at {1 - CONFIDENCE:.2g}; on every task "
        "type: by these tasks, Holm over all types of the suite, confirmed when every type is above 0, refuted when "
        "one is below",
        "as published: the settings that the authors compared, over the sentence transformers of the sweep; published: "
        "the difference of those rows in the authors' table (72 tasks, bge-base-en-v1.5)",
        *data.notes,
    ]
    return Grid([*header, "p (Holm)", "Tasks", "Variants", "Verdict"], rows, title="the authors' findings", notes=notes)

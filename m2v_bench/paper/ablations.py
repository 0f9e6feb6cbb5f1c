"""Estimate the effects of settings in a factorial sweep, and test the paper's findings on it, from stored results."""

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
from m2v_bench.stats.paired import CONFIDENCE, QUESTIONS, REPLICATES, Compared, load
from m2v_bench.stats.significance import holm


@dataclass(frozen=True)
class Ablations:
    """The tables of a factorial sweep.

    Attributes:
        grids: the effects on the average, the effects by task type and the findings, by the suffix of their files.
        effects, findings: the same numbers as long tables, scores 0 to 1.
    """

    grids: dict[str, Grid]
    effects: pd.DataFrame
    findings: pd.DataFrame


@dataclass(frozen=True)
class _Data:
    """Compared variants of a sweep, and how to average over tasks."""

    design: Design
    compared: Compared
    average: str
    seed: int
    notes: list[str]
    unscored: list[str]  # labels of the task types without a task that all variants have a score of

    @property
    def types(self) -> list[str]:
        """The task types, in the order of the paper's columns."""
        return list(dict.fromkeys(self.compared.types))

    def columns(self) -> dict[str, list[int]]:
        """Return the numbers of the tasks of each column: all, MTEB's if there are others, and one per type."""
        types = self.compared.types
        columns = {AVERAGE: list(range(len(types)))}
        mteb = [number for number, name in enumerate(types) if name not in OWN_GROUPS]
        if 0 < len(mteb) < len(types):
            columns[AVERAGE_MTEB] = mteb
        return columns | {name: [n for n, other in enumerate(types) if other == name] for name in self.types}

    def estimate(self, contrasts: Sequence[Contrast], column: str) -> list[Estimate]:
        """Estimate contrasts of the variants on the tasks of a column."""
        return estimate(
            contrasts,
            self.compared.comparison,
            self.compared.types,
            self.columns()[column],
            teachers=self.design.teachers,
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
        lambda contrast: data.estimate([contrast], AVERAGE)[0],
        lambda contrast: {TYPE_LABELS.get(name, name): data.estimate([contrast], name)[0] for name in data.types},
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


def write(tables: Ablations, name: str, folder: Path) -> list[Path]:
    """Write the tables to NAME_*.md and .csv in a folder, and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for end, grid in tables.grids.items():
        written.append(folder / f"{name}_{end}.md")
        written[-1].write_text(grid.markdown(), encoding="utf-8")
    for end, table in (("effects", tables.effects), ("findings", tables.findings)):
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
    factors = " x ".join(f"{len(factor.levels)} {factor.setting}" for factor in design.factors)
    notes = [
        *([f"tasks like these: no verdict, {reason}"] if reason else []),
        *compared.notes,
        f"{len(records)} variants: {factors}; "
        f"{len(tasks)}/{len(all_tasks)} tasks; average over {'types' if macro else 'tasks'}",
        f"points (scores x 100); {CONFIDENCE:.0%} intervals, not corrected; {QUESTIONS}; tasks and teachers like "
        "these: both vary, as crossed random effects; settings are those of the sweep",
        f"{REPLICATES} replicates, bootstrap seed {seed}; {merged(record.signature for record in records)}",
    ]
    types = {score.type: None for record in records for score in record.scores}
    unscored = [TYPE_LABELS.get(name, name) for name in types if name not in compared.types]
    return _Data(design, compared, average, seed, notes, unscored)


def _average_grid(data: _Data, estimates: Sequence[Estimate], kinds: Sequence[str]) -> Grid:
    p_values = _adjusted(estimates)
    rows = []
    for number, (kind, effect) in enumerate(zip(kinds, estimates, strict=True)):
        row = [effect.contrast.name, kind, *interval(effect.these)[:1]]
        for name, question in effect.questions.items():
            row += [*interval(question)[1:], p_text(p_values[name][number])]
        rows.append(row)
    percent = f"{CONFIDENCE:.0%}"
    header = ["Effect", "Kind", "Value", f"{percent} low", f"{percent} high", "p (Holm)"]
    header += ["tasks like these: low", "high", "p (Holm)", "tasks and teachers like these: low", "high", "p (Holm)"]
    note = f"an interaction is a difference of differences; Holm over the {len(estimates)} effects"
    return Grid(header, rows, title="effects on the average", notes=[note, *data.notes])


def _adjusted(estimates: Sequence[Estimate]) -> dict[str, np.ndarray]:
    """Correct the p-values of effects by Holm, for each question."""
    return {name: holm([effect.questions[name].p for effect in estimates]) for name in estimates[0].questions}


def _types_grid(data: _Data, by_column: dict[str, list[Estimate]]) -> Grid:
    names = [f"{TYPE_LABELS.get(column, column)} ({by_column[column][0].n_tasks})" for column in by_column]
    significant = {column: _adjusted(estimates)["these"] < 1 - CONFIDENCE for column, estimates in by_column.items()}
    rows = []
    for number, row in enumerate(zip(*by_column.values(), strict=True)):
        stars = ["*" * bool(significant[column][number]) for column in by_column]
        texts = [f"{100 * effect.these.value:+.2f}{star}" for effect, star in zip(row, stars, strict=True)]
        rows.append([row[0].contrast.name, *texts])
    note = f"* significantly different from 0 on these tasks (α = {1 - CONFIDENCE:.2g}, Holm over the column's effects)"
    if all(np.isnan(effect.these.p) for estimates in by_column.values() for effect in estimates):
        note = "no *: not tested, samples are missing"
    notes = [f"{note}; (n tasks)", *data.notes]
    return Grid(["Effect", *names], rows, title="effects by task type", notes=notes)


def _long(column: str, kinds: Sequence[str], estimates: Sequence[Estimate]) -> pd.DataFrame:
    p_values = {f"{name}_p_holm": values for name, values in _adjusted(estimates).items()}
    rows = [
        {"column": column, "effect": effect.contrast.name, "kind": kind, "n_tasks": effect.n_tasks, **_fields(effect)}
        for kind, effect in zip(kinds, estimates, strict=True)
    ]
    return pd.DataFrame(rows).assign(**p_values)


def _fields(effect: Estimate) -> dict[str, float]:
    row = {"value": effect.these.value}
    for name, question in effect.questions.items():
        row |= {f"{name}_low": question.low, f"{name}_high": question.high, f"{name}_p": question.p}
    return row


def _findings(judged: Sequence[Judged]) -> pd.DataFrame:
    rows = []
    for finding in judged:
        row = {"finding": finding.claim, "scope": finding.scope, "published": finding.published}
        row |= {} if finding.estimate is None else _fields(finding.estimate)
        row |= {"p_holm": finding.p, "n_tasks": finding.n_tasks, "n_variants": finding.n_variants}
        rows.append(row | {"verdict": finding.verdict})
    return pd.DataFrame(rows)


def _findings_grid(data: _Data, judged: Sequence[Judged]) -> Grid:
    rows = []
    for finding in judged:
        published = "-" if np.isnan(finding.published) else f"{100 * finding.published:+.2f}"
        here = finding.estimate
        points = ["-"] * 7
        if here is not None:
            points = [*interval(here.these), *interval(here.like)[1:], *interval(here.teachers)[1:]]
        counts = [p_text(finding.p), str(finding.n_tasks), str(finding.n_variants)]
        rows.append([finding.claim, finding.scope, published, *points, *counts, finding.verdict])
    header = ["Finding", "Over", "Published", "Here", "these tasks: low", "high", "tasks like these: low", "high"]
    header += ["tasks and teachers like these: low", "high"]
    notes = [
        f"verdict by tasks like these, Holm over all {2 * len(FINDINGS)} tests, at {1 - CONFIDENCE:.2g}; on every task "
        "type: by these tasks, Holm over all types of the suite, confirmed when every type is above 0, refuted when "
        "one is below",
        "as published: the settings that the authors compared, over the sentence transformers of the sweep; published: "
        "the difference of those rows in the authors' table (72 tasks, bge-base-en-v1.5)",
        *data.notes,
    ]
    return Grid([*header, "p (Holm)", "Tasks", "Variants", "Verdict"], rows, title="the authors' findings", notes=notes)

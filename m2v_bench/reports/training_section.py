"""Show how the losses of trained models fell, and which tasks share texts with their training corpus."""

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from m2v_bench.reports.document import Picture, Section
from m2v_bench.reports.figures import LABEL_SIZE
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.style import STYLE, apart, look
from m2v_bench.reports.sweep_figures import short_labels
from m2v_bench.results.record import RunRecord

_SHOWS = (
    "Loss on held-out texts after each epoch, divided by the loss before training. The numbers are in the table above."
)


def training_section(records: Sequence[RunRecord]) -> Section:
    """Return the section on the training of a sweep's or a run's models; without blocks if none was trained."""
    trained = [record for record in records if record.training]
    if not trained:
        return Section("Training", [])
    return Section(
        "Training", [_losses(trained), Picture(training_figure(trained), _SHOWS, "-training"), overlap(trained)]
    )


def _losses(records: Sequence[RunRecord]) -> Grid:
    rows = []
    for record in records:
        held_out, best = record.training["held_out"], record.training["best"]
        after = " ".join(f"{loss:.4f}" for loss in held_out[1:])
        rows.append([record.label, f"{record.training['texts']:,}", f"{held_out[0]:.4f}", after, str(best)])
    columns = ["Model", "Texts", "Held-out loss before", "after each epoch", "Epoch kept"]
    return Grid(columns, rows, title="losses of the training", notes=["losses of different kinds cannot be compared"])


def training_figure(records: Sequence[RunRecord]) -> Figure:
    """Plot held-out losses relative to the loss before training against the epoch, a curve per record."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 4.0), layout="constrained")
        axes = figure.subplots()
        short = short_labels([record.label for record in records])
        looks = apart(look(record.name, variant=record.variant) for record in records)
        for record, how in zip(records, looks, strict=True):
            held_out = record.training["held_out"]
            shares = [100 * loss / (held_out[0] or 1) for loss in held_out]
            axes.plot(range(len(shares)), shares, linestyle=how.dash, label=short[record.label], **how.marking)
        axes.set_xlabel("epoch")
        axes.set_ylabel("held-out loss, % of that before training")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside lower left", fontsize=LABEL_SIZE, frameon=False)
    return figure


def overlap(records: Sequence[RunRecord]) -> Grid | str:
    """List the tasks whose texts are in a training corpus; a sentence where there are none."""
    rows = {}
    for record in records:
        corpus = str(record.variant.get("training.corpus", "the training corpus"))
        for count in record.training.get("overlap", []):
            if count["exact"] or count["near"]:
                cells = [f"{count['texts']:,}", f"{count['exact']:,}", f"{count['near']:,}"]
                rows[corpus, count["task"]] = [count["task"], *cells, corpus]
    if not rows:
        return "No text of a task is in the training corpus, exactly or nearly."
    return Grid(
        ["Task", "Texts", "in the corpus", "nearly", "Corpus"],
        list(rows.values()),
        title="texts of the tasks that the models were trained on",
        notes=[
            "words compared without case and punctuation; nearly: 80 % of the shorter text's sequences of five words "
            "are shared; texts of fewer than four words are not compared"
        ],
    )

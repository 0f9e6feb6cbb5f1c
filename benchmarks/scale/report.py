"""Write the tables of docs/scale.md."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.scale.costs import Costs, is_own, measured_size
from benchmarks.scale.measure import GRID_BASES
from benchmarks.scale.scores import BASES, SHARES
from benchmarks.scale.sizes import Size
from m2v_bench.system.formatting import duration

_DAY = 86400


def tables(record: Mapping[str, Any], costs: Costs) -> dict[str, str]:
    """Return the Markdown tables by name."""
    data = record["measured"]
    return {
        "forward": forward(data, costs),
        "texts": texts(data),
        "evaluation": evaluation(data, costs),
        "corpora": corpora(record, costs),
        "check": check(record),
        "parts": parts(record),
        "sweep": sweep(record),
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    align = ["---" if column < left else "---:" for column in range(len(head))]
    lines = [head, align, *rows]
    return "\n".join([f"| {' | '.join(lines[0])} |", f"|{'|'.join(align)}|", *(f"| {' | '.join(r)} |" for r in rows)])


def forward(data: Mapping[str, Any], costs: Costs) -> str:
    """Return the table of forward passes by base model and vocabulary size."""
    rows = [
        [
            row["base"],
            f"{row['tokens']:,}",
            f"{row['positions'] / row['tokens']:.2f}",
            f"{row['seconds']:.1f} s",
            f"{row['tokens'] / row['seconds']:,.0f}",
            f"{costs.forward[row['base']](positions=row['positions']):.1f} s",
            f"{row['variant']:.3f} s",
        ]
        for row in data["forward"]
    ]
    hardware = data["hardware"]
    head = ["Base model", "Tokens", "Positions per token", "One thread", "Tokens per second", "Fitted"]
    machine = f"{hardware['processor']}, {hardware['system']}, one thread; seconds of processor time:"
    return f"{machine}\n\n{_table([*head, 'A further variant'], rows)}"


def texts(data: Mapping[str, Any]) -> str:
    """Return the table of embedded texts per second by model and length."""
    models = {name: data["embedding"][name] for name in ("static", *BASES)}
    names = [row["texts"] for row in models["static"]["rows"]]
    rows = [
        [
            "a distilled model" if name == "static" else name,
            *(f"{1 / row['seconds']:,.0f} of {row['characters']:.0f} characters" for row in model["rows"]),
            f"{model['longest']:,.0f} characters",
        ]
        for name, model in models.items()
    ]
    return _table(["Texts per second", *names, "Longest input"], rows)


def evaluation(data: Mapping[str, Any], costs: Costs) -> str:
    """Return the table of scoring times of a distilled model by task and share of its samples."""
    measured = {(row["task"], row["share"]): row for row in data["evaluation"] if not is_own(row["task"])}
    names = list(dict.fromkeys(name for name, _ in measured))
    head = ["Task", "Type", *(f"{_share(share)} of the samples" for share in SHARES), "Texts of all"]
    rows = [
        [
            name,
            measured[name, 1.0]["type"],
            *(f"{measured[name, share]['seconds']:.2f} s" for share in SHARES),
            f"{measured[name, 1.0]['texts']:,}",
        ]
        for name in names
    ]
    whole = {share: [measured[name, share] for name in names] for share in SHARES}
    suite = {share: sum((measured_size(row) for row in group), start=Size()) for share, group in whole.items()}
    seconds = {share: sum(row["seconds"] for row in group) for share, group in whole.items()}
    embedded = {share: costs.embedding["static"].seconds(suite[share]) for share in SHARES}
    rows += [
        ["**all of them**", "", *(f"{seconds[s]:.2f} s" for s in SHARES), f"{suite[1.0].texts:,.0f}"],
        ["of which embedding", "", *(f"{embedded[s]:.2f} s" for s in SHARES), ""],
        ["texts", "", *(f"{suite[s].texts:,.0f}" for s in SHARES), ""],
        ["seconds per 1,000 texts", "", *(f"{1000 * seconds[s] / suite[s].texts:.2f}" for s in SHARES), ""],
    ]
    return _table(head, rows, left=2)


def corpora(record: Mapping[str, Any], costs: Costs) -> str:
    """Return the table of searches of generated corpora, with the largest of the suite as predicted."""
    rows = [
        [
            f"{row['documents']:,}",
            f"{row['pairs'] / row['documents']:,.0f}",
            f"{row['characters'] / row['texts']:.0f}",
            time(row["seconds"]),
            time(costs.embedding["static"].seconds(measured_size(row))),
            f"{row['peak_rss_bytes'] / 1e9:.1f} GB",
        ]
        for row in record["measured"]["corpora"]
    ]
    name, size = record["sweep"]["largest"]
    # rows are queries + documents, pairs queries x documents
    documents = (size["rows"] + math.sqrt(size["rows"] ** 2 - 4 * size["pairs"])) / 2
    rows.append(
        [
            f"{name}, predicted: {documents:,.0f}",
            f"{size['pairs'] / documents:,.0f}",
            f"{size['characters'] / size['texts']:.0f}",
            time(record["sweep"]["student"][name]),
            time(costs.embedding["static"].seconds(Size(**size))),
            "-",
        ]
    )
    head = ["Documents", "Queries", "Characters per text", "Processor time", "of which embedding", "Peak memory"]
    return _table(head, rows)


def _share(share: float) -> str:
    return "all" if share == 1 else f"1/{round(1 / share)}"


def check(record: Mapping[str, Any]) -> str:
    """Return the table of the small sweep, predicted and measured."""
    names = {"local": "local, one thread", "joblib": "joblib, 2 workers"}
    rows = []
    for launcher, name in names.items():
        for quantity, label in (("processor", "processor time"), ("wall", "wall time")):
            predicted, measured = (side[launcher][quantity] for side in (record["check"], record["measured"]))
            off = f"{predicted / measured - 1:+.0%}"
            rows.append([name, label, f"{predicted:.0f} s", f"{measured:.0f} s", off])
    return _table(["Launcher", "Seconds", "Predicted", "Measured", "Prediction off by"], rows, left=2)


def parts(record: Mapping[str, Any]) -> str:
    """Return the table of the large sweep's parts, with notes."""
    sweep, grid = record["sweep"], record["measured"]["grid"]
    student, n_jobs = sweep["student"], sweep["n_jobs"]
    slowest = sorted(student, key=lambda name: -student[name])
    seconds = [value for by_vocabulary in sweep["passes"].values() for value in by_vocabulary.values()]
    rows = [
        ["forward passes", f"{len(seconds)}", time(sum(seconds)), f"{time(max(seconds))}: the longest pass"],
        [
            "scores of the variants",
            f"{n_jobs * sweep['n_tasks']:,}",
            time(n_jobs * sum(student.values())),
            f"{time(sum(student.values()))}: a variant; {time(student[slowest[0]])}: on {slowest[0]}",
        ],
    ]
    for base in GRID_BASES:
        scores = sweep["teachers"][base]
        name = max(scores, key=lambda task: scores[task])
        longest = f"{time(scores[name])}: on {name}"
        rows.append([f"scores of {base}", str(len(scores)), time(sum(scores.values())), longest])
    head = ["What", "Number", "Processor time on one thread", "Longest indivisible part"]
    top = ", ".join(slowest[:5])
    share = sum(student[name] for name in slowest[:5]) / sum(student.values())
    measured = [*record["measured"]["evaluation"], *record["measured"]["corpora"]]
    fitted = max(row["texts"] for row in measured if not is_own(row["task"]))
    words = max(sum(part["tokens"] for part in vocabulary) for vocabulary in grid.values())
    measured_words = max(row["tokens"] for row in record["measured"]["forward"])
    notes = [
        f"{n_jobs:,} variants, {sweep['n_tasks']} datasets with {sweep['texts']:,.0f} unique texts of "
        f"{sweep['characters'] / 1e9:.1f} billion characters; {share:.0%} of a variant's time goes to {top}.",
        "",
        _table(head, rows),
        "",
        f"Extrapolated: the largest task used for fitting has {fitted:,} texts, the largest of the "
        f"{sweep['n_tasks']} has {sweep['largest'][1]['texts']:,.0f}; the largest vocabulary measured has "
        f"{measured_words:,} tokens, the largest of the sweep {words:,}. The sizes of "
        f"{', '.join(sweep['unknown'])} are unknown: each counts as the mean of the other PEARL tasks.",
    ]
    return "\n".join(notes)


def sweep(record: Mapping[str, Any]) -> str:
    """Return the table of the large sweep's duration."""
    sides = {name: record["sweep"][name] for name in ("with teachers", "without")}
    rows = []
    for place in sides["without"]:
        row = [place]
        for side in sides.values():
            single, run = side["1 machine"], side[place]
            idle = run["waited"] / (run["waited"] + run["busy"])
            row += [time(run["wall"]), f"{single['wall'] / run['wall']:.1f}", f"{idle:.0%}"]
        rows.append(row)
    head = ["", "With the teachers' scores", "times faster", "waiting", "`baseline=[]`", "times faster", "waiting"]
    return _table(head, rows)


def time(seconds: float) -> str:
    """Format a duration, in days if it is long."""
    return f"{seconds / _DAY:,.1f} days" if seconds > 2 * _DAY else duration(seconds)

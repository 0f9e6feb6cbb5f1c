"""The tables of docs/scale.md."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.scale.costs import Costs, is_own, measured_size
from benchmarks.scale.measure import GRID_BASES
from benchmarks.scale.scores import BASES, SHARES
from benchmarks.scale.sizes import Size
from m2v_bench.system.formatting import duration

_DAY = 86400


def tables(record: Mapping[str, Any], costs: Costs) -> dict[str, str]:
    """Markdown, by name."""
    found = record["measured"]
    return {
        "forward": forward(found, costs),
        "texts": texts(found),
        "evaluation": evaluation(found, costs),
        "check": check(record),
        "parts": parts(record),
        "sweep": sweep(record),
    }


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    align = ["---" if column < left else "---:" for column in range(len(head))]
    lines = [head, align, *rows]
    return "\n".join([f"| {' | '.join(lines[0])} |", f"|{'|'.join(align)}|", *(f"| {' | '.join(r)} |" for r in rows)])


def forward(found: Mapping[str, Any], costs: Costs) -> str:
    """Passes by base model and vocabulary size."""
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
        for row in found["forward"]
    ]
    here = found["hardware"]
    head = ["Base model", "Tokens", "Positions per token", "One thread", "Tokens per second", "Fitted"]
    machine = f"{here['processor']}, {here['system']}, one thread; seconds of processor time:"
    return f"{machine}\n\n{_table([*head, 'A further variant'], rows)}"


def texts(found: Mapping[str, Any]) -> str:
    """Embedded texts per second by model and length."""
    models = {name: found["embedding"][name] for name in ("static", *BASES)}
    names = [row["texts"] for row in models["static"]["rows"]]
    rows = [
        [
            "a distilled model" if name == "static" else name,
            *(f"{1 / row['seconds']:,.0f} of {row['characters']:.0f} characters" for row in each["rows"]),
            f"{each['longest']:,.0f} characters",
        ]
        for name, each in models.items()
    ]
    return _table(["Texts per second", *names, "Reads at most"], rows)


def evaluation(found: Mapping[str, Any], costs: Costs) -> str:
    """Scores of one distilled model by task and share of its samples."""
    measured = {(row["task"], row["share"]): row for row in found["evaluation"] if not is_own(row["task"])}
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
    suite = {share: sum((measured_size(row) for row in each), start=Size()) for share, each in whole.items()}
    seconds = {share: sum(row["seconds"] for row in each) for share, each in whole.items()}
    embedded = {share: costs.embedding["static"].seconds(suite[share]) for share in SHARES}
    rows += [
        ["**all of them**", "", *(f"{seconds[s]:.2f} s" for s in SHARES), f"{suite[1.0].texts:,.0f}"],
        ["of which embedding", "", *(f"{embedded[s]:.2f} s" for s in SHARES), ""],
        ["texts", "", *(f"{suite[s].texts:,.0f}" for s in SHARES), ""],
        ["seconds per 1,000 texts", "", *(f"{1000 * seconds[s] / suite[s].texts:.2f}" for s in SHARES), ""],
    ]
    return _table(head, rows, left=2)


def _share(share: float) -> str:
    return "all" if share == 1 else f"1/{round(1 / share)}"


def check(record: Mapping[str, Any]) -> str:
    """The small sweep, predicted and measured."""
    names = {"local": "local, one thread", "joblib": "joblib, 2 workers"}
    rows = []
    for launcher, name in names.items():
        for what, told in (("processor", "processor time"), ("wall", "by the clock")):
            predicted, measured = (each[launcher][what] for each in (record["check"], record["measured"]))
            off = f"{predicted / measured - 1:+.0%}"
            rows.append([name, told, f"{predicted:.0f} s", f"{measured:.0f} s", off])
    return _table(["Launcher", "Seconds", "Predicted", "Measured", "Prediction off by"], rows, left=2)


def parts(record: Mapping[str, Any]) -> str:
    """What the large sweep is made of."""
    sweep, grid = record["sweep"], record["measured"]["grid"]
    student, n_jobs = sweep["student"], sweep["n_jobs"]
    slowest = sorted(student, key=lambda name: -student[name])
    n_passes = sum(len(each) for each in sweep["passes"].values())
    passes = sum(sum(each.values()) for each in sweep["passes"].values())
    longest = max(max(each.values()) for each in sweep["passes"].values())
    rows = [
        ["forward passes", f"{n_passes}", time(passes), f"{time(longest)}: the longest pass"],
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
    head = ["What", "Number", "Processor time on one thread", "Longest piece that cannot be divided"]
    top = ", ".join(slowest[:5])
    share = sum(student[name] for name in slowest[:5]) / sum(student.values())
    fitted = max(row["texts"] for row in record["measured"]["evaluation"] if not is_own(row["task"]))
    words = max(sum(part["tokens"] for part in each) for each in grid.values())
    measured_words = max(row["tokens"] for row in record["measured"]["forward"])
    notes = [
        f"{n_jobs:,} variants, {sweep['n_tasks']} datasets with {sweep['texts']:,.0f} different texts of "
        f"{sweep['characters'] / 1e9:.1f} billion characters; {share:.0%} of a variant's time goes to {top}.",
        "",
        _table(head, rows),
        "",
        f"Extrapolated: the largest task that lines are fitted to has {fitted:,} texts, the largest of the "
        f"{sweep['n_tasks']} has {sweep['largest_texts']:,.0f}; the largest vocabulary that was passed through has "
        f"{measured_words:,} tokens, the largest of the sweep {words:,}. Nothing is known of the size of "
        f"{', '.join(sweep['unknown'])}: each counts as the mean of the other PEARL tasks.",
    ]
    return "\n".join(notes)


def sweep(record: Mapping[str, Any]) -> str:
    """How long the large sweep takes."""
    sides = {name: record["sweep"][name] for name in ("with teachers", "without")}
    rows = []
    for place in sides["without"]:
        row = [place]
        for side in sides.values():
            one, here = side["1 machine"], side[place]
            idle = here["waited"] / (here["waited"] + here["busy"])
            row += [time(here["wall"]), f"{one['wall'] / here['wall']:.1f}", f"{idle:.0%}"]
        rows.append(row)
    head = ["", "With the teachers' scores", "times faster", "waiting", "`baseline=[]`", "times faster", "waiting"]
    return _table(head, rows)


def time(seconds: float) -> str:
    """Days where hours would be many."""
    return f"{seconds / _DAY:,.1f} days" if seconds > 2 * _DAY else duration(seconds)

"""Test the speed benchmark on real texts of three lengths, with models that fail, and its tables and figure."""

import json
import math
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from m2v_bench.errors import BenchError
from m2v_bench.speed import benchmark as measuring
from m2v_bench.speed.benchmark import benchmark, cold_start
from m2v_bench.speed.contenders import contenders
from m2v_bench.speed.energy import Energy
from m2v_bench.speed.loaders import Contender
from m2v_bench.speed.speed_record import Plan, SpeedRecord
from m2v_bench.speed.speed_tables import speed_grids, speed_score_figure
from m2v_bench.speed.texts_of_lengths import LENGTHS, bench_texts
from tests.conftest import as_model, tiny_static_model

README = Path(__file__).parents[2] / "README.md"
RATES = ("texts_per_second", "slowest", "fastest", "megabytes_per_second")


@pytest.fixture
def texts_file(tmp_path: Path) -> Path:
    """Write a file of texts whose words are in the vocabulary of the tiny model."""
    rng = random.Random(0)
    lines = [" ".join(rng.choices(["good", "bad", "cat", "dog"], k=60)) for _ in range(100)]
    (tmp_path / "texts.txt").write_text("\n".join(lines))
    return tmp_path / "texts.txt"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a saved static model."""
    # long tokens, so that we do not truncate texts by median token length before sentence-transformers would
    long = [f"a_word_of_its_own_{number}" for number in range(8)]
    tiny_static_model(["good", "bad", "cat", "dog", *long]).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "SECONDS", 0.01)
    monkeypatch.setattr(measuring, "_MOST_SECONDS", 0.02)


def test_texts_have_the_requested_lengths_in_whole_words(tmp_path: Path):
    file = tmp_path / "readme.txt"
    file.write_text(README.read_text(encoding="utf-8"))  # its lines are shorter than 500 tokens and get joined
    texts = bench_texts([str(file)], seed=1)
    assert set(texts.by_length) == set(LENGTHS)
    whole = " ".join(README.read_text(encoding="utf-8").split())
    for length, of_length in texts.by_length.items():
        assert 0.7 * length <= texts.tokens[length]["min"] <= texts.tokens[length]["max"] <= length
        assert texts.tokens[length]["median"] > 0.9 * length
        assert all(" ".join(text.split()) in whole for text in of_length)
        assert texts.n_bytes[length] == [len(text.encode()) for text in of_length]
        assert texts.as_record()["lengths"][str(length)]["texts"] == len(of_length)
    assert texts == bench_texts([str(file)], seed=1)
    assert texts.by_length != bench_texts([str(file)], seed=2).by_length


def test_default_texts_come_from_the_catalog():
    texts = bench_texts()
    assert {length: len(of_length) for length, of_length in texts.by_length.items()} == LENGTHS
    assert len(set(texts.by_length[500])) == LENGTHS[500]


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("none.csv", None, "text", "--texts .*none.csv: no such file"),
        ("a.docx", b"x", "text", "--texts .*a.docx: files that end in .docx are not read"),
        ("broken.parquet", b"PAR1 no", "text", "--texts .*broken.parquet: cannot be read"),
        ("empty.txt", b"", "text", "--texts .*empty.txt: is empty"),
        ("short.txt", b"two words\n", "text", "--texts .*short.txt: has fewer than 10 tokens"),
        ("a.csv", b"text,b\nx,y\n", "body", "--column body: .*a.csv has no such column; it has text, b"),
    ],
)
def test_unusable_texts(tmp_path: Path, name: str, content: bytes | None, column: str, message: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchError, match=message):
        bench_texts([str(tmp_path / name)], column)


@pytest.mark.usefixtures("briefly")
def test_record_and_tables_cover_all_models(folder: Path, texts_file: Path):
    pytest.importorskip("model2vec")
    names = [str(folder), f"model2vec:{folder}", f"sentence-transformers:{folder}", "random"]
    models = contenders(names, folder.parent)
    assert [model.loader for model in models] == ["static", "model2vec", "sentence_transformer", "baseline"]
    record = benchmark(models, bench_texts([str(texts_file)]), Plan(threads=2, rounds=2, cold_starts=1), seed=42)
    written = record.to_json()
    assert json.loads(json.dumps(written)) == written
    assert written["plan"] == {"threads": 2, "rounds": 2, "cold_starts": 1, "seconds": 0.01, "cold_texts": 256}
    for model, plain in zip(record.models, written["models"], strict=True):
        assert model.absent is None
        assert set(model.speed) == {"10", "100", "500"}
        for length, speed in model.speed.items():
            assert speed.texts > 0
            assert set(plain["speed"][length]) == {"texts", "first", "1", "2"}
            for name in ("first", "1", "2"):
                rates = speed.passes[name]
                assert all(0 < plain["speed"][length][name][rate] < math.inf for rate in RATES)
                assert rates.slowest <= rates.texts_per_second <= rates.fastest
                assert len(rates.rounds) == 2
        cold = {name: values.median for name, values in model.cold.items()}
        assert 0 < cold["load_seconds"] < cold["first_seconds"]
        assert cold["peak_rss_bytes"] > 5e6
        assert plain["cold"]["load_seconds"]["median"] == cold["load_seconds"]
        assert plain["label"] == model.label
    ours, *peers, baseline = record.models
    assert ours.path is not None
    assert ours.path == "compiled loops" or ours.path.startswith("tokenizers package (")
    assert ours.difference is None
    assert baseline.path is None
    assert [peer.path for peer in peers] == [None, None]
    assert [peer.difference for peer in peers] == pytest.approx([0, 0], abs=1e-5)
    assert ours.contender.library.startswith("m2v_bench 0.")
    assert {peer.contender.library.split()[0] for peer in peers} == {"model2vec", "sentence-transformers"}
    throughput, needs = speed_grids(record)
    assert len(throughput.rows) == 3 * len(names)
    assert len(needs.rows) == len(names)
    assert {len(row) for row in throughput.rows} == {len(throughput.columns)}
    multiples = [number for number, column in enumerate(throughput.columns) if column in ("x model2vec", "again: x")]
    reference = [[row[number] for number in multiples] for row in throughput.rows if "by model2vec" in row[0]]
    assert reference == [["1", "1"]] * 3
    assert len(throughput.bold) == 3
    assert record.hardware["processor"] in throughput.notes[-1]


@pytest.mark.usefixtures("briefly")
def test_failed_model_has_a_reason_and_the_others_are_measured(folder: Path, texts_file: Path):
    (fine,) = contenders([str(folder)], folder.parent)
    gone = Contender("gone", "static", str(folder / "none"), "m2v_bench", "x", "static", 8, 1, 1)
    absent = Contender(
        "peer", "model2vec", str(folder), "x", "x", "static", 8, 1, 1, absent="model2vec: pip install it"
    )
    record = benchmark([gone, fine, absent], bench_texts([str(texts_file)]), Plan(rounds=1, cold_starts=0), seed=42)
    first, second, third = record.models
    assert "none: no such folder" in (first.absent or "")
    assert (first.speed, third.speed) == ({}, {})
    assert second.absent is None and second.speed and second.cold == {}
    throughput, needs = speed_grids(record)
    assert "peer was not measured: model2vec: pip install it" in throughput.notes
    assert [row[2] for row in throughput.rows if row[0] == "peer"] == ["-"] * 3
    assert needs.rows[1][2] == "-"


def test_failed_fresh_process_reports_its_last_line(folder: Path, texts_file: Path):
    file = folder.parent / "texts.json"
    file.write_text('["good cat"]')
    gone = Contender("gone", "static", str(folder / "none"), "m2v_bench", "x", "static", 8, 1, 1)
    with pytest.raises(RuntimeError, match=r"in a fresh process: .*none: no such folder"):
        cold_start(gone, file)


def test_missing_package_is_reported_with_the_pip_command(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(BenchError, match=r"model2vec is not installed: pip install model2vec, .* extra `peers`"):
        contenders([f"model2vec:{folder}"], folder.parent)


def test_default_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "model2vec", None)
    models = contenders([], tmp_path)
    assert [model.loader for model in models] == [
        "static", "model2vec", "sentence_transformer", "sentence_transformer", "vectors", "wordllama"
    ]  # fmt: skip
    assert [model.absent is None for model in models] == [True, False, True, True, True, True]
    assert all(Path(model.source).is_dir() for model in models)
    assert models[0].source == models[1].source == models[2].source
    assert models[3].name == "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("all-MiniLM-L6", "all-MiniLM-L6: no such model. Did you mean all-MiniLM-L6-v2"),
        ("bm25", "bm25: is lexical and embeds no texts"),
        (
            "model2vec:glove-6b-50d",
            "model2vec:glove-6b-50d: glove-6b-50d is not a static model that model2vec can read",
        ),
    ],
)
def test_unknown_model(tmp_path: Path, name: str, message: str):
    with pytest.raises(BenchError, match=message):
        contenders([name], tmp_path)


def test_folder_without_model(tmp_path: Path):
    with pytest.raises(BenchError, match=rf"{tmp_path}.* is not a static model"):
        contenders([str(tmp_path)], tmp_path)


@pytest.mark.parametrize("setting", ["threads", "rounds"])
def test_invalid_plan(setting: str):
    with pytest.raises(BenchError, match=f"--{setting} 0: must be 1 or more"):
        Plan(**{setting: 0})


def test_command_works_without_numba(folder: Path, texts_file: Path):
    code = "import sys; sys.modules['numba'] = None; from m2v_bench.cli import main; main(sys.argv[1:])"
    options = [
        "speed",
        str(folder),
        "--texts",
        str(texts_file),
        "--rounds",
        "1",
        "--cold-starts",
        "0",
        "--threads",
        "1",
    ]
    results = folder.parent / "results"
    done = subprocess.run(
        [sys.executable, "-c", code, *options, "--results", str(results), "--format", "markdown"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tiny: tokenizers package (numba is not installed" in done.stdout
    (record,) = results.glob("speed/benchmark/*.json")
    assert [model["label"] for model in json.loads(record.read_text())["models"]] == ["tiny"]
    assert (results / "speed" / "benchmark" / "speed.md").read_text() == done.stdout
    assert not list(results.glob("speed/benchmark/*.svg"))  # there are no scores


@pytest.mark.usefixtures("briefly")
def test_figure_of_speed_against_score(folder: Path, texts_file: Path):
    from m2v_bench.evaluation.evaluate import Session, evaluate
    from m2v_bench.evaluation.mteb_encoder import MtebEncoder
    from m2v_bench.evaluation.store import Store
    from tests.speed.test_suite_speed import suite

    other = folder.parent / "other"
    tiny_static_model(seed=1).save_pretrained(other)
    models = contenders([str(folder), str(other)], folder.parent)
    record = benchmark(models, bench_texts([str(texts_file)]), Plan(rounds=1, cold_starts=0), seed=42)
    results = folder.parent / "results"
    assert speed_score_figure(record, results) is None
    scored = [
        as_model(tiny_static_model(seed=seed), model.label, name=model.name, revision=model.revisions[0])
        for seed, model in enumerate(models)
    ]
    encoders = {model.label: MtebEncoder(model, seed=42) for model in scored}
    evaluate(encoders, scored, suite("MENWordSim"), Session(Store(results), 42, 32))

    def with_differences(*differences: float) -> SpeedRecord:
        peers = [
            replace(model, contender=replace(model.contender, peer=True), difference=difference)
            for model, difference in zip(record.models, differences, strict=True)
        ]
        return replace(record, models=peers)

    assert speed_score_figure(with_differences(1e-4, 0.1), results) is None  # peers with other embeddings are not drawn
    figure = speed_score_figure(with_differences(1e-4, 1e-4), results)
    assert figure is not None
    shown = {text.get_text() for text in figure.axes[0].texts}
    assert {"tiny", "other"} <= shown
    assert "the 1 tasks that all of these models have" in figure.get_supxlabel()


def test_energy_sums_packages_and_handles_wraparound(tmp_path: Path):
    assert Energy.here(tmp_path) is None
    for number, (name, most) in enumerate([("package-0", 999), ("package-1", 10**9), ("psys", 10**9)]):
        zone = tmp_path / f"intel-rapl:{number}"
        zone.mkdir()
        for file, value in (("name", name), ("energy_uj", 900), ("max_energy_range_uj", most)):
            (zone / file).write_text(f"{value}\n")
    energy = Energy.here(tmp_path)
    assert energy is not None
    before = energy.microjoules()
    assert before == [900, 900]
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("100\n")  # wrapped around
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1900\n")
    assert energy.joules_since(before) == pytest.approx((200 + 1000) / 1e6)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert Energy.here(tmp_path) is None

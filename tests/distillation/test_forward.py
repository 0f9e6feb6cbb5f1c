"""Test the forward pass: poolings, precision, and resumption after a kill."""

import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

from m2v_bench.distillation import forward
from m2v_bench.distillation.forward import Pass, check_precision, forward_pass, input_vectors
from m2v_bench.distillation.pooling import POOLINGS, States
from m2v_bench.distillation.teacher import BaseModel, find_base
from m2v_bench.errors import BenchError

SEQUENCES = [(101, 1996, 102), (101, 7592, 2088, 102), (101, 2003, 102), (101, 102), (101, 0, 102), (101, 9999, 102)]


def passed(base: BaseModel, sequences: Sequence[tuple[int, ...]], folder: Path, **how: Any) -> np.ndarray:
    model = base.transformer(how.get("pooling", "mean"))
    return forward_pass(model, sequences, Pass(**how), shards=folder / "shards", show_progress=False)


@pytest.fixture(scope="module")
def base(teacher_folder: Path) -> BaseModel:
    return find_base(str(teacher_folder))


def padded_masked_batch(folder: Path, masked_id: int | None = None) -> dict[str, np.ndarray]:
    reference = AutoModel.from_pretrained(folder).eval()
    ids = torch.zeros(len(SEQUENCES), 4, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(SEQUENCES):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    if masked_id is not None:
        mask[ids == masked_id] = 0
    with torch.inference_mode():
        output = reference(input_ids=ids, attention_mask=mask)
    hidden, lengths = output.last_hidden_state, torch.tensor([len(sequence) for sequence in SEQUENCES])
    pieces = [hidden[row, 1 : length - 1] for row, length in enumerate(lengths)]
    vectors = {
        "token": torch.stack([states.mean(dim=0) if len(states) else states.sum(dim=0) for states in pieces]),
        "mean": (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1)[:, None],
        "first": hidden[:, 0],
        "last": hidden[torch.arange(len(SEQUENCES)), lengths - 1],
        "pooler": output.pooler_output,
    }
    return {name: tensor.numpy() for name, tensor in vectors.items()}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_equal_length_batches_match_a_padded_batch(base: BaseModel, tmp_path: Path, pooling: str):
    ours = passed(base, SEQUENCES, tmp_path, pooling=pooling)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, padded_masked_batch(base.folder)[pooling], atol=2e-5)


def test_padding_token_is_masked_in_its_sequence(base: BaseModel, tmp_path: Path):
    ours = passed(base, SEQUENCES, tmp_path, masked_id=0)
    np.testing.assert_allclose(ours, padded_masked_batch(base.folder, masked_id=0)["mean"], atol=2e-5)
    assert np.abs(ours - passed(base, SEQUENCES, tmp_path / "unmasked"))[4].max() > 0.01


def test_empty_sequence_is_a_row_of_zeros(base: BaseModel, tmp_path: Path):
    ours = passed(base, [(101, 1996, 102), (), (101, 2003, 102)], tmp_path)
    assert (ours[1] == 0).all()
    assert np.abs(ours[[0, 2]]).min(axis=1).all()


def test_input_vectors_are_rows_of_the_embedding_matrix(base: BaseModel):
    matrix = base.transformer().get_input_embeddings().weight.detach().numpy()
    ours = input_vectors(base.transformer(), [*SEQUENCES, ()], Pass())
    np.testing.assert_array_equal(ours[0], matrix[1996])
    np.testing.assert_allclose(ours[1], (matrix[7592] + matrix[2088]) / 2, atol=1e-7)
    assert (ours[[3, 6]] == 0).all()


def test_bf16_is_near_fp32(base: BaseModel, tmp_path: Path):
    full, rounded = (passed(base, SEQUENCES, tmp_path / name, precision=name) for name in ("fp32", "bf16"))
    cosine = (full * rounded).sum(axis=1) / np.linalg.norm(full, axis=1) / np.linalg.norm(rounded, axis=1)
    assert 0.999 < cosine.min() < 1


def test_packed_layers_match_autocast(base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    long = (101, *range(2000, 2120), 102)
    packed = passed(base, [*SEQUENCES, long], tmp_path / "packed", precision="bf16")
    model = base.transformer()
    forward._round_linear_layers(model)
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear]
    if not any("forward" in vars(layer) for layer in layers):
        pytest.skip("torch has no packed products on this processor")
    assert all("forward" in vars(layer) for layer in layers)

    def absent(_: Any) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(forward, "_packed", absent)
    plain = passed(base, [*SEQUENCES, long], tmp_path / "plain", precision="bf16")
    cosine = (packed * plain).sum(axis=1) / np.linalg.norm(packed, axis=1) / np.linalg.norm(plain, axis=1)
    assert cosine.min() > 0.99999


@pytest.mark.parametrize("rates", [(100.0, 200.0), (200.0, 100.0)])
def test_slow_precision_warns(monkeypatch: pytest.MonkeyPatch, rates: tuple[float, float]):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(forward, "product_rate", lambda dtype, size: rates[dtype == torch.float32])
    if rates[0] > rates[1]:
        check_precision("bf16", "cpu")
        return
    with pytest.warns(
        UserWarning, match=r"slower .* multiplies bf16 at 0\.50 times the rate of fp32; precision=fp32 is faster"
    ):
        check_precision("bf16", "cpu")


def test_product_rate_is_measured():
    assert forward.product_rate(torch.float32, size=64, repeats=2) > 0


def test_unsupported_precision_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    with pytest.raises(BenchError, match="precision=bf16: torch finds no bf16 instructions"):
        check_precision("bf16", "cpu")


def test_finished_shards_are_not_recomputed(base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forward, "SHARD_ROWS", 2)
    whole = passed(base, SEQUENCES, tmp_path)
    files = sorted((tmp_path / "shards").glob("*.npy"))
    assert len(files) == 3
    times = [file.stat().st_mtime_ns for file in files]
    files[1].unlink()
    assert passed(base, SEQUENCES, tmp_path).tobytes() == whole.tobytes()
    after = [file.stat().st_mtime_ns for file in files]
    assert [old == new for old, new in zip(times, after, strict=True)] == [True, False, True]


# 600 words of a full-size model in shards of 64, in a subprocess that can be killed
_PROCESS = """
    import os, signal, sys
    from m2v_bench import distill
    from m2v_bench.distillation import forward
    forward.SHARD_ROWS = 64
    save, computed = forward.save_array, []
    def save_and_count(file, part):
        save(file, part)
        computed.append(file)
        if len(computed) == int(sys.argv[2]):
            os.kill(os.getpid(), getattr(signal, sys.argv[3]))
    forward.save_array = save_and_count
    model = distill("all-MiniLM-L6-v2", vocabulary="glove", vocabulary_size=600, pca_dims="none", weighting="none",
                    quantize_to="float32", show_progress=False)
    model.save_pretrained(sys.argv[1])
    print(len(computed))
"""
Start = Callable[..., subprocess.CompletedProcess[str]]


def _command(out: Path, n_shards: int = 0, how: str = "SIGKILL") -> list[str]:
    """Return the command that writes the model to `out`, and signals itself after `n_shards` shards; 0 for never."""
    return [sys.executable, "-c", textwrap.dedent(_PROCESS), str(out), str(n_shards), how]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    from m2v_bench.assets.fetch import fetch

    folder = fetch(["all-MiniLM-L6-v2", "glove-6b-50d"])["glove-6b-50d"].parent
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "assets").symlink_to(folder)
    monkeypatch.setenv("M2V_BENCH_CACHE", str(tmp_path / "cache"))

    def start(out: Path, killed_after: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(_command(out, killed_after), capture_output=True, text=True, check=False, **options)

    return start


def test_killed_pass_resumes_with_the_same_result(start: Start, tmp_path: Path):
    assert start(tmp_path / "killed", killed_after=3).returncode == -signal.SIGKILL
    assert len(list((tmp_path / "cache" / "forward").glob("*.unfinished/*.npy"))) == 3
    assert not (tmp_path / "killed").exists()

    resumed = start(tmp_path / "resumed")
    assert (resumed.stderr, resumed.stdout) == ("", "7\n")  # of ten shards
    assert not list((tmp_path / "cache" / "forward").glob("*.unfinished"))
    shutil.rmtree(tmp_path / "cache" / "forward")
    undisturbed = start(tmp_path / "undisturbed")
    assert (undisturbed.stderr, undisturbed.stdout) == ("", "10\n")
    one, other = (tmp_path / name / "model.safetensors" for name in ("resumed", "undisturbed"))
    assert one.read_bytes() == other.read_bytes()


def test_waiting_process_takes_over_from_a_killed_one(start: Start, tmp_path: Path):
    forward_cache = tmp_path / "cache" / "forward"
    owner = subprocess.Popen(_command(tmp_path / "owner", 3, "SIGSTOP"))  # halts, and holds its lock
    try:
        _wait_until(lambda: len(list(forward_cache.glob("*.unfinished/*.npy"))) == 3)
        other = subprocess.Popen(_command(tmp_path / "other"), stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(10)
        assert len(list(forward_cache.glob("*.unfinished/*.npy"))) == 3
    finally:
        owner.kill()
        owner.wait()
    assert other.communicate(timeout=60)[0] == "7\n"  # of ten shards
    assert not (tmp_path / "owner").exists()
    assert (tmp_path / "other" / "model.safetensors").is_file()


def _wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_damaged_shard_is_recomputed(base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forward, "SHARD_ROWS", 2)
    whole = passed(base, SEQUENCES, tmp_path)
    for file, length in zip(sorted((tmp_path / "shards").glob("*.npy")), (0, 100, 1_000), strict=True):
        with file.open("r+b") as damaged:
            damaged.truncate(length)
    assert passed(base, SEQUENCES, tmp_path).tobytes() == whole.tobytes()


def test_full_disk_keeps_finished_shards(start: Start, tmp_path: Path):
    def no_file_above_150_kb() -> None:  # a shard is 98 kB, the whole 920 kB
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    full = start(tmp_path / "out", preexec_fn=no_file_above_150_kb)
    assert full.returncode == 1
    assert "cannot write to the cache folder" in full.stderr
    assert "Set M2V_BENCH_CACHE to a folder that can be written and has room" in full.stderr
    assert len(list((tmp_path / "cache" / "forward").glob("*.unfinished/*.npy"))) == 10
    assert start(tmp_path / "out").stdout == "0\n"  # nothing is left to compute


def test_missing_pooler_output_is_refused():
    states = States(torch.zeros(1, 2, 3), None, slice(1, -1))
    with pytest.raises(BenchError, match=r"pooling=pooler: this base model has no pooler output"):
        POOLINGS["pooler"](states)

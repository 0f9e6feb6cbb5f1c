"""Check refusals of files that are not what their name says."""

from pathlib import Path

import pytest

from m2v_bench.errors import BenchError, refuse_lfs_pointer


@pytest.mark.parametrize("name", ["model.safetensors", "train data.parquet", "tokenizer.json"])
def test_git_lfs_pointer_is_refused(name: str, tmp_path: Path):
    path = tmp_path / name
    path.write_text(f"version https://git-lfs.example/spec/v1\noid sha256:{'0' * 64}\nsize 90868376\n")
    with pytest.raises(BenchError, match=rf"data=x: .*{name} is a Git LFS pointer.*`git -C {tmp_path} lfs pull`"):
        refuse_lfs_pointer(path, "data=x")
    for content in (b"", b"version 5 of our texts\n", b"PAR1\x00\x80"):
        path.write_bytes(content)
        refuse_lfs_pointer(path)

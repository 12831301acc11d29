"""Checkpoint files: whole or refused, never run."""

import os

import pytest
import torch

from medsynth.errors import RunError
from medsynth.models.sealed import read_sealed, write_sealed


def test_round_trip(tmp_path):
    content = {"weights": torch.randn(3, 4), "facts": {"step": 3, "loss": 0.5}, "list": [1, "two", None]}
    digest = write_sealed(tmp_path / "a.ckpt", content)
    sealed = read_sealed(tmp_path / "a.ckpt")
    assert torch.equal(sealed.content["weights"], content["weights"])
    assert sealed.content["facts"] == content["facts"]
    assert sealed.sha256 == digest


@pytest.mark.parametrize("place", [0, 30, 90, 200, -1])
def test_every_flipped_bit_is_noticed(tmp_path, place):
    path = tmp_path / "a.ckpt"
    write_sealed(path, {"weights": torch.randn(100)})
    raw = bytearray(path.read_bytes())
    raw[place] ^= 4
    path.write_bytes(bytes(raw))
    with pytest.raises(RunError):
        read_sealed(path)


@pytest.mark.parametrize("length", [0, 10, 80, 500])
def test_cut_short(tmp_path, length):
    path = tmp_path / "a.ckpt"
    write_sealed(path, {"weights": torch.randn(1000)})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(RunError):
        read_sealed(path)


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    path = tmp_path / "a.ckpt"
    write_sealed(path, {"weights": Hostile(tmp_path / "owned")})
    with pytest.raises(RunError, match="more than weights"):
        read_sealed(path)
    assert not (tmp_path / "owned").exists()

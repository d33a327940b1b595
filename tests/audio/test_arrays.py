"""Samples of every type, shape and rate become the same waveform; the rest is refused in a line."""

import array
import ctypes

import numpy as np
import numpy.typing as npt
import pytest

from maxwhisper.audio.arrays import LiveSamples, from_array
from maxwhisper.errors import AudioError
from tests.fakes.audio_files import tone

TONE = tone(16_000, 1.0)
INTEGERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i2", ">i4"]


def as_integers(samples: npt.NDArray[np.float32], kind: str) -> npt.NDArray[np.generic]:
    """What a recorder with that type writes."""
    bits = 8 * np.dtype(kind).itemsize
    middle = 2 ** (bits - 1) if np.dtype(kind).kind == "u" else 0
    return np.array([round(float(x) * 2 ** (bits - 1)) + middle for x in samples], kind)


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_are_divided_by_their_full_scale(kind: str) -> None:
    waveform = from_array(as_integers(TONE, kind))
    assert waveform.dtype == np.float32
    step = 2.0 ** (1 - 8 * np.dtype(kind).itemsize)
    assert np.abs(waveform - TONE).max() <= max(step, 1e-7)


def test_the_ends_of_16_bits_are_exact() -> None:
    pcm = np.array([-32768, -1, 0, 1, 32767], np.int16)
    np.testing.assert_array_equal(from_array(pcm), pcm / np.float32(32768))


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "g", ">f4", ">f8"])
def test_floats_are_narrowed(kind: str) -> None:
    waveform = from_array(TONE.astype(kind))
    assert waveform.dtype == np.float32
    assert np.abs(waveform - TONE).max() < (1e-3 if kind == "f2" else 1e-7)


def test_a_waveform_is_taken_as_it_is() -> None:
    assert from_array(TONE) is TONE
    assert from_array(TONE[None]).base is TONE
    assert from_array(np.zeros(0)).shape == (0,)
    assert from_array([]).shape == from_array(np.zeros((2, 0))).shape == (0,)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_channels_are_averaged_and_resampled(rate: int) -> None:
    left, right = tone(rate, 1.0), tone(rate, 1.0, 1000)
    both = from_array(np.stack([left, right]), rate)
    assert both.shape == (16_000,)
    np.testing.assert_allclose(both, from_array((left + right) / 2, rate), atol=1e-6)
    np.testing.assert_array_equal(from_array(np.stack([left, -left]), rate), from_array(left, rate))


def test_other_things_with_samples() -> None:
    np.testing.assert_array_equal(from_array(TONE.tolist()), TONE)
    pcm = as_integers(TONE, "i2")
    for same in (
        array.array("h", pcm.tolist()),
        memoryview(pcm.tobytes()).cast("h"),
        (ctypes.c_int16 * len(pcm))(*pcm.tolist()),
    ):
        np.testing.assert_array_equal(from_array(same), from_array(pcm))


class Tensor:
    """A tensor with a gradient, on a GPU: like torch's, it becomes an array in two steps only."""

    def __init__(self, array, *, grad=True, device="cuda", bfloat16=False):
        self.array, self.grad, self.device, self.bfloat16 = array, grad, device, bfloat16
        self.dtype = "torch.bfloat16" if bfloat16 else "torch.float32"

    def detach(self):
        return Tensor(self.array, grad=False, device=self.device, bfloat16=self.bfloat16)

    def cpu(self):
        return Tensor(self.array, grad=self.grad, device="cpu", bfloat16=self.bfloat16)

    def float(self):
        return Tensor(self.array, grad=self.grad, device=self.device)

    def __array__(self, dtype=None, copy=None):
        if self.grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        if self.device != "cpu" or self.bfloat16:
            raise TypeError("can't convert this tensor to numpy")
        return self.array


@pytest.mark.parametrize("bfloat16", [False, True])
def test_tensors(bfloat16: bool) -> None:
    np.testing.assert_array_equal(from_array(Tensor(TONE, bfloat16=bfloat16)), TONE)


def test_torchs_own_tensors() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(TONE, requires_grad=True)
    np.testing.assert_array_equal(from_array(tensor), TONE)
    np.testing.assert_allclose(from_array(tensor.bfloat16()), TONE, atol=2e-3)
    np.testing.assert_array_equal(from_array(torch.stack([tensor, tensor])), TONE)


@pytest.mark.parametrize(
    ("samples", "rate", "code", "words"),
    [
        (np.zeros((1, 2, 100)), 16_000, "bad_audio", r"\(1, 2, 100\): take audio\[0\] of a batch"),
        (np.float32(1), 16_000, "bad_audio", r"got shape \(\)"),
        (np.zeros((100, 2)), 16_000, "bad_audio", r"\(100, 2\): for \(n, channels\) give its \.T"),
        (np.zeros((17, 100)), 16_000, "too_many_channels", "17 channels.* transcribe_many"),
        (np.zeros(9, complex), 16_000, "bad_audio", "type complex128"),
        (np.zeros(9, bool), 16_000, "bad_audio", "type bool"),
        (["a", "b"], 16_000, "bad_audio", "type <U1"),
        ([[1.0, 2.0], [3.0]], 16_000, "bad_audio", r"got \[\[1\.0, 2\.0\], \[3\.0\]\]"),
        (object(), 16_000, "bad_audio", "type object|got shape"),
        ([1, -20_000, 300], 16_000, "bad_audio", r"at most 300: .*\.astype\(np\.int16\)"),
        (np.full(9, 30_000, "u8"), 16_000, "bad_audio", "64 bits, got at most 30000"),
        (np.array([0.0, 1e9]), 16_000, "bad_audio", "1000000000.0 at 1"),
        (np.array([0.0, 1e300]), 16_000, "bad_audio", "inf at 1"),
        (np.array([0.0, np.nan]), 16_000, "bad_audio", "nan at 1"),
        (np.zeros(100, np.float32), 1, "bad_sample_rate", "got 1"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_the_rest_is_refused(samples: npt.ArrayLike, rate: int, code: str, words: str) -> None:
    for convert in (from_array, LiveSamples().add):
        with pytest.raises(AudioError, match=words) as caught:
            convert(samples, rate)
        assert caught.value.code == code


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_live_samples_are_those_of_the_whole(rate: int) -> None:
    pcm = as_integers(tone(rate, 1.0), "i2")
    data, chance = pcm.tobytes(), np.random.default_rng(0)
    cuts = sorted(chance.integers(0, len(data), 20).tolist())
    live = LiveSamples()
    parts = [
        live.add(kind(data[start:end]), rate)
        for start, end, kind in zip(
            [0, *cuts], [*cuts, len(data)], [bytes, bytearray, memoryview] * 7, strict=True
        )
    ]
    together = np.concatenate([*parts, live.finish(), live.finish()])
    whole = from_array(pcm, rate)
    assert abs(len(together) - len(whole)) <= 1
    n = min(len(together), len(whole))
    np.testing.assert_allclose(together[:n], whole[:n], atol=1e-6)


def test_the_rate_may_change() -> None:
    live = LiveSamples()
    parts = [live.add(tone(rate, 1.0), rate) for rate in (8_000, 48_000, 16_000)]
    together = np.concatenate([*parts, live.finish()])
    assert len(together) == pytest.approx(48_000, abs=2)
    assert np.abs(together).max() == pytest.approx(0.3, rel=0.1)


def test_a_refused_chunk_leaves_nothing() -> None:
    live = LiveSamples()
    live.add(b"\x01")
    with pytest.raises(AudioError):
        live.add([np.nan])
    np.testing.assert_array_equal(live.add(b"\x00"), [1 / 32768])

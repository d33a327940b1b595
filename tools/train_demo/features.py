"""Compute the log-mel of whole batches on the training device, padded as the engines pad.

The torch twin of `maxwhisper.network.reference.log_mel_spectrogram`; tests/tools/train_demo
compares the two.
"""

from functools import cache

import torch
from whisper.audio import mel_filters

from maxwhisper.network.dims import HOP_LENGTH, N_FFT
from maxwhisper.network.mel_filters import DYNAMIC_RANGE, LOG_FLOOR


@cache
def _constants(n_mels: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return window and filterbank. The filterbank is openai-whisper's, so that a GPU machine
    rented for an hour needs no librosa."""
    return torch.hann_window(N_FFT, device=device), mel_filters(device, n_mels)


def log_mel(
    waveforms: torch.Tensor,
    content: torch.Tensor,
    loudest: torch.Tensor,
    n_mels: int = 80,
    heard_as: torch.Tensor | None = None,
) -> torch.Tensor:
    """(B, n) samples -> (B, n_mels, n // 160). `heard_as`, from `other_voices`, changes the
    spectra.

    `content` (B,) is each recording's length in samples. Frames after it are 0.0, which is not
    silence: the engines pad the log-mel of the last window, not its audio (openai/whisper
    transcribe.py:284-286). `loudest` (B,) is the log10 power of the loudest bin elsewhere in the
    recording, -inf for none: values are clamped relative to the whole recording (audio.py:155).
    """
    window, filters = _constants(n_mels, waveforms.device)
    spectrum = torch.stft(waveforms, N_FFT, HOP_LENGTH, window=window, return_complex=True)
    power = spectrum[..., :-1].abs().square()
    if heard_as is not None:
        filters = filters @ heard_as
    log = torch.log10(torch.clamp(filters @ power, min=LOG_FLOOR))
    floor = torch.maximum(log.amax(dim=(1, 2)), loudest) - DYNAMIC_RANGE
    mel = (torch.maximum(log, floor[:, None, None]) + 4.0) / 4.0
    frames = torch.arange(mel.shape[2], device=mel.device)
    return mel * (frames < content[:, None] // HOP_LENGTH)[:, None, :]


def other_voices(B: int, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Return (B, 201, 201) matrices that transform power spectra to another speaker and microphone.
    `generator` is on the CPU, so a seed gives the same result on any device.

    Half of them stretch the frequencies by 0.85 to 1.18, as a vocal tract of another length does,
    at the same pitch (Jaitly and Hinton, "Vocal Tract Length Perturbation", 2013). Half have a
    smooth gain of a few dB. Frequencies above the stretched spectrum are silent.
    """
    n = N_FFT // 2 + 1
    bins = torch.arange(n)

    def half() -> torch.Tensor:
        return torch.rand((B, 1), generator=generator) < 0.5

    stretch = 2 ** (0.48 * torch.rand((B, 1), generator=generator) - 0.24)
    source = bins * torch.where(half(), stretch, 1.0)  # (B, n): the source of each bin
    weights = (1 - (source[:, :, None] - bins).abs()).clamp(min=0)
    waves = torch.cos(torch.pi * torch.arange(1, 5)[:, None] * (bins / n).sqrt())
    gain_db = 3 * torch.randn((B, 4), generator=generator) @ waves
    gain = torch.where(half(), 10 ** (gain_db / 10), 1.0)
    return (weights * gain[:, :, None]).to(device)


def mask_bands(mel: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """SpecAugment: replace two bands of up to 12 mel bins and, per second, 0.4 time spans of up to
    0.15 s by each example's mean. `generator` is on the CPU, so a seed gives the same result on any
    device.

    Source: Park et al. 2019; the widths are smaller because the network is.
    """
    B, M, T = mel.shape

    def stretches(count: int, longest: int, size: int) -> torch.Tensor:
        width = torch.randint(0, longest + 1, (B, count, 1), generator=generator)
        start = torch.rand((B, count, 1), generator=generator) * (size - width).clamp(min=1)
        place = torch.arange(size)
        return ((place >= start.long()) & (place < start.long() + width)).any(dim=1)

    bands = stretches(2, 12, M).to(mel.device)
    times = stretches(max(1, round(0.4 * T / 100)), 15, T).to(mel.device)
    hidden = bands[:, :, None] | times[:, None, :]
    return torch.where(hidden, mel.mean(dim=(1, 2), keepdim=True), mel)

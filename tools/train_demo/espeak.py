"""Call espeak-ng's library in this process: 10 ms per sentence, with phone and word times.

Its command line reports no times, and one process per sentence would cost three times as much. The
library has one voice and one set of parameters per process, so use it from one thread. Structures
are those of espeak-ng/speak_lib.h, version 1.51.
"""

import ctypes
import ctypes.util
import functools
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples come back through the callback
_PHONEME_EVENTS, _DONT_EXIT = 1, 1 << 15
_UTF8 = 1
_BY_CHARACTER = 1
_EVENT_END, _EVENT_WORD, _EVENT_PHONEME = 0, 1, 7
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, from 1
        ("length", ctypes.c_int),  # of a word, in characters
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class EspeakSpeech:
    """Samples at `rate` Hz; starts of phones and words in samples."""

    samples: npt.NDArray[np.int16]
    rate: int
    phones: list[tuple[int, str]]
    words: list[tuple[int, int]]  # start sample, position in the text in characters from 0


class _Espeak:
    """The initialised library and the data of its callback."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            sys.exit("expected libespeak-ng, found none: apt-get install espeak-ng")
        self.library = ctypes.CDLL(name)
        self.rate: int = self.library.espeak_Initialize(
            _SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _DONT_EXIT
        )
        if self.rate < 0:
            sys.exit("expected espeak-ng's data, found none: apt-get install espeak-ng-data")
        self.chunks: list[npt.NDArray[np.int16]] = []
        self.phones: list[tuple[int, str]] = []
        self.words: list[tuple[int, int]] = []
        self._callback = _Callback(self._receive)  # keep a reference: the library has a pointer
        self.library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, n_samples: int, events: Any) -> int:
        if samples and n_samples:
            self.chunks.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        index = 0
        while (event := events[index]).type != _EVENT_END:
            if event.type == _EVENT_PHONEME:
                self.phones.append((event.sample, event.id.string.decode()))
            elif event.type == _EVENT_WORD:
                self.words.append((event.sample, event.text_position - 1))
            index += 1
        return 0  # continue


@functools.cache
def _espeak() -> _Espeak:
    return _Espeak()


def speak(
    voice: str, text: str, words_per_minute: int, pitch: int, pitch_range: int
) -> EspeakSpeech:
    """Synthesise `text`. `voice` is a file of espeak-ng-data with a variant, as in "gmw/en-US+f2".

    `pitch` and `pitch_range` are 0..100; 50 is the voice's default. Exits with a message if the
    voice is not installed.
    """
    engine = _espeak()
    engine.chunks, engine.phones, engine.words = [], [], []
    if engine.library.espeak_SetVoiceByName(voice.encode()) != 0:
        sys.exit(f"expected the voice {voice} in espeak-ng-data, found none")
    for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, pitch_range)):
        engine.library.espeak_SetParameter(parameter, value, 0)
    data = text.encode() + b"\0"
    engine.library.espeak_Synth(data, len(data), 0, _BY_CHARACTER, 0, _UTF8, None, None)
    samples = np.concatenate(engine.chunks) if engine.chunks else np.zeros(0, np.int16)
    return EspeakSpeech(samples, engine.rate, engine.phones, engine.words)

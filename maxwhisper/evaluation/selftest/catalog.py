"""The component checks by name, for a page or a command line that lists them before they run; and
the errors that a visitor may inject.

Imports nothing heavy. `checks.py` has one function for each name; a test keeps the two equal.
"""

from typing import NamedTuple


class CheckInfo(NamedTuple):
    """One check, in the order they run."""

    name: str
    group: str
    about: str  # one sentence: what is compared with what


CATALOG = (
    CheckInfo(
        "log-mel",
        "audio",
        "MAX graphs against librosa, or numpy with scipy's window, on 30 s of swelling noise",
    ),
    CheckInfo(
        "tokenizer", "text", "Special ids of this vocabulary, and encode then decode, in 12 scripts"
    ),
    CheckInfo(
        "checkpoint", "weights", "Every tensor the network needs, its shape, and only finite values"
    ),
    CheckInfo("encoder", "network", "MAX encoder against numpy, one window of 30 s"),
    CheckInfo(
        "multi-head attention",
        "network",
        "Decoder with all but masked self-attention switched off, against numpy",
    ),
    CheckInfo(
        "cross attention",
        "network",
        "Decoder with all but cross-attention switched off, against numpy",
    ),
    CheckInfo(
        "KV cache",
        "network",
        "Tokens one by one through the cache against all at once, after another text",
    ),
    CheckInfo(
        "decoder logits",
        "network",
        "A prompt of 224 tokens, then steps to the last position, against numpy without a cache",
    ),
    CheckInfo(
        "batch rows",
        "network",
        "Rows repeated, dropped and put in another order between two steps, against numpy",
    ),
    CheckInfo(
        "timestamp rules", "decoding", "Allowed tokens in a table of situations: count of mistakes"
    ),
    CheckInfo(
        "encoder-decoder",
        "pipeline",
        "Encoder, cross keys and values, and logits together, two windows at once, against numpy",
    ),
    CheckInfo(
        "complete pipeline",
        "pipeline",
        "Waveform to tokens, window by window, against the same rules on the numpy network",
    ),
)

# What `damage.py` changes in a copy of the network, by name.
DAMAGES = {
    "weight": "one weight of the encoder is 25 % too large",
    "filter": "one mel filter is 1 % too large",
}

"""Prompts of later windows: what is carried, what a reset excludes, which ids are refused."""

from dataclasses import replace

import pytest

from maxwhisper.errors import OptionError
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe.history import History, new_history

DIMS = Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
TOKENIZER = get_tokenizer(DIMS)


def begin(**options):
    return new_history(TOKENIZER, TranscribeOptions(**options), DIMS)


def test_carried_prompt_leaves_room_for_itself():
    history = History((1, 2, 3), carry=True, max_tokens=5)
    history.tokens.extend([10, 11, 12, 13])
    assert history.prompt() == (1, 2, 3, 12, 13)
    assert history.text_tokens() == [10, 11, 12, 13]
    history.reset()
    assert history.prompt() == (1, 2, 3)


@pytest.mark.parametrize(("max_tokens", "kept"), [(3, [10, 11, 12]), (2, [11, 12]), (1, [12])])
def test_a_carried_prompt_that_leaves_no_room_is_the_references(max_tokens, kept):
    """[-0:] is everything, [-(-1):] all but one: cutting to `max_tokens` then loses the prompt."""
    history = History((1, 2, 3), carry=True, max_tokens=max_tokens)
    history.tokens.extend([10, 11, 12])
    assert history.prompt() == (1, 2, 3, *kept)


def test_a_reset_forgets_a_prompt_that_is_not_carried():
    history = History((1, 2, 3), carry=False, max_tokens=5)
    assert history.prompt() == (1, 2, 3)
    history.reset()
    assert history.prompt() == ()


def test_prompt_as_text_or_as_tokens():
    tokens = tuple(TOKENIZER.encode(" a prompt"))
    assert begin(initial_prompt=" a prompt ").prompt() == tokens
    assert begin(initial_prompt=tokens).prompt() == tokens
    assert begin().prompt() == ()


@pytest.mark.parametrize("token", [-1, DIMS.n_vocab])
def test_tokens_outside_the_vocabulary_are_refused(token):
    with pytest.raises(OptionError, match=f"initial_prompt.*51863.*{token}"):
        begin(initial_prompt=(5, token))


def test_room_is_half_the_context():
    options = TranscribeOptions()
    assert new_history(TOKENIZER, options, replace(DIMS, n_text_ctx=100)).max_tokens == 49

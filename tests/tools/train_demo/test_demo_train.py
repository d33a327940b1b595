"""Training: it learns, it resumes with the same numbers, and it exports what it trained."""

import json
import math
from dataclasses import replace
from shutil import copyfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from whisper.model import MultiHeadAttention, disable_sdpa

from maxwhisper.checkpoint import bundled, load
from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import SAMPLE_RATE, Dims
from tools.train_demo import card, export, goals, train, warm_start
from tools.train_demo.average import average
from tools.train_demo.corpus import Corpus
from tools.train_demo.features import log_mel
from tools.train_demo.model import CLOSING_MARGIN, RAW_EMBEDDING
from tools.train_demo.settings import PRESETS, Mix, Phase, Settings
from tools.train_demo.train import LOG, Budget, Run, learning_rate, phase_at
from tools.train_demo.trainer import Trainer
from tools.train_demo.vocabulary import Vocabulary, used_tokens
from tools.train_demo.warm_start import CHECKPOINT
from tools.train_demo.windows import Style

TINY = Dims(80, 1500, 32, 2, 1, 51_864, 448, 32, 2, 1)
STEPS = 24


def settings():
    mixes = (Mix(Style(None, 6, distorted=0.2), 8),)
    hear = Phase("hear", 0.5, mixes, 1.0, 0.0, 5e-3, 5e-3, for_beginners=True)
    read = Phase("read", 0.5, mixes, 0.3, 1.0, 5e-3, 1e-3)
    return Settings(
        TINY, (hear, read), workers=0, warm_up_steps=3, log_steps=4, evaluate_utterances=1
    )


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """A network this small loses more time to thread synchronisation than it gains."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def start(speech_folder, tokenizer):
    """start(folder): a run that continues what is in the folder."""
    corpus = Corpus(speech_folder / "train")
    held_out = {"seen": Corpus(speech_folder / "seen")}
    vocabulary = Vocabulary(TINY.n_vocab, used_tokens(tokenizer, corpus.texts))

    def make(folder):
        folder.mkdir(exist_ok=True)
        trainer = Trainer(settings(), vocabulary, torch.device("cpu"))
        if (folder / CHECKPOINT).is_file():
            trainer.resume(folder / CHECKPOINT)
        return Run(trainer, tokenizer, corpus, held_out, folder, Budget(STEPS, 0), 1)

    return make


@pytest.fixture(scope="module")
def finished(start, tmp_path_factory):
    """Folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("run")
    start(folder).go(session_minutes=10)
    return folder


def log(folder):
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def test_the_losses_fall(finished):
    steps = [entry for entry in log(finished) if "loss" in entry]
    hear = [entry["phone_loss"] for entry in steps if entry["phase"] == "hear"]
    read = [entry["text_loss"] for entry in steps if "text_loss" in entry]
    assert hear[-1] < 0.9 * hear[0]
    assert read[-1] < 0.9 * read[0]
    assert steps[-1]["step"] == STEPS


def test_word_error_rate_is_logged(finished):
    entries = [entry for entry in log(finished) if "wer" in entry]
    assert [entry["in_windows"] for entry in entries] == [False, True]
    for entry in entries:
        assert entry["set"] == "seen"
        assert entry["wer"] >= 0
        assert len(entry["heard"]) == 1


def test_a_run_in_sessions_of_one_step_ends_the_same(start, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(
        train, "held_out_wer", lambda *_, **__: (0.0, [])
    )  # takes seconds each time
    folder = tmp_path / "sessions"
    for _ in range(STEPS):
        run = start(folder)
        run.go(session_minutes=0)  # one step, then saved
    assert run.trainer.step == STEPS
    one, other = (
        torch.load(path / CHECKPOINT, weights_only=True)["learner"] for path in (finished, folder)
    )
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=0, atol=0)


def test_attention_is_that_of_the_network(start, tmp_path):
    whisper = start(tmp_path).trainer.learner.whisper
    mel = torch.randn(1, 80, 3000, generator=torch.manual_seed(2))
    tokens = torch.tensor([[3, 5, 2]])
    with torch.no_grad():
        ours = whisper(mel, tokens)
        for module in whisper.modules():
            if isinstance(module, MultiHeadAttention):
                del module.qkv_attention
        torch.testing.assert_close(ours, whisper(mel, tokens))


def test_guided_heads_are_measured_where_tokens_are_heard(start, tmp_path, tokenizer):
    """From the cross-attention that openai-whisper's own layers compute."""
    learner = start(tmp_path / "run").trainer.learner
    text = torch.tensor([[3, 1, 4, 1, 5]])
    features = torch.randn(1, 60, TINY.n_audio_state, generator=torch.Generator().manual_seed(0))
    weights = []
    cross = learner.whisper.decoder.blocks[0].cross_attn
    hook = cross.register_forward_hook(lambda *call: weights.append(call[2][1].softmax(-1)))
    heard_at = torch.tensor([[-1.0, 20, 30, 40, -1]])
    first_token = torch.zeros(1, dtype=torch.long)
    with torch.no_grad(), disable_sdpa():
        found = learner.text_losses(features, text, text, heard_at, first_token)
    hook.remove()
    positions = torch.arange(60)
    for loss, head, tokens in ((found.next, 0, (1, 2, 3)), (found.last, 1, (2, 3, 4))):
        near = [
            (weights[0][0, head, token] * torch.exp(-0.5 * ((positions - at) / 10) ** 2)).sum()
            for token, at in zip(tokens, (20, 30, 40), strict=True)
        ]
        torch.testing.assert_close(loss, -torch.stack(near).log().mean(), atol=1e-4, rtol=0)


def test_ends_too_soon_cost_what_decoding_would_lose(start, tmp_path, tokenizer, monkeypatch):
    """Probabilities: 0.2 for the end, 0.3 for all timestamps, 0.4 for a word, 0.1 for another."""
    trainer = start(tmp_path / "run").trainer
    learner, rows = trainer.learner, trainer.vocabulary.rows
    end, time = rows(np.array([tokenizer.eot, tokenizer.timestamp_begin + 7]))
    chances = torch.full((1, trainer.vocabulary.n_rows), 1e-12)
    chances[0, end], chances[0, time], chances[0, time + 1] = 0.2, 0.1, 0.2
    chances[0, 3], chances[0, 4] = 0.4, 0.1
    monkeypatch.setattr(learner, "logits", lambda states: chances.log().expand(len(states), -1))
    features = torch.zeros(1, 20, TINY.n_audio_state)
    closes = np.log(0.5 / 0.4) + CLOSING_MARGIN  # whichever word it is: the rule asks for no more
    for target, left, more in (
        (3, 0.5, closes),
        (4, 0.5, closes),
        (int(time), 0.8, 0),
        (int(end), 1.0, 0),
    ):
        text, first_token = torch.tensor([[target]]), torch.zeros(1, dtype=torch.long)
        found = learner.text_losses(features, text, text, torch.tensor([[-1.0]]), first_token)
        assert float(found.early) == pytest.approx(more - np.log(left), abs=1e-5)


def test_another_network_does_not_resume(start, finished, tokenizer):
    wider = replace(settings(), dims=replace(TINY, n_text_layer=2))
    vocabulary = Vocabulary(TINY.n_vocab, used_tokens(tokenizer, ["a"]))
    with pytest.raises(SystemExit, match="same dimensions, seed and sentences"):
        Trainer(wider, vocabulary, torch.device("cpu")).resume(finished / CHECKPOINT)


@pytest.fixture(scope="module")
def exported(finished, speech_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    checkpoint, trained = export.load_run(finished, np.float16)
    corpus = Corpus(speech_folder / "seen")
    checkpoint, error_s = export.with_measured_heads(checkpoint, corpus, count=2)
    assert error_s < 5
    export.save_hf(checkpoint, folder)
    speech = export.speech_summary(speech_folder / "train")
    record = export.record_of(checkpoint, trained, speech, error_s)
    export.write_record(folder, record)
    return folder


def test_export_loads_with_the_trained_probabilities(exported, start, finished, tokenizer):
    """The shared row counts in training as often as it occurs in the exported embedding."""
    checkpoint = load(exported)
    assert checkpoint.dims == TINY
    assert {array.dtype for array in checkpoint.weights.values()} == {np.dtype("float16")}
    trainer = start(finished).trainer
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    tokens = np.array([[tokenizer.sot, tokenizer.no_timestamps, *tokenizer.encode(" Dog")]])
    with torch.no_grad():
        features = trainer.learner.encode(mel, torch.zeros(1, dtype=torch.long))
        rows = torch.from_numpy(trainer.vocabulary.rows(tokens))
        trained = trainer.learner.logits(
            trainer.learner.states(rows, features, torch.zeros(1, dtype=torch.long))[0]
        ).log_softmax(-1)
        full = to_openai(checkpoint)(mel, torch.from_numpy(tokens)).log_softmax(-1)
    used = torch.from_numpy(trainer.vocabulary.tokens)
    torch.testing.assert_close(full[..., used], trained[..., :-1], atol=0.02, rtol=0)
    unused = full.exp().sum(-1) - full[..., used].exp().sum(-1)
    torch.testing.assert_close(unused, trained[..., -1].exp(), atol=0.01, rtol=0.02)


def test_rows_of_timestamps_change_slowly(exported, start, finished, tokenizer):
    """Each is a mean over its neighbours, in the exported embedding as in training."""
    embedding = load(exported).weights["decoder.token_embedding.weight"].astype(np.float32)
    decoder = start(finished).trainer.learner.whisper.decoder
    rows = embedding[tokenizer.timestamp_begin :]
    np.testing.assert_allclose(
        rows, decoder.token_embedding.weight[-1502:-1].detach(), atol=1e-3, rtol=1e-3
    )
    raw = decoder.token_embedding.parametrizations.weight.original[-1502:-1].detach().numpy()
    assert np.abs(np.diff(rows, axis=0)).mean() < 0.2 * np.abs(np.diff(raw, axis=0)).mean()
    middle = np.exp(-0.5 * (np.arange(-12, 13) / 4) ** 2)
    want = (middle / middle.sum()) @ raw[700 - 12 : 700 + 13]
    np.testing.assert_allclose(rows[700], want, atol=1e-3, rtol=1e-3)


def test_rows_of_unused_tokens_are_one(exported, start, finished):
    embedding = load(exported).weights["decoder.token_embedding.weight"]
    vocabulary = start(finished).trainer.vocabulary
    unused = np.setdiff1d(np.arange(TINY.n_vocab), vocabulary.tokens)
    assert len(unused) == vocabulary.n_unused > 40_000
    assert (embedding[unused] == embedding[unused[0]]).all()


def test_alignment_heads_are_recorded(exported):
    record = json.loads((exported / bundled.TRAINING).read_text())
    assert [list(pair) for pair in load(exported).alignment_heads] == record["alignment_heads"]
    assert record["word_start_error_s"] > 0
    assert set(record["sha256"]) == set(bundled.VERIFIED)
    assert record["bytes_gzipped"] < record["bytes"]["model.safetensors"]


def test_the_card_is_made_from_the_records(exported):
    (exported / "evaluation.json").unlink(missing_ok=True)
    assert "not been evaluated" in card.card(exported)
    engines = {"maxwhisper": {"test seen": {"items": 3, "words": 30, "wer": 0.125}}}
    record = {"engines": engines, "goals": goals.judge(engines)}
    record |= {"sets": {"test seen": "sentences"}, "word_error_rates": {"on sentences": 0.125}}
    (exported / "evaluation.json").write_text(json.dumps(record))
    text = card.card(exported)
    assert "| test seen | 3 | 30 | 12.5 % |" in text
    assert "| test seen | wer | ≤ 0.08 | 0.125: **missed** |" in text
    assert "| test unseen | wer | ≤ 0.2 | not measured |" in text
    assert "| test seen | sentences |" in text
    assert "Word error rates: 12.5 % on sentences." in text


def rows_of(texts, tokenizer):
    """Return the vocabulary of another list of sentences, with some tokens more and some fewer."""
    return Vocabulary(TINY.n_vocab, used_tokens(tokenizer, texts))


@pytest.mark.parametrize("source", ["finished", "exported"])
def test_a_run_begins_with_earlier_weights(source, request, start, finished, tokenizer, tmp_path):
    earlier = start(finished).trainer
    vocabulary = rows_of(["A zebra and a dog."], tokenizer)
    trainer = Trainer(settings(), vocabulary, torch.device("cpu"))
    trainer.begin_from(request.getfixturevalue(source))
    kept = np.intersect1d(vocabulary.tokens, earlier.vocabulary.tokens)
    kept = kept[kept < tokenizer.timestamp_begin]  # timestamps are smoothed once more
    assert 0 < len(kept) < len(vocabulary.tokens)
    rows = [t.vocabulary.rows(kept) for t in (earlier, trainer)]
    old, new = (t.learner.whisper.state_dict() for t in (earlier, trainer))
    near = {"atol": 0, "rtol": 0} if source == "finished" else {"atol": 1e-3, "rtol": 1e-3}
    name = RAW_EMBEDDING
    torch.testing.assert_close(new.pop(name)[rows[1]], old.pop(name)[rows[0]], **near)
    for name, tensor in old.items():
        torch.testing.assert_close(new[name], tensor, **near)
    heads = [t.learner.phone_head.weight for t in (earlier, trainer)]
    assert torch.equal(*heads) is (source == "finished")
    assert (trainer.step, trainer.spent_s) == (0, 0)
    assert trainer.first_batch == (STEPS if source == "finished" else 0)
    assert [phase.name for phase in trainer.settings.phases] == ["read"]
    trainer.save(tmp_path / CHECKPOINT)
    resumed = Trainer(settings(), vocabulary, torch.device("cpu"))
    resumed.resume(tmp_path / CHECKPOINT)
    assert resumed.began_with == trainer.began_with
    assert resumed.first_batch == trainer.first_batch
    assert resumed.settings == trainer.settings


def test_the_mean_of_a_run_with_itself_is_the_run(finished, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    copyfile(finished / CHECKPOINT, again / CHECKPOINT)
    average({finished: 0.25, again: 0.75}, tmp_path / "mean")
    run, mean = (warm_start.read(folder) for folder in (finished, tmp_path / "mean"))
    for name, array in run.weights.items():
        smoothed = name == "decoder.token_embedding.weight"  # timestamps, once more
        np.testing.assert_allclose(mean.weights[name], array, atol=0.1 if smoothed else 1e-6)
    state = torch.load(tmp_path / "mean" / CHECKPOINT, weights_only=True)
    assert f"0.25 of the run {finished.name}" in state["began_with"]


def test_shares_of_a_mean_sum_to_one(finished, tmp_path):
    with pytest.raises(CheckpointError, match=r"the sum 1, got \[0.5\]"):
        average({finished: 0.5}, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_another_network_is_no_beginning(finished, tokenizer):
    wider = replace(settings(), dims=replace(TINY, n_text_layer=2))
    trainer = Trainer(wider, rows_of(["a"], tokenizer), torch.device("cpu"))
    with pytest.raises(SystemExit, match=r"expected .*n_text_layer=2.* got .*n_text_layer=1"):
        trainer.begin_from(finished)


def test_an_empty_folder_is_no_beginning(tmp_path, tokenizer):
    trainer = Trainer(settings(), rows_of(["a"], tokenizer), torch.device("cpu"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        trainer.begin_from(tmp_path)


def test_phases_cover_the_run_in_order():
    phases = PRESETS["cpu"].phases
    numbers = [phase_at(phases, progress)[0] for progress in np.linspace(0, 1, 50)]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(len(phases)))
    assert sum(phase.share for phase in phases) == pytest.approx(1)


@pytest.mark.parametrize("preset", PRESETS)
def test_all_but_beginners_hear_other_voices(preset, start, tmp_path, monkeypatch):
    """Checked with the presets, because a mistake there once left every phase with unchanged
    voices."""
    trainer = start(tmp_path / "run").trainer
    monkeypatch.setattr(trainer.learner, "encode", lambda mel, _: mel)
    n = 2 * SAMPLE_RATE
    samples = torch.randint(-9000, 9000, (2, n), generator=torch.manual_seed(0)).short()
    batch = SimpleNamespace(
        samples=samples,
        content=torch.full((2,), n),
        loudest=torch.full((2,), -math.inf),
        first_position=None,
    )
    plain = log_mel(samples.float() / 32768, batch.content, batch.loudest)
    for phase in PRESETS[preset].phases:
        is_plain = torch.equal(trainer._features(batch, phase), plain)
        assert is_plain is (phase.name in ("hear", "read"))


def test_a_phase_alone_runs_at_its_share_of_the_rates():
    every = PRESETS["cpu"]
    (alone,) = every.only("window", 0.3).phases
    whole = next(phase for phase in every.phases if phase.name == "window")
    assert alone == replace(whole, peak_rate=0.3 * whole.peak_rate)
    assert every.only("window", 0.3, plain=True).phases == (replace(alone, plain=True),)


@pytest.mark.parametrize("option", ["--plain", "--rate=0.3"])
def test_what_is_said_of_a_phase_alone_needs_its_name(option, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train", "sentences.jsonl", "speech", "run", option])
    with pytest.raises(SystemExit):
        train.main()
    assert "expected --phase" in capsys.readouterr().err


def test_learning_rate_warms_up_and_falls():
    phase = PRESETS["cpu"].phases[-1]
    rates = [learning_rate(phase, step / 1000, step, 100) for step in range(1000)]
    assert np.argmax(rates) == pytest.approx(100, abs=5)
    assert rates[0] < phase.peak_rate / 50
    assert rates[-1] == pytest.approx(phase.final_rate, rel=0.05)

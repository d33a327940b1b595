"""The command line as a user runs it, in a process of its own, on engines without networks."""

import json
import os
import shutil
import subprocess
import sys
import types
import wave
from pathlib import Path

import numpy as np
import pytest

from maxwhisper import cli
from maxwhisper.errors import DeviceError, EngineUnavailable, NumericError, OptionError
from maxwhisper.evaluation.bench.document import END, TABLES
from maxwhisper.evaluation.bench.record import BenchRecord
from maxwhisper.evaluation.selftest.result import CheckResult
from maxwhisper.network.dims import Dims
from tests.fakes import engines as fake_engines
from tests.fakes.audio_files import encode

ROOT = Path(__file__).parents[2]
WITH_FAKES = (
    "import sys; sys.path.insert(0, 'tests')\n"
    "import maxwhisper.engine; from tests.fakes import engines as fake_engines\n"
    "sequential = {'sequential': fake_engines.TROUBLED['sequential']}\n"
    "maxwhisper.engine.ENGINES = fake_engines.ENGINES | sequential\n"
    "from maxwhisper.cli import main; sys.exit(main(sys.argv[1:]))\n"
)


def run_module(*arguments):
    """`python -m maxwhisper ...`, as it is."""
    return _run("-m", "maxwhisper", *arguments)


def run_with_fakes(*arguments):
    """The same command line, with the engines of `fake_engines`."""
    return _run("-c", WITH_FAKES, *arguments)


def _run(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A second of quiet noise in `clip.wav`, with what is said in it beside it."""
    path = tmp_path_factory.mktemp("clips") / "clip.wav"
    samples = np.random.default_rng(0).normal(0, 300, 16_000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    path.with_suffix(".txt").write_text("And so, my fellow Americans.")
    return path


@pytest.mark.parametrize("command", ["", "transcribe", "selftest", "bench", "compile", "models"])
def test_help(command):
    run = run_module(*filter(None, [command, "--help"]))
    assert run.returncode == 0
    assert "usage: python -m maxwhisper" in run.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands_and_options(shell, capfd, tmp_path):
    assert cli.main(["completion", shell]) == 0
    script = capfd.readouterr().out
    assert "maxwhisper" in script
    assert all(word in script for word in ("transcribe", "beam_size", "verbose_json"))
    if shell == "bash":
        (tmp_path / "talk.mp3").touch()
        (tmp_path / "completion.bash").write_text(script)
        assert completed(tmp_path, "transcribe", "ta") == ["talk.mp3"]
        assert completed(tmp_path, "transcribe", "--output_d") == ["--output_dir"]
        assert completed(tmp_path, "bench", "a.wav", "--engi") == ["--engines"]
        assert completed(tmp_path, "prof") == ["profile"]


def completed(folder, *words):
    """What bash offers for the last word of `maxwhisper WORDS...`."""
    program = (
        'source completion.bash; COMP_WORDS=(maxwhisper "$@"); COMP_CWORD=$#; '
        "_shtab_maxwhisper maxwhisper; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    run = subprocess.run(
        ["bash", "-c", program, "bash", *words], cwd=folder, capture_output=True, text=True
    )
    return run.stdout.split()


def test_completion_without_shtab_says_what_to_install(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 1
    error = "maxwhisper: error: completion needs shtab: pip install shtab\n"
    assert capfd.readouterr().err == error


def test_transcribe_json_is_one_document_whatever_libraries_print(clip):
    run = run_with_fakes("transcribe", clip, "--engine", "shouting", "--json")
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert document["text"] == fake_engines.TEXT
    assert document["language"] == "en"
    assert {"start", "end", "text", "tokens"} <= set(document["segments"][0])
    assert document["timings"]["total"] == 0.3
    assert document["engine"]["name"] == "shouting"
    assert "printed by a library" in run.stderr
    assert "written by a C library" in run.stderr


def test_transcribe_prints_segments_with_times(clip):
    run = run_with_fakes("transcribe", clip)
    assert run.stdout == "[00:00.000 → 00:01.000] and so my fellow Americans\n"
    assert "compiling graphs: 1 s" in run.stderr
    assert "small English Whisper" in run.stderr, "the bundled model must say what it is"


def test_several_files_one_after_the_other(clip, tmp_path):
    second = shutil.copy(clip, tmp_path / "second.wav")
    run = run_with_fakes("transcribe", clip, second)
    line = "[00:00.000 → 00:01.000] and so my fellow Americans\n"
    assert run.stdout == f"{clip}:\n{line}{second}:\n{line}"
    assert run.stderr.count("compiling graphs") == 1, "one engine for all files"


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=str)
def test_a_file_whose_name_is_no_text_is_transcribed_too(clip, tmp_path, monkeypatch, capfd, flags):
    monkeypatch.setattr("maxwhisper.engine.ENGINES", fake_engines.ENGINES)
    odd = shutil.copy(clip, os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    assert cli.main(["transcribe", str(clip), odd, *flags]) == 0
    out = capfd.readouterr().out
    if flags:
        assert [json.loads(line)["file"] for line in out.splitlines()] == [str(clip), odd]
    else:
        assert "caf\\udce9.wav:\n[00:00.000" in out


def test_a_file_that_fails_does_not_stop_the_others(clip, tmp_path):
    run = run_with_fakes("transcribe", "none.wav", clip, "--output_dir", tmp_path / "out", "--json")
    assert run.returncode == 1
    assert "maxwhisper: error: " in run.stderr
    missing, found = map(json.loads, run.stdout.splitlines())
    assert missing["file"] == "none.wav"
    assert "none.wav" in missing["error"]
    assert found["text"] == fake_engines.TEXT
    assert (tmp_path / "out" / "clip.txt").read_text() == "and so my fellow Americans\n"


ERRORS = [NumericError, OptionError, EngineUnavailable, DeviceError, KeyboardInterrupt]


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_fails_on_a_file_the_others_are_answered(
    clip, tmp_path, monkeypatch, capfd, error
):
    """NaN, an option or a device it cannot do with: but for Ctrl-C the files after it are done."""

    class Engine(fake_engines.FakeEngine):
        def transcribe(self, *args, **mode):
            transcript = super().transcribe(*args, **mode)
            if len(self.calls) == 2:
                raise error("expected numbers")
            return transcript

    engine, module = Engine("plain"), sys.modules[cli.transcribe.__module__]
    monkeypatch.setattr(module, "load_engine", lambda args, name: engine)
    paths = [shutil.copy(clip, tmp_path / f"{n}.wav") for n in range(3)]
    code = cli.main(["transcribe", *map(str, paths), "--json"])
    out, err = capfd.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert found[0]["text"] == fake_engines.TEXT
    if error is KeyboardInterrupt:
        assert (code, len(found)) == (130, 1)
        return
    assert code == 1
    assert found[1] == {"file": str(paths[1]), "error": "expected numbers"}
    assert found[2]["text"] == fake_engines.TEXT
    assert f"maxwhisper: error: {paths[1]}: expected numbers\n" in err


def test_an_engine_that_cannot_be_loaded_ends_it(clip):
    run = run_with_fakes("transcribe", "none.wav", clip, clip, "--engine", "missing", "--json")
    assert run.returncode == 1
    complaints = [line for line in run.stderr.splitlines() if "maxwhisper: error: " in line]
    assert len(complaints) == 2, "the file that is not there, and the engine, once"
    assert [json.loads(line)["file"] for line in run.stdout.splitlines()] == ["none.wav"]


def test_files_are_openai_whispers(clip, tmp_path):
    run = run_with_fakes("transcribe", clip, "--output_dir", tmp_path)
    assert run.stdout == "[00:00.000 → 00:01.000] and so my fellow Americans\n"
    names = ["clip.json", "clip.srt", "clip.tsv", "clip.txt", "clip.vtt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (tmp_path / "clip.srt").read_text() == (
        "1\n00:00:00,000 --> 00:00:01,000\nand so my fellow Americans\n\n"
    )
    assert list(json.loads((tmp_path / "clip.json").read_text())) == [
        "text",
        "segments",
        "language",
    ]


def test_verbose_json_file(clip, tmp_path):
    arguments = ["--output_format", "verbose_json", "--output_dir", tmp_path]
    assert run_with_fakes("transcribe", clip, *arguments).returncode == 0
    (path,) = tmp_path.iterdir()
    assert path.name == "clip.json"
    document = json.loads(path.read_text())
    assert (document["language"], document["task"]) == ("english", "transcribe")


def test_files_that_cannot_be_written_are_errors_and_the_text_is_not_lost(clip, tmp_path):
    (tmp_path / "clip.txt").mkdir()
    run = run_with_fakes("transcribe", clip, "--output_dir", tmp_path, "--json")
    assert run.returncode == 1
    errors = [line for line in run.stderr.splitlines() if "maxwhisper: error: " in line]
    assert errors[0].startswith("maxwhisper: error: cannot write ")
    assert len(errors) == 1
    document = json.loads(run.stdout)
    assert document["text"] == fake_engines.TEXT
    assert document["error"].startswith("cannot write ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["transcribe", "CLIP", "--output_dir", "README.md/x"],
            "a writable folder at README.md/x",
        ),
        (["transcribe", "CLIP", "--engine", "missing"], "no module named"),
        (["transcribe", "CLIP", "--task", "sing"], "task must be"),
        (["transcribe", "CLIP", "x/clip.mp3", "-o", "docs"], "2 recordings would be written"),
        (["transcribe", "CLIP", "--resume"], "give --output_format or --output_dir"),
        (["transcribe", "CLIP", "--format", "json,verbose_json"], "written to the same file"),
        (["transcribe", "CLIP", "--sequential", "--batch_size", "2"], "contradict each other"),
        (["transcribe", "CLIP", "--highlight_words", "True"], "needs word times"),
        (["transcribe", "CLIP", "--temperature", "0", "--best_of", "5"], "best_of needs"),
        (["models", "show", "no_such_model"], "known names are"),
        (["bench", "no_such_clip.flac"], "no_such_clip.flac"),
        (["bench", "--report", "no_such_folder"], "expected a folder of records"),
    ],
)
def test_errors_are_one_line_and_a_failing_exit_code(clip, arguments, complaint):
    run = run_with_fakes(*[clip if part == "CLIP" else part for part in arguments], "--json")
    assert run.returncode == 1
    assert run.stdout == ""
    last = run.stderr.splitlines()[-1]
    assert last.startswith("maxwhisper: error: ")
    assert complaint in last
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("no_such_file.wav", "no_such_file.wav"),
        ("README.md", "This is a text file, not audio. Choose an audio file"),
        ("docs", "no recording in this folder"),
        ("no_such/*.wav", "expected files that match 'no_such/*.wav', got none"),
    ],
)
def test_a_recording_that_cannot_be_read_is_a_line_here_and_there(capfd, name, complaint):
    assert cli.main(["transcribe", name, "--json"]) == 1
    out, err = capfd.readouterr()
    assert err.startswith("maxwhisper: error: ")
    assert err.count("\n") == 1
    assert complaint in err
    assert complaint in json.loads(out)["error"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["transcribe"],
        ["sing"],
        ["transcribe", "x", "--engine", "steam"],
        ["transcribe", "x", "--beam_size", "many"],
        ["transcribe", "x", "--word_timestamps", "maybe"],
        ["transcribe", "x", "--temperature", "hot"],
        ["transcribe", "x", "--output_format", "doc"],
        ["bench", "--engines", "plain,steam"],
        ["bench", "--rounds", "0"],
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert "error:" in err
    assert err.count("\n") == 1, "one line, as every error"


def test_bench_json(clip, tmp_path):
    record_file = tmp_path / "record.json"
    engines = ["--engines", "plain,shouting:int8", "--rounds", "2", "--warmups", "1"]
    run = run_with_fakes("bench", clip, *engines, "--output", record_file, "--json")
    assert run.returncode == 0, run.stderr
    record = json.loads(run.stdout)
    BenchRecord.from_dict(record)
    assert json.loads(record_file.read_text()) == record
    assert [r["label"] for r in record["runs"]] == ["plain", "shouting int8"]
    assert {r["clip"] for r in record["runs"]} == {"clip.wav"}
    assert {r["wer"] for r in record["runs"]} == {0.0}
    (mode,) = record["settings"]["modes"].values()
    assert mode["options"]["language"] == "en"
    assert record["aa"]["cells"][0]["label"] == "plain"
    assert record["clips"]["clip.wav"]["decode_s"] > 0


def test_bench_reads_what_is_said_from_the_folders_list(clip, tmp_path):
    shutil.copy(clip, tmp_path / "one.wav")
    (tmp_path / "clips.json").write_text(json.dumps([{"file": "one.wav", "text": "And so"}]))
    once = ["--rounds", "1", "--warmups", "1", "--no_aa", "--json"]
    run = run_with_fakes("bench", tmp_path / "one.wav", "--engines", "plain", *once)
    (entry,) = json.loads(run.stdout)["runs"]
    assert entry["wer"] == 1.5, "three words too many for two"


def test_bench_fails_when_an_engine_does(clip):
    run = run_with_fakes("bench", clip, "--engines", "plain,missing", "--rounds", "1")
    assert run.returncode == 1
    assert "missing: ERROR loading failed" in run.stdout
    assert "plain" in run.stdout


def test_bench_reports_what_was_measured(clip, tmp_path):
    results, page = tmp_path / "results", tmp_path / "page.md"
    once = ["--engines", "plain", "--rounds", "1", "--warmups", "1"]
    measured = run_with_fakes("bench", clip, *once, "--output", results / "a.json", "--json")
    assert measured.returncode == 0, measured.stderr
    page.write_text(f"# Title\n{TABLES}\n{END}\n")
    figures = tmp_path / "figures.html"
    outputs = ["--output", page, "--figures", figures, "--json"]
    run = run_module("bench", "--report", results, *outputs)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["records"] == [json.loads(measured.stdout)]
    assert "| plain |" in page.read_text()
    assert "<figure>" in figures.read_text()
    (results / "b.json").write_text("{}")
    refused = run_module("bench", "--report", results)
    assert refused.returncode == 1
    assert "b.json is no benchmark record" in refused.stderr


def test_profile_needs_an_engine_that_shows_its_graphs(clip):
    run = run_with_fakes("profile", clip)
    assert run.returncode == 1
    assert "shows no graphs to meter" in run.stderr.splitlines()[-1]


def test_models_lists_and_shows():
    listed = json.loads(run_module("models", "--json").stdout)
    rows = {row["name"]: row for row in listed["models"]}
    assert {"demo", "tiny", "large-v3-turbo"} <= set(rows)
    assert listed["default"] in rows
    assert "tiny.en" in run_module("models").stdout
    shown = json.loads(run_module("models", "show", "demo", "--json").stdout)
    tensors = {row["name"]: row for row in shown["tensors"]}
    embedding = tensors["decoder.token_embedding.weight"]
    assert embedding["shape"] == [shown["dims"]["n_vocab"], shown["dims"]["n_text_state"]]
    assert embedding["dtype"] == "float16"
    assert embedding["role"]


@pytest.fixture
def fake_checks(monkeypatch):
    """`maxwhisper.evaluation.selftest` with one check that passes and one that the test chooses."""

    def install(second: CheckResult):
        first = CheckResult("log-mel", "audio", "passed", 1e-6, 1e-4, 12.0, "cpu", "max abs")
        checks = types.ModuleType("maxwhisper.evaluation.selftest.checks")
        checks.run_checks = lambda engine, names=None: iter([first, second])
        monkeypatch.setitem(sys.modules, "maxwhisper.evaluation.selftest.checks", checks)
        monkeypatch.setattr("maxwhisper.engine.ENGINES", fake_engines.ENGINES)

    return install


def test_selftest_lists_its_checks(capfd):
    about = "MAX graphs against librosa, or numpy with scipy's window, on 30 s of swelling noise"
    assert cli.main(["selftest", "--list", "--json"]) == 0
    checks = json.loads(capfd.readouterr().out)["checks"]
    assert checks[0] == {"name": "log-mel", "group": "audio", "about": about}
    assert cli.main(["selftest", "--list"]) == 0
    assert capfd.readouterr().out.splitlines()[0] == f"log-mel: {about}"


def test_selftest_json(fake_checks, capfd):
    fake_checks(CheckResult("tokenizer", "text", "passed", None, None, 3.0, "cpu"))
    assert cli.main(["selftest", "--json"]) == 0
    checks = json.loads(capfd.readouterr().out)["checks"]
    assert [check["name"] for check in checks] == ["log-mel", "tokenizer"]
    assert {"name", "group", "status", "error", "tolerance", "ms", "device"} <= set(checks[0])


def test_selftest_fails_and_still_answers_in_json(fake_checks, capfd):
    fake_checks(CheckResult("encoder", "network", "failed", float("nan"), 1e-4, 3.0, "cpu"))
    assert cli.main(["selftest", "--json"]) == 1
    out, err = capfd.readouterr()
    assert json.loads(out)["checks"][1]["error"] is None, "JSON has no NaN"
    assert "1 of 2 checks passed" in err


def test_selftest_table(fake_checks, capfd):
    fake_checks(CheckResult("tokenizer", "text", "passed", None, None, 3.0, "cpu"))
    assert cli.main(["selftest"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["passed", "log-mel", "1.0e-06", "≤", "1e-04"]
    assert len(lines) == 2


def test_compile_asks_for_the_model_and_device_named(monkeypatch, capfd, tmp_path):
    asked = {}

    def precompile(network, *, device, dtype, cache_dir, progress, out):
        asked.update(network=network, device=device, dtype=dtype, cache_dir=cache_dir, out=out)
        return tmp_path

    compiled = types.ModuleType("maxwhisper.runtime.compiled")
    compiled.precompile = precompile
    monkeypatch.setitem(sys.modules, "maxwhisper.runtime.compiled", compiled)
    arguments = ["--model", "tiny", "--device", "cuda:sm_90a", "--dtype", "bfloat16"]
    arguments += ["--out", str(tmp_path / "packed")]
    assert cli.main(["compile", *arguments, "--cache_dir", str(tmp_path), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["path"] == str(tmp_path)
    assert asked["out"] == tmp_path / "packed"
    assert document["dims"]["n_audio_state"] == 384
    assert (asked["device"], asked["dtype"]) == ("cuda:sm_90a", "bfloat16")
    assert asked["cache_dir"] == tmp_path
    assert isinstance(asked["network"], Dims), "an official model is not downloaded for it"
    assert cli.main(["compile"]) == 0
    assert asked["network"].weights, "these say in which precision the decoder's matrices are"


def test_threads_are_ours(clip, monkeypatch, capfd):
    asked, device = [], types.ModuleType("maxwhisper.runtime.device")
    device.limit_threads = asked.append
    monkeypatch.setitem(sys.modules, "maxwhisper.runtime.device", device)
    monkeypatch.setattr("maxwhisper.engine.ENGINES", fake_engines.ENGINES)
    assert cli.main([str(clip), "--threads", "2"]) == 0
    assert asked == [2]
    assert cli.main([str(clip)]) == 0
    assert cli.main([str(clip), "--threads", "2", "--engine", "plain"]) == 1
    assert asked == [2]
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == "maxwhisper: error: --threads is for maxwhisper: set OMP_NUM_THREADS for plain"


@pytest.mark.parametrize(("engine", "code"), [("plain", 0), ("sequential", 1)])
def test_batches_are_asked_of_any_engine_which_may_refuse(clip, engine, code):
    run = run_with_fakes("transcribe", clip, "--engine", engine, "--batch_size", "4")
    assert run.returncode == code
    assert run.stderr.endswith("sequential has no batches\n") is (code == 1)


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("> /dev/full", "cannot write the answer to standard output: No space left on device"),
        (">&-", "standard output is closed"),
    ],
)
@pytest.mark.parametrize("arguments", ["models --json", "models"])
def test_an_answer_that_cannot_be_written_is_one_line(arguments, to, reason):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = f"{sys.executable} -m maxwhisper {arguments} {to}"
    done = subprocess.run(
        ["sh", "-c", command], stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.startswith("maxwhisper: error: ")
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_cache_of_nobody_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("MAXWHISPER_CACHE", "~no-such-user/x")
    assert cli.main(["models"]) == 1
    error = capsys.readouterr().err
    assert "expected a home folder for the cache ~no-such-user/x, found none" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_gap_in_a_recording_is_said_beside_its_transcript(tmp_path, flags):
    data = encode("webm", "libopus", seconds=10)
    damaged = tmp_path / "voice.webm"
    damaged.write_bytes(data[:40_000] + bytes(2_000) + data[42_000:])
    done = run_with_fakes("transcribe", damaged, *flags)
    assert done.returncode == 0
    warning = next(line for line in done.stderr.splitlines() if "warning" in line)
    assert warning.startswith("maxwhisper: warning: ")
    assert "s in the middle could not be decoded" in warning
    if flags:
        assert json.loads(done.stdout)["warning"] in warning

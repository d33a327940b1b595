"""The tests that may be skipped, with the reason of each, and a pytest plugin that fails otherwise.

In: `--skips-must-be-listed`, which CI gives. Out: a count of skips for each reason on the list; a
failed run if a test, or a file of tests, is skipped for another one. Without the flag nothing
changes: who has no Chromium may still run the rest.
"""

import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch

import pytest

FLAG = "--skips-must-be-listed"


@dataclass(frozen=True)
class Skip:
    """Tests that may be skipped: a pattern of their names, one of what the skip says, and why that
    may be so in CI."""

    tests: str
    says: str
    why: str


WEIGHTS = "OpenAI's checkpoints are downloads, and CI has no network"
RECORDINGS = "published values of public recordings, which are not committed"
VOICE = "trains and tries voices of Debian packages; the clips that they spoke are committed"

LISTED = (
    Skip("tests/*", r"\w is not on disk: `python -m maxwhisper models get ", WEIGHTS),
    Skip("tests/evaluation/parity/test_gpu.py*", "no GPU on this machine", "CI has no GPU"),
    Skip("tests/evaluation/parity/test_gpu.py*", "only float32 must agree", "by design, on a GPU"),
    *(
        Skip(tests, "public recordings are not here", RECORDINGS)
        for tests in (
            "tests/audio/test_load.py::test_recording*",
            "tests/audio/test_load.py::test_every_shared_recording_is_in_the_table",
            "tests/audio/test_load.py::test_jfk_is_close_to_the_array_that_ctranslate2_tests_with",
            "tests/evaluation/parity/test_log_mel.py::test_oracle_values*",
            "tests/evaluation/parity/test_official_weights.py*",
            "tests/evaluation/parity/test_oracles.py*",
            "tests/peers/*::test_tiny_*",
            "tests/peers/*::test_base_*",
            "tests/peers/test_peer_ctranslate2.py*",
            "tests/peers/test_peer_openai_whisper.py::test_official_models_hear_the_speech*",
            "tests/peers/test_peer_transformers.py*",
            "tests/peers/test_peer_whisper_cpp.py::test_speech_begins_and_ends_where_theirs_does",
        )
    ),
    Skip(
        "tests/runtime/test_compiled.py*", r"this processor has no x86-64-v\d", "an older processor"
    ),
    Skip("tests/browser/*", "no Chromium on this machine", "it could not be installed"),
    Skip("tests/test_deploy.py*", "(curl|shellcheck) is not installed", "scripts of deploy/"),
    Skip("tests/tools/train_demo/*", "is not installed", VOICE),
    Skip(
        "tests/tools/robustness/test_homes.py*",
        "this user may not make a mount namespace",
        "in a container, or without root",
    ),
)


def pytest_addoption(parser):
    parser.addoption(FLAG, action="store_true", help="fail if a skip is not in tests/skips.py")


def pytest_configure(config):
    if config.getoption(FLAG):
        config.pluginmanager.register(SkipCounter())


def listed(test: str, says: str) -> Skip | None:
    """The line of the list that allows a skip, if there is one."""
    allowed = (skip for skip in LISTED if fnmatch(test, skip.tests) and re.search(skip.says, says))
    return next(allowed, None)


class SkipCounter:
    """Counts what is skipped: tests, and files that skip themselves when they are imported."""

    def __init__(self):
        self.counts = Counter()  # of each reason on the list
        self.unlisted = []  # "test: what its skip says"

    def _count(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            _, _, says = report.longrepr  # file, line, what the skip says
            skip = listed(report.nodeid, says)
            if skip is None:
                self.unlisted.append(f"{report.nodeid}: {says}")
            else:
                self.counts[skip.why] += 1

    pytest_runtest_logreport = pytest_collectreport = _count

    def pytest_sessionfinish(self, session, exitstatus):
        if self.unlisted and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.section("skipped tests")
        for why, count in self.counts.most_common():
            terminalreporter.write_line(f"{count:5} {why}")
        for line in self.unlisted:
            terminalreporter.write_line(f"NOT LISTED in tests/skips.py: {line}")
        if not self.unlisted:
            terminalreporter.write_line(f"{self.counts.total():5} in all, each on the list")

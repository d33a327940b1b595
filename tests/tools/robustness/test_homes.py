"""The suite of homes in its short form: a Gradio Space and a container, with the packages that are
here."""

import subprocess

import pytest

from tools.robustness.__main__ import run_named
from tools.robustness.suite import SuiteRun


def may_mount():
    """Whether this user may make a mount namespace: root on Linux, outside most containers."""
    try:
        return not subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode
    except OSError:
        return False


@pytest.mark.slow
def test_the_short_form_passes():
    if not may_mount():
        pytest.skip("this user may not make a mount namespace")
    record = run_named("homes", SuiteRun(is_short=True))
    assert not record.failures
    counts = {group.name: group.n_cases for group in record.groups}
    assert counts == {"Gradio Space": 9, "container, Docker Space": 10, "GPU machine": 1}

"""The files of deploy/docker: what is copied is there, and nothing else is sent to the engine."""

import fnmatch
import re

import yaml

from tests.conftest import ROOT
from tools.robustness.container import read

FOLDER = ROOT / "deploy" / "docker"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())


def test_the_image_is_the_page_with_locked_packages():
    image = read(FOLDER / "Dockerfile")
    assert "--require-hashes --requirement /tmp/requirements.lock" in image.installs
    assert {name for name, _ in image.copied} == {
        *("app.py", "LICENSE", "README.md", "baselines", "examples", "maxwhisper", "results/races")
    }
    assert (image.user, image.writable) == ("maxwhisper", "/data")
    assert image.environment["MAXWHISPER_CACHE"] == image.writable
    assert image.command[1:] == ["app.py", "--host", "0.0.0.0", "--port", "7860"]
    assert "/readyz" in image.health[-1]


def test_the_engine_is_sent_what_the_image_copies_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    image = read(FOLDER / "Dockerfile")
    assert kept == {name for name, _ in image.copied} | {"deploy/requirements.lock"}
    assert fnmatch.filter(lines, "**/__pycache__")


def test_the_page_is_hardened_and_trusts_only_the_proxy():
    page, proxy = COMPOSE["services"]["page"], COMPOSE["services"]["proxy"]
    for service in (page, proxy):
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in page, "only the proxy is public"
    address = proxy["networks"]["front"]["ipv4_address"]
    assert page["environment"]["FORWARDED_ALLOW_IPS"] == address
    assert (FOLDER / page["build"]["context"]).resolve() == ROOT
    assert (ROOT / page["build"]["dockerfile"]).is_file()
    assert page["volumes"] == [f"state:{read(FOLDER / 'Dockerfile').writable}"]


def test_the_proxy_is_that_of_the_gpu_machine():
    """The same site as in the script, but for its name and its address."""
    script = (ROOT / "deploy" / "lambda" / "deploy_lambda_ai.sh").read_text()
    site = re.search(r"cat <<SITE\n(.*?)\nSITE", script, re.S)[1]
    ours = (FOLDER / "Caddyfile").read_text().split("\n", 1)[1].rstrip("\n")
    assert ours == site.replace("127.0.0.1:$PORT", "page:7860")


def test_the_gpu_file_only_adds_the_gpu():
    extra = yaml.safe_load((FOLDER / "compose.gpu.yaml").read_text())
    (device,) = extra["services"]["page"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert list(extra["services"]) == ["page"]

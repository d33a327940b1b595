"""Better weights come by themselves: the first start, the second, a dead network, a full queue."""

import os
import threading
from types import SimpleNamespace

import pytest

from maxwhisper import checkpoint
from maxwhisper.engines.status import Status
from maxwhisper.web.server import better_weights
from maxwhisper.web.server.better_weights import BetterWeights, fit_for
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.queue import VisitorQueue
from tests.fakes import weights_site
from tests.fakes.engine_processes import wait_until

GPU = [{"name": "L4"}]
OFFICIAL = ["demo", "tiny", "base", "large-v3-turbo"]


@pytest.mark.parametrize(
    ("cores", "threads", "gpus", "device", "on_offer", "model"),
    [
        (2, 2, [], "auto", OFFICIAL, "tiny"),
        (4, 8, [], "auto", OFFICIAL, "base"),
        (16, 2, [], "auto", OFFICIAL, "tiny"),  # a container that may use two of them
        (None, 4, [], "auto", OFFICIAL, "base"),
        (2, 2, GPU, "auto", OFFICIAL, "large-v3-turbo"),
        (2, 2, GPU, "cpu", OFFICIAL, "tiny"),
        (2, 2, GPU, "auto", OFFICIAL[:3], "base"),  # too little memory for the largest
        (8, 8, [], "auto", ["demo", "tiny"], "tiny"),
        (8, 8, [], "auto", ["demo"], ""),
    ],
)
def test_the_model_fits_the_machine(cores, threads, gpus, device, on_offer, model):
    machine = {"cores": cores, "threads": threads, "gpus": gpus}
    assert fit_for(machine, on_offer, device) == model


class Pool:
    """A pool whose engines change model at once, and which writes down what is asked of it."""

    names = ("openai-whisper", "maxwhisper")

    def __init__(self):
        self.models, self.default_model = ("demo", "tiny"), "demo"
        self.asked, self.refused, self.model = [], (), "demo"
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.queue = VisitorQueue(FairUse(Limits()))

    def start(self):
        self.model = self.default_model

    def statuses(self):
        return {
            name: Status("unavailable", "/out/of/memory", self.model)
            if (name, self.model) in self.refused
            else Status("ready", "", self.model)
            for name in self.names
        }

    def prepare(self, model, cancelled):
        self.asked.append(("prepare", model, len(self.queue.places)))
        yield "preparing maxwhisper"
        assert self.may_go_on.wait(10)

    def use_model(self, model, cancelled):
        self.asked.append(("use", model, len(self.queue.places)))
        self.model = model


@pytest.fixture
def pool():
    return Pool()


@pytest.fixture
def site(monkeypatch, tmp_path):
    monkeypatch.setenv("MAXWHISPER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "others"))
    for name in ("MAXWHISPER_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with weights_site.serving(monkeypatch) as site:
        yield site


@pytest.fixture
def begin(pool, site):
    """A function that starts the page's better weights; all are ended."""
    started = []

    def begin_it(pool=pool, **settings):
        weights = BetterWeights("tiny", pool, pool.queue, **settings)
        weights.seen = []
        keep = weights._set

        def seen(phase, **more):
            keep(phase, **more)
            weights.seen.append(weights.standing)

        weights._set = seen
        weights.verify()
        pool.start()
        weights.start()
        started.append(weights)
        return weights

    yield begin_it
    for weights in started:
        weights.close()


def phases(weights):
    return list(dict.fromkeys(standing.phase for standing in weights.seen))


def is_ready(weights):
    return lambda: weights.standing.phase == "ready"


def test_a_first_start_fetches_prepares_and_changes_the_default(begin, pool, site):
    weights = begin()
    wait_until(is_ready(weights), timeout_s=10)
    assert phases(weights) == ["waiting", "downloading", "preparing", "ready"]
    assert pool.asked == [("prepare", "tiny", 0), ("use", "tiny", 1)], "it changed in a turn"
    assert (pool.default_model, pool.model) == ("tiny", "tiny")
    *_, last = [s.progress for s in weights.seen if s.phase == "downloading"]
    assert (last.name, last.done_bytes, last.total_bytes) == ("tiny", 3_072_000, 3_072_000)
    assert last.line.startswith("downloading tiny: 3 of 3 MiB")
    assert checkpoint.find("tiny") is not None


def test_a_second_start_has_it_from_the_first_race_on(begin, pool, site):
    wait_until(is_ready(begin()), timeout_s=10)
    site.is_dead = True
    again = Pool()
    weights = begin(again)
    assert again.model == again.default_model == "tiny"
    wait_until(is_ready(weights), timeout_s=10)
    assert again.asked == []
    assert len(site.ranges) == 1


def test_the_file_is_read_only_when_the_page_serves(begin, pool, site, monkeypatch):
    checkpoint.get("tiny")
    monkeypatch.setattr(checkpoint.places, "is_intact", lambda *_: pytest.fail("it was read"))
    monkeypatch.setattr(checkpoint.places, "_intact_then", lambda *_: pytest.fail("it was read"))
    BetterWeights("tiny", pool, pool.queue)
    assert pool.default_model == "tiny"


def test_a_damaged_file_is_found_before_the_engines_start_and_fetched_anew(begin, pool, site):
    path = checkpoint.get("tiny").path
    path.write_bytes(bytes(path.stat().st_size))
    weights = begin()
    assert pool.default_model == "demo"
    wait_until(is_ready(weights), timeout_s=10)
    assert "downloading" in phases(weights)
    assert checkpoint.find("tiny") is not None


def test_without_a_network_demo_stays_and_a_click_tries_again(begin, pool, site, monkeypatch):
    site.is_dead = True
    weights = begin()
    wait_until(lambda: weights.standing.phase == "failed", timeout_s=10)
    assert weights.standing.note == "downloaded"
    assert (pool.default_model, pool.asked) == ("demo", [])
    site.is_dead = False
    weights.ask()
    wait_until(is_ready(weights), timeout_s=10)
    assert pool.default_model == "tiny"


def test_a_network_that_comes_back_is_found_without_a_click(begin, pool, site, monkeypatch):
    monkeypatch.setattr(better_weights, "RETRY_S", 0.05)
    site.is_dead = True
    weights = begin()
    wait_until(lambda: len(site.ranges) >= 3, timeout_s=10)
    site.is_dead = False
    wait_until(is_ready(weights), timeout_s=10)


def test_a_download_cut_in_the_middle_goes_on_where_it_was(begin, pool, site):
    site.cut_after = 2_000_000
    weights = begin()
    wait_until(is_ready(weights), timeout_s=10)
    first, second = site.ranges
    assert first is None
    assert int(second.removeprefix("bytes=").rstrip("-")) > 1_000_000


def test_a_slow_download_says_how_long_it_takes(begin, pool, site):
    site.pause_s = 0.02  # 47 blocks: about a second
    weights = begin()
    wait_until(lambda: any(s.progress and s.progress.bytes_per_s for s in weights.seen), 10)
    shown = next(s.progress for s in weights.seen if s.progress and s.progress.bytes_per_s)
    assert 0 < shown.done_bytes < shown.total_bytes
    assert 0 < shown.seconds_left < 60
    assert pool.default_model == "demo"
    wait_until(is_ready(weights), timeout_s=10)


def test_a_file_with_another_checksum_is_never_used(begin, pool, site):
    site.content = site.content[:-1] + b"?"
    weights = begin()
    wait_until(lambda: weights.standing.phase == "failed", timeout_s=10)
    assert (pool.default_model, pool.asked, checkpoint.find("tiny")) == ("demo", [], None)


@pytest.mark.parametrize("variable", ["MAXWHISPER_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_asks_nobody_until_the_file_is_here(begin, pool, site, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    weights = begin()
    wait_until(lambda: weights.standing.phase == "offline", timeout_s=10)
    assert (site.ranges, pool.default_model) == ([], "demo")
    monkeypatch.delenv(variable)
    checkpoint.get("tiny")  # somebody copies it
    monkeypatch.setenv(variable, "1")
    weights.ask()
    wait_until(is_ready(weights), timeout_s=10)
    assert pool.default_model == "tiny"


def test_the_engines_change_after_the_race_that_is_running(begin, pool, site):
    with pool.queue.join("a visitor") as place:
        assert list(place.wait(lambda: False)) == []
        weights = begin()
        wait_until(lambda: len(pool.queue.places) == 2, timeout_s=10)
        assert pool.asked == [("prepare", "tiny", 1)]
        assert pool.default_model == "demo"
    wait_until(is_ready(weights), timeout_s=10)


def test_a_live_session_is_not_cut_off(begin, pool, site, monkeypatch):
    live = threading.Event()
    live.set()
    weights = begin(is_live=live.is_set)
    wait_until(lambda: weights.standing.note == "waiting for a turn", timeout_s=10)
    assert not threading.Event().wait(0.3)
    assert [what for what, *_ in pool.asked] == ["prepare"]
    assert pool.queue.places == [], "races go on meanwhile"
    live.clear()
    wait_until(is_ready(weights), timeout_s=10)


@pytest.mark.parametrize("is_second_start", [False, True])
def test_weights_that_an_engine_cannot_use_are_given_up(begin, pool, site, is_second_start):
    if is_second_start:
        checkpoint.get("tiny")
    pool.refused = tuple((name, "tiny") for name in pool.names)
    weights = begin()
    wait_until(lambda: weights.standing.phase == "failed", timeout_s=10)
    assert (weights.standing.note, pool.default_model, pool.model) == ("started", "demo", "demo")
    assert pool.queue.places == []


def test_useless_weights_are_tried_again_only_when_somebody_asks(begin, pool, site, monkeypatch):
    monkeypatch.setattr(better_weights, "RETRY_S", 0.05)
    pool.refused = tuple((name, "tiny") for name in pool.names)
    weights = begin()
    wait_until(lambda: weights.standing.phase == "failed", timeout_s=10)
    before = list(pool.asked)
    assert not threading.Event().wait(0.5)
    assert pool.asked == before, "each try reloads every engine in a turn of the queue"
    pool.refused = ()
    weights.ask()
    wait_until(is_ready(weights), timeout_s=10)


def test_an_engine_that_is_not_installed_does_not_stop_the_others(begin, pool, site):
    pool.refused = (("openai-whisper", "demo"), ("openai-whisper", "tiny"))
    wait_until(is_ready(begin()), timeout_s=10)


def test_a_page_that_is_closed_ends_a_download(begin, site):
    site.pause_s = 0.05
    weights = begin()
    wait_until(lambda: weights.standing.phase == "downloading", timeout_s=10)
    weights.close()
    names = lambda: [thread.name for thread in threading.enumerate()]  # noqa: E731
    wait_until(lambda: better_weights.VISITOR not in names(), timeout_s=10)


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="the system has no priorities")
def test_its_work_has_the_lowest_priority_and_that_of_the_page_is_kept(begin, pool, site):
    seen = []

    def prepare(model, cancelled):
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        yield from ()

    pool.prepare = prepare
    wait_until(is_ready(begin()), timeout_s=10)
    assert seen == [better_weights.LOWEST_PRIORITY]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) != seen[0]


def test_without_a_model_nothing_happens(pool):
    weights = BetterWeights("", pool, pool.queue, hub=SimpleNamespace())
    weights.start()
    weights.ask()
    assert weights.standing.phase == "off"
    assert pool.asked == []

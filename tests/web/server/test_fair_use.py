"""Each visitor's share of the page: counted by the hour, refused with a sentence."""

import re

import pytest

from maxwhisper.errors import OptionError
from maxwhisper.web.server.fair_use import (
    CHECKS,
    HOUR_S,
    MIN_RACE_S,
    RACES,
    FairUse,
    LimitExceeded,
    Limits,
)
from maxwhisper.web.server.visitor import LOCALHOST

ANNA, BORIS = "203.0.113.7", "2001:db8::/64"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def race(clock):
    """race(fair, visitor, seconds): a turn on the device that takes so long."""

    def take(fair, visitor, seconds, share=RACES):
        with fair.turn(visitor, share):
            clock.now += seconds

    return take


def test_device_time_is_counted_for_each_visitor_and_comes_back(clock, race):
    fair = FairUse(Limits(minutes=10), clock)
    race(fair, ANNA, 300)
    clock.now += 300
    race(fair, ANNA, 285)
    with pytest.raises(
        LimitExceeded,
        match=re.escape("used 9.75 and this needs at least 0.5 more. Come back in 51"),
    ):
        race(fair, ANNA, 1)
    race(fair, BORIS, 300)
    clock.now += HOUR_S - 800
    race(fair, ANNA, 1)


def test_a_tiny_race_counts_half_a_minute(clock, race):
    fair = FairUse(Limits(minutes=10), clock)
    n_races = int(10 * 60 / MIN_RACE_S)
    for _ in range(n_races):
        race(fair, ANNA, 0.1)
    with pytest.raises(LimitExceeded, match="Each visitor may use 10 minutes of races per hour"):
        race(fair, ANNA, 0.1)


def test_a_turn_that_fails_counts_too(clock):
    fair = FairUse(Limits(minutes=1), clock)

    def fail():
        with fair.turn(ANNA, RACES):
            clock.now += 60
            raise OptionError("broken")

    with pytest.raises(OptionError):
        fail()
    with pytest.raises(LimitExceeded):
        fair.check_turn(ANNA, RACES)


@pytest.mark.parametrize(("limit", "minutes"), [(1, 50), (6, 50), (10, 60)])
def test_a_visitor_who_comes_back_in_time_is_let_in(clock, race, limit, minutes):
    fair = FairUse(Limits(minutes=10), clock)
    race(fair, ANNA, 300)
    clock.now += 300
    race(fair, ANNA, 300)
    fair = _with_limit(fair, limit)
    with pytest.raises(LimitExceeded) as refused:
        race(fair, ANNA, 1)
    wait = int(re.search(r"Come back in (\d+) minutes", str(refused.value))[1])
    clock.now += 60 * wait
    race(fair, ANNA, 1)


def _with_limit(fair, minutes):
    fair.limits = Limits(minutes=minutes)
    return fair


def test_the_first_race_of_an_hour_may_exceed_the_limit(clock, race):
    fair = FairUse(Limits(minutes=0.1), clock)
    race(fair, ANNA, 5 * 600)
    with pytest.raises(LimitExceeded):
        race(fair, ANNA, 1)


def test_a_refused_request_is_not_counted(clock):
    fair = FairUse(Limits(uploads=2), clock)
    fair.use_upload(ANNA)
    clock.now += 1800
    fair.use_upload(ANNA)
    for _ in range(3):
        with pytest.raises(LimitExceeded, match="Each visitor may use 2 recordings per hour"):
            fair.use_upload(ANNA)
    clock.now += 1800
    fair.use_upload(ANNA)


def test_races_checks_and_recordings_are_counted_separately(clock, race):
    fair = FairUse(Limits(minutes=1, check_minutes=1, uploads=1), clock)
    race(fair, ANNA, 60)
    race(fair, ANNA, 60, CHECKS)
    fair.use_upload(ANNA)
    for share, what in ((RACES, "races"), (CHECKS, "component checks")):
        with pytest.raises(LimitExceeded, match=f"may use 1 minutes of {what} per hour"):
            fair.check_turn(ANNA, share)


def test_clicks_are_counted_by_the_minute(clock):
    fair = FairUse(Limits(clicks=10), clock)
    for _ in range(10):
        fair.use_click(ANNA)
    clock.now += 20
    with pytest.raises(LimitExceeded, match=r"may send 10 clicks per minute\. Wait 40 seconds\."):
        fair.use_click(ANNA)
    fair.use_click(BORIS)
    clock.now += 40
    fair.use_click(ANNA)


def test_a_page_is_counted_once_while_it_is_used(clock):
    fair = FairUse(Limits(pages=2), clock)
    for _ in range(3):
        for page in ("one", "two"):
            fair.use_page(ANNA, page)
            clock.now += HOUR_S / 2
    fair.use_page(ANNA, "three")
    fair.use_page(ANNA, "four")
    with pytest.raises(LimitExceeded, match="may use 2 pages per hour"):
        fair.use_page(ANNA, "five")
    fair.use_page(BORIS, "three")


def test_waiting_races_are_limited():
    fair = FairUse(Limits(waiting=2))
    fair.check_waiting(ANNA, 1)
    with pytest.raises(LimitExceeded, match="You already have 2 waiting in the queue"):
        fair.check_waiting(ANNA, 2)


@pytest.mark.parametrize(("visitor", "limit"), [(LOCALHOST, 1), (ANNA, 0)])
def test_the_machine_itself_has_no_limits_and_zero_means_none(clock, race, visitor, limit):
    fair = FairUse(Limits(*[limit] * 7), clock)
    for n in range(3):
        fair.check_waiting(visitor, 5)
        race(fair, visitor, 6000)
        fair.use_upload(visitor)
        fair.use_click(visitor)
        fair.use_page(visitor, str(n))
    assert not fair._used


def test_visitors_without_recent_requests_are_forgotten(clock):
    fair = FairUse(Limits(), clock)
    for n in range(100):
        fair.use_upload(f"203.0.113.{n}")
        fair.use_page(f"203.0.113.{n}", "page")
    clock.now += HOUR_S
    fair.use_upload(ANNA)
    assert len(fair._used) == 1
    assert not fair._pages


def test_limits_come_from_the_environment():
    said = {"MAXWHISPER_MAX_WAITING": "0", "MAXWHISPER_MAX_CHECK_MINUTES": "7.5"}
    assert Limits.from_environment(said) == Limits(waiting=0, check_minutes=7.5)


@pytest.mark.parametrize("text", ["many", "-1", "nan", "inf"])
def test_an_invalid_limit_is_named(text):
    with pytest.raises(OptionError, match="expected MAXWHISPER_MAX_UPLOADS as a number from 0 on"):
        Limits.from_environment({"MAXWHISPER_MAX_UPLOADS": text})

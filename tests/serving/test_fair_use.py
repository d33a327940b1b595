"""What one visitor may ask of an open page: counted by the hour, refused in words."""

import pytest

from maxwhisper.errors import OptionError
from maxwhisper.serving.fair_use import HERE, HOUR_S, FairUse, Limits, TooMuch

ANNA, BORIS = "203.0.113.7", "2001:db8::1"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_minutes_are_counted_for_each_visitor_and_come_back():
    clock = Clock()
    fair = FairUse(Limits(minutes=10), clock)
    fair.hear(ANNA, 300)
    clock.now += 600
    fair.hear(ANNA, 300)
    with pytest.raises(TooMuch, match="You had 10 and ask for 1 more: come back in 50 minutes"):
        fair.hear(ANNA, 60)
    fair.hear(BORIS, 300)
    clock.now += HOUR_S - 600
    fair.hear(ANNA, 300)
    with pytest.raises(TooMuch):
        fair.hear(ANNA, 1)


@pytest.mark.parametrize(("seconds", "minutes"), [(60, 50), (300, 50), (301, 60), (6000, 60)])
def test_who_comes_back_when_told_to_is_let_in(seconds, minutes):
    clock = Clock()
    fair = FairUse(Limits(minutes=10), clock)
    fair.hear(ANNA, 300)
    clock.now += 600
    fair.hear(ANNA, 300)
    with pytest.raises(TooMuch, match=f"come back in {minutes} minutes"):
        fair.hear(ANNA, seconds)
    clock.now += 60 * minutes
    fair.hear(ANNA, seconds)


def test_what_the_page_allows_at_all_may_be_asked_for_once():
    fair = FairUse(Limits(minutes=10), Clock())
    fair.hear(ANNA, 5 * 600)  # five rounds of ten minutes
    with pytest.raises(TooMuch):
        fair.hear(ANNA, 1)


def test_a_refused_request_is_not_counted():
    fair = FairUse(Limits(minutes=10), Clock())
    fair.hear(ANNA, 300)
    with pytest.raises(TooMuch):
        fair.hear(ANNA, 301)
    fair.hear(ANNA, 300)


def test_recordings_are_counted_apart_from_minutes():
    fair = FairUse(Limits(minutes=1, uploads=2), Clock())
    fair.hear(ANNA, 60)
    fair.upload(ANNA)
    fair.upload(ANNA)
    with pytest.raises(TooMuch, match="2 recordings an hour for each visitor"):
        fair.upload(ANNA)


def test_races_that_wait():
    fair = FairUse(Limits(waiting=2))
    fair.wait(ANNA, 1)
    with pytest.raises(TooMuch, match="2 of your races wait in the queue already"):
        fair.wait(ANNA, 2)


@pytest.mark.parametrize(("visitor", "limit"), [(HERE, 1), ("::1", 1), (ANNA, 0)])
def test_neither_the_machine_itself_nor_anybody_where_it_is_nought_is_limited(visitor, limit):
    fair = FairUse(Limits(waiting=limit, minutes=limit, uploads=limit), Clock())
    for _ in range(3):
        fair.wait(visitor, 5)
        fair.hear(visitor, 6000)
        fair.upload(visitor)


def test_visitors_who_ask_for_nothing_are_forgotten():
    clock = Clock()
    fair = FairUse(Limits(), clock)
    for n in range(100):
        fair.upload(f"203.0.113.{n}")
    clock.now += HOUR_S
    fair.upload(ANNA)
    assert len(fair._spent) == 1


def test_limits_come_from_the_environment():
    said = {"MAXWHISPER_MAX_WAITING": "0", "MAXWHISPER_MAX_MINUTES": "7.5"}
    assert Limits.from_environment(said) == Limits(waiting=0, minutes=7.5, uploads=Limits().uploads)


@pytest.mark.parametrize("text", ["many", "-1", "nan", "inf"])
def test_a_limit_that_is_none_is_named(text):
    with pytest.raises(OptionError, match="expected MAXWHISPER_MAX_UPLOADS as a number from 0 on"):
        Limits.from_environment({"MAXWHISPER_MAX_UPLOADS": text})

"""Races that go on while their page is away: a reload, a broken connection.

In: a race's views, drawn, as an iterator. Out: the same to everybody who watches, each from the
newest on. A race that nobody watches is stopped after `AWAY_S`. Imports no Gradio and no engine.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

AWAY_S = 6.0  # a browser that lost its connection looks every 2 s, and a reload takes about 2 s
Shown = tuple[Any, ...]


@dataclass
class _Race:
    """One race; everything here is read and changed under `news`."""

    visitor: str
    session: str  # of the page that started it
    views: Iterator[Shown]
    newest: Shown = ()
    n_views: int = 0
    is_over: bool = False
    watchers: set[str] = field(default_factory=set)  # sessions
    unwatched_at: float = 0.0
    news: threading.Condition = field(default_factory=threading.Condition)


class Ongoing:
    """The races that run now, by the id under which they will be saved."""

    def __init__(self, away_s: float = AWAY_S) -> None:
        self._away_s = away_s
        self._races: dict[str, _Race] = {}

    def begin(
        self, race_id: str, views: Iterator[Shown], *, visitor: str, session: str
    ) -> Iterator[Shown]:
        """Run a race in a thread of its own, and watch it. `views` raises nothing."""
        race = self._races[race_id] = _Race(visitor, session, views)
        race.watchers.add(session)
        threading.Thread(target=self._run, args=(race_id, race), daemon=True).start()
        return _watched(race, session)

    def watch(self, race_id: str, *, visitor: str, session: str) -> Iterator[Shown] | None:
        """The views of a race of `visitor` from now on; None if none of that id runs."""
        race = self._races.get(race_id)
        if race is None or race.visitor != visitor:
            return None
        with race.news:
            race.watchers.add(session)
        return _watched(race, session)

    def starter(self, session: str) -> str:
        """The session that started the race which `session` watches; itself without a race."""
        for race in list(self._races.values()):
            if session in race.watchers:
                return race.session
        return session

    def leave(self, session: str) -> bool:
        """The page of `session` was closed. True if a race that it watched goes on for now."""
        watched = [_unwatch(race, session) for race in list(self._races.values())]
        return True in watched

    def _run(self, race_id: str, race: _Race) -> None:
        try:
            for shown in race.views:
                with race.news:
                    race.newest, race.n_views = shown, race.n_views + 1
                    race.news.notify_all()
                    is_away = not race.watchers
                    if is_away and time.monotonic() - race.unwatched_at > self._away_s:
                        break
        finally:
            race.views.close()  # type: ignore[attr-defined]
            with race.news:
                race.is_over = True
                race.news.notify_all()
            del self._races[race_id]


def _watched(race: _Race, session: str) -> Iterator[Shown]:
    """The newest view whenever there is one, until the last."""
    n_seen = 0
    try:
        while True:
            with race.news:
                while race.n_views == n_seen and not race.is_over:
                    race.news.wait()
                if race.n_views == n_seen:
                    return
                shown, n_seen = race.newest, race.n_views
            yield shown
    finally:
        _unwatch(race, session)


def _unwatch(race: _Race, session: str) -> bool:
    """False if `session` did not watch the race."""
    with race.news:
        if session not in race.watchers:
            return False
        race.watchers.discard(session)
        race.unwatched_at = time.monotonic()
        return True

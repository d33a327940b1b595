"""Work ahead of a consumer, in threads, with back-pressure.

In: items and a function. Out: its results, in the order of the items. Workers stop when what waits
for the consumer costs more than the budget, so memory does not grow with the number of items.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

LAST_S = 1.0  # how long `close` waits for work in progress
MAX_DECODERS = 8  # threads


def n_decoders() -> int:
    """Threads that decode: half of the processors, because a CPU also runs the network."""
    return max(1, min(MAX_DECODERS, len(os.sched_getaffinity(0)) // 2))


class Prefetch(Generic[Item, Result]):
    """`work(item)` for each item, by `n_threads`, up to `budget` ahead; `cost` is a result's.

    At least one result is made ahead, whatever it costs, so a consumer is never stuck. An exception
    of `work` is raised where its result would be. The threads end with the process.
    """

    def __init__(
        self,
        items: Iterable[Item],
        work: Callable[[Item], Result],
        cost: Callable[[Result], float],
        budget: float,
        n_threads: int = 1,
    ) -> None:
        self._items = iter(items)
        self._work, self._cost, self._budget = work, cost, budget
        self._changed = threading.Condition()
        self._made: dict[int, Result | BaseException] = {}
        self._held = 0.0  # cost of what is made and not taken
        self._n_begun = 0
        self._is_over = False
        self._threads = [
            threading.Thread(target=self._run, name=f"prefetch-{i}", daemon=True)
            for i in range(n_threads)
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Result]:
        number = 0
        while True:
            with self._changed:
                while not self._is_ready(number):
                    self._changed.wait()
                if number not in self._made:
                    return
                made = self._made.pop(number)
                if not isinstance(made, BaseException):
                    self._held -= self._cost(made)
                self._changed.notify_all()
            if isinstance(made, BaseException):
                raise made
            number += 1
            yield made
            del made

    def close(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(LAST_S)

    def _is_ready(self, number: int) -> bool:
        return number in self._made or (self._is_over and number >= self._n_begun)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_over or self._held < self._budget)
                if self._is_over:
                    return
                try:
                    item = next(self._items)
                except BaseException as error:
                    if not isinstance(error, StopIteration):
                        self._made[self._n_begun] = error
                        self._n_begun += 1
                    self._is_over = True
                    self._changed.notify_all()
                    return
                number = self._n_begun
                self._n_begun += 1
            made: Result | BaseException
            try:
                made = self._work(item)
            except BaseException as error:
                made = error
            with self._changed:
                self._made[number] = made
                if not isinstance(made, BaseException):
                    self._held += self._cost(made)
                self._changed.notify_all()
            del made

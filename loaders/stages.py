"""Stages that overlap: each runs ahead of the next by a few items, and waits where the next is slower."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Full, Queue
from typing import Generic, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 4  # items between two stages: enough to smooth, too few to fill the memory
_LOOK_S = 0.1


@dataclass
class StageTimes:
    """Seconds of one stage: at work, waiting for what comes in, and waiting for room to put what comes out."""

    busy_s: float = 0.0
    starved_s: float = 0.0
    blocked_s: float = 0.0


@dataclass
class Times:
    """The times of every stage by its name."""

    stages: dict[str, StageTimes] = field(default_factory=dict)

    def of(self, stage: str) -> StageTimes:
        """Return the stage's times, zero before it began."""
        return self.stages.setdefault(stage, StageTimes())

    @property
    def bottleneck(self) -> str:
        """Return the stage that was longest at work: the others wait for it."""
        return max(self.stages, key=lambda name: self.stages[name].busy_s, default="")

    def waits(self) -> dict[str, dict[str, float]]:
        """Return, in seconds, how long each stage waited for the one before it and for the one behind it."""
        return {
            name: {"for_input_s": round(stage.starved_s, 2), "for_output_s": round(stage.blocked_s, 2)}
            for name, stage in self.stages.items()
        }


@dataclass(frozen=True)
class _Failure:
    error: BaseException


_END = object()


class Prefetcher(Generic[T]):
    """An iterator whose items are made in a thread of its own; `close` ends the thread, and the stages before it."""

    def __init__(self, items: Iterator[T], own: StageTimes, next_: StageTimes) -> None:
        self._items, self._own, self._next = items, own, next_
        self._queue: Queue[object] = Queue(AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        """Return the next item; raises what the stage raised."""
        began = time.perf_counter()
        item = self._queue.get()
        self._next.starved_s += time.perf_counter() - began
        if item is _END or isinstance(item, _Failure):
            self._queue.put(_END)  # whoever asks again gets the end again
            if isinstance(item, _Failure):
                raise item.error
            raise StopIteration
        return cast(T, item)

    def close(self) -> None:
        """End the stage after the item in hand, and what it reads from."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            try:
                self._hand_on()
            finally:  # here: what was opened in this thread may belong to it
                close = getattr(self._items, "close", None)
                if close is not None:
                    close()
        except BaseException as error:  # noqa: BLE001 - it is raised again where the items are read
            self._put(_Failure(error))

    def _hand_on(self) -> None:
        while not self._stopped.is_set():
            starved_s, began = self._own.starved_s, time.perf_counter()
            item = next(self._items, _END)
            spent_s = time.perf_counter() - began
            self._own.busy_s += spent_s - (self._own.starved_s - starved_s)
            self._put(item)
            if item is _END:
                return

    def _put(self, item: object) -> None:
        began = time.perf_counter()
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_S)
                break
            except Full:
                continue
        self._own.blocked_s += time.perf_counter() - began


def in_flight(items: Iterator[T], work: Callable[[T], R], threads: int, own: StageTimes) -> Iterator[R]:
    """Yield work(item) in the order of the items, `threads` of them at work at once and one waiting.

    Where one fails, those in flight with it land and are yielded before its error is raised.
    """
    flying: deque[Future[R]] = deque()
    failure: BaseException | None = None
    with ThreadPoolExecutor(threads) as pool:
        while failure is None and (item := next(items, _END)) is not _END:
            flying.append(pool.submit(work, cast(T, item)))
            if len(flying) > threads:
                failure = yield from _land(flying, own)
        while flying:
            failure = (yield from _land(flying, own)) or failure
    if failure is not None:
        raise failure


def _land(flying: deque[Future[R]], own: StageTimes) -> Generator[R, None, BaseException | None]:
    """Yield what the first one gives; return its error where it failed."""
    began = time.perf_counter()
    first = flying.popleft()
    error = first.exception()
    own.busy_s += time.perf_counter() - began
    if error is None:
        yield first.result()
    return error

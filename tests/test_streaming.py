"""Prefetching with fake items: order, bound, errors, early close."""

from __future__ import annotations

import gc
import itertools
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from vid2vid_cli.process.streaming import AbandonedError, is_abandoned, prefetch


def threads_of_ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vid2vid-prefetch"]


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_order_is_kept_and_nothing_is_lost(depth: int) -> None:
    assert list(prefetch(range(200), depth)) == list(range(200))
    assert not threads_of_ours()


def test_empty_source_ends_at_once() -> None:
    assert list(prefetch(iter(()))) == []


def test_producer_runs_in_another_thread() -> None:
    def source() -> Iterator[int]:
        yield threading.get_ident()

    assert next(iter(prefetch(source()))) != threading.get_ident()


@pytest.mark.parametrize("depth", [1, 3])
def test_producer_is_exactly_depth_and_one_ahead(depth: int) -> None:
    made = 0
    changed = threading.Condition()

    def source() -> Iterator[int]:
        nonlocal made
        for number in range(50):
            with changed:
                made += 1
                changed.notify()
            yield number

    for taken, _ in enumerate(prefetch(source(), depth), start=1):
        expected = min(50, taken + depth + 1)
        with changed:
            # It must get that far, or nothing would run side by side; and no farther, or memory would grow.
            assert changed.wait_for(lambda expected=expected: made >= expected, timeout=60)
        assert made == expected


def test_error_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise KeyError("broken")

    got = []
    with pytest.raises(KeyError, match="broken"):
        for item in prefetch(source(), 1):
            got.append(item)
    assert got == [0, 1, 2]
    assert not threads_of_ours()


def test_error_of_making_the_iterator_is_raised() -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise OSError("no source")

    with pytest.raises(OSError, match="no source"):
        list(prefetch(Broken()))


def test_early_close_closes_the_source_in_its_thread_and_ends_it() -> None:
    closed_in: list[str] = []

    def source() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed_in.append(threading.current_thread().name)

    stage = prefetch(source(), 2)
    assert [next(stage) for _ in range(3)] == [0, 1, 2]
    stage.close()  # type: ignore[attr-defined]
    assert closed_in == ["vid2vid-prefetch"]
    assert not threads_of_ours()


def test_closing_the_last_of_two_stages_closes_the_first() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    doubled = prefetch((2 * item for item in prefetch(source(), 2)), 2)
    assert [next(doubled) for _ in range(4)] == [0, 2, 4, 6]
    doubled.close()  # type: ignore[attr-defined]
    gc.collect()
    assert closed.wait(60)
    assert not threads_of_ours()


def test_a_stage_that_was_never_started_leaves_nothing() -> None:
    stage = prefetch(itertools.count())
    assert not threads_of_ours()
    stage.close()  # type: ignore[attr-defined]
    assert not threads_of_ours()


def test_an_item_dies_while_the_next_one_is_awaited() -> None:
    class Item:
        pass

    freed: list[bool] = []

    def source() -> Iterator[Item]:
        for _ in range(3):
            item = Item()
            reference = weakref.ref(item)
            yield item
            del item
            deadline_s = time.monotonic() + 2
            while reference() is not None and time.monotonic() < deadline_s:
                time.sleep(0.001)
            freed.append(reference() is None)

    for item in prefetch(source(), 1):
        del item
    assert freed == [True, True, True]


def test_depth_must_be_positive_and_is_checked_at_the_call() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        prefetch(range(3), 0)


class JustThen(threading.Thread):
    """A thread at whose start an interrupt comes."""

    def start(self) -> None:
        super().start()
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_just_when_the_thread_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "Thread", JustThen)
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(prefetch(itertools.count()))
    finally:
        signal.signal(signal.SIGINT, usual)
    assert not threads_of_ours()


def test_interrupt_ends_producer_and_process() -> None:
    program = """
import time
from vid2vid_cli.process.streaming import AbandonedError, is_abandoned, prefetch

def source():
    try:
        for number in range(10_000):
            yield number
            time.sleep(0.01)
    finally:
        print("closed", flush=True)

stage = prefetch(source())
try:
    for number in stage:
        if number == 3:
            print("running", flush=True)
except KeyboardInterrupt:
    stage.close()
    print("interrupted", flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "running\n"
    child.send_signal(signal.SIGINT)
    rest, _ = child.communicate(timeout=15)
    assert rest.split() == ["closed", "interrupted"]
    assert child.returncode == 0


def test_closing_the_last_stage_reaches_the_first_though_it_waits_for_something_outside() -> None:
    ended = threading.Event()

    def stalled() -> Iterator[int]:
        yield 1
        try:
            for _ in range(3000):  # a child that stands still, for thirty seconds
                if is_abandoned():
                    raise AbandonedError
                time.sleep(0.01)
        finally:
            ended.set()

    def stage(items: Iterator[int]) -> Iterator[int]:
        yield from prefetch(items, 1)

    last = prefetch(stage(stage(stalled())), 1)
    assert next(last) == 1
    began = time.monotonic()
    last.close()  # type: ignore[attr-defined]
    assert ended.is_set() and not threads_of_ours()
    assert time.monotonic() - began < 15
    assert not is_abandoned()  # of the main thread nobody is tired

"""No minute holds more than its limits, whatever the concurrency."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import BadInput
from workbench.judges.pace import WINDOW_S, Pace


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def admitted(sizes: list[int], requests: int | None, tokens: int | None) -> list[tuple[float, int]]:
    """Return when each of so many requests, all asked for at once, was let through."""
    time, found = Time(), []

    async def one(pace: Pace, size: int) -> None:
        await pace.admit(size)
        found.append((time.now, size))

    async def all_at_once() -> None:
        pace = Pace(requests, tokens, sleep=time.sleep, clock=time.clock)
        await asyncio.gather(*(one(pace, size) for size in sizes))

    asyncio.run(all_at_once())
    return found


def test_requests_a_minute() -> None:
    # Three at once, three when the first minute is over, one more after the second.
    times = [at for at, _ in admitted([1] * 7, 3, None)]
    assert times == [0, 0, 0, WINDOW_S, WINDOW_S, WINDOW_S, 2 * WINDOW_S]


def test_tokens_a_minute_and_one_that_is_larger_than_a_minute() -> None:
    # 60 + 40 fit in 100; 50 waits; 500 never fits, so it waits for an empty minute; 10 waits behind it.
    found = admitted([60, 40, 50, 500, 10], None, 100)
    assert found == [(0, 60), (0, 40), (WINDOW_S, 50), (2 * WINDOW_S, 500), (3 * WINDOW_S, 10)]


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 50), max_size=40), requests=st.integers(1, 9), tokens=st.integers(50, 200)
)
def test_every_minute_holds(sizes: list[int], requests: int, tokens: int) -> None:
    found = admitted(sizes, requests, tokens)
    assert [size for _, size in found] == sizes  # in their order
    for start, _ in found:
        minute = [size for at, size in found if start <= at < start + 60]
        assert len(minute) <= requests
        assert sum(minute) <= tokens


def test_what_a_request_really_took_counts() -> None:
    async def three() -> list[float]:
        time = Time()
        pace = Pace(None, 100, sleep=time.sleep, clock=time.clock)
        first = await pace.admit(90)
        pace.settle(first, 30)
        await pace.admit(70)  # 30 + 70 fit
        fit = time.now
        await pace.admit(1)
        return [fit, time.now]

    assert asyncio.run(three()) == [0, WINDOW_S]


def test_no_limit_counts_nothing_and_a_limit_below_one_is_refused() -> None:
    assert asyncio.run(Pace().admit(1e9)) is None
    for limit in (0, -1, float("nan")):
        with pytest.raises(BadInput, match="at least 1"):
            Pace(limit)

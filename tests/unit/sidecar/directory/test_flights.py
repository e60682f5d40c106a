from __future__ import annotations

import asyncio

import pytest

from sidecar.directory.flights import Flights


class Loading:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.answers: dict[str, asyncio.Future[str]] = {}

    async def __call__(self, key: str) -> str:
        self.calls.append(key)
        self.answers[key] = asyncio.get_running_loop().create_future()
        return await self.answers[key]


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_those_who_ask_for_one_key_wait_for_one_load() -> None:
    loading = Loading()
    flights = Flights(loading)
    waiters = [asyncio.create_task(flights.join("a")) for _ in range(10)]
    other = asyncio.create_task(flights.join("b"))
    await turn()
    assert loading.calls == ["a", "b"]
    loading.answers["a"].set_result("A")
    loading.answers["b"].set_result("B")
    assert await asyncio.gather(*waiters) == ["A"] * 10
    assert await other == "B"


async def test_a_key_is_loaded_again_after_its_load_has_ended() -> None:
    loading = Loading()
    flights = Flights(loading)
    for answer in ("first", "second"):
        waiter = asyncio.create_task(flights.join("a"))
        await turn()
        loading.answers["a"].set_result(answer)
        assert await waiter == answer
    assert loading.calls == ["a", "a"]


async def test_a_load_goes_on_when_one_of_those_who_wait_gives_up() -> None:
    loading = Loading()
    flights = Flights(loading)
    impatient, patient = (asyncio.create_task(flights.join("a")) for _ in range(2))
    await turn()
    impatient.cancel()
    await turn()
    loading.answers["a"].set_result("A")
    assert await patient == "A"
    assert impatient.cancelled()


async def test_an_error_reaches_everybody_who_waits_and_is_not_remembered() -> None:
    loading = Loading()
    flights = Flights(loading)
    waiters = [asyncio.create_task(flights.join("a")) for _ in range(2)]
    await turn()
    loading.answers["a"].set_exception(ConnectionError("away"))
    for waiter in waiters:
        with pytest.raises(ConnectionError):
            await waiter
    again = asyncio.create_task(flights.join("a"))
    await turn()
    loading.answers["a"].set_result("A")
    assert await again == "A"


async def test_an_error_that_nobody_waits_for_any_more_is_not_complained_about() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    loading = Loading()
    flights = Flights(loading)
    waiter = asyncio.create_task(flights.join("a"))
    await turn()
    waiter.cancel()
    loading.answers["a"].set_exception(ConnectionError("away"))
    await turn()
    del waiter, loading, flights
    await turn()
    assert complaints == []


async def test_loads_under_way_can_be_ended() -> None:
    loading = Loading()
    flights = Flights(loading)
    waiter = asyncio.create_task(flights.join("a"))
    await turn()
    flights.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter

"""What all personas share: choices from a seed, think times, requests with an outcome, and patience."""

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, ClassVar

import gevent
from locust import FastHttpUser
from locust.contrib.fasthttp import LocustUserAgent

from journal import Journal
from personas.answer import Answer, read

__all__ = ["Shopper"]

TIMEOUT = 10.0
"""Seconds for an answer, from the first byte sent to the last byte received. `send` may be given another time."""
SILENCE = 30.0
"""Seconds without a byte; a stream of events sends one at least every 15 s."""
PATIENCE = 3
"""How often a shopper repeats a request that the shop cannot serve now."""
LONGEST_WAIT = 30
"""Seconds. A shopper leaves if Retry-After is longer."""
THINKING = 2.0
"""Seconds: the median of the time between two steps, which is log-normal with SPREAD."""
SPREAD = 0.6
WORKERS = 1000
"""More than the workers of any run, so that no two shoppers have the same number."""

# `send` decides about the status. Locust would write a report about each request with another status than these.
LocustUserAgent.valid_response_codes = frozenset(range(100, 600))
_numbers: defaultdict[str, Any] = defaultdict(count)


class Shopper(FastHttpUser):
    """Somebody who uses the shop. A subclass has one task, `visit`, which may be repeated.

    SEED and the number of the shopper determine all choices, through `self.random`. Keys and IDs that must be unique do
    not come from it. If `due` is set to a `time.perf_counter()`, the first request's time counts from then.
    """

    abstract = True
    host = "http://localhost:8080"
    network_timeout = SILENCE
    connection_timeout = 5.0
    max_redirects = 0
    concurrency = 1
    journal: ClassVar[Journal] = Journal(None)

    def __init__(self, environment: Any, number: int | None = None) -> None:
        super().__init__(environment)
        name = type(self).__name__
        if number is None:
            number = next(_numbers[name]) * WORKERS + getattr(environment.runner, "worker_index", 0)
        self.number = number
        self.random = random.Random(f"{os.environ.get('SEED') or 1}:{name}:{number}")  # noqa: S311
        self.due: float | None = None

    def pick(self, found: Sequence[Any], count: int = 1) -> list[Any]:
        """Chooses up to `count` different ones. It takes as many random numbers however many there are.

        So an answer that differs from that of another run does not change the choices after it.
        """
        rest = list(found)
        places = [self.random.random() for _ in range(count)]
        return [rest.pop(int(place * len(rest))) for place in places[: len(found)]]

    def wait_time(self) -> float:
        """Seconds between two visits."""
        return self._pause()

    def think(self) -> None:
        gevent.sleep(self._pause())

    def _pause(self) -> float:
        return min(self.random.lognormvariate(0, SPREAD) * THINKING, 10 * THINKING)

    def leave(self) -> None:
        """Closes the connections, and forgets the cookies."""
        self.client.client.clientpool.close()
        self.client.cookiejar.clear()

    def on_stop(self) -> None:
        self.leave()

    def call(self, step: str, method: str, path: str, **request: Any) -> Answer:
        """Sends a request, and repeats it while the shop says "later". Do not use it for a POST that must happen once.

        The arguments are those of `send`.
        """
        return self.patiently(lambda: self.send(step, method, path, **request))

    def patiently(self, send: Callable[[], Answer]) -> Answer:
        """Repeats `send` as long as its answer says "later", with jitter: at most PATIENCE times."""
        for tries in range(PATIENCE):
            answer = send()
            wait = answer.retry_after or 0.5 * 2**tries
            if not answer.later or wait > LONGEST_WAIT:
                return answer
            gevent.sleep(wait * random.uniform(1.0, 1.5))  # noqa: S311
        return send()

    def send(
        self,
        step: str,
        method: str,
        path: str,
        *,
        content: str | None = None,
        headers: dict[str, str] | None = None,
        into: Any = Any,
        expected: tuple[int, ...] = (),
        forbidden: str = "",
        timeout: float = TIMEOUT,
        timed: bool = True,
    ) -> Answer:
        """Sends a request once, and counts its outcome.

        `into` is the type of the answer's JSON. An answer with one of the statuses `expected` is a success. `forbidden`
        names an attempt to which the shop must give one of these statuses. Unless `timed`, only the outcome counts,
        since the answer waits.
        """
        began = time.perf_counter()
        late, self.due = began - (self.due or began), None
        with (
            gevent.Timeout(timeout),
            self.client.request(
                method, path, name=step, data=content, headers=headers, catch_response=True
            ) as response,
        ):
            answer = read(response, (time.perf_counter() - began + late) * 1000, into)
            meta = response.request_meta
            meta["response_time"] = meta["response_time"] + late * 1000 if timed else None
            wanted = answer.status in expected or (answer.ok and not forbidden)
            if forbidden and answer.ok:
                response.failure(f"hostile: {forbidden}")
            elif wanted:
                response.success()
            elif answer.refused and (answer.later or not forbidden):
                # Locust counts refusals apart, for all workers: their times are not those of answers.
                meta |= {
                    "request_type": "later" if answer.later else "refused",
                    "name": f"{step}: {answer.slug or answer.status}",
                }
                response.success()
            else:
                response.failure(str(answer))
        if not answer.status:
            self.client.client.clientpool.close()  # what comes late must not be taken for the next answer
        return answer

    def journey(self, ms: float, *, refused: str = "", failed: str | None = None, settled: bool = True) -> None:
        """Counts an order that was CONFIRMED after `ms` milliseconds, or was not."""
        self.environment.events.request.fire(
            request_type="refused" if refused else "journey" if settled else "unsettled",
            name=f"order to CONFIRMED: {refused}" if refused else "order to CONFIRMED",
            response_time=ms,
            response_length=0,
            exception=failed,
            context={},
        )

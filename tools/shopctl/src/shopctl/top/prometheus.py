"""Snapshots of a shop from the Prometheus that scrapes it: one query for all series that the page needs."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Self

import aiohttp

from chassis.local.processes import StartError
from shopctl.console import reason
from shopctl.services import Services
from shopctl.top.series import Sample, Series
from shopctl.top.snapshot import Process, Snapshot
from shopctl.topology import Queue
from shopctl.topology import queues as queues_of

__all__ = ["Prometheus"]

TIMEOUT = 5.0
MESSAGES, CONSUMERS = "rabbitmq_detailed_queue_messages_ready", "rabbitmq_detailed_queue_consumers"
STORES = {"postgres": "pg_up", "valkey": "redis_up", "rabbitmq": "up", "nginx": "nginx_up"}
"""The jobs of the stores and the edge, with the metric that says whether the store itself answers."""
MEMORY = ("process_resident_memory_bytes", "redis_memory_used_rss_bytes", "rabbitmq_process_resident_memory_bytes")
QUERY = (
    '{__name__=~"up|pg_up|redis_up|nginx_up|quayside_.+|http_server_request_duration_seconds_(count|bucket)'
    f'|process_cpu_seconds_total|{"|".join(MEMORY)}|{MESSAGES}|{CONSUMERS}"}}'
)


class Prometheus:
    """A shop as its Prometheus knows it, inside an `async with` block. Jobs have the names of services and stores."""

    window = 60.0  # several scrapes, which are 5 to 15 seconds apart

    def __init__(self, url: str, services: Services) -> None:
        self._url = url
        self._services = services
        self._http: aiohttp.ClientSession | None = None
        self._last: Snapshot | None = None
        self.title = f"Prometheus at {url.rpartition('@')[2]}"

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def first(self) -> list[Snapshot]:
        """The state a minute ago, and now. Raises StartError if Prometheus does not answer."""
        now = time.time()
        try:
            return [await self._at(now - self.window), await self._at(now)]
        except (aiohttp.ClientError, OSError, TimeoutError, LookupError, TypeError, ValueError) as error:
            raise StartError(f"{self.title} cannot be read: {reason(error)}") from None

    async def look(self) -> Snapshot:
        """The state now; or the last known one, with a remark, if Prometheus does not answer."""
        now = time.time()
        try:
            self._last = await self._at(now)
        except (aiohttp.ClientError, OSError, TimeoutError, LookupError, TypeError, ValueError) as error:
            last = self._last or Snapshot(now, [], {})
            return Snapshot(last.at, last.processes, last.queues, [f"Prometheus does not answer: {reason(error)}"])
        return self._last

    async def _at(self, time: float) -> Snapshot:
        assert self._http is not None
        async with self._http.post(f"{self._url}/api/v1/query", data={"query": QUERY, "time": f"{time:.3f}"}) as answer:
            if answer.status != 200:
                raise ValueError(f"it answered {answer.status}")
            found = (await answer.json())["data"]["result"]
        samples = [_sample(each["metric"], each["value"][1]) for each in found]
        return Snapshot(time, [*self._processes(samples)], self._queues(samples))

    def _processes(self, samples: list[Sample]) -> Iterable[Process]:
        grouped: dict[tuple[str, str], list[Sample]] = {}
        for each in samples:
            key = each.labels.get("job", ""), each.labels.get("instance", "")
            grouped.setdefault(key, []).append(each)
        for (job, instance), of_process in sorted(grouped.items()):
            if job in self._services.names:
                series = Series(of_process)
                yield Process(job, f"{job} {instance}", _is_up(series, "up"), _memory(series), series)
            elif job in STORES:
                series = Series(of_process)
                name = "edge" if job == "nginx" else job
                yield Process(name, f"{job} {instance}", _is_up(series, STORES[job]), _memory(series))

    def _queues(self, samples: list[Sample]) -> Mapping[str, Queue | None] | None:
        series = Series(each for each in samples if each.name in (MESSAGES, CONSUMERS))
        known = set(series.values(MESSAGES, "queue"))
        if not known:
            return None
        return {name: _queue(series, name) if name in known else None for name in queues_of(self._services)}


def _sample(metric: Mapping[str, Any], value: str) -> Sample:
    return Sample(metric["__name__"], {key: label for key, label in metric.items() if key != "__name__"}, float(value))


def _is_up(series: Series, metric: str) -> bool:
    return bool(series.total("up")) and bool(series.total(metric))


def _memory(series: Series) -> int | None:
    return next((int(found) for name in MEMORY if (found := series.total(name)) is not None), None)


def _queue(series: Series, name: str) -> Queue:
    messages, consumers = series.total(MESSAGES, queue=name) or 0, series.total(CONSUMERS, queue=name) or 0
    return Queue(int(messages), int(consumers))

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
REPORTED = {"edge": "up", "postgres": "pg_up", "valkey": "redis_up", "rabbitmq": "up"}
"""The jobs about the edge and the stores, with the metric that says whether these themselves answer."""
MEMORY = ("process_resident_memory_bytes", "redis_memory_used_rss_bytes", "rabbitmq_process_resident_memory_bytes")
QUERY = (
    '{__name__=~"up|pg_up|redis_up|quayside_.+|http_server_request_duration_seconds_(count|bucket)'
    f'|process_cpu_seconds_total|{"|".join(MEMORY)}|{MESSAGES}|{CONSUMERS}"}}'
)
UNREADABLE = (aiohttp.ClientError, OSError, TimeoutError, LookupError, TypeError, ValueError)


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
            before, self._last = await self._at(now - self.window), await self._at(now)
        except UNREADABLE as error:
            raise StartError(f"{self.title} cannot be read: {reason(error)}") from None
        return [before, self._last]

    async def look(self) -> Snapshot:
        """The state now; or the last known one, with a remark, if Prometheus does not answer."""
        now = time.time()
        try:
            self._last = await self._at(now)
        except UNREADABLE as error:
            last = self._last or Snapshot(now, [], {})
            return Snapshot(last.at, last.processes, last.queues, [f"Prometheus does not answer: {reason(error)}"])
        return self._last

    async def _at(self, time: float) -> Snapshot:
        assert self._http is not None
        async with self._http.post(f"{self._url}/api/v1/query", data={"query": QUERY, "time": f"{time:.3f}"}) as answer:
            if answer.status != 200:
                raise ValueError(f"it answered {answer.status}")
            found = (await answer.json())["data"]["result"]
        targets: dict[tuple[str, str], list[Sample]] = {}
        for each in found:
            sample = _sample(each["metric"], each["value"][1])
            targets.setdefault((sample.labels.get("job", ""), sample.labels.get("instance", "")), []).append(sample)
        series = {key: Series(samples) for key, samples in sorted(targets.items())}
        return Snapshot(
            time,
            [process for (job, instance), each in series.items() for process in self._processes(job, instance, each)],
            self._queues(Series(sample for each in series.values() for sample in each)),
            [
                f"Prometheus does not reach {instance}, which reports about {job}."
                for (job, instance), each in series.items()
                if job in REPORTED and not each.total("up")
            ],
        )

    def _processes(self, job: str, instance: str, series: Series) -> Iterable[Process]:
        """The process behind a target of Prometheus; none if its exporter does not tell."""
        name, up = f"{job} {instance}", bool(series.total("up"))
        if job in self._services.names:
            yield Process(job, name, up, _memory(series), series if up else None)
        elif job in REPORTED and up:
            yield Process(job, name, bool(series.total(REPORTED[job])), _memory(series), series)

    def _queues(self, series: Series) -> Mapping[str, Queue | None] | None:
        known = set(series.values(MESSAGES, "queue"))
        if not known:
            return None
        return {name: _queue(series, name) if name in known else None for name in queues_of(self._services)}


def _sample(metric: Mapping[str, Any], value: str) -> Sample:
    return Sample(metric["__name__"], {key: label for key, label in metric.items() if key != "__name__"}, float(value))


def _memory(series: Series) -> int | None:
    return next((int(found) for name in MEMORY if (found := series.total(name)) is not None), None)


def _queue(series: Series, name: str) -> Queue:
    messages, consumers = series.total(MESSAGES, queue=name) or 0, series.total(CONSUMERS, queue=name) or 0
    return Queue(int(messages), int(consumers))

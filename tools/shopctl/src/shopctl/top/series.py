"""The series of a process in Prometheus' form: sums, quantiles, and what was counted between two times."""

from collections.abc import Iterable, Iterator, Mapping
from math import inf, isnan
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Sample", "Series", "parse"]

WANTED = ("quayside_", "http_server_request_duration_seconds", "process_cpu_seconds_total")


class Sample(NamedTuple):
    name: str
    labels: Mapping[str, str]
    value: float


class Series:
    """Samples of one process, or of several, whose values are then added. NaN means that there is no value."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._named: dict[str, list[Sample]] = {}
        for sample in samples:
            if not isnan(sample.value):
                self._named.setdefault(sample.name, []).append(sample)

    def __iter__(self) -> Iterator[Sample]:
        return (sample for samples in self._named.values() for sample in samples)

    def all(self, name: str, **labels: str) -> list[Sample]:
        """The samples with this name and these labels, among others."""
        found = self._named.get(name, [])
        return [each for each in found if labels.items() <= each.labels.items()] if labels else found

    def total(self, name: str, **labels: str) -> float | None:
        """The sum; None if there is no such series."""
        found = self.all(name, **labels)
        return sum(each.value for each in found) if found else None

    def highest(self, name: str, **labels: str) -> float | None:
        """The highest value; for gauges that each process reads from the same database."""
        return max((each.value for each in self.all(name, **labels)), default=None)

    def values(self, name: str, label: str) -> list[str]:
        """The values that a label has."""
        return list(dict.fromkeys(each.labels.get(label, "") for each in self.all(name)))

    def quantile(self, q: float, histogram: str, **labels: str) -> float | None:
        """The quantile of a histogram, as `histogram_quantile` of Prometheus estimates it; None if it is empty."""
        buckets: dict[float, float] = {}
        for each in self.all(f"{histogram}_bucket", **labels):
            bound = float(each.labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + each.value
        total = buckets.get(inf, 0.0)
        if not total:
            return None
        below, lower = 0.0, 0.0
        for bound, count in sorted(buckets.items()):
            if count >= q * total and count > below:
                return lower if bound == inf else lower + (bound - lower) * (q * total - below) / (count - below)
            below, lower = count, bound
        return lower

    def since(self, before: "Series") -> "Series":
        """What was counted since `before`; a counter that is lower than before began again at 0."""
        known = {(each.name, *sorted(each.labels.items())): each.value for each in before}
        return Series(
            Sample(each.name, each.labels, each.value - old if each.value >= old else each.value)
            for each in self
            for old in [known.get((each.name, *sorted(each.labels.items())), 0.0)]
        )


def parse(text: str) -> Series:
    """Parses what `/metrics` answers. Raises ValueError."""
    lines = "".join(f"{line}\n" for line in text.splitlines() if line.startswith(WANTED))
    return Series(
        Sample(each.name, each.labels, each.value)
        for family in text_string_to_metric_families(lines)
        for each in family.samples
    )

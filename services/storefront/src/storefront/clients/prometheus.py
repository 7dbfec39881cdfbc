"""The client of Prometheus' HTTP API."""

import math
from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from chassis.errors import Unavailable
from chassis.http import HttpClient
from storefront.models.live import Curve, Sample

__all__ = ["PrometheusClient"]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class _Series(msgspec.Struct):
    """`value` is a time and a number as text; a curve has several `values`."""

    metric: dict[str, str]
    value: tuple[float, str] = (0, "NaN")
    values: list[tuple[float, str]] = []


class _Data(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    data: _Data


class PrometheusClient:
    """Sends each query once: a page that refreshes itself asks again soon. A value that is no number is left out."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def now(self, query: str) -> Sequence[Sample]:
        found = await self._ask("query", query=query)
        return [Sample(each.metric, value) for each in found if math.isfinite(value := float(each.value[1]))]

    async def since(self, query: str, start: float, end: float, step: float) -> Sequence[Curve]:
        found = await self._ask("query_range", query=query, start=start, end=end, step=step)
        return [
            Curve(each.metric, [(at, value) for at, text in each.values if math.isfinite(value := float(text))])
            for each in found
        ]

    async def _ask(self, path: str, **form: str | float) -> list[_Series]:
        body = urlencode({**form, "timeout": "2s"}).encode()  # then Prometheus gives the query up too
        answer = await self._http.request("POST", f"/api/v1/{path}", headers=FORM, body=body)
        try:
            return msgspec.json.decode(answer.body, type=_Answer).data.result
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unavailable(
                "prometheus-unavailable",
                "The response of Prometheus cannot be read",
                f"It answered {answer.status}: {error}; try again later.",
            ) from error

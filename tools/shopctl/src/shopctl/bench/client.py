"""Runs the load generator with prepared requests."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence

import msgspec

from shopctl.bench.load import Answer, Job

__all__ = ["LoadFailed", "request", "send"]


class LoadFailed(Exception):
    """The shop or the load generator failed, so that there is no valid measurement."""


def request(method: str, path: str, *, token: str = "", body: object = None, **headers: str) -> str:
    """Return the text of an HTTP/1.1 request. Underscores in the names of headers become hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    content = "" if body is None else json.dumps(body)
    if method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", content])


async def send(
    address: tuple[str, int],
    requests: Sequence[str],
    *,
    expect: int | None = None,
    connections: int = 32,
    rate: float | None = None,
    seconds: float | None = None,
    keep_bodies: bool = True,
) -> list[Answer]:
    """Send requests; returns the answers, in their order if each is sent once.

    Raises LoadFailed if the status of one is not `expect`, or if the edge limits requests.
    """
    job = Job(*address, list(requests), connections, rate, seconds, keep_bodies)
    # Not asyncio's subprocess: on a busy machine, its `communicate` sometimes ended before the output did.
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "shopctl.bench.load"],
        input=msgspec.json.encode(job),
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise LoadFailed(f"the load generator ended with status {done.returncode}")
    answers = msgspec.json.decode(done.stdout, type=list[Answer])
    if seconds is None:
        answers.sort(key=lambda answer: answer.request)
    if any(answer.status == 429 for answer in answers):
        raise LoadFailed("the edge limits requests: start the shop with RATE_LIMIT=off, and measure again")
    for answer in answers:
        if expect is not None and answer.status != expect:
            sent = requests[answer.request].split(" HTTP/", 1)[0]
            raise LoadFailed(f"{sent}: {answer.status or 'no answer'} {answer.body}")
    return answers

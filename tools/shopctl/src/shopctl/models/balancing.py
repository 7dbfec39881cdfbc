"""How long requests wait, and how evenly replicas are loaded, under the edge's three policies.

Rates are in requests per second and times in seconds. A replica handles one request at a time.
"""

import heapq
import math
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

__all__ = [
    "POLICIES",
    "Outcome",
    "address",
    "erlang_c",
    "home",
    "imbalance",
    "mm1",
    "mmc",
    "round_robin",
    "shares_of_equal_connections",
    "simulate",
]

POLICIES = ("round-robin", "least-connections", "source-ip-hash")


def mm1(arrivals: float, service: float) -> float:
    """The mean response time 1 / (μ − λ) of one replica; infinite if it cannot keep up. `service` is the rate μ.

    Source: L. Kleinrock, 1975, "Queueing Systems", volume 1, chapter 3.
    """
    return 1 / (service - arrivals) if arrivals < service else math.inf


def erlang_c(servers: int, offered: float) -> float:
    """The probability that a request waits, if `servers` replicas share one queue; `offered` is λ/μ in erlangs.

    It is 1 if the replicas cannot keep up. Raises ValueError without servers or with a negative load. Source:
    A. K. Erlang, 1917, "Solution of some problems in the theory of probabilities of significance in automatic
    telephone exchanges"; computed from Erlang's B by its recursion, which has no large factorials.
    """
    if servers < 1 or offered < 0:
        raise ValueError("there is at least one server, and no negative load")
    if offered >= servers:
        return 1.0
    blocked = 1.0
    for each in range(1, servers + 1):
        blocked = offered * blocked / (each + offered * blocked)
    used = offered / servers
    return blocked / (1 - used * (1 - blocked))


def mmc(servers: int, arrivals: float, service: float) -> float:
    """The mean response time of replicas that share one queue: C/(cμ − λ) + 1/μ, with Erlang's C."""
    if arrivals >= servers * service:
        return math.inf
    return erlang_c(servers, arrivals / service) / (servers * service - arrivals) + 1 / service


def round_robin(servers: int, arrivals: float, service: float) -> float:
    """The mean response time 1 / (μ(1 − σ)) under round-robin; infinite if the replicas cannot keep up.

    Every c-th request reaches a replica, so the times between them have Erlang's distribution, and each replica is an
    E_c/M/1 queue. σ solves σ = (λ / (λ + μ(1 − σ)))^c. Source: L. Kleinrock, 1975, "Queueing Systems", volume 1,
    chapter 6 (G/M/1).
    """
    if arrivals >= servers * service:
        return math.inf
    low, high = 0.0, arrivals / (servers * service)  # σ is at most the utilisation, since E_c is more even than M
    for _ in range(100):
        middle = (low + high) / 2
        if (arrivals / (arrivals + service * (1 - middle))) ** servers > middle:
            low = middle
        else:
            high = middle
    return 1 / (service * (1 - low))


def imbalance(clients: int, servers: int) -> float:
    """The expected load of the busiest replica over the mean, if each of equal clients has one replica by a hash.

    Exact for independent, uniform hashes. Raises ValueError without clients or servers. Source: M. Raab, A. Steger,
    1998, "Balls into bins – a simple and tight analysis". With many clients it approaches 1 + d·√(servers/clients),
    where d is the mean of the largest of `servers` standard normal values less their mean.
    """
    if clients < 1 or servers < 1:
        raise ValueError("there is at least one client and one server")
    mean = clients / servers
    top = min(clients, math.ceil(mean + 10 * math.sqrt(mean) + 10))
    chance = [math.exp(each * math.log(mean) - mean - math.lgamma(each + 1)) for each in range(top + 1)]
    total = math.exp(clients * math.log(clients) - clients - math.lgamma(clients + 1))
    # Numbers of clients are Poisson, given their sum: multiply `servers` of them, each at most `most`.
    least = math.ceil(mean)
    expected = float(least)
    for most in range(least, top + 1):
        sums, last = [1.0], chance[: most + 1]
        for _ in range(servers - 1):
            sums = _convolved(sums, last, clients)
        at_most = sum(sums[clients - n] * each for n, each in enumerate(last) if 0 <= clients - n < len(sums)) / total
        expected += max(0.0, 1 - at_most)
    return expected / mean


def _convolved(left: Sequence[float], right: Sequence[float], most: int) -> list[float]:
    """The coefficients of the product of two polynomials, up to the power `most`."""
    size = min(len(left) + len(right) - 1, most + 1)
    return [
        sum(left[each] * right[n - each] for each in range(max(0, n - len(right) + 1), min(n, len(left) - 1) + 1))
        for n in range(size)
    ]


def shares_of_equal_connections(response: Sequence[float]) -> list[float]:
    """The share of the requests that each replica answers under least-connections, by its mean response time.

    The policy keeps the numbers of open requests equal. By Little's law a replica with n of them answers n/R requests
    a second, so the shares are as 1/R. Source: J. D. C. Little, 1961, "A proof for the queuing formula: L = λW".
    """
    rates = [1 / each for each in response]
    return [rate / sum(rates) for rate in rates]


def address(client: int) -> str:
    """An address of this machine for each client, of 127.0.0.0/8."""
    return f"127.{client // 65536 + 1}.{client // 256 % 256}.{client % 256}"


def home(remote: str, servers: int) -> int:
    """The index of the server that nginx chooses for a client's address by `hash $remote_addr`.

    Source: nginx, "ngx_http_upstream_module": the hash is that of Cache::Memcached, (CRC-32 >> 16) & 0x7fff.
    """
    return (zlib.crc32(remote.encode()) >> 16 & 0x7FFF) % servers


@dataclass(frozen=True)
class Outcome:
    """Response times in seconds, and how many requests each replica answered."""

    mean: float
    p95: float
    answered: tuple[int, ...]


def simulate(
    policy: str,
    arrivals: float,
    services: Sequence[float],
    *,
    clients: int = 10_000,
    requests: int = 30_000,
    seed: int = 1,
) -> Outcome:
    """Simulate Poisson arrivals at replicas with exponential service times, of the rates `services`.

    Each request is from one of `clients`, at random; `address` has their addresses. Raises ValueError for another
    policy than those of the edge.
    """
    chance = random.Random(seed)  # noqa: S311 - the same numbers each time
    homes = [home(address(client), len(services)) for client in range(clients)]
    turns = cycle(range(len(services)))
    open_at: list[list[float]] = [[] for _ in services]  # when the open requests of a replica will be answered
    took: list[float] = []
    answered = [0] * len(services)
    now = 0.0
    for _ in range(requests):
        now += chance.expovariate(arrivals)
        for each in open_at:
            while each and each[0] <= now:
                heapq.heappop(each)
        if policy == "round-robin":
            chosen = next(turns)
        elif policy == "least-connections":
            fewest = min(map(len, open_at))
            chosen = chance.choice([n for n, each in enumerate(open_at) if len(each) == fewest])
        elif policy == "source-ip-hash":
            chosen = homes[chance.randrange(clients)]
        else:
            raise ValueError(f"{policy} is no policy of the edge")
        begins = max(now, max(open_at[chosen], default=now))
        ends = begins + chance.expovariate(services[chosen])
        heapq.heappush(open_at[chosen], ends)
        took.append(ends - now)
        answered[chosen] += 1
    took.sort()
    return Outcome(sum(took) / len(took), took[int(0.95 * len(took))], tuple(answered))

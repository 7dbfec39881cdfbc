"""`shopctl model`: computes the models of `docs/models` from the shop's settings and measurements."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from shopctl.console import cell, fail, out, show
from shopctl.models import availability as reliability
from shopctl.models import balancing as queues
from shopctl.models import capacity as plan
from shopctl.models import measured, settings
from shopctl.models.measured import Load
from shopctl.models.scheduling import Node, Pod, Reading, evicted, lower_bound, most_replicas, packed, quality
from shopctl.options import finite

if TYPE_CHECKING:
    from shopctl.models.simulation import Result

LINES = 3
"""SKUs in an order, as `make bench` orders them."""
SCALED = {pod.name for pod in settings.SERVICES}
OURS = {name: size for name, size in measured.MEMORY.items() if name != "psp"}

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def model() -> None:
    """Predict what fits, how long requests wait, how often the shop is down, and what it can serve."""


@app.command()
def scheduling(
    nodes: Annotated[int, typer.Option(min=1, max=1000, help="Number of nodes.")] = 2,
    cpu: Annotated[
        float, typer.Option(min=0.1, max=1000, callback=finite, help="Cores that each node can allocate.")
    ] = 2,
    memory: Annotated[
        float, typer.Option(min=0.1, max=100_000, callback=finite, help="GiB that each node can allocate.")
    ] = 4,
    replicas: Annotated[int, typer.Option(min=1, max=1000, help="Pods of each service; the stores have one.")] = 1,
    load: Annotated[
        float,
        typer.Option(min=0, max=1000, callback=finite, help="Cores that requests to order need, for five minutes."),
    ] = 1.5,
) -> None:
    """Put the shop's pods on nodes by their requests, and let the autoscaler follow a load."""
    room = [Node(f"node {number}", round(1000 * cpu), round(1024 * memory)) for number in range(1, nodes + 1)]
    pods = settings.shop(replicas)
    left = packed(pods, room)
    show(_placed(room, left))
    try:
        out.print(f"\nNo packing needs fewer than {lower_bound(pods, room[0].cpu, room[0].memory)} nodes.")
    except ValueError as error:
        out.print(f"\nNo number of nodes is enough: {error}.")
    order = next(pod for pod in settings.SERVICES if pod.name == "order")
    out.print(f"Then {most_replicas(order, room)} more pods of order would fit.\n")
    show(_evicted())
    out.print(f"\nThe autoscaler of order, for {load:g} cores from 0 to 300 s:\n")
    show(_followed(list(settings.AUTOSCALER.follow(lambda at, _: load if 0 <= at < 300 else 0.05, 700))))


def _placed(nodes: Sequence[Node], left: Sequence[Pod]) -> Table:
    table = _table("node", "pods", "CPU, m", "memory, MiB", "free CPU, m", "free memory, MiB")
    for node in nodes:
        cpu, memory = sum(pod.cpu for pod in node.pods), sum(pod.memory for pod in node.pods)
        table.add_row(*map(cell, (node.name, len(node.pods), cpu, memory, node.free_cpu, node.free_memory)))
    if left:
        cpu, memory = sum(pod.cpu for pod in left), sum(pod.memory for pod in left)
        table.add_row(*map(cell, ("Pending", len(left), cpu, memory, "", "")))
    return table


def _evicted() -> Table:
    table = _table("evicted", "pod", "QoS class", "priority", "request, MiB", "used, MiB")
    used = {pod: measured.MEMORY[pod.name] for pod in settings.SHOP}
    for number, pod in enumerate(evicted(used), 1):
        name = quality({"cpu": pod.cpu, "memory": pod.memory}, {"memory": pod.limit})
        table.add_row(*map(cell, (number, pod.name, name, pod.priority, pod.memory, f"{used[pod]:.0f}")))
    return table


def _followed(readings: Sequence[Reading]) -> Table:
    """The first reading, and each at which the number of replicas changes."""
    table = _table("after, s", "replicas", "use of a pod, %", "replicas wanted")
    for reading in readings:
        if reading is readings[0] or reading.wanted != reading.replicas:
            use = 100 * reading.cores / reading.replicas / settings.AUTOSCALER.request
            table.add_row(*map(cell, (f"{reading.at:.0f}", reading.replicas, f"{use:.0f}", reading.wanted)))
    return table


@app.command()
def balancing(
    arrivals: Annotated[
        float, typer.Option(min=0.001, max=1_000_000, callback=finite, help="Requests per second, of all clients.")
    ] = 45,
    replicas: Annotated[int, typer.Option(min=1, max=20, help="Number of replicas.")] = 3,
    service: Annotated[
        float, typer.Option(min=0.001, max=1_000_000, callback=finite, help="Requests per second that one can serve.")
    ] = 20,
    slow: Annotated[
        float, typer.Option(min=0.001, max=1, callback=finite, help="Speed of the last replica; 0.25 is a quarter.")
    ] = 1,
    clients: Annotated[int, typer.Option(min=1, max=1000, help="Number of client addresses.")] = 1000,
    measure: Annotated[
        int, typer.Option(min=0, max=100_000, help="Also send so many requests through nginx to such replicas.")
    ] = 0,
) -> None:
    """Predict response times and shares of replicas under the edge's policies."""
    services = [service] * (replicas - 1) + [service * slow]
    table = _table("policy", "formula, ms", "simulated, ms", "p95, ms", "shares, %")
    for policy in queues.POLICIES:
        simulated = queues.simulate(policy, arrivals, services, clients=clients)
        formula = _formula(policy, arrivals, services)
        table.add_row(policy, formula, *_outcome(simulated))
    show(table)
    if slow == 1:
        shared = 1000 * queues.mmc(replicas, arrivals, service)
        waits = queues.erlang_c(replicas, arrivals / service)
        out.print(f"\nOne queue for all replicas: {shared:.1f} ms; a request waits with probability {waits:.2f}.")
    worst = queues.imbalance(clients, replicas)
    out.print(f"{clients} clients by hash: the busiest replica has {worst:.2f} times the mean, on average.")
    if measure:
        show(_measured(arrivals, services, clients, measure))


def _formula(policy: str, arrivals: float, services: Sequence[float]) -> str:
    """The mean response time where there is a formula for it: for equal replicas, and not for least-connections."""
    number = len(services)
    if policy == "least-connections" or len(set(services)) > 1:
        return "–"
    mean = (
        queues.round_robin(number, arrivals, services[0])
        if policy == "round-robin"
        else queues.mm1(arrivals / number, services[0])
    )
    return f"{1000 * mean:.1f}"


def _outcome(outcome: queues.Outcome) -> tuple[str, str, str]:
    shares = ", ".join(f"{100 * each / sum(outcome.answered):.0f}" for each in outcome.answered)
    return f"{1000 * outcome.mean:.1f}", f"{1000 * outcome.p95:.1f}", shares


def _measured(arrivals: float, services: Sequence[float], clients: int, requests: int) -> Table:
    import asyncio

    from shopctl.models.replicas import measure
    from shopctl.place import Place

    policies = Place.here().root / "deploy" / "nginx" / "balancing"
    table = _table("policy", "measured, ms", "p95, ms", "shares, %")
    for policy in queues.POLICIES:
        found = asyncio.run(measure(policies, policy, arrivals, services, clients=clients, requests=requests))
        table.add_row(policy, *_outcome(found))
    out.print()
    return table


@app.command()
def availability(
    replicas: Annotated[int, typer.Option(min=1, max=10, help="Pods of each service; the stores have one.")] = 2,
    pod_days: Annotated[
        float, typer.Option(min=0.01, max=100_000, callback=finite, help="Days between two failures of a pod.")
    ] = 30,
    node_days: Annotated[
        float, typer.Option(min=0.01, max=100_000, callback=finite, help="Days between two failures of a node.")
    ] = 90,
    store_days: Annotated[
        float, typer.Option(min=0.01, max=100_000, callback=finite, help="Days between two failures of a store's pod.")
    ] = 90,
    repair_minutes: Annotated[
        float, typer.Option(min=0, max=100_000, callback=finite, help="Minutes until a lost node is back.")
    ] = 10,
    objective: Annotated[
        float, typer.Option(min=1, max=99.9999, callback=finite, help="Requests that must be good, in percent.")
    ] = 99.9,
) -> None:
    """Add up how long shoppers feel each kind of failure in 30 days, and compare it with the error budget."""
    table = _table("failure", "every, days", "felt alone, s", "felt with others, s", "in 30 days, s")
    parts = measured.failures(pod_days, node_days, store_days, 60 * repair_minutes)
    for part in parts:
        switch = "–" if part.switch is None else f"{part.switch:.1f}"
        lost = reliability.downtime(part.availability(replicas))
        table.add_row(
            *map(cell, (part.name, f"{part.between / reliability.DAY:g}", f"{part.repair:.1f}", switch)), f"{lost:.1f}"
        )
    show(table)
    whole = reliability.series(part.availability(replicas) for part in parts)
    used = reliability.budget_used(whole, objective / 100)
    budget = reliability.downtime(objective / 100)
    out.print(f"\nTogether: available for {100 * whole:.4f} %; {reliability.downtime(whole):.0f} s lost in 30 days.")
    out.print(f"The objective of {objective:g} % permits {budget:.0f} s: these failures use {100 * used:.1f} % of it.")


@app.command()
def capacity(
    bench: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A file of `shopctl bench --only checkout --json`.")
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0.1, max=1_000_000, callback=finite, help="Orders per second to plan for.")
    ] = 400,
    machines: Annotated[int, typer.Option(min=1, max=1000, help="Machines, each with a partition of the data.")] = 1,
    cores: Annotated[int, typer.Option(min=1, max=256, help="Cores of a machine.")] = 2,
    replicas: Annotated[int, typer.Option(min=1, max=64, help="Processes of each service on a machine.")] = 1,
    apart: Annotated[
        float, typer.Option(min=0, max=10_000, callback=finite, help="Milliseconds that a message travels.")
    ] = 0,
    core_hour: Annotated[
        float, typer.Option(min=0, max=1000, callback=finite, help="Price of a core for an hour.")
    ] = 0.04,
    gib_hour: Annotated[
        float, typer.Option(min=0, max=1000, callback=finite, help="Price of a GiB of memory for an hour.")
    ] = 0.005,
) -> None:
    """Predict orders per second, latency, the first bottleneck, memory and cost from the CPU time of orders."""
    loads, simulate = _loads(bench), _simulator()
    demands = measured.demands(loads)
    show(_demands(demands))
    out.print()
    simulated = [simulate(demands, **load.visitors, others=measured.OTHERS / 1000) for load in loads]
    show(_reproduced(loads, simulated))

    demands = plan.partitioned(demands, LINES, machines)
    limits = plan.limits(demands, cores, replicas)
    out.print(f"\nAt most, with {machines} × {cores} cores:\n")
    show(_limits(limits, machines))

    out.print(f"\nFor {rate:g} orders/s:\n")
    if rate / machines >= 0.95 * limits[0].rate:
        fail(f"That is too much for {machines} × {cores} cores: {limits[0].name} would be used up.")
    found = simulate(
        demands, rate=rate / machines, cores=cores, replicas=replicas, apart=apart / 1000, orders=2000, even=False
    )
    memory = machines * _memory(replicas)
    price = plan.cost(machines * cores, memory, core_hour, gib_hour, rate)
    show(_predicted(found, rate, machines, cores, memory, price))


def _loads(bench: Path | None) -> tuple[Load, ...]:
    try:
        return measured.BENCH if bench is None else measured.read(bench)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--bench") from None


def _simulator() -> "Callable[..., Result]":
    try:
        from shopctl.models.simulation import simulate
    except ModuleNotFoundError:
        fail("This needs simpy, which the development environment has: make setup")
    return simulate


def _reproduced(loads: Sequence[Load], simulated: "Sequence[Result]") -> Table:
    """What was measured at each load, and what the simulation finds there."""
    table = _table("measured → simulated", "CPU, ms", "orders/s", "answered p50, ms", "CONFIRMED p50, ms", "p95, ms")
    for load, found in zip(loads, simulated, strict=True):
        table.add_row(
            cell(load.name),
            f"{sum(load.cpu.values()):.1f} → {1000 * found.cpu:.1f}",
            f"{load.rate:.0f} → {found.rate:.0f}",
            f"{load.answered:.0f} → {1000 * found.percentile(0.5, answered=True):.0f}",
            f"{load.confirmed:.0f} → {1000 * found.percentile(0.5):.0f}",
            f"{load.confirmed_p95:.0f} → {1000 * found.percentile(0.95):.0f}",
        )
    return table


def _limits(limits: Sequence[plan.Limit], machines: int) -> Table:
    """The first limits, for all machines together."""
    table = _table("used up", "orders/s")
    for limit in limits[:4]:
        table.add_row(limit.name, f"{machines * limit.rate:,.0f}")
    return table


def _memory(replicas: int) -> float:
    """GiB that the shop uses on a machine."""
    return sum(size * (replicas if name in SCALED else 1) for name, size in OURS.items()) / 1024


def _predicted(found: "Result", rate: float, machines: int, cores: int, memory: float, price: float) -> Table:
    """What `rate` orders a second need; `memory` is in GiB, and `price` that of a million orders."""
    table = _table("figure", "predicted", "unit")
    for name, value, unit in (
        ("CPU time of an order", f"{1000 * found.cpu:.1f}", "ms"),
        ("cores used", f"{rate * found.cpu:.1f} of {machines * cores}", ""),
        ("POST to answer, p95", f"{1000 * found.percentile(0.95, answered=True):.0f}", "ms"),
        ("POST to CONFIRMED, p95", f"{1000 * found.percentile(0.95):.0f}", "ms"),
        ("orders in progress", f"{plan.little(rate, sum(found.confirmed) / len(found.confirmed)):.0f}", ""),
        ("memory", f"{memory:.2f}", "GiB"),
        ("partitions of the stock that an order touches", f"{plan.partitions_of(LINES, machines):.1f}", ""),
        ("price of a million orders", f"{price:.2f}", ""),
    ):
        table.add_row(name, value, unit)
    return table


def _demands(demands: Mapping[str, plan.Demand]) -> Table:
    table = _table("process", "ms a batch", "ms an order")
    for name, each in demands.items():
        table.add_row(name, f"{1000 * each.batch:.2f}", f"{1000 * each.order:.3f}")
    batch, order = (sum(getattr(each, part) for each in demands.values()) for part in ("batch", "order"))
    table.add_row("all", f"{1000 * batch:.2f}", f"{1000 * order:.3f}")
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number and heading not in ("pod", "QoS class", "unit") else "left")
    return table

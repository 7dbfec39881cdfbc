"""Draws the plots of `docs/models`, as SVG that is readable on light and dark pages and the same each time."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shopctl.models import balancing, capacity, measured, settings
from shopctl.models.availability import downtime, k_of_n, parallel
from shopctl.models.simulation import simulate

__all__ = ["PLOTS"]

INK = "#7a7f87"
BLUE, ORANGE, GREEN = "#3f7fc4", "#d9822b", "#2f9e62"
STYLE: Any = {
    "svg.hashsalt": "quayside",
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


def _drawn(draw: Callable[[Axes], None]) -> Callable[[], bytes]:
    """Returns a function that makes a picture with one pair of axes, 640 × 320 points without fonts."""

    def picture() -> bytes:
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(8, 4), layout="constrained")
            figure.patch.set_alpha(0)
            draw(figure.subplots())
            svg = io.BytesIO()
            figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        return svg.getvalue()

    return picture


def _autoscaler(axes: Axes) -> None:
    readings = list(settings.AUTOSCALER.follow(lambda at, _: 1.5 if 0 <= at < 300 else 0.05, 600))
    times = [each.at for each in readings]
    needed = [1.5 / (settings.AUTOSCALER.request * settings.AUTOSCALER.target) if at < 300 else 0.2 for at in times]
    axes.step(times, needed, where="post", color=ORANGE, label="cores needed ÷ target of a pod")
    axes.step(times, [each.replicas for each in readings], where="post", color=BLUE, label="replicas of order")
    axes.set(xlabel="time, s", ylabel="pods", ylim=(0, 6.5))
    axes.legend()


def _waiting(axes: Axes) -> None:
    service, replicas = 100.0, 3
    used = [each / 100 for each in range(5, 96, 5)]
    arrivals = [each * replicas * service for each in used]
    lines = {
        "source-ip-hash: three M/M/1": ([balancing.mm1(each / replicas, service) for each in arrivals], ORANGE),
        "round-robin: three E₃/M/1": ([balancing.round_robin(replicas, each, service) for each in arrivals], BLUE),
        "one shared queue: M/M/3": ([balancing.mmc(replicas, each, service) for each in arrivals], INK),
    }
    for name, (times, color) in lines.items():
        axes.plot(used, [1000 * each for each in times], color=color, label=name)
    simulated = [
        balancing.simulate("least-connections", each, [service] * replicas, requests=20_000).mean for each in arrivals
    ]
    axes.plot(used, [1000 * each for each in simulated], "o", color=GREEN, label="least-connections, simulated")
    colors = dict(zip(balancing.POLICIES, (BLUE, GREEN, ORANGE), strict=True))
    for (policy, slow), (served, rate, mean, _) in measured.POLICIES.items():
        if slow == 1:  # scaled: the service time is the unit
            axes.plot(
                rate / (replicas * served), 1000 * mean * served / service, "x", markersize=9, color=colors[policy]
            )
    axes.plot([], [], "x", color=INK, label="measured")
    axes.set(xlabel="utilisation of the replicas", ylabel="mean response time, ms", ylim=(0, 100))
    axes.legend()


def _imbalance(axes: Axes) -> None:
    clients = [1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200]
    for replicas, color in ((2, GREEN), (3, BLUE), (6, ORANGE)):
        loads = [balancing.imbalance(each, replicas) for each in clients]
        axes.plot(clients, loads, "o-", markersize=3, color=color, label=f"{replicas} replicas")
    axes.set(xscale="log", xlabel="clients", ylabel="busiest replica ÷ mean", ylim=(0.9, None))
    axes.legend()


def _demand(axes: Axes) -> None:
    demands = measured.demands(measured.BENCH)
    rates = [2 * 1.06**each for each in range(100)]
    for name, color in (("order", ORANGE), ("postgres", GREEN)):
        times = [1000 * demands[name].each(capacity.gathered(each)) for each in rates]
        axes.plot(rates, times, color=color, label=name)
    whole = [1000 * sum(one.each(capacity.gathered(each)) for one in demands.values()) for each in rates]
    axes.plot(rates, whole, color=BLUE, label="all processes")
    for load in measured.BENCH:
        if not load.clients:
            axes.plot(load.rate, sum(load.cpu.values()), "x", markersize=9, color=BLUE)
    axes.plot([], [], "x", color=BLUE, label="measured, all processes")
    axes.set(xscale="log", yscale="log", xlabel="orders per second", ylabel="CPU time of an order, ms")
    axes.legend()


def _latency(axes: Axes) -> None:
    demands = measured.demands(measured.BENCH)
    for cores, color in ((2, BLUE), (4, GREEN)):
        most = capacity.limits(demands, cores, 1)[0].rate
        rates = [most * each / 10 for each in range(1, 10)]
        found = [simulate(demands, rate=each, cores=cores, even=False, orders=1500) for each in rates]
        p95 = [1000 * each.percentile(0.95) for each in found]
        axes.plot(rates, p95, "o-", markersize=3, color=color, label=f"{cores} cores")
        axes.axvline(most, color=color, linestyle=":", label=f"most for {cores} cores")
    axes.set(xlabel="orders per second", ylabel="POST to CONFIRMED, p95, ms", ylim=(0, 1000))
    axes.legend()


def _replicas(axes: Axes) -> None:
    shares = [1 - 10 ** (-each / 10) for each in range(5, 41)]
    lines = {
        "one": (shares, INK),
        "one of two": ([parallel(each, 2) for each in shares], BLUE),
        "two of three": ([k_of_n(2, 3, each) for each in shares], GREEN),
        "both of two": ([each**2 for each in shares], ORANGE),
    }
    for name, (whole, color) in lines.items():
        axes.plot([1 - each for each in shares], [downtime(each) / 60 for each in whole], color=color, label=name)
    axes.axhline(downtime(0.999) / 60, color=INK, linestyle=":", label="budget of 99.9 %")
    axes.set(xscale="log", yscale="log", xlabel="share of the time that one is down", ylabel="minutes down in 30 days")
    axes.legend()


PLOTS: dict[str, Callable[[], bytes]] = {
    "scheduling-autoscaler.svg": _drawn(_autoscaler),
    "balancing-waiting.svg": _drawn(_waiting),
    "balancing-imbalance.svg": _drawn(_imbalance),
    "availability-replicas.svg": _drawn(_replicas),
    "capacity-demand.svg": _drawn(_demand),
    "capacity-latency.svg": _drawn(_latency),
}
"""Each plot by its file name, and the function that draws it."""

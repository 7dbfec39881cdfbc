"""Watches a run in the leading process: prints its progress, keeps its statistics small, and judges it at the end."""

import json
import logging
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
from locust import events, runners
from locust.env import Environment
from locust.stats import RequestStats

import gate
from report import line, tables
from settings import WrongUsage
from shapes.crowd import Crowd
from shapes.double11 import HUNTER
from summary import JOURNEY, ORDERS, REFUSED, is_outage, is_read, percentile, summarize
from usage import Usage
from windows import Look, Windows

__all__ = ["attach", "thin_out"]

EVERY = 5
"""Seconds between two lines of progress."""
BUYING = tuple(f"{step}: " for step in ("cart", *ORDERS, JOURNEY))
"""How the names of refusals to buyers begin."""
KEPT_SECONDS = 60
"""Locust counts requests by second, and keeps that forever; only the last seconds are used."""
KEPT_HISTORY = 400
"""Locust takes a point for the curves of its report every 5 s. Beyond this number, every other one is dropped."""

runners.WORKER_REPORT_INTERVAL = 1.0


def attach(environment: Environment, **_: Any) -> None:
    """Watches the runs of this process. A worker only reports what it uses."""
    if isinstance(environment.runner, runners.WorkerRunner):
        own = Usage()
        events.report_to_master.add_listener(lambda data, **_: data.update(usage=own.now()))
    else:
        logging.getLogger("locust.stats_logger").disabled = True  # we print tables of our own
        Monitor(environment)


def thin_out(stats: RequestStats, now: float) -> None:
    """Forgets what Locust keeps forever and nobody uses. `now` is in seconds since 1970."""
    for entry in (stats.total, *stats.entries.values()):
        for counts in (entry.num_reqs_per_sec, entry.num_fail_per_sec):
            for second in [each for each in counts if each < now - KEPT_SECONDS]:
                del counts[second]
    if len(stats.history) > KEPT_HISTORY:
        del stats.history[::2]


class Monitor:
    """Locust's leader, or its only process."""

    def __init__(self, environment: Environment) -> None:
        self._environment: Any = environment
        self._limits = self._thresholds()
        self._own = Usage()
        self._workers: dict[str, dict[str, Any]] = {}
        self._watching: gevent.Greenlet | None = None
        self._began = self._ended = 0.0
        self._sent: Counter[str] = Counter()
        """The requests of each step until `_ended`."""
        self._workers_at_start = self._workers_at_end = 0
        gevent.signal_handler(signal.SIGINT, self._interrupted)
        if not environment.web_ui:
            # Locust listens to SIGTERM only after a shape has ended.
            gevent.signal_handler(signal.SIGTERM, self._interrupted)
        events.worker_report.add_listener(self._reported)
        events.test_start.add_listener(self._started)
        events.test_stopping.add_listener(self._stopping)
        if environment.web_ui:
            events.test_stop.add_listener(lambda **_: self._finished() if self._watching else None)
        else:
            events.quitting.add_listener(lambda **_: self._judged())

    @property
    def _shape(self) -> str:
        shape = self._environment.shape_class
        return type(shape).__name__.lower() if shape else "none"

    def _thresholds(self) -> gate.Thresholds:
        try:
            return gate.thresholds(self._shape, os.environ.get("THRESHOLDS", ""))
        except ValueError as error:
            raise WrongUsage(str(error)) from None

    @property
    def _stats(self) -> RequestStats:
        stats: RequestStats = self._environment.runner.stats
        return stats

    def _reported(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        if "usage" in data:
            self._workers[client_id] = data["usage"]

    def _started(self, **_: Any) -> None:
        self._began = time.monotonic()
        self._ended = 0.0
        self._workers_at_start = self._workers_at_end = self._environment.runner.worker_count
        self._limits = self._thresholds()
        self._windows = Windows(self._limits.reads_p95)
        if self._watching:
            self._watching.kill()
        self._watching = gevent.spawn(self._watch)

    def _watch(self) -> None:
        before, at = self._totals(), 0.0
        for second in range(1, 1_000_000):
            gevent.sleep(max(0.0, self._began + second - time.monotonic()))
            now = time.monotonic() - self._began
            if not getattr(self._environment.shape_class, "over", False):
                self._load_goes_on()
            self._windows.see(now, self._look())
            if second % EVERY == 0:
                totals = self._totals()
                print(line(self._progress(before, totals, now, now - at)), flush=True)
                before, at = totals, now
                thin_out(self._stats, time.time())

    def _load_goes_on(self) -> None:
        self._ended, self._sent = time.monotonic(), Counter()
        for entry in list(self._stats.entries.values()):
            name = entry.name.rpartition(": ")[0] if entry.method in REFUSED else entry.name
            self._sent[name] += entry.num_requests

    def _stopping(self, **_: Any) -> None:
        """Counts the workers before they leave. Locust also stops when the last one is lost."""
        self._workers_at_end = self._environment.runner.worker_count

    def _look(self) -> Look:
        reads: Counter[int] = Counter()
        requests = refused = later = failed = 0
        for entry in list(self._stats.entries.values()):
            requests += entry.num_requests
            if is_outage(entry):
                failed += entry.num_requests
            elif entry.method in REFUSED:
                later += entry.num_requests if entry.method == "later" else 0
                refused += entry.num_requests if entry.name.startswith(BUYING) else 0
            else:
                failed += entry.num_failures
                if is_read(entry.name):
                    reads.update(entry.response_times)
        return Look(reads, requests, refused, later, failed)

    def _totals(self) -> dict[str, Any]:
        """The numbers of the run until now, and the times of all requests."""
        totals: dict[str, Any] = {"requests": 0, "orders": 0, "refused": 0, "failed": 0, "times": Counter()}
        for entry in list(self._stats.entries.values()):
            if entry.name.startswith(JOURNEY):
                continue
            totals["requests"] += entry.num_requests
            totals["failed"] += entry.num_failures
            if entry.method in REFUSED:
                totals["failed" if is_outage(entry) else "refused"] += entry.num_requests
            else:
                totals["times"].update(entry.response_times)
                totals["orders"] += entry.num_requests - entry.num_failures if entry.name in ORDERS else 0
        return totals

    def _progress(self, before: dict[str, Any], now: dict[str, Any], at: float, seconds: float) -> dict[str, float]:
        crowd = sum(each["present"] for each in self._all_usage())
        return {
            "at": at,
            "shoppers": crowd or self._environment.runner.user_count,
            "requests": (now["requests"] - before["requests"]) / seconds,
            "orders": (now["orders"] - before["orders"]) / seconds,
            "p95": percentile(now["times"] - before["times"], 0.95),
            "refused": now["refused"],
            "failed": now["failed"],
        }

    def _all_usage(self) -> list[dict[str, Any]]:
        return [self._own.now(), *self._workers.values()]

    def _finished(self) -> list[str]:
        """Writes and prints the summary; returns why the run fails."""
        if self._watching:
            self._watching.kill()
            self._watching = None
        summary = self._summary()
        reasons: list[str] = summary["reasons"]
        if folder := os.environ.get("LOAD_RUN"):
            file = Path(folder) / "summary.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(summary, indent=2))
        print("", *tables(summary), "", sep="\n")
        print("Gate: passed." if not reasons else f"Gate: FAILED: {'; '.join(reasons)}.", flush=True)
        return reasons

    def _judged(self) -> None:
        self._environment.process_exit_code = 1 if self._finished() else 0

    def _summary(self) -> dict[str, Any]:
        if not self._ended:
            self._load_goes_on()
        seconds = self._ended - self._began if self._began else 0.0
        entries, failures = list(self._stats.entries.values()), list(self._stats.errors.values())
        summary = summarize(entries, failures, seconds, self._sent)
        used = self._all_usage()
        cpu = sum(each["cpu"] for each in used)
        options, shape = self._environment.parsed_options, self._environment.shape_class
        summary |= {
            "shape": self._shape,
            "users": options.num_users,
            "seed": int(os.environ.get("SEED") or 1),
            "personas": [each.__name__ for each in self._environment.runner.user_classes if each is not Crowd],
            "errors": [str(each["msg"]) for each in self._environment.runner.exceptions.values()],
            "locust": {
                "processes": len(used),
                "cpu_seconds": cpu,
                "cpu_ms_per_request": 1000 * cpu / max(1, summary["requests"]),
                "memory": max(each["memory"] for each in used),
            },
        }
        if "sold" in (sale := getattr(shape, "sale", {})):
            summary["sale"] = sale | self._windows.figures(sale["closes"]) | {"outcomes": self._outcomes()}
        elif sale:
            summary["errors"].append("the sale did not end")
        if failure := getattr(shape, "failure", ""):
            summary["errors"].append(failure)
        elif shape and not shape.over and not self._environment.web_ui:
            summary["errors"].append("the run ended before its time")
        if (lost := self._workers_at_start - self._workers_at_end) > 0:
            summary["errors"].append(f"{lost} of {self._workers_at_start} workers were lost")
        return summary | {"reasons": gate.judge(summary, self._limits)}

    def _outcomes(self) -> dict[str, int]:
        """How many hunters got what."""
        all_visits: Counter[str] = Counter()
        for each in self._all_usage():
            all_visits.update(each["outcomes"])
        start = f"{HUNTER}: "
        return {name.removeprefix(start): count for name, count in all_visits.items() if name.startswith(start)}

    def _interrupted(self) -> None:
        """Ends the run as gracefully as at its end, and then Locust."""
        shape, runner, page = (getattr(self._environment, name) for name in ("shape_class", "runner", "web_ui"))
        if page:
            if self._watching:
                runner.stop()
            page.stop()
        elif not self._began:
            raise SystemExit(130)  # it still waits for workers
        else:
            shape.cut_short()

"""`shopctl load` against a running shop: it ends with a verdict, and fails when it should."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from shopper import Admin

from shopctl.shop import Shop

pytestmark = pytest.mark.timeout(300)

Start = Callable[..., "subprocess.Popen[str]"]
Load = Callable[..., "subprocess.CompletedProcess[str]"]

HOWEVER_SLOW = "reads_p95=60000,order_p95=60000,failed=0.5,later=1"
"""Thresholds that a busy machine does not exceed."""
ENOUGH_TIME = {"LOCUST_STOP_TIMEOUT": "40"}
"""For runs whose orders must be settled at the end, even on a busy machine."""


@pytest.fixture(scope="module")
def product(admin: Admin) -> str:
    """A product that everybody can buy."""
    return admin.product(stock=100_000)


@pytest.fixture
def start(shop: Shop, product: str) -> Iterator[Start]:
    """Starts `shopctl load` with these settings. Shoppers decide fast, and have little time at the end."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **settings: str) -> subprocess.Popen[str]:
        place = {"SHOP_RUN": str(shop.place.run), "SHOP_PORT_OFFSET": str(shop.place.offset), "RUNTIME": shop.runtime}
        usual = {"PERSONAS": "bargain-hunter", "HOT_SKU": product}
        usual |= {"USERS": "4", "TIME": "2s", "LOCUST_STOP_TIMEOUT": "8"}
        usual["THRESHOLDS"] = f"{HOWEVER_SLOW},confirmed_p95=60000"
        process = subprocess.Popen(
            [sys.executable, "-m", "shopctl", "load", *arguments],
            env=os.environ | place | usual | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def load(start: Start) -> Load:
    """Runs `shopctl load` to its end."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        process = start(*arguments, **settings)
        output, _ = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    return run


def execute(shop: Shop, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(shop.place.database_url("catalog"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def test_a_good_run_passes(load: Load) -> None:
    done = load(**ENOUGH_TIME)

    *_, report, verdict = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout
    assert verdict.startswith("PASS: ")
    assert "none lost, none doubled" in verdict
    assert "order to CONFIRMED" in done.stdout
    html = Path(report.removeprefix("Report: "))
    assert html.read_text().startswith("<!")
    summary = json.loads((html.parent / "summary.json").read_text())
    assert summary["orders"] == summary["confirmed"] > 0
    assert list(html.parent.glob("attempts-*.jsonl"))


def test_a_slow_provider_exceeds_a_threshold(load: Load, provider: httpx2.Client) -> None:
    provider.post("/sandbox/faults", json={"mode": "slow", "seconds": 1.5}).raise_for_status()

    done = load(THRESHOLDS=f"{HOWEVER_SLOW},confirmed_p95=1400", USERS="2", TIME="1s", **ENOUGH_TIME)

    assert done.returncode == 1, done.stdout
    assert "p95 of orders to CONFIRMED is " in done.stdout.splitlines()[-1]


def test_a_poisoned_stock_fails_the_audit(load: Load, shop: Shop) -> None:
    execute(shop, "UPDATE stock SET available = available + 1 WHERE sku = (SELECT min(sku) FROM stock)")
    try:
        done = load("--wait", "0", TIME="1s", USERS="1", THRESHOLDS="orders=0,confirmed=0", LOCUST_STOP_TIMEOUT="0")
    finally:
        execute(shop, "UPDATE stock SET available = available - 1 WHERE sku = (SELECT min(sku) FROM stock)")

    assert done.returncode == 1, done.stdout
    assert "A1: leaks (1)" in done.stdout.splitlines()[-1]


def test_a_run_that_loses_its_workers_fails(start: Start, shop: Shop) -> None:
    """Both are killed, and Locust ends a run without workers."""

    def journals() -> list[Path]:
        return list((shop.place.run / "load").glob("*-soak/attempts-*.jsonl"))

    process = start("--workers", "2", SHAPE="soak", TIME="5m")
    _until(lambda: len(journals()) == 2)
    for each in journals():
        os.kill(int(each.stem.rpartition("-")[2]), signal.SIGKILL)
    output, _ = process.communicate(timeout=240)

    assert process.returncode == 1, output
    assert "the run ended before its time" in output.splitlines()[-1]
    assert "2 of 2 workers were lost" in output.splitlines()[-1]


def test_ctrl_c_ends_a_run_with_its_audit(start: Start, shop: Shop) -> None:
    process = start(SHAPE="double11", USERS="100", TIME="10s")
    _until(lambda: any((shop.place.run / "load").glob("*-double11/attempts-*.jsonl")))

    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=240)

    assert process.returncode == 130, output
    assert "A4  ok" in output
    assert "units sold" in output
    assert "Locust: 3 processes" in output


def test_a_shop_that_does_not_run_is_wrong_usage(load: Load, tmp_path: Path) -> None:
    done = load(SHOP_RUN=str(tmp_path), SHOP_PORT_OFFSET="30000")

    assert done.returncode == 2
    assert "`make up` starts the shop." in done.stdout


@pytest.mark.parametrize(
    ("setting", "answer"),
    [
        ({"SHAPE": "sphere"}, "there is no 'sphere'. There are steady, ramp, spike, soak, double11."),
        ({"TIME": "fast"}, "'fast' must be like 90s, 2m or 1h30m."),
        ({"PERSONAS": "ghost"}, "PERSONAS: there is no 'ghost'. There are browser, buyer,"),
        ({"THRESHOLDS": "speed=9"}, "THRESHOLDS: 'speed=9' must be like reads_p95=300."),
    ],
)
def test_an_invalid_setting_is_wrong_usage(load: Load, setting: dict[str, str], answer: str) -> None:
    done = load(**setting)

    assert done.returncode == 2
    assert answer in " ".join(done.stdout.replace("│", " ").split())


def _until(true: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)

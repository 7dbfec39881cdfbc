"""A chaos run against a real shop, its report in a browser, and faults whose process was killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import sync_playwright
from rules_of_pages import faults_of_axe, faults_of_html
from shopper import until
from visitors import chromium

from shopctl import shelves
from shopctl.chaos.timeline import Run, read
from shopctl.shop import Shop

pytestmark = pytest.mark.timeout(240)

SEED = "6"


@pytest.fixture(scope="module")
def stocked(shop: Shop) -> Shop:
    asyncio.run(shelves.fill(shop.place.address, shop.place.admin))
    return shop


@contextmanager
def chaos(shop: Shop, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs `shopctl chaos` inside the block, which must end it."""
    ours = {"SHOP_RUN": str(shop.place.run), "SHOP_PORT_OFFSET": str(shop.place.offset), "RUNTIME": shop.runtime}
    command = [sys.executable, "-m", "shopctl", "chaos", *arguments]
    process = subprocess.Popen(
        command, env=os.environ | ours, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(shop: Shop, *arguments: str, status: int = 0) -> str:
    with chaos(shop, *arguments) as process:
        text, _ = process.communicate(timeout=200)
    assert process.returncode == status, text
    return text


def in_effect(shop: Shop) -> list[Path]:
    return [*(shop.place.run / "chaos" / "active").glob("*.json")]


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2).status_code == 200
    except httpx2.TransportError:
        return False


def catalog(shop: Shop) -> str:
    return f"{shop.place.address}/api/catalog/products?limit=1"


def frozen(shop: Shop, url: str) -> bool:
    """Waits until a fault is in effect and nothing answers at the URL. Returns False if that does not happen."""
    return any(in_effect(shop) and not answers(url) for _ in until(60))


def thawed(url: str) -> bool:
    """Waits until an address answers. What was frozen answers first what it has missed."""
    return any(answers(url) for _ in until(60))


@pytest.fixture(scope="module")
def folder(stocked: Shop) -> Path:
    """The folder of a short run, which has passed. With this seed it freezes order and kills payment."""
    text = said(stocked, "run", "--seed", SEED, "--for", "20s", "--only", "kill,freeze", "--users", "30")
    assert "Passed: 2 faults" in text
    assert "lost 0, doubled 0" in text
    (folder,) = (stocked.place.run / "chaos").glob(f"*-seed{SEED}")
    return folder


def test_a_run_records_what_shoppers_noticed(stocked: Shop, folder: Path) -> None:
    run: Run = read(folder)
    assert [audit.ok for audit in run.audits] == [True, True]
    assert [len(audit.findings) for audit in run.audits] == [10, 10]
    assert run.orders > 5
    assert sum(each.confirmed for each in run.intervals) > 5
    assert max(each.recovery.outage for each in run.faults if each.recovery) > 0.3
    assert in_effect(stocked) == []


def test_the_report_needs_nothing_else_and_is_accessible(folder: Path) -> None:
    file = folder / "index.html"
    assert faults_of_html(file.read_text()) == []
    asked: list[str] = []
    with sync_playwright() as playwright, chromium(playwright) as browser:
        page = browser.new_context(offline=True, viewport={"width": 390, "height": 800}).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(message.text))
        page.goto(file.as_uri())
        assert page.get_by_role("heading", name=f"Chaos run, seed {SEED}: passed").is_visible()
        assert page.get_by_role("row").filter(has_text="A10").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert faults_of_axe(page) == []
    assert asked == [file.as_uri()]


def test_what_a_killed_process_has_injected_is_shown_and_healed(stocked: Shop) -> None:
    with chaos(stocked, "inject", "freeze", "catalog", "--for", "3m") as process:
        assert frozen(stocked, catalog(stocked))
        for command in (["heal"], ["inject", "kill", "cart"], ["run"]):
            assert "Another `shopctl chaos` injects faults" in said(stocked, *command, status=2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not answers(catalog(stocked))
    assert "freeze on catalog. `shopctl chaos heal` undoes it." in said(stocked, "run", status=2)
    assert said(stocked, "heal") == "undone: freeze on catalog\n"
    assert thawed(catalog(stocked))
    assert said(stocked, "heal") == "No fault is in effect.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda each: each.name)
def test_a_signal_undoes_what_is_in_effect(stocked: Shop, number: signal.Signals) -> None:
    psp = f"{stocked.place.psp_url}/health/live"
    assert thawed(psp)
    with chaos(stocked, "inject", "freeze", "psp", "--for", "3m") as process:
        assert frozen(stocked, psp)
        process.send_signal(number)
        text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert in_effect(stocked) == []
    assert thawed(psp)

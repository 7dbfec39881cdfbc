"""Fixtures: a shop on a cluster, installed once in an empty namespace, and traffic that records outages."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from flow import AMOUNT, Flow
from release import NEXT_REVISION, REVISION, Release, run
from shopper import Admin

from shopctl.chaos.catalog import find

NEXT_MIGRATION = f'''"""The migration of the next release: adds a column that this release neither reads nor writes."""

from alembic import op

revision = "{NEXT_REVISION}"
down_revision = "{REVISION}"


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN note text")
'''


@dataclass
class Outcome:
    """The effect of a fault on the clients."""

    what: str
    requests: int
    retried: int
    failed: int
    outage: float
    seconds: float
    trouble: list[str]

    def __str__(self) -> str:
        counts = f"{self.requests} | {self.retried} | {self.failed}"
        return f"| {self.what} | {counts} | {self.outage:.1f} | {self.seconds:.0f} |"


OUTCOMES: list[Outcome] = []
FIGURES: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    write = terminalreporter.write_line
    for figure in FIGURES:
        write(figure)
    if OUTCOMES:
        write("| fault | requests | retried | failed | longest outage, s | duration, s |")
        write("| --- | --- | --- | --- | --- | --- |")
        for outcome in OUTCOMES:
            write(str(outcome))
        for outcome in OUTCOMES:
            for each in outcome.trouble[:4]:
                write(f"{outcome.what}: {each}")


@pytest.fixture(scope="session")
def figures() -> list[str]:
    """Lines that are printed at the end of the session."""
    return FIGURES


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The registry with the images of this release, `test-1`, and of the next one, `test-2`."""
    registry = os.environ.get("REGISTRY") or "localhost:5000"
    images = f"{registry}/quayside"
    run("docker", "buildx", "bake", "--push", IMAGES=images, TAG="test-1", timeout=900)
    # The next release has the same code, another label, and one more column in order's schema.
    context = tmp_path_factory.mktemp("next")
    migration = context / f"{NEXT_REVISION}_note.py"
    migration.write_text(NEXT_MIGRATION)
    for service in ("catalog", "order"):
        lines = [f"FROM {images}/{service}:test-1", "LABEL org.opencontainers.image.version=test-2"]
        if service == "order":
            lines.append(f"COPY --chmod=644 {migration.name} /app/order/migrations/versions/")
        image = f"{images}/{service}:test-2"
        run("docker", "build", "--quiet", "--tag", image, "--file", "-", str(context), stdin="\n".join(lines))
        run("docker", "push", "--quiet", image)
    return registry


@pytest.fixture(scope="session")
def shop(registry: str) -> Iterator[Release]:
    """The release, not yet installed. It is removed with its namespace at the end."""
    release = Release(registry)
    release.create()
    try:
        yield release
    finally:
        if not os.environ.get("KEEP"):
            release.remove()


@pytest.fixture
def mortal_nodes(shop: Release) -> None:
    """Skips a test that stops or disconnects a node if the nodes are not containers."""
    if lacking := find("kill-node").needs(shop.cluster):
        pytest.skip(f"needs {lacking}")


@pytest.fixture
def traffic(shop: Release, tmp_path: Path) -> Callable[..., object]:
    """`with traffic("a node drained") as flow:` runs shoppers inside the block, records the outcome, and then audits.

    The shoppers connect to the node that holds the stores, unless `through` names another one.
    """

    @contextmanager
    def start(what: str, through: str = "") -> Iterator[Flow]:
        *skus, scarce = stocked(shop)
        began = time.monotonic()
        flow = Flow(shop.address(through or shop.home), tmp_path / "attempts.jsonl", skus, scarce, shoppers=3)
        with flow.running():
            yield flow
        seconds = time.monotonic() - began
        tries = sum(tries == 1 for _, _, tries in flow.seen)
        OUTCOMES.append(Outcome(what, tries, flow.retried, flow.failed, flow.outage, seconds, flow.trouble))
        shop.audit(flow.attempts)
        FIGURES.append(f"{what}: {flow.tally()}")

    return start


def stocked(shop: Release) -> list[str]:
    """Returns the SKUs of six new products: five that never sell out, and one with a stock of three.

    The preceding test may still affect a request, so this retries.
    """
    for tries in range(1, 21):
        try:
            admin = Admin(shop.place)  # with a new token: tokens expire after 15 minutes
            return [admin.product(stock=stock, amount=AMOUNT) for stock in (*[100_000] * 5, 3)]
        except (httpx2.TransportError, httpx2.HTTPStatusError) as error:
            FIGURES.append(f"administrator, try {tries}: {error!r}")
            time.sleep(1)
    raise AssertionError(FIGURES[-1])

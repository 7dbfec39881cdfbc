"""After all other tests: no span, metric or log line has personal data or secrets."""

import re
from collections.abc import Iterator

import httpx2
import pytest
from collector import Collector
from flow import ADDRESS
from shopper import KEYS

from shopctl.place import ADMIN_PASSWORD, SHOPPER_PASSWORD
from shopctl.shop import Shop

EMAIL = re.compile(r"[\w.+%-](?:@|%40)(?!localhost)[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+")
TOKEN = re.compile(r"eyJ[\w-]{10,}")
"""A JSON Web Token, also after `Bearer%20`."""
RANDOM = re.compile(r"(?<![\w-])(?=[\w-]{43}(?![\w-]))(?=[^\s\"]*[A-Z])(?=[^\s\"]*[a-z])[\w-]{43}")
"""A refresh token or the ID of a session, which are 32 bytes in base64."""
CARD = re.compile(r"\b(?:tok|pm_card)_[a-z]\w+")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PASSWORDS = (ADMIN_PASSWORD, SHOPPER_PASSWORD, "correct horse", "battery staple", "long enough")
LINES = (ADDRESS["name"], ADDRESS["line1"], ADDRESS["city"])
OUTSIDE = {"psp"}
"""The sandbox provider stands for an outside company, which knows cards."""


@pytest.fixture
def emitted(shop: Shop, telemetry: Collector) -> list[tuple[str, str]]:
    """All that the shop has emitted, each with its source."""
    if shop.runtime != "native":
        pytest.skip("only a native shop sends its spans and logs to the tests")
    return [*logs(shop), *metrics(shop), *(("spans", text) for text in telemetry.texts())]


def logs(shop: Shop) -> Iterator[tuple[str, str]]:
    for file in sorted((shop.place.run / "logs").glob("*.log")):
        if file.stem not in OUTSIDE | set(shop.place.tools):  # the tools write what they read, and who packaged them
            yield file.name, file.read_text(errors="replace")


def metrics(shop: Shop) -> Iterator[tuple[str, str]]:
    for name in shop.place.services.names:
        if name not in OUTSIDE:
            yield f"metrics of {name}", httpx2.get(f"http://127.0.0.1:{shop.place.port(name)}/metrics").text


@pytest.mark.timeout(900)  # the more the tests before have emitted, the longer it takes
def test_nothing_that_is_emitted_is_personal_or_secret(shop: Shop, emitted: list[tuple[str, str]]) -> None:
    phrases = re.compile("|".join(map(re.escape, (*PASSWORDS, *LINES, *shop.place.passwords.values()))))
    found = set[tuple[str, str]]()
    for source, text in emitted:  # some 100 MB: each search takes a time that grows with the text alone
        for pattern in (EMAIL, TOKEN, RANDOM, CARD, phrases):
            found |= {(source, match[0]) for match in pattern.finditer(text)}
        found |= {(source, key) for key in KEYS.intersection(UUID.findall(text))}

    assert len(emitted) > 20
    assert found == set()


@pytest.mark.parametrize(
    "secret",
    [
        "ann@example.org",
        "ann%40example.org",
        "eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
        "Bearer%20eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
        "aB3-" * 10 + "xyZ",
        "tok_visa",
    ],
)
def test_each_kind_of_secret_is_recognized(secret: str) -> None:
    assert any(pattern.search(f'{{"a": "{secret}"}}') for pattern in (EMAIL, TOKEN, RANDOM, CARD))

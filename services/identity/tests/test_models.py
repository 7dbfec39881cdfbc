"""Which key signs, which may go, and what an address is."""

from datetime import UTC, datetime, timedelta

import pytest

from identity.models import SigningKey, email_of, retired, signer

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MONTH = timedelta(days=30)


def key(kid: str, signs_at: datetime) -> SigningKey:
    return SigningKey(kid, "{}", signs_at)


def test_a_key_that_is_published_does_not_sign_before_its_time() -> None:
    keys = [key("old", NOW - MONTH), key("next", NOW + timedelta(minutes=1))]
    assert signer(keys, NOW).kid == "old"
    assert signer(keys, NOW + timedelta(minutes=1)).kid == "next"


def test_a_key_stays_published_as_long_as_a_token_may_be_signed_with_it() -> None:
    keys = [key("old", NOW - 3 * MONTH), key("new", NOW - MONTH)]
    assert retired(keys, NOW - timedelta(seconds=1), MONTH) == []
    assert [k.kid for k in retired(keys, NOW, MONTH)] == ["old"]


@pytest.mark.parametrize("text", ["", "a", "a@b", "a@b.", "a b@c.de", "a@b.de\0", "ä@b.de", "@b.de", "a@b..de"])
def test_what_is_no_address(text: str) -> None:
    assert email_of(text) is None


def test_an_address_has_one_spelling() -> None:
    assert email_of(" Ada@Example.ORG ") == "ada@example.org"

"""Signing keys, addresses and the forms of passwords."""

from datetime import UTC, datetime, timedelta

import pytest

from identity.models import SigningKey, email_of, retired, signer, spellings

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


LONG = "a" * 63


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a@b", "a@b.", "a b@c.de", "a@b.de\0", "ä@b.de", "@b.de", "a@b..de", "a@b.de@b.de"),
        *("a@-.-", "a@-b.de", "a@b-.de", "a@b.-de", "a@b.de-", "a@.b.de", f"a@{LONG}a.de", "a@b.1", "a@127.0.0.1"),
        *(".a@b.de", "a.@b.de", "a..b@c.de", ".@b.de", f"{LONG}aa@b.de", "\u212a@b.de", "a@b.de\n.x"),
        f"a@{LONG}.{LONG}.{LONG}.{'a' * 61}",
    ],
)
def test_text_that_is_not_an_address(text: str) -> None:
    assert email_of(text) is None


@pytest.mark.parametrize(
    "text",
    ["a.b+c@d-e.example", "o'hara@x.y.example", "a@xn--bcher-kva.example", "a@1.example", f"{LONG}a@{LONG}.de"],
)
def test_text_that_is_an_address(text: str) -> None:
    assert email_of(text) == text


def test_an_address_has_one_stored_form() -> None:
    assert email_of(" Ada@Example.ORG ") == "ada@example.org"


@pytest.mark.parametrize(
    ("typed", "accepted"),
    [
        ("correct horse", ["correct horse"]),
        ("cafe\u0301 horse", ["caf\u00e9 horse", "cafe\u0301 horse"]),
        ("caf\u00e9 horse", ["caf\u00e9 horse"]),
        ("\u212bngstrom", ["\u00c5ngstrom", "\u212bngstrom"]),
        ("a\u00a0b\u3000c", ["a b c", "a\u00a0b\u3000c"]),
        ("ﬁne Ⅳ ABC", ["ﬁne Ⅳ ABC"]),
        ("tab\there", ["tab\there"]),
        ("half \ud800", []),
        ("", []),
        ("\u1ebf" * 128, ["\u1ebf" * 128]),
        ("e\u0302\u0301" * 128, ["\u1ebf" * 128]),
        ("e\u0301" * 64, ["\u00e9" * 64, "e\u0301" * 64]),
        ("x" * 129, []),
        ("\u0301\u0327" * 30_000, []),
    ],
)
def test_a_password_is_tried_in_its_normal_form_and_as_typed(typed: str, accepted: list[str]) -> None:
    assert spellings(typed) == accepted

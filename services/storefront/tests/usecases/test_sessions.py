"""Sessions: guests, logins, and the renewal of tokens that can be used once. With a real Valkey."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import redis
from msgspec.structs import replace

from chassis.errors import Unavailable
from chassis.http import HttpClient
from chassis.testing.cable import Cable
from chassis.valkey import Valkey
from chassis.waiting import deadline
from storefront.clients import CartClient, IdentityClient
from storefront.models import Tokens
from storefront.repository import Sessions
from storefront.usecases.remote import Carts, Identity, Refused
from storefront.usecases.sessions import SessionEnded, Visit, cart_token, change_password, register, sign_in, sign_out

EMAIL = "ann@example.com"
PASSWORD = "correct horse"  # of every account of `others`
TOKEN = "/api/identity/token"


@pytest.fixture
async def cable(valkey: str) -> AsyncIterator[Cable]:
    async with Cable(valkey) as cable:
        yield cable


@pytest.fixture
async def sessions(cable: Cable) -> AsyncIterator[Sessions]:
    async with Valkey(cable.url, "sessions", service="storefront", timeout=5) as pool:
        yield Sessions(pool)


@pytest.fixture
def stored(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        yield client


@pytest.fixture
async def identity(others) -> AsyncIterator[Identity]:
    others.accounts[EMAIL] = "Ann"
    async with HttpClient(others.url, name="identity") as http:
        yield IdentityClient(http)


@pytest.fixture
async def carts(others) -> AsyncIterator[Carts]:
    async with HttpClient(others.url, name="cart") as http:
        yield CartClient(http)


@pytest.fixture
def visit(sessions: Sessions, identity: Identity):
    """Makes a visit of the browser with this cookie, as each request does."""

    @contextlib.asynccontextmanager
    async def begin(id: str | None = None) -> AsyncIterator[Visit]:
        visit = Visit(sessions, identity, id)
        await visit.load()
        yield visit
        await visit.close()

    return begin


@pytest.fixture
async def ann(visit, carts: Carts, identity: Identity, others) -> str:
    """The ID of Ann's session, after her login."""
    async with visit() as first:
        await sign_in(identity, carts, first, EMAIL, PASSWORD)
    assert first.id is not None
    return first.id


@pytest.fixture
async def due(others, ann: str, sessions: Sessions) -> str:
    """The same, with an access token that is due for renewal but valid."""
    return await _aged(sessions, ann, issued=-700, expires=200)


@pytest.fixture
async def expired(ann: str, sessions: Sessions) -> str:
    return await _aged(sessions, ann, issued=-1000, expires=-100)


async def _aged(sessions: Sessions, id: str, issued: float, expires: float) -> str:
    session = await sessions.get(id)
    assert session is not None
    now = time.time()
    tokens = replace(session.tokens, issued_at=now + issued, expires_at=now + expires)
    await sessions.change(id, replace(session, tokens=tokens))
    return id


# ---- strangers and guests ----


async def test_a_stranger_becomes_a_guest_when_a_token_is_needed(visit, others) -> None:
    async with visit() as first:
        assert (first.id, first.known, others.asked) == (None, False, [])
        assert await first.token() == "guest-1"
        await first.keep()
    async with visit(first.id) as second:
        assert await second.token() == "guest-1"
    assert second.id == first.id


async def test_a_guest_who_has_changed_nothing_is_not_stored(visit, stored) -> None:
    async with visit() as visitor:
        await visitor.token()
    assert stored.keys() == []


@pytest.mark.parametrize("id", ["", "forged", "a" * 43, "\0", "é"])
async def test_a_forged_cookie_makes_a_stranger_who_gets_another_id(visit, id: str) -> None:
    async with visit(id) as visitor:
        assert not visitor.known
        assert visitor.forgotten
        await visitor.token()
        await visitor.keep()
    assert visitor.id not in (None, id)
    assert not visitor.forgotten


async def test_a_guest_whose_token_has_expired_starts_again(visit, sessions: Sessions) -> None:
    async with visit() as first:
        await first.token()
        await first.keep()
    await _aged(sessions, first.id, issued=-1000, expires=-1)
    async with visit(first.id) as second:
        assert not second.known
        assert await second.token() == "guest-2"
    assert second.id != first.id


# ---- login and logout ----


async def test_a_login_gets_an_id_that_nobody_knew_before(visit, identity, carts, others) -> None:
    async with visit() as before:
        await before.token()
        await before.keep()
    async with visit(before.id) as login:
        await sign_in(identity, carts, login, EMAIL, PASSWORD)
    assert login.id != before.id
    async with visit(before.id) as planted:
        assert not planted.known


async def test_a_login_moves_the_guests_cart_and_keeps_the_guests_token(visit, identity, carts, others) -> None:
    async with visit() as before:
        others.carts[await before.token()] = {"MUG-1": 2}
        await before.keep()
    async with visit(before.id) as login:
        await sign_in(identity, carts, login, EMAIL, PASSWORD)
        assert (login.session.name, login.session.guest.access) == ("Ann", "guest-1")
        assert not login.session.unmerged
    assert others.carts == {f"account-{EMAIL}-1": {"MUG-1": 2}}


async def test_a_cart_that_is_down_at_the_login_is_merged_when_it_is_read(visit, identity, carts, others) -> None:
    async with visit() as before:
        others.carts[await before.token()] = {"MUG-1": 2}
        await before.keep()
    others.down.add("cart")
    async with visit(before.id) as login:
        await sign_in(identity, carts, login, EMAIL, PASSWORD)
        with pytest.raises(Unavailable):
            await cart_token(carts, login)
    others.down.clear()
    async with visit(login.id) as again:
        assert await cart_token(carts, again) == f"account-{EMAIL}-1"
    assert others.carts[f"account-{EMAIL}-1"] == {"MUG-1": 2}
    others.asked.clear()
    async with visit(login.id) as later:
        await cart_token(carts, later)
    assert others.asked == []  # it is merged once


@pytest.mark.parametrize(("slug", "again"), [("cart-full", True), ("guest-token-invalid", False)])
async def test_a_refused_merge_is_tried_again_if_it_can_succeed(
    visit, identity, carts, others, problem, slug: str, again: bool
) -> None:
    async with visit() as before:
        await before.token()
        await before.keep()
    others.refused["/api/cart/merge"] = problem(422, slug)
    async with visit(before.id) as login:
        await sign_in(identity, carts, login, EMAIL, PASSWORD)
    async with visit(login.id) as after:
        assert after.session.unmerged == again
        assert await cart_token(carts, after) == f"account-{EMAIL}-1"
        assert not after.session.unmerged


async def test_a_merge_and_a_renewal_at_once_lose_neither(visit, identity, carts, others, sessions) -> None:
    async with visit() as before:
        others.carts[await before.token()] = {"MUG-1": 2}
        await before.keep()
    others.down.add("cart")
    async with visit(before.id) as login:
        await sign_in(identity, carts, login, EMAIL, PASSWORD)
    others.down.clear()
    due = await _aged(sessions, login.id, issued=-700, expires=200)
    others.held["identity"] = asyncio.Event()
    async with visit(due) as merging:
        await cart_token(carts, merging)  # while the renewal has the lock
        others.held["identity"].set()
    async with visit(due) as later:
        assert await cart_token(carts, later) == f"account-{EMAIL}-2"
        assert (later.session.tokens.refresh, later.session.unmerged) == (f"refresh-{EMAIL}-2", False)


async def test_a_session_that_ends_while_its_cart_is_merged_stays_ended(visit, identity, carts, others) -> None:
    async with visit() as before:
        await before.token()
        await before.keep()
    others.down.add("cart")
    async with visit(before.id) as login:
        await sign_in(identity, carts, login, EMAIL, PASSWORD)
    others.down.clear()
    others.held["cart"] = asyncio.Event()
    others.asked.clear()
    async with visit(login.id) as visitor:
        merging = asyncio.ensure_future(cart_token(carts, visitor))
        await others.hear("POST /api/cart/merge")
        await visitor.end()
        others.held["cart"].set()
        await merging
        assert visitor.session is None


async def test_a_login_without_valkey_moves_no_cart(visit, identity, carts, others, cable: Cable) -> None:
    async with visit() as before:
        others.carts[await before.token()] = {"MUG-1": 2}
        await before.keep()
    others.held["identity"] = asyncio.Event()
    async with visit(before.id) as login:
        signing = asyncio.ensure_future(sign_in(identity, carts, login, EMAIL, PASSWORD))
        await others.hear(f"POST {TOKEN}")
        await cable.cut()
        others.held["identity"].set()
        with pytest.raises(Unavailable):
            await signing
    await cable.mend()
    assert others.carts["guest-1"] == {"MUG-1": 2}
    async with visit(before.id) as after:
        assert await after.token() == "guest-1"


async def test_a_login_as_another_revokes_the_token_of_the_first(visit, identity, carts, ann: str, others) -> None:
    others.accounts["bob@example.com"] = "Bob"
    async with visit(ann) as login:
        await sign_in(identity, carts, login, "bob@example.com", PASSWORD)
        assert login.session.name == "Bob"
    assert others.revoked == [f"refresh-{EMAIL}-1"]


async def test_a_refused_login_leaves_the_guest_as_it_was(visit, identity, carts) -> None:
    async with visit() as before:
        await before.token()
        await before.keep()
    async with visit(before.id) as login:
        with pytest.raises(Refused, match="invalid-grant"):
            await sign_in(identity, carts, login, EMAIL, "wrong")
    assert login.id == before.id
    async with visit(before.id) as after:
        assert await after.token() == "guest-1"


async def test_without_valkey_nobody_logs_in_and_no_cart_is_moved(visit, identity, carts, others, cable: Cable) -> None:
    async with visit() as before:
        others.carts[await before.token()] = {"MUG-1": 2}
        await before.keep()
    await cable.cut()
    async with visit(before.id) as login:
        await cable.mend()  # even if it returns in between
        await cable.cut()
        with pytest.raises(Unavailable):
            await sign_in(identity, carts, login, EMAIL, PASSWORD)
    await cable.mend()
    assert others.carts == {"guest-1": {"MUG-1": 2}}
    async with visit(before.id) as after:
        assert await after.token() == "guest-1"


async def test_a_logout_ends_the_session_and_revokes_its_refresh_token(visit, identity, ann: str, others) -> None:
    async with visit(ann) as logout:
        await sign_out(identity, logout)
    assert (logout.id, others.revoked) == (None, [f"refresh-{EMAIL}-1"])
    async with visit(ann) as after:
        assert not after.known


async def test_after_a_logout_the_guest_from_before_the_login_goes_on(visit, identity, carts, others) -> None:
    async with visit() as before:
        await before.token()
        await before.keep()
    async with visit(before.id) as login:
        await sign_in(identity, carts, login, EMAIL, PASSWORD)
    async with visit(login.id) as logout:
        await sign_out(identity, logout)
    assert logout.id not in (None, before.id, login.id)
    async with visit(logout.id) as after:
        assert not after.session.signed_in
        assert await after.token() == "guest-1"
        await sign_out(identity, after)  # a guest stays
    async with visit(logout.id) as later:
        assert await later.token() == "guest-1"


async def test_a_guest_whose_token_has_expired_does_not_go_on(visit, identity, ann: str, sessions: Sessions) -> None:
    session = await sessions.get(ann)
    await sessions.change(ann, replace(session, guest=Tokens("guest-1", 1.0, 2.0)))
    async with visit(ann) as logout:
        await sign_out(identity, logout)
    assert (logout.id, logout.forgotten) == (None, True)


async def test_the_guest_also_goes_on_after_a_session_that_was_revoked(visit, expired, sessions, others) -> None:
    session = await sessions.get(expired)
    guest = Tokens("guest-1", time.time(), time.time() + 900)
    await sessions.change(expired, replace(session, guest=guest))
    others.revoked.append(f"refresh-{EMAIL}-1")
    async with visit(expired) as visitor:
        with pytest.raises(SessionEnded):
            await visitor.token()
    async with visit(visitor.id) as after:
        assert await after.token() == "guest-1"


async def test_a_logout_needs_no_identity(visit, identity, ann: str, others) -> None:
    others.down.add("identity")
    async with visit(ann) as logout:
        await sign_out(identity, logout)
    async with visit(ann) as after:
        assert not after.known


async def test_a_logout_without_valkey_is_not_claimed(visit, identity, ann: str, cable: Cable) -> None:
    await cable.cut()
    async with visit(ann) as logout:
        with pytest.raises(Unavailable):
            await sign_out(identity, logout)
    assert logout.id == ann
    await cable.mend()


async def test_of_two_requests_that_end_a_session_one_goes_on_as_the_guest(visit, identity, carts) -> None:
    async with visit() as before:
        await before.token()
        await before.keep()
    async with visit(before.id) as login:
        await sign_in(identity, carts, login, EMAIL, PASSWORD)
    async with visit(login.id) as first, visit(login.id) as second:
        await first.end()
        await second.end()
    assert first.id is not None
    assert second.id is None


async def test_a_guest_whose_session_is_ended_does_not_go_on(visit) -> None:
    async with visit() as guest:
        await guest.token()
        await guest.keep()
        await guest.end()
    assert guest.id is None


async def test_a_login_counts_even_if_the_old_session_cannot_be_ended(
    visit, identity, carts, sessions, cable: Cable, monkeypatch
) -> None:
    async with visit() as before:
        await before.token()
        await before.keep()
    monkeypatch.setattr(sessions, "copy_prices", lambda *_: cable.cut())  # after the new session, before the old one
    async with visit(before.id) as login:
        await sign_in(identity, carts, login, EMAIL, PASSWORD)
    await cable.mend()
    async with visit(login.id) as after:
        assert after.session.name == "Ann"


async def test_a_registration_logs_in_also_if_it_is_sent_twice(visit, identity, carts, others) -> None:
    for _ in range(2):
        async with visit() as visitor:
            await register(identity, carts, visitor, "bob@example.com", "12345678", "Bob", "203.0.113.1")
            assert visitor.session.name == "Bob"
    assert others.clients == ["203.0.113.1"] * 2  # identity limits the registrations of an address


async def test_a_registration_with_the_address_of_another_is_refused(visit, identity, carts) -> None:
    async with visit() as visitor:
        with pytest.raises(Refused, match="email-taken"):
            await register(identity, carts, visitor, EMAIL, "12345678", "Mallory", "")
        assert not visitor.known


async def test_a_registration_tells_why_its_login_was_refused(visit, identity, carts, others, problem) -> None:
    others.refused[TOKEN] = problem(429, "too-many-tries")
    async with visit() as visitor:
        with pytest.raises(Refused, match="too-many-tries"):
            await register(identity, carts, visitor, EMAIL, PASSWORD, "Ann", "")


async def test_a_registration_hashes_twice_and_asks_for_nothing_that_is_known(visit, identity, carts, others) -> None:
    async with visit() as visitor:
        await register(identity, carts, visitor, "bob@example.com", "12345678", "Bob", "")
    assert others.asked == ["POST /api/identity/accounts", f"POST {TOKEN}"]


async def test_a_changed_password_gives_the_session_new_tokens_and_a_new_id(visit, identity, ann: str) -> None:
    async with visit(ann) as change:
        await change_password(identity, change, PASSWORD, "a new password")
    async with visit(ann) as old:
        assert not old.known
    async with visit(change.id) as after:
        assert await after.token() == f"account-{EMAIL}-2"
        assert after.session.name == "Ann"


# ---- renewal ----


async def test_a_valid_token_is_renewed_beside_the_request(visit, due: str, others) -> None:
    others.held["identity"] = asyncio.Event()
    async with visit(due) as visitor:
        assert await visitor.token() == f"account-{EMAIL}-1"  # at once
        others.held["identity"].set()
    async with visit(due) as later:
        assert await later.token() == f"account-{EMAIL}-2"


async def test_an_expired_token_is_renewed_first(visit, expired: str) -> None:
    async with visit(expired) as visitor:
        assert await visitor.token() == f"account-{EMAIL}-2"
        assert visitor.session.name == "Ann"


async def test_of_many_requests_at_once_one_renews(visit, expired: str, others) -> None:
    others.asked.clear()

    async def request() -> list[str]:
        async with visit(expired) as visitor:
            return await asyncio.gather(visitor.token(), visitor.token())

    tokens = await asyncio.gather(*(request() for _ in range(10)))
    assert tokens == [[f"account-{EMAIL}-2"] * 2] * 10
    assert others.asked.count(f"POST {TOKEN}") == 1


async def test_a_lost_answer_is_asked_for_again(visit, expired: str, others) -> None:
    others.lost.add(TOKEN)
    async with visit(expired) as visitor:
        assert await visitor.token() == f"account-{EMAIL}-2"


async def test_a_crash_between_exchange_and_storing_loses_nothing(visit, expired, identity, sessions, others) -> None:
    await identity.refresh(f"refresh-{EMAIL}-1")  # and the process ends here
    async with visit(expired) as visitor:
        assert await visitor.token() == f"account-{EMAIL}-2"


async def test_renewed_tokens_are_stored_when_valkey_is_back(visit, expired, sessions, others, cable: Cable) -> None:
    others.held["identity"] = asyncio.Event()
    others.asked.clear()
    async with visit(expired) as visitor:
        token = asyncio.ensure_future(visitor.token())
        await others.hear(f"POST {TOKEN}")
        await cable.cut()
        others.held["identity"].set()
        assert await token == f"account-{EMAIL}-2"  # this request goes on
    await cable.mend()
    for _ in range(100):
        if (await sessions.get(expired)).tokens.refresh == f"refresh-{EMAIL}-2":
            return
        await asyncio.sleep(0.05)
    pytest.fail("the new tokens were not stored")


async def test_a_renewal_outlives_the_deadline_of_its_request(visit, expired: str, others) -> None:
    others.held["identity"] = asyncio.Event()
    deadline.set(time.monotonic() + 0.2)
    async with visit(expired) as visitor:
        with pytest.raises(Unavailable, match="deadline-passed"):
            await visitor.token()
        others.held["identity"].set()
    deadline.set(None)
    async with visit(expired) as later:
        assert later.session.tokens.refresh == f"refresh-{EMAIL}-2"


async def test_without_identity_a_session_goes_on_while_its_token_is_valid(visit, due: str, others) -> None:
    others.down.add("identity")
    async with visit(due) as visitor:
        assert await visitor.token() == f"account-{EMAIL}-1"


async def test_without_identity_an_expired_token_is_a_failure_but_the_session_remains(visit, expired, others) -> None:
    others.down.add("identity")
    async with visit(expired) as visitor:
        with pytest.raises(Unavailable):
            await visitor.token()
    others.down.clear()
    async with visit(expired) as later:
        assert await later.token() == f"account-{EMAIL}-2"


async def test_a_revoked_session_ends_and_does_not_become_a_guest(visit, expired: str, others) -> None:
    others.revoked.append(f"refresh-{EMAIL}-1")
    async with visit(expired) as visitor:
        for _ in range(2):
            with pytest.raises(SessionEnded):
                await visitor.token()
            assert visitor.known
        assert (visitor.id, visitor.session) == (None, None)
    async with visit(expired) as later:
        assert not later.known


async def test_a_revoked_session_goes_on_until_its_token_expires(visit, due: str, others) -> None:
    others.revoked.append(f"refresh-{EMAIL}-1")
    async with visit(due) as visitor:
        assert await visitor.token() == f"account-{EMAIL}-1"
    async with visit(due) as later:
        assert not later.known


# ---- Valkey ----


async def test_without_valkey_a_visitor_counts_as_a_stranger(visit, ann: str, cable: Cable) -> None:
    await cable.cut()
    async with visit(ann) as visitor:
        assert (visitor.known, visitor.down, visitor.id) == (False, True, ann)
        with pytest.raises(Unavailable, match="session-unavailable"):
            await visitor.token()
        await cable.mend()
        assert await visitor.token() == f"account-{EMAIL}-1"
    assert (visitor.known, visitor.down) == (True, False)

"""Becoming an account's: login, registration, a new password, logout, and the cart of the guest before."""

import contextlib
import logging
import time

from msgspec.structs import replace

from chassis.errors import Problem
from storefront.models import Session
from storefront.usecases.remote import Carts, Identity, Refused
from storefront.usecases.sessions.visit import Visit, tokens

__all__ = ["cart_token", "change_password", "register", "sign_in", "sign_out"]

log = logging.getLogger(__name__)

NO_GUEST = frozenset({"guest-token-invalid", "not-a-guest"})
"""Cart's refusals of a merge that will not succeed later either."""


async def sign_in(
    identity: Identity, carts: Carts, visit: Visit, email: str, password: str, name: str | None = None
) -> None:
    """Begins an account's session, and moves the guest's cart into the account's.

    Raises Refused (`invalid-grant`, `too-many-tries`) and Unavailable; the old session then continues. A merge that
    fails is no reason to refuse the login: `cart_token` tries again. `name` is the account's, if it is known.
    """
    await visit.certain()  # otherwise the guest's cart would be forgotten
    granted = await identity.sign_in(email, password)
    name = name or (await identity.me(granted.access_token)).name
    before = visit.session
    guest = before.live_guest(time.time()) if before else None
    await visit.begin(Session(tokens(granted), name, guest, unmerged=guest is not None))
    if guest is not None:
        with contextlib.suppress(Problem):
            await cart_token(carts, visit)
    await _revoke(identity, before)


async def cart_token(carts: Carts, visit: Visit) -> str:
    """Returns the token that opens the visitor's cart.

    If the guest's cart has not been moved into the account's yet, because cart was down at the login, this moves it.
    Raises Unavailable and SessionEnded.
    """
    token = await visit.token()
    session = visit.session
    if session is None or not session.unmerged or session.guest is None:
        return token
    try:
        await carts.merge(token, session.guest.access)
    except Refused as refusal:
        log.warning("moving a guest's cart was refused: %s", refusal)
        if refusal.slug not in NO_GUEST:  # such as a full cart
            return token
    await visit.merged()
    return token


async def register(
    identity: Identity, carts: Carts, visit: Visit, email: str, password: str, name: str, client: str
) -> None:
    """Creates an account and signs in. If the account exists with this password, only signs in.

    So a form that is sent twice, or whose first answer was lost, succeeds. Raises Refused (`email-taken`,
    `invalid-request`, `too-many-registrations`, `too-many-tries`) and Unavailable; the account may then exist.
    `client` is the address of the browser.
    """
    await visit.certain()
    taken = account = None
    try:
        account = await identity.register(email, password, name, client)
    except Refused as error:
        if error.slug != "email-taken":
            raise
        taken = error
    try:
        await sign_in(identity, carts, visit, email, password, account.name if account else None)
    except Refused as error:
        raise (taken if taken and error.slug == "invalid-grant" else error) from None


async def change_password(identity: Identity, visit: Visit, current: str, new: str) -> None:
    """Changes the account's password. All other sessions of the account end when their access tokens expire.

    Raises Refused (`wrong-password`, `too-many-tries`, `invalid-request`, …), Unavailable and SessionEnded.
    """
    token = await visit.token()
    session = visit.session
    assert session is not None
    granted = await identity.change_password(token, current, new)
    await visit.begin(replace(session, tokens=tokens(granted)))


async def sign_out(identity: Identity, visit: Visit) -> None:
    """Ends an account's session, then revokes its refresh token: if identity is down, the token expires by itself.

    A guest stays. Raises Unavailable; the session then continues.
    """
    await visit.certain()
    session = visit.session
    if session is None or not session.signed_in:
        return
    await visit.end()
    visit.forgotten = visit.id is None
    await _revoke(identity, session)


async def _revoke(identity: Identity, session: Session | None) -> None:
    if session is not None and session.tokens.refresh is not None:
        try:
            await identity.revoke(session.tokens.refresh)
        except Problem as error:
            log.warning("revoking a refresh token failed: %s", error)

"""Sessions: begin as a guest's, become an account's at login, and keep their tokens fresh."""

import asyncio
import contextlib
import logging
import time

from chassis.errors import Problem, Unavailable
from chassis.waiting import shared, wait_for
from storefront.models import Session, Tokens
from storefront.repository import Sessions
from storefront.usecases.remote import Carts, Granted, Identity, Refused

__all__ = ["SessionEnded", "Visit", "change_password", "register", "sign_in", "sign_out"]

log = logging.getLogger(__name__)

RENEWAL_TRIES = 20
RENEWAL_PAUSE = 0.1


class SessionEnded(Exception):
    """The account's tokens cannot be renewed any more: log in again."""


class Visit:
    """One request of a browser. `id` is that of its session; it changes when a session begins or ends.

    Without Valkey the visitor counts as a stranger and `down` is true: pages that need no session still work.
    """

    def __init__(self, sessions: Sessions, identity: Identity, id: str | None) -> None:
        self._sessions = sessions
        self._identity = identity
        self._renewal: asyncio.Task[None] | None = None
        self._ended = False
        self.id = id
        self.session: Session | None = None
        self.down = False

    async def load(self) -> None:
        """Reads the session. A forged or old ID, and a guest whose token has expired, make the visitor a stranger."""
        with contextlib.suppress(Unavailable):
            await self.certain()

    async def certain(self) -> None:
        """Reads the session if that has not succeeded yet. Raises Unavailable."""
        if self.id is None or self.session is not None:
            return
        self.down = True
        session = await self._sessions.get(self.id)
        self.down = False
        if session is None or (session.tokens.refresh is None and session.tokens.expired(time.time())):
            self.id = None
        else:
            self.session = session

    @property
    def known(self) -> bool:
        """Whether there is a session. One that ends during the request is known, and `token` raises SessionEnded."""
        return self.session is not None or self._ended

    async def token(self) -> str:
        """Returns an access token; makes the visitor a guest if there is no session.

        Only an expired token makes the request wait for its renewal: so a session goes on while identity is down.
        Raises Unavailable and SessionEnded.
        """
        await self.certain()
        if self._ended:
            raise SessionEnded
        if self.session is None:
            await self.begin(Session(tokens(await self._identity.guest())))
        assert self.session is not None
        assert self.id is not None
        now = time.time()
        if self._renewal is None and self.session.tokens.refresh is not None and self.session.tokens.due(now):
            # The renewal does not end with the request: tokens that identity has sent must be stored.
            self._renewal = shared(self._renew(self.id), "renewal of a session")
        if self._renewal is not None and self.session.tokens.expired(now):
            await wait_for(self._renewal)
        return self.session.tokens.access

    async def close(self) -> None:
        """Waits for a renewal in progress. Its failure matters only to those who called `token`."""
        if self._renewal is not None:
            with contextlib.suppress(Problem, SessionEnded):
                await self._renewal

    async def begin(self, session: Session) -> None:
        """Stores a session under a new ID, which nobody can have planted in the browser, and ends the old one."""
        old, self.id = self.id, await self._sessions.start(session)
        self.session, self._ended = session, False
        if old is not None:
            with contextlib.suppress(Unavailable):
                await self._sessions.copy_prices(old, self.id)
            await self._sessions.end(old)

    async def end(self) -> None:
        """Ends the session; this visit then gets no other one."""
        self._ended = True
        id, self.id, self.session = self.id, None, None
        if id is not None:
            await self._sessions.end(id)

    async def _renew(self, id: str) -> None:
        """Renews the tokens in one request of this session, while other requests wait if they have to.

        A refresh token is good once, so two requests must not both use it.
        """
        for _ in range(RENEWAL_TRIES):
            proof = await self._sessions.lock(id)
            try:
                session = await self._sessions.get(id)
                if session is None:
                    await self.end()
                    raise SessionEnded
                if not session.tokens.due(time.time()):
                    self.session = session
                    return
                if proof is not None:
                    await self._exchange(id, session)
                    return
                if not session.tokens.expired(time.time()):
                    return
            finally:
                if proof is not None:
                    await self._sessions.unlock(id, proof)
            await asyncio.sleep(RENEWAL_PAUSE)
        raise Unavailable("identity-unavailable", "The session could not be renewed", "Try again in a second.")

    async def _exchange(self, id: str, session: Session) -> None:
        try:
            granted = await self._identity.refresh(session.tokens.refresh or "")
        except Refused as error:
            if error.status != 400:
                raise
            await self.end()
            raise SessionEnded from error
        self.session = Session(tokens(granted), session.name, session.guest)
        await self._sessions.change(id, self.session)


async def sign_in(identity: Identity, carts: Carts, visit: Visit, email: str, password: str) -> None:
    """Begins an account's session, and moves the guest's cart into the account's.

    Raises Refused (`invalid-grant`, `too-many-tries`) and Unavailable; the old session then continues. A merge that
    fails is no reason to refuse the login: the guest's token stays in the session, for the next one.
    """
    await visit.certain()  # otherwise the guest's cart would be forgotten
    granted = await identity.sign_in(email, password)
    account = await identity.me(granted.access_token)
    before = visit.session
    guest = before.tokens.access if before and not before.signed_in else before.guest if before else None
    if guest is not None:
        with contextlib.suppress(Problem):
            await carts.merge(granted.access_token, guest)
    await visit.begin(Session(tokens(granted), account.name, guest))


async def register(
    identity: Identity, carts: Carts, visit: Visit, email: str, password: str, name: str, client: str
) -> None:
    """Creates an account and signs in. If the account exists with this password, only signs in.

    So a form that is sent twice, or whose first answer was lost, succeeds. Raises Refused (`email-taken`,
    `invalid-request`, `too-many-registrations`) and Unavailable. `client` is the address of the browser.
    """
    await visit.certain()
    taken = None
    try:
        await identity.register(email, password, name, client)
    except Refused as error:
        if error.slug != "email-taken":
            raise
        taken = error
    try:
        await sign_in(identity, carts, visit, email, password)
    except Refused as error:
        raise taken or error from None


async def change_password(identity: Identity, visit: Visit, current: str, new: str) -> None:
    """Changes the account's password. All other sessions of the account end when their access tokens expire.

    Raises Refused (`wrong-password`, `too-many-tries`, `invalid-request`, …), Unavailable and SessionEnded.
    """
    token = await visit.token()
    session = visit.session
    assert session is not None
    granted = await identity.change_password(token, current, new)
    await visit.begin(Session(tokens(granted), session.name, session.guest))


async def sign_out(identity: Identity, visit: Visit) -> None:
    """Ends the session, then revokes its refresh token: if identity is down, the token expires by itself.

    Raises Unavailable; the session then continues.
    """
    await visit.certain()
    session = visit.session
    await visit.end()
    if session is not None and session.tokens.refresh is not None:
        try:
            await identity.revoke(session.tokens.refresh)
        except Problem as error:
            log.warning("revoking a refresh token failed: %s", error)


def tokens(granted: Granted) -> Tokens:
    now = time.time()
    return Tokens(
        granted.access_token,
        now,
        now + granted.expires_in,
        frozenset(granted.scope.split()),
        granted.refresh_token,
    )

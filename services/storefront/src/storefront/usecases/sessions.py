"""Sessions: begin as a guest's, become an account's at login, and keep their tokens fresh."""

import asyncio
import contextlib
import logging
import time

from chassis.errors import Problem, Unavailable
from storefront.models import Session, Tokens
from storefront.repository import Sessions
from storefront.usecases.remote import Carts, Granted, Identity, Refused

__all__ = ["SessionEnded", "Visit", "sign_in", "sign_out"]

log = logging.getLogger(__name__)

REFRESH_TRIES = 20
REFRESH_PAUSE = 0.1


class SessionEnded(Exception):
    """The account's tokens cannot be refreshed any more: log in again."""


class Visit:
    """One request of a browser. `id` is that of its session; it changes when a session begins or ends.

    Without Valkey the visitor counts as a stranger and `down` is true: pages that need no session still work.
    """

    def __init__(self, sessions: Sessions, identity: Identity, id: str | None) -> None:
        self._sessions = sessions
        self._identity = identity
        self.id = id
        self.session: Session | None = None
        self.down = False

    async def load(self) -> None:
        if self.id is None:
            return
        try:
            self.session = await self._sessions.get(self.id)
        except Unavailable:
            self.down = True
            return
        if self.session is None:
            self.id = None

    @property
    def known(self) -> bool:
        return self.session is not None

    async def token(self) -> str:
        """Returns an access token; makes the visitor a guest if there is no session.

        Raises Unavailable and SessionEnded.
        """
        if self.down:
            await self._reload()
        if self.session is None:
            self.session = Session(tokens(await self._identity.guest()))
            self.id = await self._sessions.start(self.session)
        elif self.session.tokens.due(time.time()):
            await self._refresh(self.id or "")
        return self.session.tokens.access

    async def _reload(self) -> None:
        self.session = await self._sessions.get(self.id or "")  # raises Unavailable
        self.down = False

    async def _refresh(self, id: str) -> None:
        """Refreshes the tokens in one request of this session, while its other requests wait for the result.

        A refresh token is good once, so two requests must not both use it.
        """
        for _ in range(REFRESH_TRIES):
            proof = await self._sessions.lock(id)
            try:
                self.session = await self._sessions.get(id)
                if self.session is None:
                    raise SessionEnded
                if not self.session.tokens.due(time.time()):
                    return
                if proof is not None:
                    await self._exchange(id, self.session)
                    return
            finally:
                if proof is not None:
                    await self._sessions.unlock(id, proof)
            await asyncio.sleep(REFRESH_PAUSE)
        raise Unavailable("identity-unavailable", "The session could not be renewed", "Try again in a second.")

    async def _exchange(self, id: str, session: Session) -> None:
        refresh = session.tokens.refresh
        try:
            granted = await (self._identity.refresh(refresh) if refresh else self._identity.guest())
        except Refused as error:
            await self._sessions.end(id)
            raise SessionEnded from error
        self.session = Session(tokens(granted), session.name, session.guest)
        await self._sessions.change(id, self.session)


async def sign_in(
    sessions: Sessions, identity: Identity, carts: Carts, visit: Visit, email: str, password: str
) -> None:
    """Begins an account's session under a new ID, and moves the guest's cart into the account's.

    Raises Refused (`invalid-grant`, `too-many-tries`) and Unavailable; the old session then continues. A merge that
    fails is no reason to refuse the login: the guest's token stays in the session, for the next one.
    """
    granted = await identity.sign_in(email, password)
    account = await identity.me(granted.access_token)
    before = visit.session
    guest = before.tokens.access if before and not before.signed_in else before.guest if before else None
    if guest is not None:
        with contextlib.suppress(Problem):
            await carts.merge(granted.access_token, guest)
    old = visit.id
    visit.session = Session(tokens(granted), account.name, guest)
    visit.id = await sessions.start(visit.session)
    if old is not None:
        await sessions.end(old)


async def sign_out(sessions: Sessions, identity: Identity, visit: Visit) -> None:
    """Ends the session, then revokes its refresh token: if identity is down, the token expires by itself."""
    session, visit.session = visit.session, None
    if visit.id is not None:
        await sessions.end(visit.id)
        visit.id = None
    if session is not None and session.tokens.refresh is not None:
        try:
            await identity.revoke(session.tokens.refresh)
        except Problem as error:
            log.warning("revoking a refresh token failed: %s", error)


def tokens(granted: Granted) -> Tokens:
    return Tokens(
        granted.access_token,
        time.time() + granted.expires_in,
        frozenset(granted.scope.split()),
        granted.refresh_token,
    )

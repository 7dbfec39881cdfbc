"""A visit: reads the session of a browser, keeps its tokens fresh, and replaces it when the visitor becomes another."""

import asyncio
import contextlib
import logging
import time

from msgspec.structs import replace

from chassis.errors import Problem, Unavailable
from chassis.waiting import shared, wait_for
from storefront.models import Session, Tokens
from storefront.repository import Sessions
from storefront.usecases.remote import Granted, Identity, Refused

__all__ = ["SessionEnded", "Visit", "tokens"]

log = logging.getLogger(__name__)

RENEWAL_TRIES = 20
RENEWAL_PAUSE = 0.1
STORING_TRIES = 20
STORING_PAUSE = 0.25


class SessionEnded(Exception):
    """The account's tokens cannot be renewed any more: log in again."""


class Visit:
    """One request of a browser. `id` is that of its session; it changes when a session begins or ends.

    Without Valkey the visitor counts as a stranger and `down` is true: pages that need no session still work.
    `stored` is false for a new guest until `keep`. `forgotten` tells that the browser's ID opens nothing any more.
    """

    def __init__(self, sessions: Sessions, identity: Identity, id: str | None) -> None:
        self._sessions = sessions
        self._identity = identity
        self._renewal: asyncio.Task[None] | None = None
        self._storing: asyncio.Task[None] | None = None
        self._ended = False
        self.id = id
        self.session: Session | None = None
        self.down = False
        self.stored = True
        self.forgotten = False

    async def load(self) -> None:
        """Reads the session. A forged or old ID, and a guest whose token has expired, make the visitor a stranger."""
        with contextlib.suppress(Unavailable):
            await self.certain()

    async def certain(self) -> None:
        """Reads the session if that has not succeeded yet. Raises Unavailable."""
        if self.id is None or self.session is not None or self._ended:
            return
        self.down = True
        session = await self._sessions.get(self.id)
        if session is None or (session.tokens.refresh is None and session.tokens.expired(time.time())):
            # If it has just ended, the browser may have another ID by now: forgetting could lose that one.
            self.forgotten = not await self._sessions.ended_lately(self.id)
            self.id = None
        else:
            self.session = session
        self.down = False

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
            self.session = Session(tokens(await self._identity.guest()))
            self.id, self.stored = self._sessions.new_id(), False
        assert self.id is not None
        now = time.time()
        if self._renewal is None and self.session.tokens.refresh is not None and self.session.tokens.due(now):
            # The renewal does not end with the request: tokens that identity has sent must be stored.
            self._renewal = shared(self._renew(self.id), "renewal of a session")
        if self._renewal is not None and self.session.tokens.expired(now):
            await wait_for(self._renewal)
        return self.session.tokens.access

    async def keep(self) -> None:
        """Stores the session of a new guest, after the first change has succeeded. Raises Unavailable."""
        if not self.stored and self.session is not None and self.id is not None:
            await self._sessions.start(self.session, self.id)
            self.stored, self.forgotten = True, False

    async def close(self) -> None:
        """Waits for a renewal in progress. Its failure matters only to those who called `token`."""
        if self._renewal is not None:
            with contextlib.suppress(Problem, SessionEnded):
                await self._renewal

    async def begin(self, session: Session) -> None:
        """Stores a session under a new ID, which nobody can have planted in the browser, and ends the old one."""
        old, self.id = self.id, await self._sessions.start(session)
        self.session, self._ended, self.stored, self.forgotten = session, False, True, False
        if old is not None:
            with contextlib.suppress(Unavailable):
                await self._sessions.copy_prices(old, self.id)
            try:
                await self._sessions.end(old)
            except Unavailable as error:
                log.warning("ending a replaced session failed: %s", error)

    async def end(self) -> None:
        """Ends the session; this visit then gets no other one. Raises Unavailable; the session then continues.

        The guest from before the login goes on in the browser's next request, under a new ID.
        """
        guest = self.session.live_guest(time.time()) if self.session and self.session.signed_in else None
        there = self.id is not None and await self._sessions.end(self.id)
        self._ended, self.id, self.session = True, None, None
        if there and guest is not None:  # otherwise another request has ended it, and knows what comes next
            try:
                self.id = await self._sessions.start(Session(guest))
            except Unavailable as error:
                log.warning("going on as a guest failed: %s", error)

    async def merged(self) -> None:
        """Notes that the guest's cart has been moved. If that fails, it is moved again later, which changes nothing."""
        if (id := self.id) is None or self._ended:  # by a renewal beside the request
            return
        with contextlib.suppress(Unavailable):
            if (proof := await self._sessions.lock(id)) is None:  # a renewal also writes the session
                return
            if (session := await self._sessions.get(id)) is not None:
                self.session = replace(session, unmerged=False)
                await self._sessions.change(id, self.session)
            await self._sessions.unlock(id, proof)

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
                    with contextlib.suppress(Unavailable):  # it opens by itself
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
        self.session = replace(session, tokens=tokens(granted))
        try:
            await self._sessions.change(id, self.session)
        except Unavailable:  # this request goes on with the new tokens
            self._storing = shared(_store(self._sessions, id, self.session), "storing of renewed tokens")


async def _store(sessions: Sessions, id: str, session: Session) -> None:
    """Repeats storing renewed tokens for some seconds: identity soon takes the old ones for stolen."""
    for _ in range(STORING_TRIES):
        await asyncio.sleep(STORING_PAUSE)
        with contextlib.suppress(Unavailable):
            await sessions.change(id, session)
            return
    log.error("renewed tokens could not be stored, so the session will end")


def tokens(granted: Granted) -> Tokens:
    now = time.time()
    return Tokens(
        granted.access_token,
        now,
        now + granted.expires_in,
        frozenset(granted.scope.split()),
        granted.refresh_token,
    )

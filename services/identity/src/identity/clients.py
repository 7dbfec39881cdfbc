"""Verifies our own tokens with the keys at hand: identity need not ask itself over HTTP."""

from joserfc import jwt
from joserfc.errors import JoseError

from chassis.auth import Principal
from chassis.errors import Unauthenticated
from identity.usecases.keys import ALGORITHM, Keyring

__all__ = ["OwnVerifier"]


class OwnVerifier:
    """What `chassis.auth` expects in an app's state."""

    def __init__(self, keyring: Keyring, *, issuer: str, audience: str) -> None:
        self._keyring = keyring
        self._claims = jwt.JWTClaimsRegistry(
            exp={"essential": True},
            sub={"essential": True},
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
        )

    async def verify(self, token: str) -> Principal:
        """Raises Unauthenticated."""
        try:
            claims = jwt.decode(token, await self._keyring.keys(), algorithms=[ALGORITHM]).claims
            self._claims.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise Unauthenticated(
                "invalid-token", "The bearer token is not valid", "Get a new one from /api/identity."
            ) from error
        scopes = frozenset(str(claims.get("scope", "")).split())
        return Principal(claims["sub"], scopes, token, claims.get("kind") == "guest")

"""The tokens of the shop: JWTs that identity has signed with ES256, and what they say.

A library for every kind of token takes as long for the rest as for the signature, and asks the token how to verify it.
Here nothing of a token is believed before its signature, except the ID of the key, and a header that says more than
`alg`, `kid` and `typ` is refused. `test_auth.py` forges tokens.
"""

import contextlib
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from chassis import metrics
from chassis.errors import Unauthenticated

__all__ = ["Claims", "Keys", "Principal", "UnknownKey", "public_keys", "refused"]

ES256 = ECDSA(SHA256())
SIGNATURE_BYTES = 64
CLOCK_LEEWAY = 60
"""Seconds by which our clock may be behind `nbf`, which identity does not issue. `iat` is not compared: with a clock
that is behind, it would refuse every new token."""
EXPIRY_LEEWAY = 5
"""Seconds for which an expired token is still accepted; short, so that it does not extend a token's life."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated account or guest. `sub` owns carts and orders; `token` may be sent in calls on its behalf."""

    sub: str
    scopes: frozenset[str]
    token: str
    guest: bool = False


Keys = Mapping[str, EllipticCurvePublicKey]
"""Public keys by their `kid`."""


class Claims:
    """The claims that every token must have. This is the only place where tokens are accepted."""

    def __init__(self, issuer: str, audience: str) -> None:
        self._issuer = issuer
        self._audience = audience

    def check(self, token: str, keys: Keys, now: float | None = None) -> tuple[Principal, float]:
        """Returns the token's principal and the time at which the token expires, in seconds since 1970.

        `now`, in seconds since 1970, defaults to this process's clock. Raises UnknownKey or Unauthenticated.
        """
        try:
            claims = msgspec.json.decode(_signed(token, keys), type=_Claims)
            at = int(time.time() if now is None else now)
            if claims.exp <= at - EXPIRY_LEEWAY:
                raise Expired("the token is expired")
            if claims.nbf > at + CLOCK_LEEWAY:
                raise ValueError("the token is not valid yet")
            if claims.iss != self._issuer or self._audience not in claims.audiences or not claims.sub:
                raise ValueError("the token is another issuer's, for another audience, or nobody's")
        except InvalidSignature as error:
            raise refused(ValueError("the signature is wrong")) from error
        except (msgspec.DecodeError, ValueError) as error:
            raise refused(error) from error
        principal = Principal(claims.sub, frozenset(claims.scope.split()), token, claims.kind == "guest")
        return principal, claims.exp + EXPIRY_LEEWAY


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    alg: Literal["ES256"]
    kid: str
    typ: str = "JWT"


class _Claims(msgspec.Struct):
    sub: str
    iss: str
    aud: str | list[str]
    exp: float
    nbf: float = 0
    scope: str = ""
    kind: str = ""

    @property
    def audiences(self) -> list[str]:
        return [self.aud] if isinstance(self.aud, str) else self.aud


class _Jwk(msgspec.Struct):
    kid: str
    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str
    alg: Literal["ES256"] = "ES256"
    use: Literal["sig"] = "sig"


def public_keys(document: Any) -> dict[str, EllipticCurvePublicKey]:
    """Returns the keys for ES256 of a JWK Set (RFC 7517), and skips others. Raises an exception if there are none."""
    keys = {}
    for each in document["keys"]:
        with contextlib.suppress(msgspec.ValidationError):
            jwk = msgspec.convert(each, _Jwk)
            x, y = (int.from_bytes(_decoded(coordinate.encode())) for coordinate in (jwk.x, jwk.y))
            keys[jwk.kid] = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    if not keys:
        raise ValueError("there is no key for ES256")
    return keys


def _signed(token: str, keys: Keys) -> bytes:
    """Returns the payload of a token whose signature is right (RFC 7515, 5.2; RFC 7518, 3.4).

    Raises UnknownKey, InvalidSignature, ValueError or msgspec.DecodeError.
    """
    header, payload, signature = token.encode("ascii").split(b".")
    kid = msgspec.json.decode(_decoded(header), type=_Header).kid
    if kid not in keys:
        raise UnknownKey(f"no key {kid!r}")
    raw = _decoded(signature)
    if len(raw) != SIGNATURE_BYTES:
        raise ValueError("the signature has a wrong length")
    r, s = int.from_bytes(raw[: SIGNATURE_BYTES // 2]), int.from_bytes(raw[SIGNATURE_BYTES // 2 :])
    keys[kid].verify(encode_dss_signature(r, s), header + b"." + payload, ES256)
    return _decoded(payload)


def _decoded(text: bytes) -> bytes:
    """Decodes base64url without padding, in its only valid form. Raises ValueError."""
    decoded = urlsafe_b64decode(text + b"==")
    if urlsafe_b64encode(decoded).rstrip(b"=") != text:
        raise ValueError("this is not base64url")
    return decoded


class UnknownKey(LookupError):
    """The token names an unknown key."""


class Expired(ValueError):
    """The token was valid."""


def refused(error: Exception) -> Unauthenticated:
    """Returns what a client is told about a token that `error` made invalid, and counts it."""
    reasons = {Expired: "expired", UnknownKey: "unknown-key"}
    metrics.refused_tokens.labels(reasons.get(type(error), "invalid")).inc()
    return Unauthenticated(
        "invalid-token", "The bearer token is not valid", f"{error}; get a new one from /api/identity."
    )

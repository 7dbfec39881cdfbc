"""RabbitMQ's definitions from their template: passwords go in as salted hashes, never as text."""

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping


def render(template: str, passwords: Mapping[str, str]) -> str:
    """Fill in `${<USER>_PASSWORD_HASH}` for each user of `passwords`.

    Raises KeyError if the template has a user without a password.
    """
    hashes = {f"{user.upper()}_PASSWORD_HASH": password_hash(given) for user, given in passwords.items()}
    return re.sub(r"\$\{(\w+)\}", lambda found: hashes[found[1]], template)


def password_hash(password: str, salt: bytes | None = None) -> str:
    """RabbitMQ's `rabbit_password_hashing_sha256`: base64 of a 4-byte salt and SHA-256(salt + password).

    Source: https://www.rabbitmq.com/docs/passwords
    """
    salt = secrets.token_bytes(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()

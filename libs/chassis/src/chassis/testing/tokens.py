"""Bearer tokens that a service under test accepts; the fixture `jwks_url` publishes their key."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

__all__ = ["jwks_url", "token"]

KEY = ECKey.generate_key("P-256", {"kid": "test"})


def token(sub: str = "ann", **claims: object) -> str:
    """Returns a signed token that is valid for a minute; `claims` are added, or replace the usual ones."""
    usual = {"iss": "quayside", "aud": "quayside", "sub": sub, "exp": int(time.time()) + 60}
    return jwt.encode({"alg": "ES256", "kid": KEY.kid}, usual | claims, KEY)


class KeySet(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"keys": [KEY.as_dict(private=False)]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@pytest.fixture(scope="session")
def jwks_url() -> Iterator[str]:
    """The URL of the key set by which services verify `token`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), KeySet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/.well-known/jwks.json"
        server.shutdown()

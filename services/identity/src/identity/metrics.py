"""The metrics of identity. docs/reference/telemetry.md explains each."""

from prometheus_client import Counter, Gauge

__all__ = ["ACCEPTED", "LIMITED", "REFUSED", "key_age", "sign_ins"]

ACCEPTED, REFUSED, LIMITED = "accepted", "refused", "limited"

sign_ins = Counter("quayside_sign_ins", "Attempts to sign in", ["outcome"])
key_age = Gauge("quayside_signing_key_age_seconds", "Age of the newest signing key")

for outcome in (ACCEPTED, REFUSED, LIMITED):  # a counter that begins with 0 shows its first increase
    sign_ins.labels(outcome)

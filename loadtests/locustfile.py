"""Picks personas and shape from the environment."""

import os

from locust import events

from journal import Journal, Requests
from personas import NAMES, Shopper

RUN = os.environ.get("LOAD_RUN")
WORKER = f"{os.uname().nodename}-{os.getpid()}"

Shopper.journal = Journal(RUN, WORKER)
if os.environ.get("LOAD_REQUESTS") == "1":
    events.request.add_listener(Requests(RUN, WORKER).on_request)


def _chosen() -> dict[str, type[Shopper]]:
    wanted = os.environ.get("PERSONAS") or ",".join(NAMES)
    chosen = {}
    for each in wanted.split(","):
        name, _, weight = each.strip().partition(":")
        if name not in NAMES:
            raise SystemExit(f"PERSONAS: there is no {name!r}. There are {', '.join(NAMES)}.")
        chosen[name] = NAMES[name]
        if weight:
            chosen[name].weight = int(weight)
    return chosen


globals().update({persona.__name__: persona for persona in _chosen().values()})

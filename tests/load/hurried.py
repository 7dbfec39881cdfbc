"""The locustfile for tests: hurried shoppers, more personas, and a record of who asked for what.

`seen.jsonl` in LOAD_RUN has a line for each request: its persona and shopper, step, method, path, status, and token.
"""

import json
import os
from typing import Any
from urllib.parse import urlsplit

import people
from locust import events

import personas.buyer
import personas.returner
import personas.shopper

personas.shopper.THINKING = 0.05
personas.shopper.Shopper.context = lambda self: {"persona": type(self).__name__, "shopper": id(self)}
personas.buyer.WITH_ACCOUNT = 0.0
personas.returner.RETURNS = 1.0
personas.NAMES |= {"twin": people.Twin, "haggler": people.Haggler, "lucky": people.Lucky, "surfer": people.Surfer}


@events.request.add_listener
def on_request(request_type: str, name: str, context: dict[str, Any], response: Any = None, **_: Any) -> None:
    if response is None:
        return
    token = response.request.headers.get("authorization") or ""
    line = {
        **context,
        "step": name,
        "method": response.request.get_method(),
        "path": urlsplit(response.url)._replace(scheme="", netloc="").geturl(),
        "status": response.status_code,
        "token": token.removeprefix("Bearer "),
    }
    with open(f"{os.environ['LOAD_RUN']}/seen.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")


from locustfile import *  # noqa: E402, F403

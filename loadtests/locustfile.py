"""Picks personas and shape from the environment."""

import os

from locust import events

import monitor
import settings
from journal import Journal, Requests
from personas import Shopper
from shapes import crowd

RUN = os.environ.get("LOAD_RUN")

Shopper.journal = Journal(RUN)
if os.environ.get("LOAD_REQUESTS") == "1":
    events.request.add_listener(Requests(RUN).on_request)
events.init_command_line_parser.add_listener(settings.defaults)
events.init.add_listener(crowd.listen)
events.init.add_listener(monitor.attach)

globals().update({each.__name__: each for each in (*settings.personas().values(), *settings.shapes().values())})

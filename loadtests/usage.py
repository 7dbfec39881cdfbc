"""What a process of Locust uses during a run."""

import resource
import time
from typing import Any

from locust import events

from shapes.crowd import Crowd

__all__ = ["Usage"]


class Usage:
    """This process, since the last start of a run."""

    def __init__(self) -> None:
        self._before = time.process_time()
        events.test_start.add_listener(self._started)

    def _started(self, **_: Any) -> None:
        self._before = time.process_time()

    def now(self) -> dict[str, Any]:
        """CPU seconds since the start of the run, peak memory in bytes, and the visitors of the crowd."""
        return {
            "cpu": time.process_time() - self._before,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "present": Crowd.present,
            "outcomes": dict(Crowd.outcomes),
        }

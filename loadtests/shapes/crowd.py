"""Starts the visits of an open shape at their times, one crowd for each worker process."""

import os
import time
from collections import Counter
from typing import Any, ClassVar

import gevent
from gevent.pool import Pool
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser
from locust.rpc import Message
from locust.runners import WorkerRunner
from locust.user.task import LOCUST_STATE_STOPPING

from personas import NAMES
from schedule import Arrival, Wave, arrivals
from shapes.onlooker import Onlooker

__all__ = ["PLAN", "Crowd", "listen"]

PLAN = "plan"
"""The message with the schedule, which the leader sends to each worker before the run."""
PERSONAS: dict[str, type[Any]] = {**NAMES, "onlooker": Onlooker}
BOUND = 2_000
"""The most visits of a worker at a time. Later visitors wait, and their waiting is measured."""


class Crowd(User):
    """All visitors of one worker process: it begins visits as the schedule says, however slow the shop is."""

    plan: dict[str, Any] | None = None
    present = 0
    """The number of visitors who are in the shop now."""
    outcomes: ClassVar[Counter[str]] = Counter()
    """How many visits of this run ended how: a persona, or a persona and what `visit` returned."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.visits = Pool(BOUND)

    @task
    def arrive(self) -> None:
        # If a worker is lost, Locust starts another crowd elsewhere: that one has nothing to do.
        plan, Crowd.plan = Crowd.plan, None
        if plan:
            Crowd.outcomes.clear()
            for persona in PERSONAS.values():
                # Locust does that only for the classes that it runs itself.
                persona.host = self.environment.host or persona.host
            began = time.perf_counter()
            waves = [Wave(**wave) for wave in plan["waves"]]
            for arrival in arrivals(waves, int(os.environ.get("SEED") or 1), plan["worker"], plan["workers"]):
                gevent.sleep(max(0.0, began + arrival.at - time.perf_counter()))
                if self._state == LOCUST_STATE_STOPPING:  # the run is cut short: nobody else comes
                    break
                self.visits.spawn(self.visit, arrival, began + arrival.at)
            self.visits.join()
        raise StopUser

    def visit(self, arrival: Arrival, due: float) -> None:
        """Makes one visit, whose first step is measured from the time at which it was due."""
        shopper = PERSONAS[arrival.persona](self.environment, arrival.number)
        shopper.due = due
        Crowd.present += 1
        try:
            outcome = shopper.visit()
            Crowd.outcomes[f"{arrival.persona}: {outcome}" if outcome else arrival.persona] += 1
        except Exception as error:
            self.environment.events.user_error.fire(user_instance=self, exception=error, tb=error.__traceback__)
        finally:
            Crowd.present -= 1
            shopper.leave()

    def on_stop(self) -> None:
        self.visits.kill()


def listen(environment: Environment, **_: Any) -> None:
    """Takes plans from the leader. A worker gets its class here, so that Locust's page does not list it."""

    def take(environment: Environment, msg: Message) -> None:
        Crowd.plan = msg.data
        os.environ.update(msg.data.get("environment", {}))

    assert environment.runner
    environment.runner.register_message(PLAN, take)
    if isinstance(environment.runner, WorkerRunner):
        environment.user_classes.append(Crowd)

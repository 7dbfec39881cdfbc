"""What all shapes share: their size and length, the plan for the workers, and a graceful end."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import inf
from typing import Any

from locust import LoadTestShape, User

from personas import NAMES
from schedule import Wave
from shapes.crowd import PLAN, Crowd

__all__ = ["ClosedShape", "OpenShape", "Shape"]

Tick = tuple[int, float, list[type[User]]]


class Shape(LoadTestShape):
    """A run of `seconds` with `users` shoppers. Afterwards, visits that have begun are finished."""

    abstract = True
    use_common_options = True
    runner: Any = None
    users = 20
    """The number of shoppers, without USERS."""
    seconds = 60.0
    """The length of the run, without TIME."""
    mix: Mapping[str, int] = {}
    """The weights of the personas, without PERSONAS; empty: all personas, with their own weights."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cut = inf
        self.failure = ""
        """Why the run cannot be judged; it is over then."""
        self.over = False
        """Whether the load has ended, after TIME or because it was cut short."""

    def cut_short(self) -> None:
        """Ends the run now, as gracefully as at its end."""
        self._cut = self.get_run_time()  # type: ignore[no-untyped-call]

    def tick(self) -> Tick | None:
        options = self.runner.environment.parsed_options
        users, seconds = options.num_users or self.users, options.run_time or self.seconds
        if self.runner.shape_last_tick is None:
            self.failure, self.over = "", False
            self.begin(users, seconds)
        if self.failure:
            print(self.failure, flush=True)  # Locust's page does not show it
            return None
        at: float = self.get_run_time()  # type: ignore[no-untyped-call]
        seconds = min(seconds, self._cut)
        if at < seconds:
            return self.during(at / seconds, users, seconds)
        self.over = True
        if self.runner.user_count and at < seconds + options.stop_timeout + 5:
            return 0, 100, self.classes()
        self.end()
        self._cut = inf
        return None

    def begin(self, users: int, seconds: float) -> None:
        """Is called once, before the first shopper."""

    def end(self) -> None:
        """Is called once, after the last shopper."""

    def during(self, share: float, users: int, seconds: float) -> Tick:
        """How many shoppers there are after this share of the run, how many come or go per second, and which ones."""
        raise NotImplementedError

    def classes(self) -> list[type[User]]:
        """The classes that Locust runs."""
        return [each for each in self.runner.user_classes if each is not Crowd]


class ClosedShape(Shape):
    """Each shopper visits the shop again and again. A slow shop gets fewer requests."""

    abstract = True


class OpenShape(Shape):
    """Visitors come when the schedule says so, however slow the shop is: `waves` has the schedule."""

    abstract = True

    def waves(self, users: int, seconds: float, mix: Mapping[str, int]) -> Sequence[Wave]:
        """The schedule. `mix` holds the weights of the chosen personas."""
        raise NotImplementedError

    def begin(self, users: int, seconds: float) -> None:
        names = {persona: name for name, persona in NAMES.items()}
        mix = {names[each]: int(each.weight) for each in self.runner.user_classes if each in names}
        waves = [asdict(wave) for wave in self.waves(users, seconds, mix)]
        if Crowd not in self.runner.user_classes:
            self.runner.user_classes.append(Crowd)
        ready = list(self.runner.clients.ready) if hasattr(self.runner, "clients") else []
        workers: list[Any] = [each.id for each in ready] or [None]
        for worker, client in enumerate(workers):
            plan = {"waves": waves, "worker": worker, "workers": len(workers), **self.details()}
            self.runner.send_message(PLAN, plan, client)
        self.workers = len(workers)

    def details(self) -> dict[str, Any]:
        """What else a worker must know."""
        return {}

    def during(self, share: float, users: int, seconds: float) -> Tick:
        return self.workers, 100, self.classes()

    def classes(self) -> list[type[User]]:
        return [Crowd]

"""All faults by name."""

from collections.abc import Mapping, Sequence

from chassis.local.processes import StartError
from shopctl.chaos.fault import Fault, Target
from shopctl.chaos.faults import broker, clock, messages, network, nodes, postgres, processes, provider, valkey

__all__ = ["FAULTS", "KINDS", "find", "possible"]

MODULES = (
    processes,
    network,
    broker,
    messages,
    postgres,
    valkey,
    provider,
    clock,
    nodes,
)
KINDS: Mapping[str, Sequence[Fault]] = {each.__name__.rpartition(".")[2]: each.FAULTS for each in MODULES}
"""The faults by kind, which is the name of their module."""
FAULTS: Mapping[str, Fault] = {each.name: each for faults in KINDS.values() for each in faults}


def find(name: str) -> Fault:
    """The fault of that name. Raises StartError, which lists the names."""
    if name not in FAULTS:
        raise StartError(f"There is no fault {name!r}. `shopctl chaos list` describes them: {', '.join(FAULTS)}.")
    return FAULTS[name]


def possible(shop: Target) -> Sequence[Fault]:
    """The faults that this shop's runtime and this machine permit."""
    here = [each for each in FAULTS.values() if shop.runtime in each.runtimes]
    return [each for each in here if not each.needs(shop) and each.on(shop)]

"""What the charts ask of a cluster. `tests/charts/test_models.py` compares it with what they render."""

from shopctl.models.scheduling import Autoscaler, Pod

__all__ = ["AUTOSCALER", "SERVICES", "SHOP", "STORES", "shop"]

SERVICES = (
    *(Pod(name, 50, 80, 192, 1000) for name in ("cart", "catalog", "order", "payment", "storefront")),
    Pod("identity", 50, 80, 320, 1000),
    Pod("edge", 50, 24, 96, 1000),
)
"""The pods that `global.replicas` multiplies."""
STORES = (
    Pod("postgres", 100, 160, 512, 2000),
    Pod("rabbitmq", 100, 160, 384, 2000),
    Pod("valkey", 20, 16, 128, 2000),
    Pod("psp", 20, 60, 128, 1000),
)
"""The pods with a volume: one of each."""
SHOP = (*SERVICES, *STORES)
AUTOSCALER = Autoscaler(target=6.0, request=0.05, least=2, most=6, down_after=120)


def shop(replicas: int) -> list[Pod]:
    """The shop's pods, with `replicas` of each service."""
    return [pod for pod in SERVICES for _ in range(replicas)] + list(STORES)

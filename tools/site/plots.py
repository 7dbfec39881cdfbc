"""The plots of the models' pages, which `shopctl.models.plots` draws."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File


def files(config: MkDocsConfig) -> Iterator[File]:
    """Yields `models/plots/NAME.svg` for each plot."""
    if not find_spec("shopctl.models"):
        return
    for name, draw in import_module("shopctl.models.plots").PLOTS.items():
        yield File.generated(config, f"models/plots/{name}", content=draw())

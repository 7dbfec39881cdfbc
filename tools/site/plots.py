"""The plots of the models' pages, which `shopctl.models.plots` draws."""

from collections.abc import Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File

from shopctl.models.plots import PLOTS


def files(config: MkDocsConfig) -> Iterator[File]:
    """Yields `models/plots/NAME.svg` for each plot."""
    for name, draw in PLOTS.items():
        yield File.generated(config, f"models/plots/{name}", content=draw())

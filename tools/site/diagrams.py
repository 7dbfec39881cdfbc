"""Mermaid's own script, which draws diagrams in the colors of the page. The theme would fetch it from another host."""

import posixpath
from collections.abc import Iterator
from pathlib import Path

import mermaidx
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File

SCRIPT = "assets/mermaid.js"


def files(config: MkDocsConfig) -> Iterator[File]:
    """Yields the script. The Python package that holds it is a renderer without a browser, which is not used here."""
    yield File.generated(config, SCRIPT, abs_src_path=str(Path(mermaidx.__file__).parent / SCRIPT))


def with_script(html: str, file: File) -> str:
    """Returns a page that loads the script if it has a diagram; the script is large."""
    if '<pre class="mermaid">' not in html:
        return html
    return f'<script src="{posixpath.relpath(SCRIPT, posixpath.dirname(file.dest_uri) or ".")}"></script>\n{html}'

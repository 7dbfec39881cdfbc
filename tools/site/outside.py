"""The Markdown files outside of docs/ that are pages of the site, and the site's own assets."""

from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("*.md", "[!.]*/README.md", "[!.]*/*/README.md")


def files(config: MkDocsConfig) -> Iterator[File]:
    """Yields them. A page has the same path on the site as in the repository, a page of docs/ its path in docs/."""
    docs = Path(config.docs_dir)
    for path in sorted(path for pattern in PAGES for path in ROOT.glob(pattern) if docs not in path.parents):
        yield File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
    for path in sorted((Path(__file__).parent / "assets").iterdir()):
        yield File.generated(config, f"assets/{path.name}", abs_src_path=str(path))

"""Links between pages, and to files that are no pages: those lead to the repository, or become plain text."""

import posixpath
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from mkdocs.structure.files import File
from outside import ROOT

DOCS = ROOT / "docs"


class Links(Extension):
    """Rewrites the links of the page in `file`, before MkDocs checks them. A link to nothing stays, and fails there."""

    file: File
    files: dict[Path, str]
    repository: str

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 – the library's name
        md.treeprocessors.register(_Rewriting(md), "quayside-links", 1)  # after the text is parsed, before MkDocs


class _Rewriting(Treeprocessor):
    def run(self, root: Element) -> None:
        for element in root.iter():
            for attribute in {"href", "src"}.intersection(element.keys()):
                _rewrite(element, attribute)


def _rewrite(element: Element, attribute: str) -> None:
    url = urlsplit(element.attrib[attribute])
    if url.scheme or url.netloc or not url.path:
        return
    here = EXTENSION.file
    path = (written(here).parent / url.path).resolve()
    target = next((EXTENSION.files[each] for each in (path, path / "README.md") if each in EXTENSION.files), None)
    if target:
        relative = posixpath.relpath(target, posixpath.dirname(here.src_uri) or ".")
        element.set(attribute, url._replace(path=relative).geturl())
    elif path.exists() and path.is_relative_to(ROOT):
        if EXTENSION.repository:
            element.set(attribute, f"{EXTENSION.repository.rstrip('/')}/blob/main/{path.relative_to(ROOT).as_posix()}")
        else:
            element.tag = "span"
            del element.attrib[attribute]


def written(file: File) -> Path:
    """The path of a page in the repository; for a generated page, where it would be in docs/."""
    return Path(file.abs_src_path) if file.abs_src_path else DOCS / file.src_uri


EXTENSION = Links()

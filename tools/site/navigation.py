"""The navigation of mkdocs.yml, with the pages that its patterns stand for."""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any


def expanded(nav: Any, paths: Iterable[str]) -> Any:
    """Returns `nav` with each pattern replaced by the paths that match it and have no entry of their own.

    An entry of which nothing remains is left out, because a part of the site may have no page yet.
    """
    named = set(_entries(nav))
    free = [path for path in paths if path not in named]
    free.sort(key=lambda path: (not path.endswith("README.md"), path))

    def filled(entries: list[Any]) -> Iterator[Any]:
        for entry in entries:
            if isinstance(entry, dict):
                ((title, below),) = entry.items()
                if isinstance(below, str):
                    yield entry
                elif found := list(filled(below)):
                    yield {title: found}
            elif "*" in entry:
                yield from (path for path in free if PurePosixPath(path).match(entry))
            else:
                yield entry

    return list(filled(nav))


def _entries(nav: Any) -> Iterator[str]:
    for entry in nav:
        if isinstance(entry, dict):
            for below in entry.values():
                yield from [below] if isinstance(below, str) else _entries(below)
        else:
            yield entry

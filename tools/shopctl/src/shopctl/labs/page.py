"""The page of a lab: docs/labs/<number>-<name>.md, with its runtime and time in front."""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("docs/labs")
FRONT = re.compile(r"\A---\n(.*?)^---\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A lab's page. `runtime` is docker, compose, native or cluster; `minutes` is the time that a learner takes."""

    number: str
    path: Path
    title: str
    runtime: str
    minutes: int


def front_matter(text: str) -> dict[str, str]:
    """Return the words between the two lines --- at the start of a page; none if it does not start with them."""
    front = FRONT.match(text)
    return dict(re.findall(r"^(\w+): *(\S+)$", front[1], re.MULTILINE)) if front else {}


def pages(root: Path) -> dict[str, Page]:
    """Return the labs of this clone by number, such as "09"."""
    found = (read(path) for path in sorted((root / FOLDER).glob("[0-9][0-9]-*.md")))
    return {page.number: page for page in found}


def read(path: Path) -> Page:
    """Read a page. Raises ValueError if its front matter or its heading is missing."""
    text = path.read_text()
    words = front_matter(text)
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    if not words or not heading:
        raise ValueError(f"{path}: a lab starts with `runtime` and `minutes` between two lines ---, and has a heading")
    if not {"runtime", "minutes"} <= set(words) or not words["minutes"].isdecimal():
        raise ValueError(f"{path}: `runtime` or `minutes` is missing in front of it")
    return Page(path.name[:2], path, heading[1], words["runtime"], int(words["minutes"]))

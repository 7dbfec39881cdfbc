"""The shell blocks of the documentation: fences marked `sh`, and text indented by four spaces."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Block:
    """A shell block of a document. Its name is `file: heading`, with a number if the heading has several blocks."""

    name: str
    text: str


def documents() -> list[Path]:
    found = [
        path
        for pattern in ("*.md", "docs/**/*.md", "[!.]*/README.md", "[!.]*/*/README.md")
        for path in ROOT.glob(pattern)
    ]
    return sorted(path for path in found if path.name != "CHANGELOG.md")  # it describes the past


@cache
def blocks() -> list[Block]:
    return [block for document in documents() for block in blocks_of(document)]


def blocks_of(document: Path) -> Iterator[Block]:
    """Yields the shell blocks of a document. A blank line inside an indented block belongs to the block."""
    heading, counts, fence, lines = "", dict[str, int](), None, list[str]()

    def block() -> Iterator[Block]:
        text = "\n".join(lines).strip()
        lines.clear()
        if text:
            counts[heading] = counts.get(heading, 0) + 1
            number = f" ({counts[heading]})" if counts[heading] > 1 else ""
            yield Block(f"{document.relative_to(ROOT)}: {heading}{number}", text)

    for line in document.read_text().splitlines():
        if fence is not None:
            if line == "```":
                if fence == "sh":
                    yield from block()
                fence = None
            elif fence == "sh":
                lines.append(line)
        elif line.startswith("    ") or (lines and not line):
            lines.append(line.removeprefix("    "))
        else:
            yield from block()
            if line.startswith("```"):
                fence = line.removeprefix("```")
                assert fence, f"{document}: a fence without a language"
            elif line.startswith("#"):
                heading = line.lstrip("# ")
    yield from block()


def the(name: str) -> str:
    (text,) = (block.text for block in blocks() if block.name == name)
    return text

"""docs/chaos.md lists the faults as the catalog has them."""

import re
from pathlib import Path

from shopctl.chaos.catalog import FAULTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "chaos.md"
RUNTIMES = ("native", "compose", "cluster")


def test_the_document_lists_every_fault() -> None:
    rows = re.findall(r"^\| `([a-z-0-9]+)` \| (.+) \| ([a-z, ]+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    faults = [
        (each.name, each.does, ", ".join(name for name in RUNTIMES if name in each.runtimes))
        for each in FAULTS.values()
    ]
    missing = [f"| `{name}` | {does} | {on} |" for name, does, on in faults if (name, does, on) not in rows]
    assert not missing, "docs/chaos.md lacks:\n" + "\n".join(missing)
    assert [name for name, *_ in rows] == [name for name, *_ in faults]

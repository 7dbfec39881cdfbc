"""The texts of the project use one word for each thing. docs/glossary.md lists the terms."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTEAD = {
    "anew": "again",
    "at the most": "at most",
    "behaviour": "behavior",
    "catalogue": "catalog",
    "colour": "color",
    "lest": "so that … not",
    "manieth": "the number of …",
    "nobody else's": "only …",
    "time-out": "timeout",
    "whoever": "the client, the service, …",
}
UNUSED = re.compile(rf"(?<![a-z])({'|'.join(INSTEAD)})(?=s?(?![a-z]))", re.IGNORECASE)
EXCEPTIONS = {"docs/glossary.md", "tests/contracts/test_words.py"}  # they list the words


def test_words_that_the_project_does_not_use_do_not_occur() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [name for name in listed.split("\0") if name not in EXCEPTIONS and (ROOT / name).is_file()]
    found = [
        f"{name}:{number}: {match[0]}; write {INSTEAD[match[0].lower()]}"
        for name in files
        for number, line in enumerate([name, *(ROOT / name).read_text(errors="ignore").splitlines()])
        for match in UNUSED.finditer(line)
    ]
    assert len(files) > 400
    assert found == []

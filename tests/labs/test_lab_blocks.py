"""How the blocks of a page are read, run and compared."""

import os
import textwrap
from collections.abc import Iterator

import pytest
from lab_blocks import Terminal, matches, parse
from sybil import Document


def blocks(text: str) -> list[object]:
    return [region.parsed for region in parse(Document(textwrap.dedent(text), "page.md"))]


def test_a_block_has_the_output_below_it() -> None:
    (block,) = blocks("""\
        ```sh
        echo one
        ```

        ```text
        one
        ```
        """)
    assert (block.source, block.shown) == ("echo one\n", "one\n")  # type: ignore[attr-defined]


def test_an_output_without_a_block_is_an_error() -> None:
    with pytest.raises(AssertionError, match="without a block"):
        blocks("Text.\n\n```text\none\n```\n")


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("one", "one\n", True),
        ("one", "one\ntwo\n", False),
        ("one\n…", "one\ntwo\nthree\n", True),
        ("one\n…", "one\n", True),
        ("…\nthree", "one\ntwo\nthree\n", True),
        ("pod/catalog-… created", "pod/catalog-x7 created", True),
        ("pod/catalog-… created", "pod/order-x7 created", False),
        ("NAME   READY", "NAME        READY  ", True),
        ("1.5", "125", False),
    ],
)
def test_an_output_is_compared_with_placeholders(shown: str, said: str, same: bool) -> None:
    assert matches(shown, said) is same


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    found = Terminal(dict(os.environ))
    yield found
    found.close()


def test_blocks_share_a_shell(terminal: Terminal) -> None:
    assert terminal.run("a=1; cd /") == ("", 0)
    assert terminal.run("echo $a; pwd") == ("1\n/\n", 0)


def test_the_first_failure_of_a_block_is_its_status(terminal: Terminal) -> None:
    said, status = terminal.run("false\necho goes on")
    assert (said.strip(), status) == ("goes on", 1)
    assert terminal.run("false || true") == ("", 0)
    assert terminal.run("(exit 3)\nfalse")[1] == 3


def test_a_shell_that_ends_is_reported(terminal: Terminal) -> None:
    said, status = terminal.run("exit 0")
    assert status == 1
    assert "has ended" in said

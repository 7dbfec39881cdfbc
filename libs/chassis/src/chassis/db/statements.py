"""Short names of SQL statements, for spans."""

import functools
import re

__all__ = ["summary"]

LITERAL = re.compile(r"'[^']*'")
PLAIN = re.compile(r"\((?:(?!\b(?:SELECT|INSERT|UPDATE|DELETE)\b)[^()])*\)", re.IGNORECASE)
"""Parentheses without a statement inside. FROM has another meaning in `extract(epoch FROM …)`."""
INNERMOST = re.compile(r"\([^()]*\)")
WRITE = re.compile(
    r"\b(INSERT(?= INTO)|(?<!FOR )(?<!KEY )(?<!DO )UPDATE|DELETE(?= FROM))(?: INTO| FROM)? ([a-z_0-9]+)", re.IGNORECASE
)
READ = re.compile(r"\bFROM ([a-z_0-9]+)\b(?! ?~)", re.IGNORECASE)
NAMED = re.compile(r"\b([a-z_0-9]+) AS (?:(?:NOT )?MATERIALIZED )?\(", re.IGNORECASE)


@functools.lru_cache(maxsize=1024)
def summary(statement: str) -> str:
    """Returns the command and the table of a statement, such as `INSERT outbox`.

    A statement that writes is named by its first write, or the second if the first only records what the inbox has
    seen. Another one is named by the table after its outermost FROM.
    """
    text = without(PLAIN, LITERAL.sub("", " ".join(statement.split())))
    if writes := WRITE.findall(text):
        command, table = next((each for each in writes if each[1] != "inbox"), writes[0])
        return f"{command.upper()} {table}"
    named = set(NAMED.findall(text))
    found = [table for each in (without(INNERMOST, text), text) for table in READ.findall(each) if table not in named]
    return f"SELECT {found[0]}" if found else text.split(maxsplit=1)[0].upper()


def without(parentheses: re.Pattern[str], text: str) -> str:
    """Returns the text with `~` for these parentheses, however deep they are nested."""
    count = 1
    while count:
        text, count = parentheses.subn("~", text)
    return text

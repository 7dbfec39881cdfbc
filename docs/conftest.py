"""Runs the shell blocks of labs and models: `pytest docs/labs` runs each lab on the runtime that its page names."""

from lab_blocks import collected, pytest_collection_modifyitems, pytest_runtest_setup, pytest_terminal_summary

__all__ = [
    "pytest_collect_file",
    "pytest_collection_modifyitems",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
]

pytest_collect_file = collected("labs/[0-9]*.md", "models/*.md")

"""The report of a run: one HTML file that needs nothing else.

- `chart`: the time line, drawn by matplotlib
- `page`: the page, with `page.css`
"""

from shopctl.chaos.report.page import write

__all__ = ["write"]

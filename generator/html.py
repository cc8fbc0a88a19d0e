"""HTML that notebooks show: all text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def table(rows: Iterable[Iterable[object]], title: str = "") -> str:
    """A table of a row for each of ``rows``, whose first cell is its heading, and a title.

    Examples
    --------
    >>> table([("grains", 3)], "a < b")
    '<table><caption>a &lt; b</caption><tr><th>grains</th><td>3</td></tr></table>'
    """
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    return f"<table>{caption}{''.join(map(_row, rows))}</table>"


def _row(cells: Iterable[object]) -> str:
    head, *rest = (escape(str(cell)) for cell in cells)
    return f"<tr><th>{head}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"

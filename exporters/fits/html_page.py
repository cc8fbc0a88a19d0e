"""Frame and parts of the pages of reports: HTML without scripts, that needs no network.

Every text is escaped: names of files are the user's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

CSS = """
body { max-width: 960px; margin: 2em auto; padding: 0 1em; color: #22272e;
  font: 16px/1.5 "DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { line-height: 1.2; }
h2 { margin-top: 2.2em; border-bottom: 2px solid #c3ccd6; }
table { border-collapse: collapse; margin: 1em 0; font-size: 14px;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: bold; padding: 0.3em 0; overflow-wrap: anywhere; }
th, td { padding: 0.25em 0.9em 0.25em 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #dde2e8; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; white-space: nowrap; }
tr.chosen { font-weight: bold; }
figure { margin: 1.5em 0; }
figure img { width: 100%; height: auto; }
figcaption, .note { font-size: 14px; color: #4a525c; }
.warning { border-left: 6px solid #d55e00; background: #fdf1e8; padding: 0.6em 1em; }
"""

Row = Sequence[str]


def framed(
    title: str, heading: str, sections: Sequence[tuple[str, Iterable[str]]], software: str
) -> str:
    """A whole page.

    Parameters
    ----------
    title, heading
        Of the browser's window, and above the text.
    sections
        Title of each, and its parts as HTML; they are numbered.
    software
        What made the page.
    """
    parts = [
        f"<h2>{k}. {escape(name)}</h2>\n" + "\n".join(lines)
        for k, (name, lines) in enumerate(sections, start=1)
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f"<h1>{escape(heading)}</h1>\n"
        + "\n".join(parts)
        + '\n<p class="note">All numbers of this page are in '
        f'<a href="fit.json">fit.json</a>. Made by {escape(software)}.</p>\n'
        "</body>\n</html>\n"
    )


def write_text(path: Path, text: str) -> None:
    """UTF-8; bytes of a file's name that are none are written as escapes."""
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def warning(text: str) -> str:
    """A paragraph that stands out; the text has no full stop."""
    return f'<p class="warning"><strong>Warning:</strong> {escape(text)}.</p>'


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def figure(file: str, caption: str) -> str:
    """A picture beside the page, and the words below it."""
    return (
        f'<figure>\n<img src="{escape(file)}" alt="{escape(caption)}">\n'
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>"
    )


def table(
    caption: str,
    head: Row,
    rows: Sequence[Row],
    numeric: Sequence[int] = (),
    bold: Sequence[bool] = (),
) -> str:
    """Table of texts; the columns ``numeric`` stand right, the rows ``bold`` are bold."""

    def cells(row: Row, tag: str) -> str:
        return "".join(
            f'<{tag} class="number">{escape(cell)}</{tag}>'
            if k in numeric
            else f"<{tag}>{escape(cell)}</{tag}>"
            for k, cell in enumerate(row)
        )

    lines = ["<table>"]
    if caption:
        lines.append(f"<caption>{escape(caption)}</caption>")
    if head:
        lines.append(f"<tr>{cells(head, 'th')}</tr>")
    for k, row in enumerate(rows):
        chosen = ' class="chosen"' if bold and bold[k] else ""
        lines.append(f"<tr{chosen}>{cells(row, 'td')}</tr>")
    return "\n".join([*lines, "</table>"])

"""Pieces of HTML. Texts given to them are escaped here, cells of tables by whoever makes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from propense.report.charts import Chart


def section(title: str, text: str, body: str) -> str:
    """Give a section with a heading, a paragraph and what follows."""
    paragraph = f"<p>{escape(text)}</p>\n" if text else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{paragraph}{body}\n</section>"


def figure(chart: Chart | None) -> str:
    """Give a chart with what it shows; nothing if there is none."""
    if chart is None:
        return ""
    # An image to whoever does not see it: what it shows stands in the caption and the tables.
    image = chart.svg.replace("<svg ", f'<svg role="img" aria-label="{escape(chart.shows)}" ', 1)
    return f"<figure>{image}<figcaption>{escape(chart.shows)}</figcaption></figure>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], last: str = "") -> str:
    """Give a table, its cells HTML; ``last`` is the class of the last row."""
    lines = [list(row) for row in rows]
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        f"<tr{f' class={last!r}' if last and line is lines[-1] else ''}>"
        + "".join(f"<td>{cell}</td>" for cell in line)
        + "</tr>"
        for line in lines
    )
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def numbers(shown: Sequence[tuple[str, str]]) -> str:
    """Give a row of large numbers with what they are."""
    cells = (
        f"<div class='figure'><b>{escape(value)}</b><span>{escape(label)}</span></div>"
        for label, value in shown
    )
    return f"<div class='figures'>{''.join(cells)}</div>"


def or_dash(value: float | None, style: str) -> str:
    """Give a number in a format, or a dash for none."""
    return "–" if value is None else format(value, style)

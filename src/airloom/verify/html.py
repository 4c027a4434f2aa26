"""What airloom's pages are made of: tables, embedded figures, and one HTML file that needs nothing else."""

import base64
import io
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from airloom.files import whole


def write_page(path: Path, title: str, body: str) -> None:
    """Write `body`, which is HTML, under a plain `title`; whole or not at all."""
    template = Template(files("airloom.verify").joinpath("report.html").read_text(encoding="utf-8"))
    with whole(path) as aside:
        aside.write_text(template.substitute(title=escape(title), body=body), encoding="utf-8")


def section(title: str, content: str) -> str:
    """A part of a page under its heading, for `link` to lead to."""
    return f'<section id="{_anchor(title)}"><h2>{escape(title)}</h2>{content}</section>'


def link(title: str) -> str:
    """A link to the section of that title."""
    return f'<a href="#{_anchor(title)}">{escape(title)}</a>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], ours: set[int] | None = None, *, text: bool = False) -> str:
    """An HTML table of plain text; columns that hold numbers in print are set right, unless all of it is `text`."""
    if not rows:
        return ""
    right = [not text and all(r[i][:1] in "0123456789−+–" for r in rows) for i in range(len(heads))]
    kinds = [' class="number"' if r else "" for r in right]
    head = "".join(f"<th{kind}>{escape(h)}</th>" for kind, h in zip(kinds, heads, strict=True))
    lines = []
    for index, row in enumerate(rows):
        cells = "".join(f"<td{kind}>{_cell(value)}</td>" for kind, value in zip(kinds, row, strict=True))
        kind = ' class="ours"' if ours and index in ours else ""
        lines.append(f"<tr{kind}>{cells}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def cards(values: Sequence[tuple[str, str, str]]) -> str:
    """Boxes of a number, its name and what qualifies it."""
    boxes = "".join(f'<div class="card"><b>{a}</b><span>{b}</span><span>{c}</span></div>' for a, b, c in values)
    return f'<div class="cards">{boxes}</div>'


def embed(figure: Figure, caption: str) -> str:
    """A figure as PNG inside the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    data = base64.b64encode(buffer.getvalue()).decode()
    text = escape(caption)
    width = round(figure.get_figwidth() * 112)
    return f'<figure><img src="data:image/png;base64,{data}" alt="{text}" width="{width}"><figcaption>{text}</figcaption></figure>'


def _cell(value: str) -> str:
    """Text, escaped; an interval after a number is set small."""
    first, bracket, rest = value.partition(" [")
    return f"{escape(first)} <small>[{escape(rest)}</small>" if bracket else escape(value)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")

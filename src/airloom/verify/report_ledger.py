"""The report's section on the ledger: one line a reason, with how much it concerns; each unfolds to what it concerns."""

from collections.abc import Sequence
from datetime import date, timedelta
from html import escape
from itertools import groupby

from airloom.ledger import Entry, Ledger
from airloom.verify.html import table

SHOWN = 200  # lines of one reason; the file beside the report holds them all
ORDER = {"out": 0, "changed": 1, "kept": 2}
PLURALS = {"station": "stations", "day": "days", "file": "files", "value": "values"}


def ledger_section(ledger: Ledger) -> str:
    """Decisions grouped by verdict, kind and reason, the most frequent first; consecutive days are one line."""
    entries = sorted(ledger.entries, key=lambda e: (ORDER[e.verdict], e.kind, e.why))
    groups = [(key, list(group)) for key, group in groupby(entries, key=lambda e: (e.verdict, e.kind, e.why))]
    groups.sort(key=lambda g: (ORDER[g[0][0]], -len(g[1])))
    return "".join(_group(*key, group) for key, group in groups) or "<p>Nothing was left out or changed.</p>"


def spans(days: Sequence[date]) -> list[tuple[date, date]]:
    """First and last day of each run of consecutive days.

    >>> [f"{a:%d}-{b:%d}" for a, b in spans([date(2023, 1, d) for d in (3, 1, 2, 7)])]
    ['01-03', '07-07']
    """
    found: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def _group(verdict: str, kind: str, why: str, entries: list[Entry]) -> str:
    days = _days(entries) if kind == "day" else None
    lines = (
        [(_span(a, b), f"{(b - a).days + 1:,}") for a, b in spans(days)]
        if days
        else [(e.what, f"{e.count:,}") for e in entries]
    )
    period = f", {_span(min(days), max(days))}" if days else ""
    rest = len(lines) - SHOWN
    more = f'<p class="note">and {rest:,} more; the run folder\'s ledger holds them all.</p>' if rest > 0 else ""
    heads = ("period", "days") if days else (kind if kind != "value" else "place", "values")
    return (
        f"<details><summary><b>{escape(verdict)}</b>: {escape(why)} <small>{_amount(kind, entries)}{period}</small>"
        f"</summary>{table(heads, lines[:SHOWN], text=True)}{more}</details>"
    )


def _amount(kind: str, entries: Sequence[Entry]) -> str:
    """How much a reason concerns: things of its kind, and values where they are counted."""
    total = sum(e.count for e in entries)
    values = f"{total:,} value{'' if total == 1 else 's'}"
    if kind == "value":
        return f"{values} in {len(entries):,} place{'' if len(entries) == 1 else 's'}"
    things = f"{len(entries):,} {kind if len(entries) == 1 else PLURALS[kind]}"
    return things if total == len(entries) else f"{things}, {values}"


def _days(entries: Sequence[Entry]) -> list[date] | None:
    """The days of entries; None where one names more than a day."""
    try:
        return [date.fromisoformat(e.what) for e in entries]
    except ValueError:
        return None


def _span(first: date, last: date) -> str:
    return str(first) if first == last else f"{first} to {last}"

"""`airloom twin look`: one page that shows whether a twin behaves as Western Europe does.

What papers report stands beside the twin's own numbers, with its table or figure; where none is known a dash stands.
"""

from html import escape
from pathlib import Path

import numpy as np
import polars as pl

from airloom.progress import Progress, quiet
from airloom.twin import page_figures as figures
from airloom.twin.layers import HEIGHTS
from airloom.twin.network import URBAN
from airloom.twin.page_numbers import RURAL, Seen, gather
from airloom.twin.page_tables import PARIS, TABLE_2, background, heights, levels, note, score, scores, which
from airloom.verify.figures import UNITS
from airloom.verify.html import cards, embed, link, section, table, write_page
from airloom.verify.tables import number

CLOCK = np.timedelta64(1, "h")  # the twin's people live by UTC + 1 all year
OTHERS = {  # symbol, and what to look for
    "o3": ("O₃", "Mean of the period. NO takes ozone away: look for low values in towns, high ones over mountains and sea."),
    "pm2p5": (
        "PM2.5",
        "Mean of the period, mostly made in the air: smoother than NO₂, more where farms and towns are, less by the sea.",
    ),
    "pm10": (
        "PM10",
        "Mean of the period. 69 rural stations of Germany had 17.9 µg m⁻³ in 2005; the twin has no soil dust, sea salt or resuspension "
        "and stays far below, and falls too little with altitude.",
    ),
}
FORTNIGHT, HALF_YEAR = 14, 6  # days that a week's cycle needs, months that a year's cycle needs


def look(folder: Path, out: Path, progress: Progress = quiet) -> Path:
    """Write the page of the twin in `folder` to `out`, one self-contained HTML file; returns `out`.

    A twin that is still being made is shown as far as it is; what a page would need more days for is left out, and said.

    Raises:
        DataError: as `page_numbers.gather`.
    """
    seen = gather(folder, progress)
    left_out: dict[str, str] = {}
    sections = {
        "NO₂ at the ground": _maps(seen),
        **_others(seen),
        "CAMS against stations": _or_why(scores(seen), "CAMS against stations", seen, left_out),
        "Stations": _or_why(levels(seen), "Stations", seen, left_out),
        "Cycles": _cycles(seen, left_out),
        "Profile": _profiles(seen),
        "Wind and mixing": _weather(seen, left_out),
        "Spectrum": _spectrum(seen),
        "Series": _series(seen, left_out),
    }
    sections = {title: content for title, content in sections.items() if content}
    if left_out:
        sections["Left out"] = table(("What", "Why"), list(left_out.items()), text=True)
    body = _headline(seen, folder, list(sections)) + "".join(section(t, c) for t, c in sections.items())
    write_page(out, f"Twin {folder.resolve().name}", body)
    return out


def _headline(seen: Seen, folder: Path, titles: list[str]) -> str:
    plan, grid = seen.plan, seen.plan.grid
    rows, columns = grid.shape
    place = f"{plan.lon:g}°E, {plan.lat:g}°N".replace("-", "−")
    asked = len(plan.dates)
    made = f"{len(seen.days)} days" if len(seen.days) == asked else f"{len(seen.days)} of {asked} days made so far"
    where = (
        f"{escape(folder.resolve().name)}: {rows} × {columns} cells of {plan.cell / 1000:g} km around {place}; "
        f"{seen.days[0]} to {seen.days[-1]}, {made}; {len(seen.stations)} stations; species “{plan.species}”, seed {plan.seed}."
    )
    lead = (
        "An invented world over real geography. <b>Nothing on this page was measured</b>; figures that papers report of the real "
        "Western Europe stand beside it, of whole years and a larger region, so look for the same shape and size, not for "
        "equality."
    )
    return (
        f'<h1>Is this twin real?</h1><p class="where">{where}</p><p class="lead">{lead}</p>'
        f"{cards(_first_numbers(seen))}<nav>{''.join(link(t) for t in titles)}</nav>"
    )


def _first_numbers(seen: Seen) -> list[tuple[str, str, str]]:
    """A handful of numbers that say most."""
    found = []
    means = {area: _mean_of(seen, area) for area in figures.AREAS}
    if means["urban"] is not None and means["rural"] is not None:
        found.append((number(means["urban"], digits=1), "urban background [µg\u00a0m⁻³]", "observed mean"))
        found.append((number(means["urban"] / means["rural"]), "urban / rural", "observed, background"))
    if seen.towns.any():
        column = figures.profile(seen.truth, seen.towns)
        ratio = float(column[HEIGHTS == 1000][0] / column[0])
        found.append((number(ratio), "NO₂ at 1000 m / ground", "truth, over towns"))
    if cams := score(seen, "all"):
        found.append((number(float(cams.r2)), "R² of CAMS", f"withheld; paper {TABLE_2['all'][2]:.2f}"))
        found.append((number(float(cams.rmse)), "RMSE of CAMS [µg\u00a0m⁻³]", f"withheld; paper {TABLE_2['all'][0]:.2f}"))
    return found


def _mean_of(seen: Seen, area: str) -> float | None:
    """Mean of the background stations of an area [µg m⁻³]; none without values."""
    values = seen.daily["observed"].to_numpy()[:, background(seen, area)]
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _maps(seen: Seen) -> str:
    grid, period = seen.plan.grid, f"{seen.days[0]} to {seen.days[-1]}"
    one = figures.maps({f"Truth, {period}": seen.truth.mean[0]}, grid, f"Mean {UNITS}", width=6.6)
    two = figures.maps({"Truth": seen.truth.mean[0], figures.CAMS: seen.cams.mean[0]}, grid, f"Mean {UNITS}", width=3.9)
    return embed(
        one, "Mean of the period. Look for towns, motorways, ports and ship lanes; clean mountains; a plume downwind."
    ) + embed(two, "The same beside what the twin's reanalysis makes of it, in common colours: smoother, weaker in towns.")


def _others(seen: Seen) -> dict[str, str]:
    """Maps of what else the twin has, each a section, and means over towns and country."""
    found = {}
    for name, mean in seen.others.items():
        symbol, caption = OTHERS[name]
        drawn = figures.maps({"Truth": mean}, seen.plan.grid, f"Mean {symbol} [µg m⁻³]", width=5.0, colours="viridis")
        where = {"towns": seen.towns, "country": seen.country}
        means = ", ".join(f"{w} {number(float(mean[here].mean()), digits=1)}" for w, here in where.items() if here.any())
        found[f"{symbol} at the ground"] = embed(drawn, caption) + note(f"Means over {means} µg m⁻³.")
    return found


def _or_why(content: str, title: str, seen: Seen, left_out: dict[str, str]) -> str:
    """The content of a section; where there is none, `left_out` is told why."""
    if not content:
        left_out[title] = _no_stations(seen)
    return content


def _no_stations(seen: Seen) -> str:
    if seen.stations.is_empty():
        return "stations' files are written when the last month is made"
    return "no station of this kind has enough values"


def _cycles(seen: Seen, left_out: dict[str, str]) -> str:
    """Day, week and year, at background stations."""
    if not any(background(seen, a).any() for a in figures.AREAS):
        left_out["Cycles"] = _no_stations(seen)
        return ""
    local = seen.hourly["time"].to_numpy() + CLOCK
    hour = (local - local.astype("datetime64[D]")) // CLOCK
    weekday = (local.astype("datetime64[D]").astype(int) + 3) % 7  # 1970-01-01 was a Thursday
    month = local.astype("datetime64[M]").astype(int) % 12
    day = figures.cycle(_over(seen, hour, 24), {h: f"{h}" for h in range(0, 24, 3)}, "Hour of the day, UTC + 1")
    parts = ["<h3>Day</h3>", embed(day, "Background stations. In towns a peak in the morning and one in the evening.")]
    if len(seen.days) >= FORTNIGHT:
        caption = (
            f"Background stations, {len(seen.days) // 7} weeks. Lower at weekends, and most so in towns; the weather of few weeks "
            "may hide it."
        )
        week = figures.cycle(_over(seen, weekday, 7), dict(enumerate(figures.WEEKDAYS)), "Day of the week")
        parts += [
            "<h3>Week</h3>",
            embed(week, caption),
            _weekend(seen),
        ]
    else:
        left_out["Cycle of the week"] = f"{len(seen.days)} days are there, {FORTNIGHT} are needed"
    count = len(np.unique(seen.days.astype("datetime64[M]").astype(int) % 12))
    if count >= HALF_YEAR:
        year = figures.cycle(
            _over(seen, month, 12, ("urban", "rural")), dict(enumerate(figures.MONTHS)), "Month, all years together"
        )
        parts += ["<h3>Year</h3>", embed(year, "Background stations. High in winter, low in summer.")]
    else:
        left_out["Cycle of the year"] = f"{count} months of the year are there, {HALF_YEAR} are needed"
    return "".join(parts)


def _over(
    seen: Seen, step: np.ndarray, steps: int, areas: tuple[str, ...] = tuple(figures.AREAS)
) -> dict[str, dict[str, np.ndarray]]:
    """Means by area over the hours of each step, `step` on (time,) giving its number; CAMS where there is an observation."""
    means = {}
    for area in areas:
        here = background(seen, area)
        observed, cams = (seen.hourly[n].to_numpy()[:, here].astype(float) for n in ("observed", "cams"))
        valid = np.isfinite(observed) & np.isfinite(cams)
        if valid.any():
            counts = np.bincount(step, valid.sum(1), steps)
            with np.errstate(invalid="ignore"):
                means[area] = {
                    name: np.bincount(step, np.where(valid, values, 0).sum(1), steps) / counts
                    for name, values in (("observed", observed), ("cams", cams))
                }
    return means


def _weekend(seen: Seen) -> str:
    """Sunday to the working days."""
    weekday = (seen.days.astype(int) + 3) % 7
    ratios = []
    for area in figures.AREAS:
        values = seen.daily["observed"].to_numpy()[:, background(seen, area)]
        if np.isfinite(values[weekday == 6]).any() and np.isfinite(values[weekday < 5]).any():
            ratios.append(f"{area} {number(float(np.nanmean(values[weekday == 6]) / np.nanmean(values[weekday < 5])))}")
    return note(f"Sunday to Monday–Friday: {', '.join(ratios)}. No paper at hand gives this ratio.")


def _profiles(seen: Seen) -> str:
    reported = {name: {h: v / levels[0] for h, v in levels.items() if h} for name, levels in PARIS.items()}
    figure = figures.profiles(seen, reported)
    caption = (
        f"Mean by height over towns ({URBAN:g} people per km² or more) and country (fewer than {RURAL:g}, land); the marks are "
        "ratios of the means that the DACNO₂ paper (000) gives of its Paris region."
    )
    return embed(figure, caption) + heights(seen)


def _weather(seen: Seen, left_out: dict[str, str]) -> str:
    urban = seen.hourly.isel(station=background(seen, "urban"))
    if not np.isfinite(urban["observed"]).any():
        left_out["Wind and mixing"] = _no_stations(seen)
        return ""
    caption = (
        f"Hours at {urban.sizes['station']} urban background stations, wind and boundary layer from the ERA5 files there. NO₂ "
        "falls as wind and mixing grow; traffic by day hides part of the second."
    )
    return embed(figures.against_weather(urban), caption)


def _spectrum(seen: Seen) -> str:
    caption = (
        "Mean of the daily fields' spectra, Hann window, all directions together; guide lines pass above the truth. "
        "Where the truth has power and CAMS has none lies the detail that a method may win back."
    )
    return embed(figures.spectra(seen), caption)


def _series(seen: Seen, left_out: dict[str, str]) -> str:
    """A typical withheld station in town and one in the country."""
    chosen = [s for area in ("urban", "rural") if (s := _typical(seen, area)) is not None]
    if not chosen:
        left_out["Series"] = _no_stations(seen)
        return ""
    rows = [seen.stations.row(i, named=True) for i in chosen]
    titles = [f"{r['name']} ({r['station']}), {r['lon']:.2f}°E {r['lat']:.2f}°N" for r in rows]
    some = f", the first {figures.LONGEST} days" if len(seen.days) > figures.LONGEST else ""
    caption = f"The withheld background stations whose mean is nearest to the median of their area{some}."
    return embed(figures.series(seen.daily.isel(station=chosen), titles), caption)


def _typical(seen: Seen, area: str) -> int | None:
    """The withheld background station of an area whose observed mean is nearest to the median."""
    here = np.flatnonzero(background(seen, area) & which(seen, ~pl.col("assimilated")))
    values = seen.daily["observed"].to_numpy()[:, here]
    here, values = here[np.isfinite(values).any(0)], values[:, np.isfinite(values).any(0)]
    if not len(here):
        return None
    means = np.nanmean(values, 0)
    return int(here[np.argmin(abs(means - np.median(means)))])

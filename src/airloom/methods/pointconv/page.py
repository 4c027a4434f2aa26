"""What a fusion's report has besides scores at stations: kernels, an unseen world, intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from airloom.methods.pointconv.card import interval_rows
from airloom.methods.pointconv.network import PointConvFusion
from airloom.nets.pointconv import PointConv
from airloom.verify.figures import MAP_COLOURS, STYLE
from airloom.verify.html import embed, table
from airloom.verify.tables import model_title, with_interval

LEFT = float(np.exp(-1))  # share of the middle's weight that is left at the radius of influence


def radius(kernel: np.ndarray, cell: float) -> float:
    """Distance [m] at which a kernel's weight, the mean of all directions, has fallen to 1/e of its middle's; the farthest that it
    reaches where it never does.

    >>> half = np.abs(np.arange(-5, 6))
    >>> round(radius(np.exp(-np.hypot(half[:, None], half) / 2), 10_000), -3)
    20000.0
    """
    middle = len(kernel) // 2
    offsets = np.arange(len(kernel)) - middle
    distance = np.hypot(offsets[:, None], offsets)
    rings = np.arange(middle + 1)
    mean = np.array([kernel[np.rint(distance) == ring].mean() for ring in rings]) / kernel[middle, middle]
    radii = np.array([distance[np.rint(distance) == ring].mean() for ring in rings])
    below = np.flatnonzero(mean < LEFT)
    if not len(below) or below[0] == 0:
        return float(middle * cell)
    last = below[0]
    share = (mean[last - 1] - LEFT) / (mean[last - 1] - mean[last])
    return float((radii[last - 1] + share * (radii[last] - radii[last - 1])) * cell)


def sections(network: PointConvFusion, variables: Sequence[str], cell: float, scores: Mapping[str, Any]) -> dict[str, str]:
    """Sections of the page by their titles."""
    return {
        "An unseen world": _world(scores.get("worlds")),
        "Intervals": _intervals(scores["intervals"]),
        "Kernels": embed(
            kernel_figure(network, variables, cell),
            "What was learnt of distance: the weight of a station about a cell, by variable and step, its middle 1. The circle is "
            "the radius of influence, where 1/e is left.",
        ),
    }


@rc_context(STYLE)
def kernel_figure(network: PointConvFusion, variables: Sequence[str], cell: float) -> Figure:
    """Kernels of every variable and step, with their radius of influence [km]."""
    spreads = [p for p in network.points if isinstance(p, PointConv)]
    steps = spreads[0].steps
    figure = Figure(figsize=(2.6 * len(steps) + 0.8, 2.5 * len(variables) + 0.3))
    panels = figure.subplots(len(variables), len(steps), squeeze=False)
    for row, variable, points in zip(panels, variables, spreads, strict=True):
        for number, (axes, step) in enumerate(zip(row, steps, strict=True)):
            kernel = points.kernel(number).detach().numpy()
            kernel = kernel / kernel[step.size // 2, step.size // 2]
            edge = step.size / 2 * step.block * cell / 1000
            shown = axes.imshow(
                kernel, cmap=MAP_COLOURS, extent=(-edge, edge, -edge, edge), vmin=0, vmax=max(1.0, kernel.max())
            )
            reach = radius(kernel, step.block * cell) / 1000
            angle = np.linspace(0, 2 * np.pi, 100)
            axes.plot(reach * np.cos(angle), reach * np.sin(angle), color="#00b3c8", linewidth=1.2)
            axes.set(title=f"{variable}, {step.size} × {step.size}: {reach:.0f} km", xlabel="km", box_aspect=1)
    figure.colorbar(shown, ax=panels, shrink=0.8, label="weight / that of the middle")
    return figure


def _world(found: Mapping[str, Any] | None) -> str:
    """Whole fields of the world that nothing was learnt from, known in the stations' cells alone."""
    if found is None:
        return ""
    names = {"r2": "R²", "rmse": "RMSE [µg m⁻³]", "nme": "NME", "nme_high": "NME above the 95th percentile"}
    rows = [
        (
            model_title(model, 1 if model == "pointconv" else None),
            *(with_interval(scores[k]["mean"], scores[k]["ci"], digits=3) for k in names),
        )
        for model, scores in found["models"].items()
    ]
    told = "; ".join(
        f"its RMSE less that of {model_title(name, None)}: {with_interval(d['rmse'], d['ci'], signed=True, digits=3)}"
        for name, d in found["differences"].items()
    )
    return (
        table(("Model", *names.values()), rows, {0})
        + f'<p class="note">Fields that nothing was learnt from, over {found["days"]} days: '
        f"known without error in the {found['stations']} cells that hold real stations, scored day by day in the other "
        f"{found['cells']:,} land cells; means over days. {told}. These are scores of a model's air.</p>"
    )


def _intervals(found: Sequence[Mapping[str, Any]]) -> str:
    return table(("Nominal", "Found [%]", "Mean width [µg m⁻³]"), interval_rows(found)) + (
        '<p class="note">How many observations at left-out stations lie within the intervals, which other stations\' errors calibrated '
        "(split conformal; an error's size follows the predicted value and how well stations know the place).</p>"
    )

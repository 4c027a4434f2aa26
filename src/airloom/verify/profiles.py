"""Mean profiles of places that differ in how many people live there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from airloom.study import Study
from airloom.verify.volumes import Model

PEOPLE = ("census", "places")  # sources that count inhabitants
DEGREES = {
    "city": 1500.0,
    "town": 300.0,
    "rural": 1.0,
    "uninhabited": 0.0,
}  # least inhabitants per km²; GHSL's, and where hardly anyone lives


def people_layer(study: Study) -> str | None:
    """Name of the study's first map of inhabitants, whatever it is called; None where no source of its layers counts any."""
    return next((layer.name for layer in (*study.emissions, *study.geography) if layer.source in PEOPLE), None)


def degrees(density: np.ndarray) -> dict[str, np.ndarray]:
    """Which cells belong to each degree of urbanisation, boolean like `density` [inhabitants km⁻²]; NaN to none."""
    masks, above = {}, np.full(density.shape, np.inf)
    for name, least in DEGREES.items():
        masks[name] = (density >= least) & (density < above)
        above = np.full(density.shape, least)
    return masks


def profile_rows(
    means: Mapping[Model, np.ndarray], masks: Mapping[str, np.ndarray], levels: Sequence[float]
) -> list[dict[str, Any]]:
    """Mean of some sets of cells on each level, as of degrees of urbanisation or windows; Figs. S10 and 6 of paper 000.

    `means` on (level, y, x) [µg m⁻³], `masks` by name, boolean on (y, x), `levels` [m]. A row holds model, phase, where, level, cells,
    `mean` [µg m⁻³], `of_ground`, its ratio to the lowest level, and `of_cams`, that to the model `cams-2km`; None where there is
    nothing to divide by.
    """
    cams = means.get(("cams-2km", None))
    rows = []
    for where, mask in masks.items():
        if not mask.any():
            continue
        for (name, phase), field in means.items():
            profile = _mean(field, mask)
            beside = _mean(cams, mask) if cams is not None else np.full(len(profile), np.nan)
            for level, mean, other in zip(levels, profile, beside, strict=True):
                head = {"model": name, "phase": phase, "where": where, "level": float(level), "cells": int(mask.sum())}
                ratios = {"of_ground": _ratio(mean, profile[0]), "of_cams": _ratio(mean, other)}
                rows.append({**head, "mean": float(mean) if np.isfinite(mean) else None, **ratios})
    return rows


def _mean(field: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean of some cells on (level,), of those that have a value."""
    cells = field[:, mask].astype(float)
    there = np.isfinite(cells)
    count = there.sum(1)
    return np.where(count, np.where(there, cells, 0).sum(1) / np.maximum(count, 1), np.nan)


def _ratio(a: float, b: float) -> float | None:
    return float(a / b) if np.isfinite(a) and np.isfinite(b) and b > 0 else None

"""Invented hours of a small network, whose air comes and goes together."""

import numpy as np
import polars as pl
import torch
import xarray as xr

from airloom.ledger import Ledger
from airloom.methods.aqnet.hours import Hours, Scaler
from airloom.series import Series

STATIONS = 5
HOURLY = ((1, 24),)
BEGIN = np.datetime64("2020-01-06T00", "h")  # a Monday


def series(hours=400, seed=0, gaps=0.1):
    draw = np.random.default_rng(seed)
    time = BEGIN + np.arange(hours)
    common = 50 + 30 * np.sin(np.arange(hours) / 30)[:, None] + draw.normal(0, 5, (hours, STATIONS))
    pm = np.where(draw.random((hours, STATIONS)) < gaps, np.nan, np.maximum(common, 1)).astype(np.float32)
    t2m = (280 + 5 * np.sin(np.arange(hours) / 24 * 2 * np.pi))[:, None].repeat(STATIONS, 1).astype(np.float32)
    names = [f"S{i}" for i in range(STATIONS)]
    data = xr.Dataset(
        {"pm2p5": (("time", "station"), pm), "t2m": (("time", "station"), t2m)},
        {"time": time.astype("datetime64[ns]"), "station": names},
    )
    places = {"lon": 116 + draw.random(STATIONS) / 5, "lat": 40 + draw.random(STATIONS) / 5}
    return Series(pl.DataFrame({"station": names, "name": names, **places}), data, Ledger())


def hours_of(found):
    every = np.ones(len(found.hours), bool)
    return Hours.of(found, Scaler.of(found, every, np.ones(STATIONS, bool)), ["pm2p5"])


def all_of(batch):
    return torch.ones(batch, STATIONS, dtype=torch.bool)

"""Every source by the name that a study gives it. A new source is one file in this folder and one line here."""

from airloom.sources.base import DailySource, GriddedSource, LayerSource, SeriesSource, StationSource
from airloom.sources.cams import CAMSEurope
from airloom.sources.cams_glob_ant import CAMSGlobAnt
from airloom.sources.census import Census
from airloom.sources.cnemc import CNEMC
from airloom.sources.eea import EEA
from airloom.sources.era5 import ERA5Land, ERA5Pressure, ERA5Single
from airloom.sources.flights import Flights
from airloom.sources.hourly_array import HourlyArray
from airloom.sources.hourly_table import HourlyTable
from airloom.sources.places import Places
from airloom.sources.raster import Raster
from airloom.sources.roads import Roads
from airloom.sources.station_table import StationTable

GRIDDED: dict[str, type[GriddedSource]] = {
    "era5-land": ERA5Land,
    "era5-single": ERA5Single,
    "era5-pressure": ERA5Pressure,
    "cams-europe": CAMSEurope,
}
LAYERS: dict[str, type[LayerSource]] = {
    "places": Places,
    "raster": Raster,
    "roads": Roads,
    "census": Census,
    "cams-glob-ant": CAMSGlobAnt,
}
STATIONS: dict[str, type[StationSource]] = {
    "station-table": StationTable,
    "eea": EEA,
    "cnemc": CNEMC,
}
HOURLY: dict[str, type[SeriesSource]] = {
    "hourly-table": HourlyTable,
    "hourly-array": HourlyArray,
}
DAILY: dict[str, type[DailySource]] = {
    "flights": Flights,
}

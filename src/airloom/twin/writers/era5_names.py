"""How ECMWF numbers and names the ERA5 variables that airloom knows; read off ecCodes, and off files of before 2024."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Name:
    """A variable in ECMWF's words.

    Arguments:
        number: paramId.
        short: GRIB's short name; NetCDF uses airloom's.
        name: long name.
        units: as files spell them.
        standard: CF standard name, where GRIB knows one.
        former: long name in files of before 2024, for variables that had another NetCDF name there.
    """

    number: int
    short: str
    name: str
    units: str
    standard: str | None = None
    former: str | None = None


# what the store calls the way that values stand in time
STEPS: dict[Literal["instant", "mean", "sum"], str] = {"instant": "instant", "mean": "avg", "sum": "accum"}

_FLUX, _RATE, _WIND = "W m**-2", "kg m**-2 s**-1", "m s**-1"
_SHORT_WAVE = "surface_net_downward_shortwave_flux"
_SHORT_WAVE_DOWN = "surface_downwelling_shortwave_flux_in_air"

NAMES = {
    "t2m": Name(167, "2t", "2 metre temperature", "K"),
    "d2m": Name(168, "2d", "2 metre dewpoint temperature", "K"),
    "u10": Name(165, "10u", "10 metre U wind component", _WIND),
    "v10": Name(166, "10v", "10 metre V wind component", _WIND),
    "sp": Name(134, "sp", "Surface pressure", "Pa", "surface_air_pressure"),
    "lai_lv": Name(66, "lai_lv", "Leaf area index, low vegetation", "m**2 m**-2"),
    "lai_hv": Name(67, "lai_hv", "Leaf area index, high vegetation", "m**2 m**-2"),
    "tp": Name(228, "tp", "Total precipitation", "m"),
    "ssr": Name(176, "ssr", "Surface net short-wave (solar) radiation", "J m**-2", _SHORT_WAVE),
    "ssrd": Name(169, "ssrd", "Surface short-wave (solar) radiation downwards", "J m**-2", _SHORT_WAVE_DOWN),
    "blh": Name(159, "blh", "Boundary layer height", "m"),
    "avg_ibld": Name(
        235032, "avg_ibld", "Time-mean boundary layer dissipation", _FLUX, former="Mean boundary layer dissipation"
    ),
    "avg_ie": Name(235043, "avg_ie", "Time-mean moisture flux", _RATE, former="Mean evaporation rate"),
    "avg_tsrwe": Name(
        235031, "avg_tsrwe", "Time-mean total snowfall rate water equivalent", _RATE, former="Mean snowfall rate"
    ),
    "avg_snswrf": Name(
        235037,
        "avg_snswrf",
        "Time-mean surface net short-wave radiation flux",
        _FLUX,
        former="Mean surface net short-wave radiation flux",
    ),
    "avg_snlwrf": Name(
        235038,
        "avg_snlwrf",
        "Time-mean surface net long-wave radiation flux",
        _FLUX,
        former="Mean surface net long-wave radiation flux",
    ),
    "avg_tprate": Name(
        235055, "avg_tprate", "Time-mean total precipitation rate", _RATE, former="Mean total precipitation rate"
    ),
    "z": Name(129, "z", "Geopotential", "m**2 s**-2", "geopotential"),
    "vo": Name(138, "vo", "Vorticity (relative)", "s**-1", "atmosphere_relative_vorticity"),
    "r": Name(157, "r", "Relative humidity", "%", "relative_humidity"),
    "t": Name(130, "t", "Temperature", "K", "air_temperature"),
    "u": Name(131, "u", "U component of wind", _WIND, "eastward_wind"),
    "v": Name(132, "v", "V component of wind", _WIND, "northward_wind"),
    "w": Name(135, "w", "Vertical velocity", "Pa s**-1", "lagrangian_tendency_of_air_pressure"),
    "q": Name(133, "q", "Specific humidity", "kg kg**-1", "specific_humidity"),
}

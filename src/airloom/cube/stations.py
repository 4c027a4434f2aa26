"""Stations as a study asks for them: opened by their source, screened on its grid."""

from pathlib import Path

from airloom.grid import Grid
from airloom.hours import WHOLE_DAY, Hours
from airloom.parts import Period, StationsPart
from airloom.screening import screen
from airloom.sources.cnemc import CNEMC
from airloom.sources.eea import EEA
from airloom.sources.members import Member, matching
from airloom.sources.station_table import StationTable
from airloom.sources.tables import identifiers, read_table, require_columns
from airloom.stations import Stations


def read_stations(
    part: StationsPart, pollutant: str, grid: Grid, period: Period, data: Path, hours: Hours = WHOLE_DAY
) -> Stations:
    """Stations of a pollutant on a grid, screened.

    Raises:
        DataError: as the source, or no station is left.
    """
    observations = matching(data, part.observations, "stations.observations")
    if part.source == "eea":
        records = EEA().open(observations, data / part.metadata, pollutant=pollutant.replace("2p5", "2.5"))
    elif part.source == "cnemc":
        records = CNEMC().open(observations, data / part.metadata, pollutant=pollutant, timezone=part.timezone)
    else:
        records = StationTable().open(
            observations,
            data / part.metadata,
            variable=pollutant,
            columns=part.columns,
            units=part.units,
            timezone=part.timezone,
            marks=part.marks,
            types=part.types,
            crs=part.crs,
        )
    return screen(records, grid, part.rules(), (period.start, period.end), hours)


def read_assimilated(part: StationsPart, data: Path) -> list[str] | None:
    """Ids of the stations that the reanalysis knows; None where the study does not split by them.

    Raises:
        DataError: the file is absent or broken, or has no column `station`.
    """
    name = part.split.assimilated
    if name is None:
        return None
    (path,) = matching(data, [name], "stations.split.assimilated")
    table = read_table(Member(path))
    require_columns(table, ["station"], path.name, "It holds one id a row.")
    return sorted(set(identifiers(table["station"], path.name)))

"""What is asked of series at stations: the schema of a study whose method is `aqnet`."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from airloom.parts import Part, Period
from airloom.sources.base import SERIES
from airloom.sources.clock import utc

Pollutant = Literal["pm2p5", "pm10", "no2", "o3", "so2", "co"]
Measured = Literal["pm2p5", "pm10", "no2", "o3", "so2", "co", "t2m", "d2m", "sp", "tp", "u10", "v10", "wind"]
SeriesBaseline = Literal["persistence", "climatology", "ridge", "gradient-boosting", "lstm", "patchtst"]


class SeriesMethod(Part):
    """The network."""

    name: Literal["aqnet"] = Field(description="aqnet, whose schema this is.")
    preset: Literal["small", "base", "paper"] = Field(
        "small", description="Widths; paper: three LSTM layers of 128, as in its authors' repository."
    )
    neighbours: int = Field(20, ge=1, description="Nearest stations that say something of a place (paper 004: k = 20).")
    weights: Literal["features", "distance"] = Field(
        "features", description="What neighbours are weighted by; distance only to see what their features are worth."
    )
    cyclic: bool = Field(
        True, description="Cyclic encoding of hour, weekday and day of the year; false only to see its worth."
    )


class MeasuredPart(Part):
    """A variable in the tables."""

    column: str = Field(description="What its column is called; of wind that of its speed.")
    units: str = Field("ug m-3", description="Unit of the values: ug m-3, mg m-3, degC, K, hPa, Pa, mm, m s-1, km/h.")
    direction: str | None = Field(None, description="Of wind: the column of its direction, in degrees or as N, NNE, …")


class SeriesStations(Part):
    """Hourly observations of several variables."""

    source: Literal["hourly-table", "hourly-array"] = Field(
        "hourly-table", description="hourly-table: a row a station and hour, CSV or parquet; hourly-array: an .npz archive."
    )
    observations: tuple[str, ...] = Field(min_length=1, description="File patterns below the data folder.")
    metadata: str = Field(description="Table of stations with station, lon, lat; below the data folder.")
    timezone: str = Field("UTC", description="Clock of times that carry no offset, as Asia/Shanghai.")
    marks: Literal["start", "end"] = Field(
        "start", description="Whether a time is what the clock shows when its hour starts, or ends."
    )
    variables: dict[Measured, MeasuredPart] = Field(min_length=1, description="What they measure, by canonical name.")

    @model_validator(mode="after")
    def _wind(self) -> "SeriesStations":
        for name, part in self.variables.items():
            if (name == "wind") != (part.direction is not None):
                raise ValueError(f"variables.{name}: wind has a direction, and nothing else has one")
        return self


class Forecast(Part):
    """The time to come, out of the past alone."""

    kind: Literal["forecast"] = Field("forecast", description="forecast: the time to come, out of the past alone.")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Short name, as in tables.")
    window: int = Field(24, ge=2, description="Hours that are seen; 24 or 336 in the paper.")
    coarse: int = Field(1, ge=1, description="Hours of the window whose mean networks see as one step; 6 for two weeks.")
    means: Literal["hour", "day"] = Field("hour", description="What is told: values of hours, or means of 24 hours.")
    leads: tuple[int, ...] = Field(min_length=1, description="Which of them are scored; all up to the last are told.")
    ahead: tuple[Measured, ...] = Field(
        (), description="Weather that is known ahead, as of a perfect weather forecast. Such scores stand apart."
    )
    steps: int = Field(1000, gt=0, description="Batches to learn from.")
    batch: int = Field(32, gt=0, description="Moments of a batch, each with all stations; 32 in the paper.")

    @model_validator(mode="after")
    def _whole(self) -> "Forecast":
        if self.window % self.coarse or 24 % self.coarse:
            raise ValueError(f"coarse: a window of {self.window} hours, or a day, is no whole number of {self.coarse}")
        return self

    @property
    def given(self) -> list[str]:
        """Channels of the weather that is known ahead."""
        return [a for name in self.ahead for a in (("u10", "v10") if name == "wind" else (name,))]

    @property
    def length(self) -> int:
        """Hours of what is told."""
        return 24 if self.means == "day" else 1

    @property
    def reach(self) -> int:
        """How many are told."""
        return max(self.leads)


class Reanalysis(Part):
    """Gaps and hidden stations, with what is known before, after and around."""

    kind: Literal["reanalysis"] = Field("reanalysis", description="reanalysis: gaps and hidden stations.")
    name: str = Field("reanalysis", pattern=r"^[a-z0-9][a-z0-9-]*$", description="Short name, as in tables.")
    window: int = Field(48, ge=6, description="Hours of a window.")
    gaps: tuple[float, ...] = Field(
        (0.1, 0.3, 0.5), description="Shares of the hours that are taken out, in blocks, and scored."
    )
    block: int = Field(24, ge=1, description="Longest block that is taken out [h].")
    steps: int = Field(1000, gt=0, description="Batches to learn from.")
    batch: int = Field(8, gt=0, description="Windows of a batch, each with all stations.")


Task = Annotated[Forecast | Reanalysis, Field(discriminator="kind")]


class Hidden(Part):
    """Stations of which nothing is known but where they stand: left out in folds, of learning and of everything else."""

    folds: int = Field(5, ge=2, description="Parts that are left out in turn; for each the network learns anew.")


class SeriesPractice(Part):
    """How the network learns."""

    learning_rate: float = Field(1e-3, gt=0, description="AdamW's rate at its highest; 1e-3 in the paper.")
    hidden: float = Field(
        0.2, ge=0, lt=1, description="Most of the stations that are hidden in a batch, drawn anew each time."
    )
    members: int = Field(1, ge=1, description="Networks that learn with seeds of their own; their mean speaks.")


class SeriesVerification(Part):
    """How series are scored."""

    test: datetime = Field(
        description="From this hour (UTC, or with its offset) on nothing is learnt; scores are of it and later."
    )
    validation: int = Field(8, ge=3, description="Every so-manieth block of weeks before it validates.")
    baselines: tuple[SeriesBaseline, ...] = Field(
        ("persistence", "climatology", "ridge", "gradient-boosting"),
        description="What stands beside forecasts, with the same inputs.",
    )
    draws: int = Field(1000, ge=100, description="Bootstrap draws of weeks for the 95 % intervals.")

    @field_validator("test")
    @classmethod
    def _utc(cls, test: datetime) -> datetime:
        hour = utc(test)
        if hour != hour.replace(minute=0, second=0, microsecond=0):
            raise ValueError(f"{hour:%Y-%m-%d %H:%M} UTC is no full hour")
        return hour


class SeriesStudy(Part):
    """What is asked: series of which pollutants, at which stations, told how, scored how."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Short name; the run's folder is called so.")
    title: str = Field(description="One line for the report.")
    method: SeriesMethod
    period: Period
    stations: SeriesStations
    target: Pollutant = Field("pm2p5", description="What is told.")
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)] = Field(
        description="Forecasts and reanalyses; each has a network."
    )
    hidden: Hidden | None = Field(None, description="Hidden stations, besides those that can be seen.")
    practice: SeriesPractice = Field(SeriesPractice(), description="How networks learn.")
    verification: SeriesVerification
    seed: int = Field(0, description="Seed of weights, of what is drawn, and of folds.")

    @property
    def pollutant(self) -> str:
        """What is told."""
        return self.target

    @property
    def patterns(self) -> list[str]:
        """Patterns of all files that the study reads, below the data folder."""
        return [*self.stations.observations, self.stations.metadata]

    @property
    def measured(self) -> list[str]:
        """Canonical variables that the tables give; wind is two."""
        return [v for name in self.stations.variables for v in (("u10", "v10") if name == "wind" else (name,))]

    @model_validator(mode="after")
    def _consistent(self) -> "SeriesStudy":
        if self.target not in self.stations.variables:
            raise ValueError(f"target: {self.target} is none of stations.variables; add its column there")
        names = [t.name for t in self.tasks]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"tasks: {twice[0]!r} stands twice; each task has a name of its own")
        for task in self.tasks:
            given = task.ahead if isinstance(task, Forecast) else ()
            for name in given:
                if name not in self.stations.variables:
                    raise ValueError(f"tasks.{task.name}.ahead: {name} is none of stations.variables")
                if SERIES.get(name) == "ug m-3":
                    raise ValueError(f"tasks.{task.name}.ahead: {name} is no weather, and nobody knows it ahead")
        if not self.period.start < self.verification.test.date() <= self.period.end:
            raise ValueError(
                f"verification.test: {self.verification.test:%Y-%m-%d %H:%M} does not lie within the period "
                f"{self.period.start} … {self.period.end}"
            )
        return self

"""What a fusion of stations is asked for: the schema of a study whose method is `pointconv`."""

from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from airloom.grid import Grid
from airloom.parts import Baseline, GridPart, LayerPart, Part, Period, StationsPart

Variable = Literal["no2", "o3", "so2", "pm2p5", "pm10", "relative_humidity", "wind"]
GASES = {"no2", "o3", "so2", "pm2p5", "pm10"}  # what models' files have
MapName = Literal["elevation", "land", "population", "impervious", "motorway"]


class FusionMethod(Part):
    """The network."""

    name: Literal["pointconv"] = Field(description="pointconv, whose schema this is.")
    preset: Literal["small", "base", "paper"] = Field(
        "small", description="Widths and steps; paper: two steps of 21 and 11 cells, as published."
    )


class NetworkPart(Part):
    """Stations of one variable; networks need not share a place."""

    variable: Variable = Field(description="What they measure.")
    stations: StationsPart


class MapPart(Part):
    """A map that the network sees besides stations."""

    name: MapName = Field(
        description="What it is; a twin has one of that name to learn with. elevation [m]; land, a share; population [km⁻²]; impervious, "
        "ground that is sealed [%]; motorway, how far the nearest is [m]."
    )
    layer: LayerPart | None = Field(
        None, description="The region's own; without it the twin's, whose ranges and towns are real."
    )


class Worlds(Part):
    """Worlds of the twin that teach: each has other weather and other emissions. One more validates."""

    number: int = Field(2, ge=0, description="Worlds to learn from; 0 where models alone teach.")
    start: date = Field(date(2019, 1, 1), description="First day.")
    end: date = Field(date(2019, 12, 31), description="Last day.")
    days: int | None = Field(
        9, ge=1, description="Only the first so many days of each month, for many seasons at little cost."
    )
    centre: tuple[float, float] | None = Field(
        None,
        description="Longitude and latitude of the window's centre [degrees] where the twin knows no geography of the region; by "
        "default the study's own.",
    )
    size: int | None = Field(
        None, ge=32, description="Cells along an edge of the window; by default the study's longer edge."
    )
    seed: int = Field(0, description="Seed of the first world; the next ones follow.")


class ModelPart(Part):
    """A chemistry model that teaches, on the study's cells."""

    source: Literal["cams-europe"] = Field("cams-europe", description="CAMS European air quality reanalyses.")
    files: tuple[str, ...] = Field(min_length=1, description="File patterns below the data folder.")
    start: date = Field(description="First day to learn from.")
    end: date = Field(description="Last day.")


class Practice(Part):
    """How the network learns: cells of a full field stand in for stations, drawn anew each time."""

    stations: tuple[int, int] = Field(
        description="Fewest and most pseudo-stations of the target in a window; evenly drawn on a logarithmic scale."
    )
    others: tuple[int, int] | None = Field(None, description="The same for the other variables; by default as many.")
    clustered: float = Field(0.5, ge=0, le=1, description="Most of them that stand close together, as in towns.")
    noise: float = Field(
        0.5, ge=0, description="Most by which a pseudo-station errs, in deviations of the day's values; 0 as in the paper."
    )
    above: float = Field(
        0,
        ge=0,
        description="How far stations stand above their cell's mean elevation [m], about: as on summits. They then see the air of that "
        "height, and their altitude is an input; 0: all stand at the ground, as in the paper.",
    )
    steps: int = Field(3000, gt=0, description="Batches; 20,000 in the paper.")
    batch: int = Field(10, gt=0, description="Days of a batch; 10 in the paper.")
    window: int = Field(128, ge=32, description="Cells along an edge of what is seen at once.")
    learning_rate: float = Field(2e-3, gt=0, description="AdamW's rate at its highest.")

    @model_validator(mode="after")
    def _ordered(self) -> "Practice":
        for name, pair in (("stations", self.stations), ("others", self.others or self.stations)):
            if not 1 <= pair[0] <= pair[1]:
                raise ValueError(f"{name}: [{pair[0]}, {pair[1]}]; write the fewest, at least 1, and then the most")
        return self


class Adaptation(Part):
    """What the network learns of observations, once it is taught: what a place and the kind of a station, traffic's or industry's, add
    to the air about them. Stations are hidden and predicted from the others.
    """

    steps: int = Field(400, gt=0, description="Batches.")
    batch: int = Field(16, gt=0, description="Days of a batch.")
    hidden: float = Field(0.2, gt=0, lt=1, description="Share of the stations that is hidden, drawn anew each time.")
    learning_rate: float = Field(5e-3, gt=0, description="AdamW's rate at its highest.")
    parts: int = Field(
        1,
        ge=1,
        description="Parts of a cell's edge on which maps are read for places; 4 where cells of 4 km hold stations whose streets are "
        "known to 1 km. A cell is the mean of its parts.",
    )


class LeaveOut(Part):
    """Which stations are predicted from the others."""

    what: Literal["stations", "blocks", "cities"] = Field(
        "stations",
        description="Single stations, all stations of a square together, or all whose names agree up to a comma, as a city's.",
    )
    folds: int | None = Field(
        10, ge=2, description="Parts that are left out in turn; null: one station, block or city at a time."
    )
    block: float = Field(50_000, gt=0, description="Edge of such a square [m].")


class FusionVerification(Part):
    """How fields are scored: every station is left out once."""

    leave: Annotated[tuple[LeaveOut, ...], Field(min_length=1)] = Field(
        (LeaveOut(),), description="Cross-validations; the first gives the scores, the others are told beside them."
    )
    baselines: tuple[Baseline, ...] = Field(
        ("network-mean", "inverse-distance", "kriging", "regression-kriging"),
        description="What stands beside the method, on the same folds.",
    )
    draws: int = Field(1000, ge=100, description="Bootstrap draws of days for the 95 % intervals.")


class FusionStudy(Part):
    """What is asked: fields of which variable, where and when, from which stations, taught by what, scored how."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Short name; the run's folder is called so.")
    title: str = Field(description="One line for the report.")
    method: FusionMethod
    grid: GridPart
    period: Period
    networks: Annotated[tuple[NetworkPart, ...], Field(min_length=1)] = Field(
        description="Stations, by variable; the first is what is estimated."
    )
    maps: tuple[MapPart, ...] = Field((), description="Maps that stand still.")
    worlds: Worlds = Field(Worlds(), description="What teaches.")
    models: tuple[ModelPart, ...] = Field(
        (),
        description="Models whose files teach besides. Where no world of the twin does, the last of them validates. A reanalysis has seen "
        "stations of its own days: score on others.",
    )
    practice: Practice
    adaptation: Adaptation | None = Field(
        None, description="Fine-tuning on the stations' own observations; by default the network sees none of them."
    )
    verification: FusionVerification = Field(FusionVerification(), description="How it is scored.")
    seed: int = Field(0, description="Seed of weights, of what is drawn, and of folds.")

    @cached_property
    def target_grid(self) -> Grid:
        """The grid of the fields."""
        return self.grid.grid()

    @property
    def pollutant(self) -> str:
        """What is estimated."""
        return self.networks[0].variable

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All that stations measure, the target first."""
        return tuple(n.variable for n in self.networks)

    @property
    def channels(self) -> int:
        """Number of maps that the network sees."""
        return len(self.maps) + (self.practice.above > 0)

    @property
    def teachers(self) -> str:
        """What teaches, in words."""
        models = len(self.models) - (not self.worlds.number)  # the last of them validates
        told = {"world of the twin": self.worlds.number, "world of a chemistry model": models}
        return " and ".join(f"{n} {what.replace('world', 'worlds') if n > 1 else what}" for what, n in told.items() if n)

    @property
    def patterns(self) -> list[str]:
        """Patterns of all files that the study reads, below the data folder."""
        stations = [p for n in self.networks for p in (*n.stations.observations, n.stations.metadata)]
        models = [p for m in self.models for p in m.files]
        return [*stations, *models, *(f for m in self.maps if m.layer for f in m.layer.files)]

    def taught(self) -> dict[str, Any]:
        """What the twin's fields depend on; studies that agree here share them."""
        content = self.model_dump(mode="json", include={"grid", "worlds"})
        return {**content, "variables": self.variables, "maps": [m.name for m in self.maps]}

    @model_validator(mode="after")
    def _consistent(self) -> "FusionStudy":
        if twice := sorted({v for v in self.variables if self.variables.count(v) > 1}):
            raise ValueError(f"networks: {twice[0]!r} is measured by two of them; join their tables")
        names = [m.name for m in self.maps]
        if again := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"maps: {again[0]!r} stands twice; each map is one")
        if self.practice.above and "elevation" not in names:
            raise ValueError("practice.above: stations stand above an elevation, which is not among maps; add it there")
        if self.pollutant in ("relative_humidity", "wind"):
            raise ValueError(f"networks.0.variable: {self.pollutant} is no concentration; the first is what is estimated")
        ways = [leave.what for leave in self.verification.leave]
        if often := sorted({w for w in ways if ways.count(w) > 1}):
            raise ValueError(f"verification.leave: {often[0]} are left out twice; each way is one cross-validation")
        self._check_models()
        if self.worlds.end < self.worlds.start:
            raise ValueError(f"worlds: they end on {self.worlds.end}, before they start on {self.worlds.start}")
        return self

    def _check_models(self) -> None:
        """That something teaches and something validates, and that models have what is asked."""
        if not self.worlds.number and len(self.models) < 2:
            found = f"worlds.number: 0, and {len(self.models)} models"
            raise ValueError(f"{found}: one must teach and another validate; name two")
        if lacking := [m.name for m in self.maps if m.layer is None and not self.worlds.number]:
            raise ValueError(f"maps: {lacking[0]} needs a layer of the region's own where no world of the twin has it")
        if self.models and (other := [v for v in self.variables if v not in GASES]):
            raise ValueError(
                f"models: {other[0]} is in none of their files; leave its network out, or let the twin alone teach"
            )

"""The typed description of a study: the only schema. A YAML file is one Study.

Every field says what it is, its unit and why its default is what it is; `airloom keys` prints these words.
"""

from collections.abc import Iterator
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from airloom.errors import StudyError, nearest
from airloom.grid import Grid
from airloom.sources.base import StationArea, StationType
from airloom.stations import Rules

Baseline = Literal[
    "network-mean",
    "inverse-distance",
    "kriging",
    "gradient-boosting",
    "gradient-boosting-adapted",
    "gradient-boosting-year",
    "climatology",
]


class Part(BaseModel):
    """A part of a study; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GridPart(Part):
    """The grid of the fields."""

    centre: tuple[float, float] = Field(description="Longitude and latitude of the window's centre [degrees].")
    shape: tuple[int, int] = Field(description="Rows (y) and columns (x) of cells.")
    cell: float = Field(2000, gt=0, description="Edge of a cell [m]; 2 km as in the DACNO₂ paper.")
    crs: str = Field("EPSG:3035", description="Projected system in metres; equal-area for Europe by default.")

    def grid(self) -> Grid:
        """The grid itself; its edges lie on whole multiples of the cell."""
        lon, lat = self.centre
        return Grid.around(lon, lat, cell=self.cell, shape=self.shape, crs=self.crs)


class Period(Part):
    """Days of the study, both ends included, in UTC."""

    start: date = Field(description="First day.")
    end: date = Field(description="Last day.")

    @model_validator(mode="after")
    def _ordered(self) -> "Period":
        if self.end < self.start:
            raise ValueError(f"ends on {self.end}, before it starts on {self.start}")
        return self


class WeatherPart(Part):
    """Hourly single-level weather."""

    source: Literal["era5-land", "era5-single"] = Field("era5-land", description="Product of the Climate Data Store.")
    files: tuple[str, ...] = Field(description="Patterns of files below the data folder; zip archives are looked into.")
    variables: tuple[str, ...] = Field(min_length=1, description="Canonical names, in the order of the network's channels.")
    cell: float = Field(16000, gt=0, description="Edge of a weather cell [m]; a power of two times the grid's cell.")
    fill_hours: int = Field(
        1,
        ge=0,
        description="Hours of a day that may be filled from the nearest hour of that day; counted in the ledger. A day that lacks more is left out.",
    )


class LayerPart(Part):
    """One static map, or several of one source."""

    source: Literal["places", "raster"] = Field(
        description="places: populated places that come with airloom; raster: a GeoTIFF."
    )
    name: str = Field(description="Name of the layer in the cube.")
    files: tuple[str, ...] = Field((), description="Patterns of raster files below the data folder.")
    how: Literal["mean", "mode", "density"] = Field(
        "mean", description="How fine cells become a grid cell: area mean, most frequent class, or sum per km²."
    )
    units: str = Field("1", description="Unit of a raster's values.")
    log: bool = Field(False, description="Use log(1 + value): for quantities that span decades, such as population.")

    @model_validator(mode="after")
    def _has_files(self) -> "LayerPart":
        if self.source == "raster" and not self.files:
            raise ValueError(f"files: missing; the raster layer {self.name!r} needs patterns of files")
        if self.source != "raster" and self.files:
            raise ValueError(
                f"files: {self.source} comes with airloom and reads no files; leave them out, or use source: raster"
            )
        return self


class Split(Part):
    """Who is withheld. Withheld stations never touch training, normalisation or the choice of a checkpoint."""

    withheld: tuple[str, ...] = Field((), description="Ids of the withheld stations; empty: drawn at random.")
    fraction: float = Field(0.25, gt=0, lt=1, description="Share of each type that is drawn where no ids are given.")
    seed: int = Field(0, description="Seed of the draw.")


class StationsPart(Part):
    """Ground stations of the pollutant."""

    source: Literal["station-table", "eea"] = Field(
        description="station-table: one CSV or parquet; eea: the EEA download service."
    )
    observations: tuple[str, ...] = Field(description="Patterns of observation files below the data folder.")
    metadata: str = Field(description="File with coordinates and types, below the data folder.")
    columns: dict[str, str] = Field(
        {},
        description="Names in a station table: {canonical: found}, for station, time, value, valid, name, lon, lat, altitude, type, area.",
    )
    units: str = Field("ug m-3", description="Unit of a station table's values.")
    timezone: str = Field("UTC", description="Clock of a station table's times, such as Europe/Madrid.")
    marks: Literal["start", "end"] = Field("start", description="What a station table's time marks of its hour.")
    types: dict[str, tuple[StationType | None, StationArea | None]] = Field(
        {}, description="What the table's type words mean: {word: [type, area]}."
    )
    use: tuple[StationType, ...] = Field(
        ("background", "industrial"),
        description="Types that are used. Traffic is out: such a station speaks for less than a cell (paper 000, §2.2.2).",
    )
    min_hours: int = Field(18, ge=1, le=24, description="Valid hours that a daily mean needs.")
    min_year_fraction: float = Field(0.2, ge=0, le=1, description="Share of a year's days that a station needs (paper 000).")
    lowest: float = Field(
        -1, description="Values below are left out [µg m⁻³]; small negatives are instrument noise about zero."
    )
    highest: float = Field(1000, description="Values above are left out [µg m⁻³].")
    stuck_hours: int = Field(24, ge=2, description="So many equal non-zero hours in a row are left out as stuck.")
    split: Split = Field(Split(), description="Who is withheld.")

    def rules(self) -> Rules:
        """The screening rules."""
        return Rules(self.use, self.min_hours, self.min_year_fraction, self.lowest, self.highest, self.stuck_hours)


class TilesPart(Part):
    """Windows that the network sees."""

    size: int = Field(256, gt=0, description="Cells along an edge; 256 (512 km) in the DACNO₂ paper.")
    stride: int = Field(192, gt=0, description="Cells between two tiles at most; less than the size, so that they overlap.")


class MethodPart(Part):
    """The network."""

    name: str = Field("dacno2", description="A method of the registry.")
    preset: str = Field("small", description="Widths: small or base.")


class Validation(Part):
    """What chooses the checkpoint; always a part of the training stations' data."""

    by: Literal["days", "stations", "values"] = Field(
        "days",
        description="days: a random share of days, all stations; stations: a share of the training stations, all days; "
        "values: a share of single values, so that every day and every station is seen, as an adaptive phase needs.",
    )
    fraction: float = Field(0.2, gt=0, lt=1, description="That share.")


class Loss(Part):
    """Weights of the terms of a phase's loss; a term of weight 0 is not computed."""

    station_mse: float = Field(
        1, ge=0, description="Squared error at station cells, in units of the observations' variance."
    )
    roughness: float = Field(
        0,
        ge=0,
        description="Mean squared slope of the field [km²], in standard deviations of the observations per km: what holds "
        "places without a station where no chemistry model does; not in the paper.",
    )
    former_ssim: float = Field(0, ge=0, description="1 − SSIM between the model and the one that the phase started from.")
    ssim_cell: float = Field(8000, gt=0, description="Cells on which the two are compared [m]; 8 km in the paper.")
    ssim_window: int = Field(11, ge=3, description="Cells along an edge of SSIM's Gaussian window; odd.")

    @model_validator(mode="after")
    def _teaches(self) -> "Loss":
        if not self.station_mse and not self.former_ssim:
            raise ValueError("all weights are 0, so nothing would be learnt; station_mse: 1 is the default")
        if self.ssim_window % 2 == 0:
            raise ValueError(f"ssim_window {self.ssim_window} is even; a window with a cell in its middle is odd")
        return self


class Phase(Part):
    """One phase of training."""

    number: Literal[1, 2, 3] = Field(
        description="Its number in the paper: 1 pre-training, 2 constrained by stations, 3 adaptive."
    )
    years: tuple[int, ...] = Field(min_length=1, description="Years whose days it sees.")
    start_from: Literal["scratch", "former"] = Field(
        "former", description="Initial weights: random, or the best of the phase before."
    )
    train: Literal["all", "decoder"] = Field("all", description="What is trained.")
    loss: Loss = Field(Loss(), description="Terms of the loss.")
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's rate at its highest.")
    weight_decay: float = Field(1e-2, ge=0, description="AdamW's decay.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of features dropped while training.")
    epochs: int = Field(gt=0, description="Passes over the days, at most.")
    patience: int = Field(10, gt=0, description="Epochs without a better validation after which the phase ends.")
    batch: int = Field(16, gt=0, description="Samples a step.")
    accumulate: int = Field(1, gt=0, description="Micro-batches a step; batch norm sees one micro-batch.")
    validation: Validation = Field(Validation(), description="What chooses the checkpoint.")


class Verification(Part):
    """How the fields are scored."""

    years: tuple[int, ...] = Field(min_length=1, description="Years that are predicted and scored.")
    baselines: tuple[Baseline, ...] = Field(
        get_args(Baseline), description="What stands beside the method, on the same split; all by default."
    )
    draws: int = Field(1000, ge=100, description="Bootstrap draws of days for the 95 % intervals.")


class Study(Part):
    """What is asked: where, when, from what, by which network, scored how."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Short name; the run's folder is called so.")
    title: str = Field(description="One line for the report.")
    pollutant: Literal["no2"] = Field("no2", description="What is estimated [µg m⁻³].")
    grid: GridPart
    period: Period
    weather: WeatherPart | None = None
    calendar: bool = Field(True, description="Day of week (sin, cos) as an input.")
    season: bool = Field(False, description="Day of year (sin, cos) as an input besides; not in the paper.")
    emissions: tuple[LayerPart, ...] = Field((), description="Emission maps and proxies.")
    geography: tuple[LayerPart, ...] = Field((), description="Elevation, land cover.")
    stations: StationsPart
    tiles: TilesPart = Field(TilesPart(), description="Windows that the network sees.")
    method: MethodPart = Field(MethodPart(), description="The network.")
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    verification: Verification
    members: int = Field(1, ge=1, description="Networks trained from different seeds; the field is their mean.")
    seed: int = Field(0, description="Seed of weights, order and dropout.")

    @cached_property
    def target_grid(self) -> Grid:
        """The grid of the fields."""
        return self.grid.grid()

    @cached_property
    def weather_factor(self) -> int:
        """Grid cells along a weather cell; a power of two."""
        return round(self.weather.cell / self.grid.cell) if self.weather else 1

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        try:
            self.grid.grid()
        except StudyError as error:
            raise ValueError(str(error)) from error
        if self.weather is None and not self.emissions and not self.geography:
            raise ValueError("weather, emissions and geography are all absent; the network needs at least one of them")
        if self.weather is None and not self.calendar and not self.season:
            raise ValueError("weather, calendar and season are all absent; every day would be the same")
        factor = self.weather.cell / self.grid.cell if self.weather else 1.0
        if factor < 1 or factor != 2 ** round(float(factor)).bit_length() / 2:
            raise ValueError(
                f"weather.cell {self.weather.cell if self.weather else 0:g} m must be 1, 2, 4, 8 … times grid.cell {self.grid.cell:g} m"
            )
        for part, length in (("grid.shape", self.grid.shape), ("tiles", (self.tiles.size, self.tiles.stride))):
            if any(n % int(factor) for n in length):
                raise ValueError(f"{part}: {length} must be multiples of {factor:g} cells, one weather cell")
        if self.tiles.stride > self.tiles.size:
            raise ValueError(
                f"tiles.stride {self.tiles.stride} exceeds tiles.size {self.tiles.size} and would leave cells uncovered"
            )
        layers = [layer.name for layer in (*self.emissions, *self.geography)]
        if twice := sorted({name for name in layers if layers.count(name) > 1}):
            raise ValueError(f"emissions and geography: two layers are named {twice[0]!r}; each needs a name of its own")
        seen = range(self.period.start.year, self.period.end.year + 1)
        asked = {*self.verification.years, *(y for p in self.phases for y in p.years)}
        if strange := sorted(asked - set(seen)):
            raise ValueError(
                f"years {strange} of phases or verification lie outside the period {self.period.start} … {self.period.end}"
            )
        if self.phases[0].start_from == "former":
            raise ValueError("phases.0.start_from: the first phase has no former one; write start_from: scratch")
        self._check_phases()
        return self

    def _check_phases(self) -> None:
        """Phases follow each other, and a model that one stays near is there and can be compared."""
        numbers = [p.number for p in self.phases]
        if numbers != sorted(set(numbers)):
            raise ValueError(f"phases: their numbers are {numbers}; they must ascend, each once")
        for i, phase in enumerate(self.phases):
            if not phase.loss.former_ssim:
                continue
            where = f"phases.{i}.loss"
            if phase.start_from == "scratch":
                raise ValueError(f"{where}.former_ssim: a phase from scratch has no former model to stay near")
            cells = self.tiles.size // max(1, round(phase.loss.ssim_cell / self.grid.cell))
            if phase.loss.ssim_window > cells:
                raise ValueError(
                    f"{where}.ssim_window: {phase.loss.ssim_window} cells of {phase.loss.ssim_cell:g} m exceed a tile, "
                    f"which has {cells}; use a smaller window, a smaller ssim_cell or larger tiles"
                )

    def prepared(self) -> dict[str, Any]:
        """What the cube depends on; two studies that agree here share a cube, whatever their split, network or phases."""
        content = self.model_dump(
            mode="json",
            include={"pollutant", "grid", "period", "weather", "calendar", "season", "emissions", "geography", "stations"},
        )
        del content["stations"]["split"]
        return content

    @property
    def patterns(self) -> list[str]:
        """Patterns of all files that the study reads, below the data folder."""
        layers = [f for part in (*self.emissions, *self.geography) for f in part.files]
        return [*(self.weather.files if self.weather else ()), *self.stations.observations, self.stations.metadata, *layers]


def load(path: str | Path) -> Study:
    """Read a study file.

    Raises:
        StudyError: the file is absent, no YAML, or not a Study; the message names the key and the nearest valid one.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(
            f"{path}: cannot be read: {error.strerror}. Name a study file such as studies/madrid.yaml."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise StudyError(f"{path}: holds {type(content).__name__}, expected keys such as name, grid, stations.")
    return parse(content, where=str(path))


def changed(study: Study, changes: dict[str, Any]) -> Study:
    """The study with some keys set, such as {"seed": 1, "stations.split.seed": 2}.

    Raises:
        StudyError: a key does not exist, or a value does not fit.
    """
    content = study.model_dump(mode="json")
    for key, value in changes.items():
        *above, last = key.split(".")
        part: Any = content
        for step in above:
            part = _below(part, step, key)
        _below(part, last, key)
        part[int(last) if isinstance(part, list) else last] = value
    return parse(content, where=study.name) if changes else study


def _below(part: Any, step: str, key: str) -> Any:
    """What stands below one step of a dotted key."""
    if isinstance(part, list) and step.isdigit() and int(step) < len(part):
        return part[int(step)]
    if not isinstance(part, dict) or step not in part:
        valid = part if isinstance(part, dict) else [str(i) for i in range(len(part))] if isinstance(part, list) else []
        raise StudyError(f"{key}: {step!r} is not a key there. {nearest(step, map(str, valid))}")
    return part[step]


def parse(content: dict[str, Any], *, where: str) -> Study:
    """A Study out of plain keys and values; `where` begins each message.

    Raises:
        StudyError: as `load`.
    """
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors()]  # type: ignore[arg-type]
        raise StudyError("\n".join(f"{where}, {line}" for line in lines)) from error


def keys(part: type[BaseModel] = Study, above: str = "") -> Iterator[tuple[str, str, str]]:
    """Every key of a study: its dotted name, its default ("needed" where it has none), and what it is."""
    for name, info in part.model_fields.items():
        inner = _model(info.annotation)
        many = "[]" if inner and get_origin(info.annotation) is tuple else ""
        default = "needed" if info.is_required() else "" if inner else str(info.default)
        what = info.description or (inner.__doc__ if inner else "") or ""
        yield f"{above}{name}{many}", default, what.splitlines()[0]
        if inner:
            yield from keys(inner, f"{above}{name}{many}.")


def _explain(error: dict[str, Any]) -> str:
    """One line for one pydantic error: where, what was found, what was expected."""
    at = ".".join(str(k) for k in error["loc"]) or "study"
    if error["type"] == "extra_forbidden":
        part = _part(error["loc"][:-1])
        key = str(error["loc"][-1])
        return f"{at}: {key!r} is not a key here. {nearest(key, part.model_fields)}"
    if error["type"] == "missing":
        info = _part(error["loc"][:-1]).model_fields.get(str(error["loc"][-1]))  # None: an item of a list
        return f"{at}: missing. {(info and info.description) or ''}".rstrip()
    found = "" if error["type"] == "value_error" else f" (found {error['input']!r})"
    return f"{at}: {error['msg'].removeprefix('Value error, ')}{found}"


def _part(location: tuple[Any, ...]) -> type[BaseModel]:
    """The model at a location of the study."""
    part: type[BaseModel] = Study
    for key in location:
        if isinstance(key, int):
            continue
        if key in part.model_fields:  # else a key of a mapping such as stations.types
            part = _model(part.model_fields[key].annotation) or part
    return part


def _model(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside an annotation such as `tuple[Phase, ...]` or `WeatherPart | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model(a))), None)

"""The parts of a study: each key with its unit, its default and why."""

from datetime import date
from itertools import pairwise
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from airloom.grid import Grid
from airloom.sources.base import StationArea, StationType
from airloom.stations import Rules

Baseline = Literal[
    "network-mean",
    "inverse-distance",
    "kriging",
    "regression-kriging",
    "gaussian-process",
    "space-time-kriging",
    "gradient-boosting",
    "gradient-boosting-adapted",
    "gradient-boosting-year",
    "gradient-boosting-neighbours",
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


class UpperPart(Part):
    """Hourly weather on pressure levels, on the cells of `weather`."""

    source: Literal["era5-pressure"] = Field("era5-pressure", description="Product of the Climate Data Store.")
    files: tuple[str, ...] = Field(description="Patterns of files below the data folder; zip archives are looked into.")
    variables: tuple[str, ...] = Field(
        ("z", "vo", "r", "t", "u", "v", "w"), min_length=1, description="Canonical names; the seven of paper 000, Table 1."
    )
    levels: tuple[float, ...] = Field(
        (1000, 975, 950, 925, 900, 800, 700, 550),
        min_length=1,
        description="Pressures [hPa], the ground first; as many as the field has heights. The paper says 1000 to 550.",
    )
    fill_hours: int = Field(1, ge=0, description="As `weather.fill_hours`.")

    @model_validator(mode="after")
    def _descending(self) -> "UpperPart":
        if any(a <= b for a, b in pairwise(self.levels)):
            raise ValueError(f"levels: {self.levels} hPa must descend, the ground first")
        return self


class ChemistryPart(Part):
    """The chemistry model whose fields teach phases 1 and 2, as daily means or as those of the study's `hours`."""

    source: Literal["cams-europe"] = Field("cams-europe", description="Product of the Atmosphere Data Store.")
    files: tuple[str, ...] = Field(description="Patterns of files below the data folder; zip archives are looked into.")
    cell: float = Field(8000, gt=0, description="Edge of the cells that its fields are brought to [m]; 8 km in the paper.")


class DailyPart(Part):
    """Numbers of which there is one a day for the whole region; they join the calendar."""

    source: Literal["flights"] = Field("flights", description="flights: Eurocontrol's daily flights, summed over countries.")
    files: tuple[str, ...] = Field(description="Patterns of files below the data folder.")
    countries: tuple[str, ...] = Field(
        (), description="Countries that are summed; empty: the nine of the region, as the paper has it."
    )


class LayerPart(Part):
    """One static map, or several of one source."""

    source: Literal["places", "raster", "roads", "census", "cams-glob-ant"] = Field(
        description="places: populated places that come with airloom; raster: a GeoTIFF; roads: GRIP's five classes; "
        "census: GEOSTAT's population; cams-glob-ant: an inventory's sectors."
    )
    name: str = Field(
        description="Name in the cube; of a source with several maps the beginning of their names, as roads_1 … roads_5."
    )
    files: tuple[str, ...] = Field((), description="Patterns of files below the data folder.")
    how: Literal["mean", "mode", "density", "classes"] = Field(
        "mean",
        description="How a raster's fine cells become a grid cell: area mean, most frequent class, sum per km², or CORINE's "
        "44 classes as five maps of 0 and 1.",
    )
    years: tuple[int, ...] = Field((2018,), description="Years of an inventory whose mean is taken; 2018 in the paper.")
    units: str = Field("1", description="Unit of a raster's values.")
    fill: float | None = Field(
        None,
        description="Value of cells where a raster has none, as 0 for heights or 44 for CORINE's classes at sea; by default each must have one.",
    )
    log: bool = Field(
        False,
        description="Use log(1 + value / mean over the window): for quantities that span decades, such as emissions and people. "
        "The paper scales by mean and deviation alone; a power plant's cell is then a hundred deviations from the rest.",
    )

    @model_validator(mode="after")
    def _has_files(self) -> "LayerPart":
        if self.source != "places" and not self.files:
            raise ValueError(f"files: missing; the {self.source} layer {self.name!r} needs patterns of files")
        if self.fill is not None and self.source != "raster":
            raise ValueError(f"fill: the {self.source} layer {self.name!r} has a value in every cell; leave fill out")
        if self.log and self.how == "classes":
            raise ValueError(f"log: the classes of {self.name!r} are 0 or 1, not amounts; leave log out")
        if self.source == "places" and self.files:
            raise ValueError(
                f"files: {self.source} comes with airloom and reads no files; leave them out, or use source: raster"
            )
        return self


class Split(Part):
    """Who is withheld. Withheld stations never touch training, normalisation or the choice of a checkpoint."""

    withheld: tuple[str, ...] = Field((), description="Ids of the withheld stations; empty: drawn at random.")
    assimilated: str | None = Field(
        None,
        description="CSV below the data folder whose column `station` names what the reanalysis knows: background stations that "
        "it does not name are withheld, others are drawn (paper 000, §2.2.3).",
    )
    fraction: float = Field(0.25, gt=0, lt=1, description="Share of each type that is drawn where no ids are given.")
    seed: int = Field(0, description="Seed of the draw.")

    @model_validator(mode="after")
    def _one_way(self) -> "Split":
        if self.withheld and self.assimilated:
            raise ValueError("withheld and assimilated both say who is withheld; leave one of them out")
        return self


class StationsPart(Part):
    """Ground stations of the pollutant."""

    source: Literal["station-table", "eea", "cnemc"] = Field(
        description="station-table: one CSV or parquet; eea: the EEA download service; cnemc: China's hourly bulletins."
    )
    observations: tuple[str, ...] = Field(description="Patterns of observation files below the data folder.")
    metadata: str = Field(description="File with coordinates and types, below the data folder.")
    columns: dict[str, str] = Field(
        {},
        description="Names in a station table: {canonical: found}, for station, time, value, valid, name, lon, lat, altitude, type, area.",
    )
    crs: str | None = Field(
        None, description="System of a station table's lon and lat where these are x and y [m], such as EPSG:32632."
    )
    units: str = Field("ug m-3", description="Unit of a station table's values; humidity has %, wind m s-1.")
    timezone: str = Field("UTC", description="Clock of a station table's or a bulletin's times, such as Europe/Madrid.")
    marks: Literal["start", "end"] = Field("start", description="What a station table's time marks of its hour.")
    types: dict[str, tuple[StationType | None, StationArea | None]] = Field(
        {}, description="What the table's type words mean: {word: [type, area]}."
    )
    use: tuple[StationType, ...] = Field(
        ("background", "industrial"),
        description="Types that are used. Traffic is out: such a station speaks for less than a cell (paper 000, §2.2.2).",
    )
    min_hours: int = Field(
        18, ge=1, le=24, description="Valid hours that a daily mean, or that of the study's `hours`, needs."
    )
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
    preset: str = Field("small", description="Widths: small, base or paper.")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="What networks compute in, weights aside; bfloat16 is faster on recent GPUs, and on processors that have it.",
    )
    recompute: bool = Field(
        False,
        description="Compute blocks again in the backward pass instead of keeping them: the same weights for less memory and more time.",
    )
    gain: bool = Field(
        False,
        description="Multiply each level by a factor that is log-linear in the day's mean weather, in the calendar and in what maps "
        "tell of the coarsest cells: it learns in few steps what takes the encoders many. Not in the paper.",
    )
    pyramid: bool = Field(
        False,
        description="Give each scale a head of its own and add up what they tell, so that finer scales go on where coarse epochs "
        "leave off. Not in the paper.",
    )


class Validation(Part):
    """What chooses the checkpoint; always a part of the training stations' data."""

    by: Literal["days", "stations", "values"] = Field(
        "days",
        description="days: a random share of days, all stations; stations: a share of the training stations, all days; "
        "values: a share of single values, so that every day and every station is seen, as an adaptive phase needs.",
    )
    fraction: float = Field(0.2, gt=0, lt=1, description="That share.")


class Loss(Part):
    """Weights of the terms of a phase's loss; a term of weight 0 is left out."""

    station_mse: float = Field(
        1, ge=0, description="Squared error at station cells, in units of the observations' variance."
    )
    chemistry_mse: float = Field(
        0, ge=0, description="Squared error against the chemistry model, each level scaled to the mean of the ground's."
    )
    chemistry_ssim: float = Field(
        0, ge=0, description="1 − SSIM against the chemistry model, level by level (paper 000, Eq. 1)."
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

    @property
    def chemistry(self) -> bool:
        """Whether the chemistry model teaches."""
        return self.chemistry_mse > 0 or self.chemistry_ssim > 0

    @model_validator(mode="after")
    def _teaches(self) -> "Loss":
        if not (self.station_mse or self.former_ssim or self.chemistry):
            raise ValueError("all weights are 0, so nothing would be learnt; station_mse: 1 is the default")
        if self.ssim_window % 2 == 0:
            raise ValueError(f"ssim_window {self.ssim_window} is even; a window with a cell in its middle is odd")
        return self


class Coarse(Part):
    """Epochs before a phase's others, on the network's coarsest scales alone: far cheaper, and they learn most of what is compared
    on the cells of a chemistry model. Not in the paper.
    """

    epochs: int = Field(gt=0, description="Passes over the days.")
    scales: int = Field(2, gt=0, description="How many, counted from that of the weather; cells halve from one to the next.")
    learning_rate: float | None = Field(
        None, gt=0, description="AdamW's rate at its highest; the phase's where it is not given."
    )


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
    coarse: tuple[Coarse, ...] = Field((), description="Epochs before these, on coarse cells, the coarsest first.")
    patience: int = Field(10, gt=0, description="Epochs without a better validation after which the phase ends.")
    batch: int = Field(16, gt=0, description="Samples a step.")
    tiles_a_day: int | None = Field(
        None,
        gt=0,
        description="Tiles of a day that an epoch sees, drawn anew each time; those that validate stay. All by default.",
    )
    mirror: bool = Field(
        False,
        description="Show every batch as it is or mirrored east to west, north to south or both, winds and maps and targets "
        "alike: more weather to learn from where days are few. Not in the paper.",
    )
    own_shares: bool = Field(
        False,
        description="Before stations teach, take from each one's values what stands there on all days by the model that the phase "
        "starts from and no map tells of, its street or its instrument. Not in the paper.",
    )
    accumulate: int = Field(1, gt=0, description="Micro-batches a step; normalisation within the network sees one.")
    validation: Validation = Field(Validation(), description="What chooses the checkpoint.")

    @property
    def stages(self) -> tuple[tuple["Phase", int | None], ...]:
        """Its coarse epochs as phases of their own, each with its scales, and then itself, with all (None)."""
        return (*((self._of(coarse), coarse.scales) for coarse in self.coarse), (self, None))

    def _of(self, coarse: Coarse) -> "Phase":
        """The phase with its coarse epochs alone."""
        rate = coarse.learning_rate or self.learning_rate
        return self.model_copy(
            update={"epochs": coarse.epochs, "patience": coarse.epochs, "learning_rate": rate, "coarse": ()}
        )

    @field_validator("coarse")
    @classmethod
    def _ascending(cls, coarse: tuple[Coarse, ...]) -> tuple[Coarse, ...]:
        scales = [c.scales for c in coarse]
        if scales != sorted(set(scales)):
            raise ValueError(
                f"scales {', '.join(map(str, scales))}; list the coarsest, with fewest scales, first, and each once"
            )
        return coarse

    @model_validator(mode="after")
    def _by_days(self) -> "Phase":
        if self.loss.chemistry and self.validation.by != "days":
            raise ValueError(f"validation.by: {self.validation.by}; where the chemistry model teaches, write days")
        return self


class Assimilation(Part):
    """A last step after the phases, not in the paper: each day's field is drawn to that day's training stations."""

    phase: Literal[1, 2, 3] | None = Field(
        None,
        description="Phase whose field is drawn, by default the last. One that was fitted to the same year's stations leaves "
        "little in their residuals to carry; where they are few, the phase before may serve better.",
    )
    depth: float = Field(
        1000, gt=0, description="Height over which the correction fades by e [m]; on a twin 1000 m did well on all levels."
    )
    trees: float = Field(
        0,
        ge=0,
        le=1,
        description="Share of gradient boosted trees, grown from the stations' values of all days that are drawn, in the logarithm of the "
        "ground's field before it is drawn; the network has the rest. On a twin .5 erred least. Fewer than 30 stations or 1000 values grow none.",
    )


class Verification(Part):
    """How the fields are scored."""

    years: tuple[int, ...] = Field(min_length=1, description="Years that are predicted and scored.")
    truth: tuple[str, ...] = Field(
        (), description="Patterns of a twin's truth below the data folder; fields are then scored in every cell and level."
    )
    baselines: tuple[Baseline, ...] = Field(
        tuple(b for b in get_args(Baseline) if b != "regression-kriging"),
        description="What stands beside the method, on the same split; by default all but regression kriging, which is of maps.",
    )
    draws: int = Field(1000, ge=100, description="Bootstrap draws of days for the 95 % intervals.")

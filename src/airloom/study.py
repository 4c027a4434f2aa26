"""The typed description of a study: the only schema. A YAML file is one Study.

Every field says what it is, its unit and why its default is what it is; `airloom keys` prints these words.
"""

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, overload

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from airloom.errors import StudyError, nearest
from airloom.grid import Grid
from airloom.hours import WHOLE_DAY, Hours
from airloom.parts import (
    Assimilation,
    ChemistryPart,
    DailyPart,
    GridPart,
    LayerPart,
    MethodPart,
    Part,
    Period,
    Phase,
    StationsPart,
    TilesPart,
    UpperPart,
    Verification,
    WeatherPart,
)

S = TypeVar("S", bound=BaseModel)
AFTER_TRAINING = frozenset({"title", "assimilation", "verification"})  # what no weight depends on


class Study(Part):
    """What is asked: where, when, from what, by which network, scored how."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Short name; the run's folder is called so.")
    title: str = Field(description="One line for the report.")
    pollutant: Literal["no2"] = Field("no2", description="What is estimated [µg m⁻³].")
    grid: GridPart
    period: Period
    levels: tuple[float, ...] = Field(
        (0,),
        min_length=1,
        description="Heights of the field above ground [m], ascending; eight from 0 to 5000 in the paper.",
    )
    hours: Hours = Field(
        WHOLE_DAY,
        description="Hours of the UTC day whose mean is the target, first and one past the last; inputs stay whole days. "
        "[11, 14], the values of 11:00, 12:00 and 13:00, is what a satellite's overpass asks for (paper 000, Table S1).",
    )
    weather: WeatherPart | None = None
    upper: UpperPart | None = None
    chemistry: ChemistryPart | None = None
    daily: tuple[DailyPart, ...] = Field((), description="Daily numbers, such as flights.")
    calendar: bool = Field(True, description="Day of week (sin, cos) as an input.")
    season: bool = Field(False, description="Day of year (sin, cos) as an input besides; not in the paper.")
    emissions: tuple[LayerPart, ...] = Field((), description="Emission maps and proxies.")
    geography: tuple[LayerPart, ...] = Field((), description="Elevation, land cover.")
    stations: StationsPart
    tiles: TilesPart = Field(TilesPart(), description="Windows that the network sees.")
    method: MethodPart = Field(MethodPart(), description="The network.")
    base: str | None = Field(
        None,
        description="Folder of a finished run whose weights the first phase starts from, those of its last phase below, and "
        "whose normalisation is kept: so a new year is adapted to without training anew.",
    )
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    assimilation: Assimilation | None = None
    verification: Verification
    cache: Literal["float16"] | None = Field(
        None,
        description="float16: weather too large for memory is kept normalised and uncompressed in the run's folder, at half its size; "
        "so a batch is copied, not decompressed.",
    )
    members: int = Field(1, ge=1, description="Networks trained from different seeds; the field is their mean.")
    seed: int = Field(0, description="Seed of weights, order and dropout.")

    @cached_property
    def target_grid(self) -> Grid:
        """The grid of the fields."""
        return self.grid.grid()

    def years_beside(self, phase: Phase) -> list[int]:
        """The years of a phase, of all that share one of them, of those that share one of theirs, and so on."""
        found, before = {*phase.years}, set[int]()
        while found != before:
            before = found
            found = found | {y for p in self.phases if not found.isdisjoint(p.years) for y in p.years}
        return sorted(found)

    @property
    def train_years(self) -> list[int]:
        """Years of the phases before the adaptive one."""
        return sorted({y for p in self.phases if p.number < 3 for y in p.years})

    @property
    def adapt_years(self) -> list[int]:
        """Years that the adaptive phase is tuned to."""
        return sorted({y for p in self.phases if p.number == 3 for y in p.years})

    def taught_years(self, last: int) -> list[int]:
        """Years of the phases that a chemistry model teaches, up to the phase of the number `last`."""
        return sorted({y for p in self.phases if p.loss.chemistry and p.number <= last for y in p.years})

    @cached_property
    def chemistry_factor(self) -> int:
        """Grid cells along a cell of the chemistry model's fields."""
        return round(self.chemistry.cell / self.grid.cell) if self.chemistry else 1

    @property
    def tile_multiple(self) -> int:
        """Cells of which tiles begin at a multiple, so that they hold whole cells of weather and chemistry model."""
        return math.lcm(self.weather_factor, self.chemistry_factor)

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
        if self.phases[0].start_from == "former" and self.base is None:
            raise ValueError(
                "phases.0.start_from: the first phase has no former one; write start_from: scratch, or name a base"
            )
        if self.phases[0].start_from == "scratch" and self.base is not None:
            raise ValueError(
                "phases.0.start_from: scratch, so that nothing is taken from base; write former, or leave base out"
            )
        self._check_hours()
        self._check_levels()
        self._check_phases()
        return self

    def _check_hours(self) -> None:
        """The hours lie in a day, and a station can have as many of them as it needs."""
        first, end = self.hours
        if not 0 <= first < end <= 24:
            raise ValueError(
                f"hours: [{first}, {end}] are no hours of a day; write first and one past the last, as in [11, 14]"
            )
        if self.stations.min_hours > end - first:
            raise ValueError(
                f"stations.min_hours: {self.stations.min_hours} valid hours are needed, and hours: [{first}, {end}] are "
                f"only {end - first}; write stations.min_hours: {end - first}, or fewer"
            )

    def _check_levels(self) -> None:
        """Levels, pressure levels and the chemistry model fit each other and the grid."""
        if any(a >= b for a, b in pairwise(self.levels)) or self.levels[0] != 0:
            raise ValueError(f"levels: {self.levels} m must begin at 0, where the stations are, and ascend")
        if self.upper and not self.weather:
            raise ValueError("upper: lies on the cells of weather, and weather is absent; add weather, or leave upper out")
        if self.upper and len(self.upper.levels) != len(self.levels):
            raise ValueError(f"upper.levels: {len(self.upper.levels)} pressures for {len(self.levels)} heights; one each")
        if len(self.levels) > 1 and not self.chemistry:
            raise ValueError("levels: above the ground only a chemistry model teaches; add chemistry, or write levels: [0]")
        if not self.chemistry:
            return
        factor = self.chemistry.cell / self.grid.cell
        if factor < 1 or factor != self.chemistry_factor:
            raise ValueError(
                f"chemistry.cell {self.chemistry.cell:g} m must be 1, 2, 3 … times grid.cell {self.grid.cell:g} m"
            )
        for part, length in (("grid.shape", self.grid.shape), ("tiles", (self.tiles.size, self.tiles.stride))):
            if any(n % self.chemistry_factor for n in length):
                raise ValueError(f"{part}: {length} must be multiples of {factor:g} cells, one chemistry cell")

    def _check_phases(self) -> None:
        """Phases follow each other, and a model that one stays near is there and can be compared."""
        numbers = [p.number for p in self.phases]
        if numbers != sorted(set(numbers)):
            raise ValueError(f"phases: their numbers are {numbers}; they must ascend, each once")
        drawn = self.assimilation.phase if self.assimilation else None
        if drawn and drawn not in numbers and self.base is None:
            raise ValueError(f"assimilation.phase: {drawn} is not among the phases {numbers}; name one of them")
        for i, phase in enumerate(self.phases):
            if phase.coarse and not self.method.pyramid:
                raise ValueError(
                    f"phases.{i}.coarse: coarse scales have no heads to learn with; set method.pyramid: true as well"
                )
            where = f"phases.{i}.loss"
            if phase.loss.chemistry and not self.chemistry:
                raise ValueError(
                    f"{where}: chemistry_mse and chemistry_ssim need the study's part `chemistry`, which is absent"
                )
            if phase.loss.former_ssim and phase.start_from == "scratch":
                raise ValueError(f"{where}.former_ssim: a phase from scratch has no former model to stay near")
            if phase.own_shares and phase.start_from == "scratch":
                raise ValueError(
                    f"phases.{i}.own_shares: a phase from scratch has no former model to tell them by; leave it out"
                )
            compared = [phase.loss.ssim_cell] if phase.loss.former_ssim else []
            compared += [self.chemistry.cell] if phase.loss.chemistry_ssim and self.chemistry else []
            for cell in compared:
                cells = self.tiles.size // max(1, round(cell / self.grid.cell))
                if phase.loss.ssim_window > cells:
                    raise ValueError(
                        f"{where}.ssim_window: {phase.loss.ssim_window} cells of {cell:g} m exceed a tile, "
                        f"which has {cells}; use a smaller window, smaller cells or larger tiles"
                    )

    def learnt(self) -> dict[str, Any]:
        """What weights depend on: all but what comes after training."""
        return self.model_dump(mode="json", exclude=set(AFTER_TRAINING))

    def prepared(self) -> dict[str, Any]:
        """What the cube depends on; two studies that agree here share a cube, whatever their split, network or phases."""
        content = self.model_dump(
            mode="json",
            exclude={
                "name",
                "title",
                "tiles",
                "method",
                "base",
                "phases",
                "assimilation",
                "verification",
                "cache",
                "members",
                "seed",
            },
        )
        split = content["stations"].pop("split")
        if split["assimilated"]:  # what this file says is kept in the cube
            content["stations"]["assimilated"] = split["assimilated"]
        return content

    @property
    def patterns(self) -> list[str]:
        """Patterns of all files that the study reads, below the data folder."""
        parts = [p for p in (self.weather, self.upper, self.chemistry) if p]
        many = (*parts, *self.daily, *self.emissions, *self.geography)
        stations = [*self.stations.observations, self.stations.metadata]
        if self.stations.split.assimilated:
            stations.append(self.stations.split.assimilated)
        return [*stations, *(f for part in many for f in part.files)]


def load(path: str | Path) -> Study:
    """Read a study file.

    Raises:
        StudyError: the file is absent, no YAML, or not a Study; the message names the key and the nearest valid one.
    """
    return parse(read_file(path), where=str(path))


def read_file(path: str | Path) -> dict[str, Any]:
    """The plain keys and values of a study file.

    Raises:
        StudyError: the file is absent, or holds no keys in YAML.
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
    return content


def changed(study: S, changes: dict[str, Any]) -> S:
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
    where = getattr(study, "name", type(study).__name__)
    return parse(content, where=where, model=type(study)) if changes else study


def _below(part: Any, step: str, key: str) -> Any:
    """What stands below one step of a dotted key."""
    if isinstance(part, list) and step.isdigit() and int(step) < len(part):
        return part[int(step)]
    if not isinstance(part, dict) or step not in part:
        valid = part if isinstance(part, dict) else [str(i) for i in range(len(part))] if isinstance(part, list) else []
        raise StudyError(f"{key}: {step!r} is not a key there. {nearest(step, map(str, valid))}")
    return part[step]


@overload
def parse(content: dict[str, Any], *, where: str) -> Study: ...


@overload
def parse(content: dict[str, Any], *, where: str, model: type[S]) -> S: ...


def parse(content: dict[str, Any], *, where: str, model: type[BaseModel] = Study) -> BaseModel:
    """A Study, or what else `model` describes, out of plain keys and values; `where` begins each message.

    Raises:
        StudyError: as `load`.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(e, model) for e in error.errors()]  # type: ignore[arg-type]
        raise StudyError("\n".join(f"{where}, {line}" for line in lines)) from error


def keys(part: type[BaseModel] = Study, above: str = "") -> Iterator[tuple[str, str, str]]:
    """Every key of a study: its dotted name, its default ("needed" where it has none), and what it is."""
    for name, info in part.model_fields.items():
        inner = _models(info.annotation)
        many = "[]" if inner and get_origin(info.annotation) is tuple else ""
        default = "needed" if info.is_required() else "" if inner else str(info.default)
        what = info.description or (inner[0].__doc__ if inner else "") or ""
        yield f"{above}{name}{many}", default, what.splitlines()[0]
        for one in inner:
            yield from keys(one, f"{above}{name}{f'[{_kind(one)}]' if len(inner) > 1 else many}.")


def _explain(error: dict[str, Any], model: type[BaseModel]) -> str:
    """One line for one pydantic error: where, what was found, what was expected."""
    at = ".".join(str(k) for k in error["loc"]) or "study"
    if error["type"] == "extra_forbidden":
        part = _part(error["loc"][:-1], model)
        key = str(error["loc"][-1])
        return f"{at}: {key!r} is not a key here. {nearest(key, part.model_fields)}"
    if error["type"] == "missing":
        info = _part(error["loc"][:-1], model).model_fields.get(str(error["loc"][-1]))  # None: an item of a list
        return f"{at}: missing. {(info and info.description) or ''}".rstrip()
    found = "" if error["type"] == "value_error" else f" (found {error['input']!r})"
    return f"{at}: {error['msg'].removeprefix('Value error, ')}{found}"


def _part(location: tuple[Any, ...], part: type[BaseModel]) -> type[BaseModel]:
    """The model at a location of what `part` describes."""
    among: list[type[BaseModel]] = []
    for key in location:
        if isinstance(key, int):
            continue
        if kind := next((m for m in among if _kind(m) == key), None):
            part = kind
        elif key in part.model_fields:  # else a key of a mapping such as stations.types
            among = _models(part.model_fields[key].annotation)
            part = among[0] if among else part
    return part


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models inside an annotation such as `tuple[Phase, ...]` or `WeatherPart | None`; several where it is one of many kinds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in get_args(annotation) for m in _models(a)]


def _kind(part: type[BaseModel]) -> str | None:
    """The word in `kind` by which a part is told from others in its place."""
    info = part.model_fields.get("kind")
    return str(info.default) if info else None

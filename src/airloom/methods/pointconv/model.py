"""A trained network with all that it needs to be used: one file that can be passed on."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, from_numpy, nn

from airloom import __version__
from airloom.errors import CheckpointError
from airloom.files import whole
from airloom.methods.pointconv.effect import PlaceEffect
from airloom.methods.pointconv.fuse import Adapted, Fuser
from airloom.methods.pointconv.method import network_of
from airloom.methods.pointconv.network import PointConvFusion
from airloom.methods.pointconv.study import FusionStudy
from airloom.study import parse
from airloom.verify.intervals import Calibration

MODEL = "model.safetensors"  # in the folder of a run


@dataclass(frozen=True)
class Model:
    """`study`: what it was trained for; `network`; `maps` of its region on (map, y, x), as the network sees them; what it was `adapted`
    to, where it was; `calibration` of its intervals, where it was evaluated.
    """

    study: FusionStudy
    network: PointConvFusion
    maps: np.ndarray
    adapted: Adapted | None = None
    calibration: Calibration | None = None

    def save(self, path: Path) -> None:
        """Write weights, maps and study as safetensors, whole or not at all; nothing in it can be run."""
        tensors: dict[str, Tensor] = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        if self.adapted:
            tensors |= {f"effect.{k}": v for k, v in self.adapted.effect.state_dict().items()}
            tensors["places"] = from_numpy(self.adapted.places.copy())
        facts = {"study": self.study.model_dump_json(), "airloom": __version__}
        if self.calibration:
            facts["calibration"] = json.dumps(self.calibration.to_json())
        with whole(path) as aside:
            aside.write_bytes(
                save(tensors | {"maps": from_numpy(self.maps.copy())}, facts)
            )  # save_file's only its owner may read

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Read what `save` wrote, or the model in the folder of a run.

        Raises:
            CheckpointError: there is none, or it is broken, or of another version's network.
        """
        path = path / MODEL if path.is_dir() else path
        try:
            with safe_open(path, framework="pt") as file:
                facts = file.metadata() or {}
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  (no mapping)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{path}: is no model that can be read: {error}. Name a model file, or a run whose training ended."
            ) from error
        if "study" not in facts or "maps" not in tensors:
            raise CheckpointError(f"{path}: holds no model of a fusion. Name the {MODEL} of such a run.")
        study = parse(json.loads(facts["study"]), where=str(path), model=FusionStudy)
        network = network_of(study)
        _fill(network, {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}, path)
        calibration = Calibration.from_json(json.loads(facts["calibration"])) if "calibration" in facts else None
        return cls(study, network.eval(), tensors["maps"].numpy(), _adapted(tensors, path), calibration)

    @property
    def fuser(self) -> Fuser:
        """The network over its region, whose stations are not known yet."""
        return Fuser(self.network, self.maps, self.maps, self.adapted)


def _adapted(tensors: dict[str, Tensor], path: Path) -> Adapted | None:
    if "places" not in tensors:
        return None
    weights = {k.removeprefix("effect."): v for k, v in tensors.items() if k.startswith("effect.")}
    effect = PlaceEffect(np.zeros((1, len(weights.get("centre", ())))))
    _fill(effect, weights, path)
    return Adapted(effect.eval(), tensors["places"].numpy())


def _fill(network: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Put weights into a network."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path}: holds a network of another version of airloom: {reason}. Train it anew.") from error

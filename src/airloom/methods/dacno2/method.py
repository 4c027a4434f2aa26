"""`dacno2`: daily NO₂ from weather, calendar, emissions and geography (paper 000)."""

from collections.abc import Mapping

from torch import nn

from airloom.errors import StudyError, nearest
from airloom.methods.base import Method
from airloom.methods.dacno2.network import DACNO2, PRESETS, Coarsest
from airloom.study import Study


class DACNO2Method(Method):
    """Use it for daily fields where weather, emission proxies and stations are known; any group may be absent.

    Not for hours, nor for places far from every training station: what it has not seen it can only transfer.
    """

    name = "dacno2"
    title = "DACNO₂ (Sun et al.): five encoders, one 3-D decoder"
    presets = tuple(PRESETS)

    def network(self, study: Study, channels: Mapping[str, int], start: float) -> nn.Module:
        """A DACNO₂ network with as many scales as lie between the weather's cells and the grid's."""
        if study.method.preset not in PRESETS:
            raise StudyError(
                f"method.preset: dacno2 has no preset {study.method.preset!r}. {nearest(study.method.preset, PRESETS)}"
            )
        widths = PRESETS[study.method.preset]
        scales = study.weather_factor.bit_length() if study.weather else len(widths.encoder)
        if scales > len(widths.encoder):
            raise StudyError(
                f"weather.cell: a weather cell holds {study.weather_factor} × {study.weather_factor} grid cells; dacno2 climbs "
                f"{len(widths.encoder)} scales, so at most {2 ** (len(widths.encoder) - 1)}. Use smaller weather cells."
            )
        return DACNO2(
            dict(channels),
            levels=len(study.levels),
            scales=scales,
            widths=widths,
            start=start,
            reduced=study.method.precision == "bfloat16",
            gain=study.method.gain,
            pyramid=study.method.pyramid,
            recompute=study.method.recompute,
        )

    def coarsest(self, network: nn.Module, scales: int) -> nn.Module:
        """Its scales from that of the weather on."""
        assert isinstance(network, DACNO2)
        if scales >= len(network.fuse):
            raise StudyError(
                f"phases.coarse.scales: {scales} of {len(network.fuse)} scales are not the coarse ones. Use fewer, or leave "
                "coarse out."
            )
        return Coarsest(network, scales)

    def decoder(self, network: nn.Module) -> list[nn.Module]:
        """Fusion, decoder and heads."""
        assert isinstance(network, DACNO2)
        return [network.fuse, network.decode, network.head, network.coarse_heads]

"""What learns beside AQ-Net's networks, given the same: a line and trees, which speak with them, and rivals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from airloom.errors import StudyError
from airloom.learn.checkpoint import load_weights, save_weights
from airloom.learn.steps import STATE
from airloom.learn.stop import Stopped, stop_asked
from airloom.methods.aqnet.learn import Forecasting
from airloom.methods.aqnet.network import CLOCK, PRESETS, Preset, Seen
from airloom.methods.aqnet.regression import Regression
from airloom.methods.aqnet.split import Parts
from airloom.methods.aqnet.study import SeriesMethod
from airloom.methods.aqnet.trees import Trees
from airloom.methods.aqnet.windows import width
from airloom.progress import Progress, quiet

LINE, BOOSTING = "ridge", "gradient-boosting"
VOICES = (LINE, BOOSTING)  # what speaks with the networks
TITLES = {LINE: "Ridge regression", BOOSTING: "Gradient boosting", "lstm": "LSTM", "patchtst": "PatchTST"}
MIXED = 6  # series that PatchTST sees
PATCH = {24: (8, 4), 56: (4, 4)}  # length and stride by steps of the window; of others a third and a sixth


class PlainLSTM(nn.Module):
    """An LSTM whose last state tells what comes, each station by itself."""

    def __init__(self, channels: int, targets: int, steps: int, preset: Preset, ahead: int) -> None:
        super().__init__()
        self.shape = targets, steps
        between = preset.dropout if preset.layers > 1 else 0.0
        self.lstm = nn.LSTM(channels, preset.dim, preset.layers, batch_first=True, dropout=between)
        self.head = nn.Sequential(nn.Dropout(preset.dropout), nn.Linear(preset.dim + ahead, targets * steps))

    def forward(self, seen: Seen, places: Tensor, offsets: Tensor, k: int) -> Tensor:
        """As `Forecaster`."""
        batch, time, stations, _ = seen.inputs.shape
        states, _ = self.lstm(seen.inputs.transpose(1, 2).reshape(batch * stations, time, -1))
        last = [states[:, -1].view(batch, stations, -1), *([seen.ahead] if seen.ahead is not None else [])]
        return self.head(torch.cat(last, -1)).view(batch, stations, *self.shape)


class PatchTST(nn.Module):
    """PatchTST (Nie et al., 2023) as the library transformers has it, each station by itself.

    It was made for few channels: all that is given is first mixed into MIXED series, among which channels attend to each
    other. The clock joins at the end.

    Raises:
        StudyError: transformers is not installed.
    """

    def __init__(self, channels: int, window: int, targets: int, steps: int, preset: Preset, ahead: int) -> None:
        super().__init__()
        try:
            from transformers import PatchTSTConfig, PatchTSTForPrediction
        except ImportError as error:
            raise StudyError('patchtst: transformers is not installed. Run `pip install "airloom[series]"`.') from error
        self.shape = targets, steps
        length, stride = PATCH.get(window, (max(2, window // 3), max(1, window // 6)))
        config = PatchTSTConfig(
            num_input_channels=MIXED,
            context_length=window,
            prediction_length=steps,
            patch_length=length,
            patch_stride=stride,
            d_model=preset.dim,
            num_attention_heads=preset.heads,
            num_hidden_layers=max(2, preset.layers),
            ffn_dim=2 * preset.dim,
            attention_dropout=preset.dropout,
            ff_dropout=preset.dropout,
            head_dropout=preset.dropout,
            channel_attention=True,
            scaling=None,
            loss="mse",
        )
        self.mix = nn.Linear(channels - CLOCK, MIXED)
        self.patches = PatchTSTForPrediction(config)
        self.join = nn.Linear(MIXED * steps + CLOCK + ahead, targets * steps)

    def forward(self, seen: Seen, places: Tensor, offsets: Tensor, k: int) -> Tensor:
        """As `Forecaster`."""
        batch, time, stations, _ = seen.inputs.shape
        along = seen.inputs[..., :-CLOCK].transpose(1, 2).reshape(batch * stations, time, -1)
        found = self.patches(past_values=self.mix(along)).prediction_outputs.flatten(1).view(batch, stations, -1)
        clock = seen.clock[:, None].expand(-1, stations, -1)
        parts = [found, clock, *([seen.ahead] if seen.ahead is not None else [])]
        return self.join(torch.cat(parts, -1)).view(batch, stations, *self.shape)


@dataclass(frozen=True)
class Beside(Forecasting):
    """A forecast's task for another network: `which` is a key of TITLES."""

    which: str = "lstm"

    def network(self, method: SeriesMethod) -> nn.Module:
        """With random weights."""
        windows, preset = self.windows, PRESETS[method.preset]
        given = windows.ahead.shape[-1] if windows.ahead is not None else 0
        channels, targets = width(windows.hours), len(windows.hours.targets)
        seen = sum(number for _, number in windows.shape)
        if self.which == LINE:
            return Regression(channels, seen, windows.steps, given)
        if self.which == BOOSTING:
            return Trees(windows.hours.channels, windows.steps)
        if self.which == "lstm":
            return PlainLSTM(channels, targets, windows.steps, preset, given)
        return PatchTST(channels, seen, targets, windows.steps, preset, given)


def learn_voice(
    task: Beside,
    turns: Sequence[Parts],
    method: SeriesMethod,
    folder: Path,
    *,
    seed: int,
    study: str,
    progress: Progress = quiet,
) -> None:
    """Solve a task's line or grow its trees, of the stations that are known, and keep them in a folder; trees go on where they were stopped.

    `turns`: the parts of the task, the first its own, with other weeks left out in turn.

    Raises:
        Stopped: SIGTERM or SIGINT came; the steps whose trees are grown are kept.
        StudyError: a step has no value to learn from.
    """
    voice, length = task.network(method), task.task.length
    facts, best = {"study": study}, folder / "best.safetensors"
    if isinstance(voice, Regression):
        voice.solve(task.windows, turns, task.known, length)
        save_weights(best, voice, facts)
        return
    assert isinstance(voice, Trees)
    state = folder / STATE
    if state.is_file():
        load_weights(state, voice, belongs_to=study)
    with stop_asked() as asked:
        for done in voice.grow(task.windows, task.parts.train, task.known, length=length, seed=seed):
            progress("train, trees of each step", done, task.windows.steps)
            save_weights(state, voice, facts)
            if asked() and done < task.windows.steps:
                raise Stopped(
                    f"training: stopped after the trees of {done} of {task.windows.steps} steps; the same command goes on."
                )
    save_weights(best, voice, facts)

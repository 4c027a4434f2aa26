"""Terms of the loss against arithmetic and a plain reference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from airloom.learn.losses import gaussian, masked_mse, roughness, structural_dissimilarity

NAN = float("nan")


# Squared error at stations


def test_masked_mse_counts_only_cells_with_a_value():
    predicted = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    observed = torch.tensor([[[NAN, 4.0], [NAN, NAN]], [[5.0, NAN], [NAN, 7.0]]])
    # errors −2, 0, 1: squares 4 + 0 + 1 over three values
    assert masked_mse(predicted, observed).item() == pytest.approx(5 / 3)


def test_roughness_is_the_mean_squared_slope_in_both_directions():
    # columns 0, 2, 4 and rows that rise by 6, cells of 2 km: slopes 1 and 3 per km, squares 1 + 9
    field = torch.tensor([[[[0.0, 2, 4], [6, 8, 10]]]])
    assert roughness(field, 2000).item() == pytest.approx(10)
    assert roughness(torch.full((2, 1, 3, 3), 5.0), 2000).item() == 0


def test_masked_mse_pulls_only_at_cells_with_a_value():
    predicted = torch.tensor([[[1.0, 2.0]]], requires_grad=True)
    masked_mse(predicted, torch.tensor([[[NAN, 4.0]]])).backward()
    assert predicted.grad.tolist() == [[[0, -4]]]  # 2 × (2 − 4) / 1


def test_masked_mse_of_no_value_is_zero_and_pulls_nowhere():
    predicted = torch.ones(1, 2, 2, requires_grad=True)
    loss = masked_mse(predicted, torch.full((1, 2, 2), NAN))
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad.tolist() == [[[0, 0], [0, 0]]]


# SSIM


def reference(a: np.ndarray, b: np.ndarray, window: int) -> float:
    """1 − mean SSIM of slices on (slice, y, x), window by window; slices that vary."""
    offset = np.arange(window) - (window - 1) / 2
    weight = np.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    c1, c2 = 0.01**2, 0.03**2
    found = []
    for one, other in zip(a, b, strict=True):
        x, y = ((s - s.min()) / (s.max() - s.min()) for s in (one, other))
        for i in range(x.shape[0] - window + 1):
            for j in range(x.shape[1] - window + 1):
                p, q = x[i : i + window, j : j + window], y[i : i + window, j : j + window]
                mp, mq = (weight * p).sum(), (weight * q).sum()
                vp, vq = (weight * (p - mp) ** 2).sum(), (weight * (q - mq) ** 2).sum()
                cov = (weight * (p - mp) * (q - mq)).sum()
                found.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return 1 - float(np.mean(found))


def slices(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.double, generator=torch.Generator().manual_seed(0))


def test_the_window_weighs_cells_to_one():
    weights = gaussian(11)
    assert weights.shape == (1, 1, 11, 11)
    assert weights.sum().item() == pytest.approx(1)
    # one σ (1.5 cells) lies between the first and the second cell from the centre: exp(−1/4.5), exp(−4/4.5)
    centre, first, second = weights[0, 0, 5, 5:8].tolist()
    assert [first / centre, second / centre] == pytest.approx([np.exp(-1 / 4.5), np.exp(-4 / 4.5)])


@pytest.mark.parametrize("window", [11, 7, 3])
def test_ssim_is_the_plain_one(window):
    a, b = slices(2, 3, 13, 12), slices(2, 3, 13, 12).flip(0) + 0.5 * slices(2, 3, 13, 12)
    found = structural_dissimilarity(a, b, window=window).item()
    assert found == pytest.approx(reference(a.flatten(0, 1).numpy(), b.flatten(0, 1).numpy(), window), abs=1e-6)
    assert 0.1 < found < 1.9


def test_equal_slices_do_not_differ():
    a = slices(2, 3, 13, 12)
    assert structural_dissimilarity(a, a.clone()).item() == pytest.approx(0, abs=1e-12)


def test_scale_and_offset_of_a_slice_do_not_count():
    a, b = slices(1, 2, 12, 12), slices(1, 2, 12, 12).flip(-1)
    scale = torch.tensor([0.01, 300.0]).reshape(1, 2, 1, 1)
    expected = structural_dissimilarity(a, b).item()
    assert structural_dissimilarity(a * scale + 7, b).item() == pytest.approx(expected, abs=1e-9)
    assert structural_dissimilarity(a, b * scale - 20).item() == pytest.approx(expected, abs=1e-9)


def test_a_slice_upside_down_differs():
    a = slices(1, 1, 12, 12)
    assert structural_dissimilarity(a, -a).item() > 1  # the covariance is negative


@pytest.mark.parametrize("which", ["the first", "the second", "both"])
def test_a_constant_slice_is_left_out(which):
    a, b = slices(2, 2, 12, 12), slices(2, 2, 12, 12).flip(-1)
    varying = reference(a.flatten(0, 1).numpy()[[0, 1, 3]], b.flatten(0, 1).numpy()[[0, 1, 3]], 11)
    if which != "the second":
        a[1, 0] = 4
    if which != "the first":
        b[1, 0] = 5
    a.requires_grad_()
    loss = structural_dissimilarity(a, b)
    loss.backward()
    assert loss.item() == pytest.approx(varying, abs=1e-6)
    assert torch.isfinite(a.grad).all()
    assert (a.grad[1, 0] == 0).all()
    assert (a.grad[0, 0] != 0).any()


def test_constant_slices_alone_give_zero_and_pull_nowhere():
    a = torch.full((2, 1, 12, 12), 3.0, requires_grad=True)
    loss = structural_dissimilarity(a, torch.zeros(2, 1, 12, 12))
    loss.backward()
    assert loss.item() == 0
    assert (a.grad == 0).all()


def test_a_slice_that_is_not_finite_shows_in_the_loss():
    a, b = slices(1, 2, 12, 12), slices(1, 2, 12, 12).flip(-1)
    a[0, 1, 3, 3] = NAN
    assert torch.isnan(structural_dissimilarity(a, b))


FIELDS = arrays(np.float64, (1, 1, 6, 6), elements=st.floats(-100, 100, width=32))


@given(FIELDS, FIELDS)
@settings(max_examples=60, deadline=None)
def test_ssim_is_symmetric_and_between_0_and_2(a, b):
    a, b = torch.from_numpy(a), torch.from_numpy(b)
    found = structural_dissimilarity(a, b, window=5).item()
    assert -1e-9 <= found <= 2 + 1e-9
    assert structural_dissimilarity(b, a, window=5).item() == pytest.approx(found, abs=1e-9)

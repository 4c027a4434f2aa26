"""Batch renormalisation: trains as it predicts."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from airloom.nets.norm import MOST_SHIFT, RAMP, BatchRenorm, settle


def grown(mean: float, deviation: float) -> BatchRenorm:
    """One that has seen two channels of that mean and deviation for long."""
    norm = BatchRenorm(2, eps=1e-12)
    norm.mean.fill_(mean)
    norm.square.fill_(mean**2 + deviation**2)
    norm.steps.fill_(RAMP)
    return norm


def test_the_first_step_is_batch_norm():
    x = torch.randn(3, 2, 4, 5) * 7 + 3
    norm = BatchRenorm(2)
    torch.testing.assert_close(norm(x), functional.batch_norm(x, None, None, training=True))


def test_a_micro_batch_is_seen_in_training_as_it_is_when_predicting():
    norm = grown(mean=3, deviation=2)
    x = torch.randn(3, 2, 8, 8) * 1.5 + 6  # warmer, and more alike, than what was seen
    trained = norm(x)
    torch.testing.assert_close(trained, (x - 3) / 2, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.eval()(x), trained, rtol=1e-4, atol=1e-4)


def test_what_lies_too_far_off_is_drawn_closer():
    norm = grown(mean=0, deviation=1)
    x = torch.full((1, 2, 1, 2), 100.0)
    x[..., 0] -= 2  # mean 99, deviation 1
    torch.testing.assert_close(norm(x)[0, 0, 0], torch.tensor([-1.0, 1.0]) + MOST_SHIFT)


def test_statistics_are_of_all_micro_batches_of_a_step_and_of_what_differs_between_them():
    norm = BatchRenorm(2)
    for value in (0.0, 2.0):
        norm(torch.full((2, 2, 3, 3), value))
    assert norm.mean.tolist() == [0, 0]  # until it settles
    settle(nn.Sequential(norm))
    assert norm.mean.tolist() == [1, 1]
    assert norm.square.tolist() == [2, 2]  # variance 2 - 1² = 1: each alone has none
    assert norm.steps == 1


def test_the_first_steps_are_averaged_and_later_ones_fade_in():
    norm = BatchRenorm(1)
    for value in (1.0, 2.0, 6.0):
        norm(torch.full((1, 1, 2, 2), value))
        norm.settle()
    assert norm.mean.item() == pytest.approx(3)
    norm.steps.fill_(1000)
    norm(torch.full((1, 1, 2, 2), 23.0))
    norm.settle()
    assert norm.mean.item() == pytest.approx(3 + 0.05 * 20)


def test_a_frozen_part_learns_nothing():
    norm = grown(mean=3, deviation=2).eval()
    norm(torch.randn(3, 2, 4, 4))
    settle(norm)
    assert norm.mean.tolist() == [3, 3]
    assert norm.steps == RAMP


def test_gradients_are_those_of_batch_norm_where_statistics_agree():
    x = torch.randn(4, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    norm = BatchRenorm(2, eps=1e-12).double()
    norm.steps.fill_(RAMP)
    variance, mean = torch.var_mean(x.detach(), (0, 2, 3), correction=0)
    norm.mean.copy_(mean)
    norm.square.copy_(variance + mean**2)
    towards = torch.randn_like(x)
    (ours,) = torch.autograd.grad(norm(x), x, towards)
    (plain,) = torch.autograd.grad(functional.batch_norm(x, None, None, training=True, eps=1e-12), x, towards)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)

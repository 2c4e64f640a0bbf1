"""The objective equals diffusers' schedulers and training examples, and its loss functions what their formulas say."""

from __future__ import annotations

import pytest
import torch

from modiste.core.errors import InputError
from modiste.core.torchvision_ops import patch_torchvision_ops
from modiste.trainer.config import LossConfig
from modiste.trainer.loop.objective import (
    Diffusion,
    error,
    multires_noise,
    offset_noise,
    sampled_timestep,
    timestep_range,
    zero_terminal,
)

patch_torchvision_ops()
SCALED_LINEAR = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
PREDICTIONS = ("epsilon", "v_prediction")
EVERY = torch.arange(1000)


def scheduler(prediction: str = "epsilon", **more):
    from diffusers import DDPMScheduler

    return DDPMScheduler(**SCALED_LINEAR, prediction_type=prediction, **more)


def diffusion(prediction: str = "epsilon", **more) -> Diffusion:
    return Diffusion.of(scheduler(prediction).config, **more)


def draws(count: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x, noise = (torch.randn((count, 4, 8, 6), generator=generator) for _ in range(2))
    return x, noise, torch.tensor([0, 1, 17, 250, 500, 731, 998, 999])[:count]


# ── noise and targets ──


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_noisy_latents_and_targets_equal_those_of_diffusers(prediction):
    ours, theirs, (x, noise, t) = diffusion(prediction), scheduler(prediction), draws()
    assert ours.steps == 1000
    torch.testing.assert_close(ours.add_noise(x, noise, t), theirs.add_noise(x, noise, t), rtol=1e-6, atol=1e-6)
    expected = noise if prediction == "epsilon" else theirs.get_velocity(x, noise, t)
    torch.testing.assert_close(ours.target(x, noise, t), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["PNDMScheduler", "EulerDiscreteScheduler", "DDIMScheduler"])
def test_the_schedule_is_that_of_whatever_sampler_the_model_came_with(kind):
    import diffusers

    own = getattr(diffusers, kind)(**SCALED_LINEAR, prediction_type="v_prediction")
    found = Diffusion.of(own.config)
    assert found.prediction == "v_prediction"
    assert torch.equal(found.alphas_cumprod, scheduler().alphas_cumprod)


def test_a_terminal_snr_of_zero_equals_diffusers_and_leaves_the_first_step_as_it_was():
    from diffusers.schedulers.scheduling_ddpm import rescale_zero_terminal_snr

    plain = scheduler()
    theirs = torch.cumprod(1 - rescale_zero_terminal_snr(plain.betas), 0)
    ours = zero_terminal(plain.alphas_cumprod)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert ours[-1] == 0 and ours[0] == pytest.approx(float(plain.alphas_cumprod[0]), rel=1e-6)
    assert bool((ours.diff() < 0).all())
    asked = diffusion("v_prediction", zero_terminal_snr=True)
    assert torch.equal(asked.alphas_cumprod, ours)
    x, noise, _ = draws(2)
    last = torch.tensor([999, 999])
    assert torch.equal(asked.add_noise(x, noise, last), noise) and torch.equal(asked.target(x, noise, last), -x)


def test_what_has_no_target_and_what_has_nothing_to_learn_is_refused():
    with pytest.raises(InputError, match="zero_terminal_snr is for v_prediction"):
        diffusion("epsilon", zero_terminal_snr=True)
    with pytest.raises(InputError, match="predicts sample"):
        diffusion("sample")


# ── weights of timesteps ──


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("gamma", [1.0, 5.0, 20.0])
def test_min_snr_weights_equal_the_formula_of_diffusers_training_examples(prediction, gamma):
    from diffusers.training_utils import compute_snr

    snr = compute_snr(scheduler(prediction), EVERY)
    over = snr if prediction == "epsilon" else snr + 1
    expected = torch.stack([snr, gamma * torch.ones_like(EVERY)], dim=1).min(dim=1)[0] / over
    found = diffusion(prediction).weight(EVERY, LossConfig(min_snr_gamma=gamma))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_min_snr_is_at_most_one_and_gamma_over_snr_where_there_is_little_noise():
    model, loss = diffusion(), LossConfig(min_snr_gamma=5.0)
    snr, weight = model.snr(EVERY), model.weight(EVERY, loss)
    assert float(weight.max()) == 1 and bool((weight > 0).all())
    torch.testing.assert_close(weight[snr > 5], 5 / snr[snr > 5])
    assert bool((weight[snr <= 5] == 1).all()) and bool((weight.diff() >= 0).all())


def test_without_a_weighting_every_timestep_counts_alike_and_debiased_is_one_over_the_root():
    model = diffusion()
    assert bool((model.weight(EVERY, LossConfig(min_snr_gamma=None)) == 1).all())
    found = model.weight(EVERY, LossConfig(min_snr_gamma=None, debiased=True))
    torch.testing.assert_close(found, model.snr(EVERY).clamp(max=1000) ** -0.5)


def test_debiased_weighs_an_error_of_v_as_the_error_of_epsilon_that_it_is():
    """The same prediction, said as ε and as v, has the same loss (t = 900: 0.12 of v where ε has 8.4)."""
    loss = LossConfig(min_snr_gamma=None, debiased=True)
    eps, v = diffusion("epsilon"), diffusion("v_prediction")
    latents, noise, _ = draws(3)
    t = torch.tensor([150, 500, 900])
    noisy = eps.add_noise(latents, noise, t)
    eps_pred = noise + 0.1 * torch.randn(noise.shape, generator=torch.Generator().manual_seed(1))
    alpha = eps.alphas_cumprod[t].view(-1, 1, 1, 1)
    v_pred = (eps_pred - (1 - alpha).sqrt() * noisy) / alpha.sqrt()  # v = (ε − √(1 − ᾱ) x_t) / √ᾱ
    of_eps = error(eps_pred, eps.target(latents, noise, t)) * eps.weight(t, loss)
    of_v = error(v_pred, v.target(latents, noise, t)) * v.weight(t, loss)
    torch.testing.assert_close(of_v, of_eps, rtol=1e-3, atol=1e-6)
    assert float(v.weight(torch.tensor([900]), loss)) == pytest.approx(0.117, abs=0.005)


def test_with_a_terminal_snr_of_zero_no_timestep_carries_more_than_its_share_and_a_weight_of_zero_is_told():
    model = diffusion("v_prediction", zero_terminal_snr=True)
    for loss in (LossConfig(), LossConfig(min_snr_gamma=None, debiased=True)):
        weight = model.weight(EVERY, loss)
        assert float(weight.max() / weight.sum()) < 0.005 and float(weight[-1]) == 0
        [notice] = model.notices(loss)
        assert "pure noise, a weight of 0" in notice
    assert model.notices(LossConfig(min_snr_gamma=None)) == [] == diffusion("v_prediction").notices(LossConfig())


def test_weights_stay_finite_where_the_snr_is_zero():
    model = diffusion("v_prediction", zero_terminal_snr=True)
    for loss in (LossConfig(), LossConfig(min_snr_gamma=None, debiased=True)):
        assert bool(model.weight(EVERY, loss).isfinite().all())
    assert float(model.weight(torch.tensor([999]), LossConfig())) == 0  # min(0, γ) / (0 + 1)


# ── errors ──


def test_the_error_is_the_mean_square_of_each_sample_in_float32():
    x, y, _ = draws()
    torch.testing.assert_close(error(x, y), torch.stack([((a - b) ** 2).mean() for a, b in zip(x, y, strict=True)]))
    half = error(x.bfloat16(), y.bfloat16())
    assert half.dtype == torch.float32 and torch.allclose(half, error(x.bfloat16().float(), y.bfloat16().float()))


def test_pseudo_huber_is_the_square_near_zero_and_linear_far_away():
    def at(distance: float, delta: float = 0.1) -> float:
        return float(error(torch.full((1, 1, 1, 1), distance).double(), torch.zeros(1, 1, 1, 1), huber=delta))

    assert at(1e-3) == pytest.approx(1e-6, rel=1e-2)
    assert at(200.0) - at(100.0) == pytest.approx(2 * 0.1 * 100, rel=1e-4)
    assert at(100.0) == pytest.approx(2 * 0.1 * (100 - 0.1), rel=1e-3)
    assert at(-0.7) == at(0.7)


def test_a_masked_error_by_hand():
    predicted, target = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.zeros(1, 1, 2, 2)
    mask = torch.tensor([[[[1.0, 0.5], [0.0, 0.25]]]])
    assert float(error(predicted, target, mask=mask)) == pytest.approx((1 + 0.5 * 4 + 0.25 * 16) / 1.75)
    two = predicted.repeat(1, 3, 1, 1)
    assert float(error(two, torch.zeros_like(two), mask=mask)) == pytest.approx((1 + 2 + 4) / 1.75)


def test_a_masked_error_does_not_depend_on_how_much_of_the_picture_the_garment_takes():
    predicted = torch.full((3, 4, 8, 8), 0.5)
    mask = torch.zeros(3, 1, 8, 8)
    for index, rows in enumerate((1, 4, 8)):
        mask[index, :, :rows] = 1
        predicted[index, :, rows:] = 99.0
    assert error(predicted, torch.zeros_like(predicted), mask=mask).tolist() == [0.25] * 3


def test_a_mask_of_ones_changes_nothing_and_one_of_zeros_gives_nothing():
    x, y, _ = draws()
    torch.testing.assert_close(error(x, y, mask=torch.ones(8, 1, 8, 6)), error(x, y))
    assert error(x, y, mask=torch.zeros(8, 1, 8, 6)).tolist() == [0.0] * 8


def test_the_gradient_of_a_masked_error_is_zero_outside_the_mask():
    x, y, _ = draws()
    x.requires_grad_()
    mask = torch.zeros(8, 1, 8, 6)
    mask[..., 2:5, 1:4] = 1
    error(x, y, mask=mask).sum().backward()
    assert bool((x.grad[(mask == 0).expand_as(x)] == 0).all())
    assert bool((x.grad[(mask == 1).expand_as(x)] != 0).all())


def test_offset_noise_moves_whole_channels_by_its_strength():
    _, noise, _ = draws()
    means = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    moved = offset_noise(noise, means, 0.1) - noise
    torch.testing.assert_close(moved, (0.1 * means)[:, :, None, None].expand_as(noise), rtol=1e-4, atol=1e-6)
    assert offset_noise(noise, means, 0.0) is noise


# ── further noise, and which timesteps ──


def timesteps(count: int = 4000, **asked) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.cat([sampled_timestep(1000, LossConfig(**asked), generator) for _ in range(count)])


def test_timesteps_are_uniform_and_those_of_before_where_nothing_else_is_asked_for():
    generator = torch.Generator().manual_seed(0)
    before = torch.cat([torch.randint(1000, (1,), generator=generator) for _ in range(50)])
    assert torch.equal(timesteps(50), before)
    within = timesteps(timesteps=(200, 249))
    assert within.min() == 200 and within.max() == 249
    counts = torch.bincount(within - 200, minlength=50)
    assert counts.min() > 40 and counts.max() < 125  # 80 of each, ± 5 σ


def test_timesteps_of_a_sigmoid_or_a_shift_are_distributed_by_their_formulas():
    """By the share below t: Φ(logit(u)) of the sigmoid, and u / (s − (s − 1)·u) of the shift, u = t / 1000."""
    normal, shares = torch.distributions.Normal(0, 1), torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
    for asked, expected in (
        (dict(timestep_sampling="sigmoid"), normal.cdf(torch.logit(shares))),
        (dict(timestep_sampling="shift", timestep_shift=3.0), shares / (3 - 2 * shares)),
    ):
        drawn = timesteps(**asked)
        found = torch.stack([(drawn < 1000 * share).float().mean() for share in shares])
        torch.testing.assert_close(found, expected, atol=0.025, rtol=0)
        assert drawn.min() >= 0 and drawn.max() <= 999


def test_a_range_beyond_the_models_timesteps_is_refused():
    assert timestep_range(1000, LossConfig()) == (0, 999)
    with pytest.raises(InputError, match="ends at 1000, the model's at 999"):
        timestep_range(1000, LossConfig(timesteps=(0, 1000)))
    with pytest.raises(ValueError, match="timesteps 5 to 2 is no range"):
        LossConfig(timesteps=(5, 2))


def test_multires_noise_is_the_sum_of_its_scales_made_as_wide_as_plain_noise():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((4, 16, 16), generator=generator)
    coarse = [torch.randn((4, 16 >> k, 16 >> k), generator=generator) for k in (1, 2, 4)]
    found = multires_noise(noise, coarse, 0.5)
    larger = [torch.nn.functional.interpolate(one[None], (16, 16), mode="bilinear")[0] for one in coarse]
    total = noise + 0.5 * larger[0] + 0.25 * larger[1] + 0.125 * larger[2]
    torch.testing.assert_close(found, total / total.std())
    assert float(found.std()) == pytest.approx(1)
    many = torch.stack([multires_noise(torch.randn((4, 16, 16)), [torch.randn(4, 1, 1)], 0.9) for _ in range(64)])
    assert float(many.mean((2, 3)).std()) > 0.5, "channels have means of their own"

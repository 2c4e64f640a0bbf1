"""LMS, the linear multistep sampler of k-diffusion, as a scheduler of diffusers (whose own needs scipy).

    x(σ') = x(σ) + Σ_j c_j · d_(i-j)        c_j = ∫ from σ to σ' of the Lagrange polynomial of d_(i-j)

Crowson, k-diffusion, `sample_lms`; Karras et al. 2022, Euler's method being its first order. The polynomials have
degree 3 at most, so they are integrated exactly.
"""

from __future__ import annotations

from typing import Any

ORDER = 4


def lms_coefficients(sigmas: list[float], step: int, order: int) -> list[float]:
    """c_0 … c_(order-1) for the step from sigmas[step] to sigmas[step + 1], the newest derivative first."""
    from numpy.polynomial import Polynomial

    nodes = [sigmas[step - back] for back in range(order)]
    coefficients = []
    for node in nodes:
        basis = Polynomial([1.0])
        for other in nodes:
            if other != node:
                basis *= Polynomial([-other, 1.0]) / (node - other)
        integral = basis.integ()
        coefficients.append(float(integral(sigmas[step + 1]) - integral(sigmas[step])))
    return coefficients


def lms_scheduler() -> type:
    """The scheduler class; made when it is needed, because diffusers is imported for it."""
    from diffusers import EulerDiscreteScheduler
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteSchedulerOutput

    class LmsScheduler(EulerDiscreteScheduler):
        def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
            super().set_timesteps(*args, **kwargs)
            self.derivatives: list[Any] = []

        def step(self, model_output: Any, timestep: Any, sample: Any, return_dict: bool = True, **unused: Any) -> Any:
            """The next sample [B, 4, h, w] from the model's output and up to three derivatives before."""
            if self.step_index is None:
                self._init_step_index(timestep)
            sigma = self.sigmas[self.step_index]
            sample = sample.float()
            if self.config.prediction_type == "v_prediction":
                denoised = model_output * (-sigma / (sigma**2 + 1) ** 0.5) + sample / (sigma**2 + 1)
            else:
                denoised = sample - sigma * model_output
            self.derivatives = [(sample - denoised) / sigma, *self.derivatives][:ORDER]
            coefficients = lms_coefficients(self.sigmas.tolist(), self.step_index, len(self.derivatives))
            change = sum(weight * slope for weight, slope in zip(coefficients, self.derivatives, strict=True))
            previous = (sample + change).to(model_output.dtype)
            self._step_index += 1
            if not return_dict:
                return (previous, denoised)
            return EulerDiscreteSchedulerOutput(prev_sample=previous, pred_original_sample=denoised)

    return LmsScheduler

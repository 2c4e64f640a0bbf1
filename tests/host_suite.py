"""What every host must do, whoever draws. A host's own test file subclasses this with a `host` fixture."""

from __future__ import annotations

import pytest

from modiste.hosts.errors import RequestRefused
from modiste.hosts.request import GenerationRequest, HostDescription


class HostSuite:
    """`host` is an open host; `size` the pictures' side in pixels."""

    size = 64

    def request(self, seed: int = 1, prompt: str = "a photo of a red dress", **changes) -> GenerationRequest:
        drawing = dict(steps=3, cfg_scale=4.0, width=self.size, height=self.size, sampler="DPM++ 2M")
        return GenerationRequest(prompt=prompt, seed=seed, **{**drawing, **changes})

    def draw(self, host, *requests: GenerationRequest):
        return list(host.generate(requests))

    def test_it_says_what_it_is(self, host):
        found = host.describe()
        assert isinstance(found, HostDescription) and found.checkpoint and "DPM++ 2M" in found.samplers
        assert HostDescription.model_validate_json(found.model_dump_json()) == found
        assert host.dialect in ("a1111", "comfy", "diffusers", "plain")

    def test_the_same_request_gives_the_same_picture(self, host):
        first, second = (self.draw(host, self.request())[0].image for _ in range(2))
        assert first.mode == "RGB" and first.size == (self.size, self.size)
        assert first.tobytes() == second.tobytes()

    def test_what_stands_beside_it_in_the_batch_changes_nothing(self, host):
        wanted = self.request(seed=7)
        alone = self.draw(host, wanted)[0].image.tobytes()
        others = [self.request(seed, f"a photo of a blue skirt, {seed}") for seed in range(20)]
        for place in (0, 1, 13, 20):
            batch = [*others[:place], wanted, *others[place:]]
            assert self.draw(host, *batch)[place].image.tobytes() == alone, place

    def test_results_come_in_the_order_of_the_requests_also_of_unlike_ones(self, host):
        requests = [self.request(seed, steps=2 + seed % 2) for seed in range(5)]
        assert [result.request for result in self.draw(host, *requests)] == requests

    def test_seed_and_prompt_and_negative_prompt_matter(self, host):
        pictures = {
            self.draw(host, request)[0].image.tobytes()
            for request in (
                self.request(),
                self.request(seed=2),
                self.request(prompt="a photo of blue shorts"),
                self.request(negative_prompt="blurry, low quality"),
                self.request(prompt="a photo of a (red:1.4) dress"),
            )
        }
        assert len(pictures) == 5

    def test_it_says_what_it_really_used(self, host):
        result = self.draw(host, self.request(seed=2**32 - 1))[0]
        used, request = result.used, result.request
        for name in ("seed", "steps", "cfg_scale", "width", "height", "sampler"):
            assert getattr(used, name) == getattr(request, name), name
        assert used.checkpoint == host.describe().checkpoint and used.backend and result.elapsed_s > 0

    @pytest.mark.parametrize("change", [{"sampler": "Eular"}, {"scheduler": "Karas"}, {"checkpoint": "another-model"}])
    def test_what_it_does_not_have_is_refused_before_anything_is_drawn(self, host, change):
        with pytest.raises(RequestRefused) as caught:
            host.check(self.request(**change))
        assert caught.value.exit_code == 2 and next(iter(change.values())) in str(caught.value)
        with pytest.raises(RequestRefused):
            self.draw(host, self.request(**change))

    def test_a_misspelt_sampler_is_answered_with_the_right_one(self, host):
        with pytest.raises(RequestRefused, match="did you mean 'Euler'"):
            host.check(self.request(sampler="Eular"))

    def test_it_counts_tokens_without_start_and_end(self, host):
        counted = host.count_tokens("a photo of a red dress")
        assert counted is None or counted == 6 and host.count_tokens("") == 0

    def test_no_requests_are_no_pictures(self, host):
        assert self.draw(host) == []

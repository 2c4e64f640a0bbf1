"""Our client on our own server: the shared suite over real HTTP, with a real model at the other end."""

from __future__ import annotations

import pytest
from host_suite import HostSuite
from listening import listening
from tiny_models import tiny_diffusion

from modiste.hosts.local import LocalHost
from modiste.hosts.webui.host import WebuiHost
from modiste.server.app import make_app
from modiste.server.lora_folder import LoraFolder


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    folder = tiny_diffusion(tmp_path_factory.mktemp("models") / "tiny-sd")
    return LocalHost(str(folder), device="cpu", batch_size=1)


@pytest.fixture(scope="module")
def url(local):
    with listening(make_app(local, LoraFolder(None))) as address:
        yield address


class TestOurOwnServer(HostSuite):
    @pytest.fixture
    def host(self, url):
        return WebuiHost(url)


def test_the_picture_is_the_one_that_the_local_host_draws(url, local):
    asked = HostSuite().request(prompt="a photo of a (red:1.3) dress", negative_prompt="blurry", scheduler="Karras")
    (over_http,), (here,) = WebuiHost(url).generate([asked]), local.generate([asked])
    assert over_http.image.tobytes() == here.image.tobytes()
    assert over_http.used.checkpoint_hash == here.used.checkpoint_hash

"""HTTPS to a server whose certificate nobody has signed: refused by name, and believed where one says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_comfy import fake_comfy
from faulty_webui import FaultyWebui

from modiste.core.errors import InputError
from modiste.hosts.comfy.host import ComfyHost
from modiste.hosts.errors import UntrustedServer
from modiste.hosts.webui.host import WebuiHost
from modiste.models.drawing_host import HostChoice, open_host
from modiste.models.presets import preset

SELF_SIGNED = Path(__file__).parents[1] / "data" / "tls" / "self_signed.pem"
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.fixture(autouse=True)
def no_bundle(monkeypatch):
    for name in BUNDLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def webui():
    with FaultyWebui(certificate=SELF_SIGNED) as server:
        yield server


def test_a_self_signed_certificate_is_named_with_what_to_do(webui):
    with pytest.raises(UntrustedServer, match="self-signed") as caught:
        WebuiHost(webui.url).describe()
    assert caught.value.exit_code == 2 and "--ca-file" in caught.value.to_try and webui.url in str(caught.value)
    assert "Max retries" not in str(caught.value)


def test_a_server_is_believed_by_the_file_that_is_named_and_by_the_command(webui):
    assert WebuiHost(webui.url, ca_file=SELF_SIGNED).describe().checkpoint == "tiny-sd15-a"
    choice = HostChoice("webui", (webui.url,), ca_file=SELF_SIGNED)
    assert open_host(preset("mini"), choice).describe().url == webui.url


@pytest.mark.parametrize("name", BUNDLES)
def test_a_server_is_believed_by_the_environments_bundle(name, webui, monkeypatch):
    monkeypatch.setenv(name, str(SELF_SIGNED))
    assert WebuiHost(webui.url).describe().checkpoint == "tiny-sd15-a"


def test_a_file_of_certificates_that_is_not_there_is_bad_input(webui, monkeypatch, tmp_path):
    with pytest.raises(InputError, match="no such file of certificates"):
        WebuiHost(webui.url, ca_file=tmp_path / "none.pem").describe()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(InputError) as caught:
        WebuiHost(webui.url).describe()
    assert caught.value.to_try == "REQUESTS_CA_BUNDLE"


def test_https_to_a_server_of_plain_http_is_told_as_that():
    with FaultyWebui() as plain, pytest.raises(UntrustedServer, match="plain HTTP") as caught:
        WebuiHost(plain.url.replace("http:", "https:")).describe()
    assert "http://" in caught.value.to_try
    with fake_comfy() as comfy, pytest.raises(UntrustedServer, match="plain HTTP"):
        ComfyHost(comfy.url.replace("http:", "https:"), ca_file=SELF_SIGNED).describe()

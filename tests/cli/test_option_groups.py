"""Option groups: one parameter in the command, all of its options on the command line."""

from __future__ import annotations

import inspect
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from modiste.cli.app import app
from modiste.cli.option_groups import HostOptions, SamplingOptions, with_option_groups


def echoing() -> typer.Typer:
    """A command with two groups that prints what it is given."""

    @with_option_groups
    def draw(
        text: Annotated[str, typer.Argument()], *, seed: int = 0, host: HostOptions, sampling: SamplingOptions
    ) -> int:
        print(text, seed, host, sampling)
        return 0

    echo = typer.Typer()
    echo.command()(draw)
    return echo


def test_a_group_s_options_reach_the_command_as_the_group():
    words = ["a dress", "--host", "webui", "--url", "http://a", "--url", "http://b", "--cfg-scale", "5", "--seed", "7"]
    done = CliRunner().invoke(echoing(), words)
    assert done.exit_code == 0, done.output
    expected = (HostOptions("webui", ["http://a", "http://b"]), SamplingOptions(cfg_scale=5.0))
    assert done.output.strip() == f"a dress 7 {expected[0]} {expected[1]}"


def test_options_that_are_not_given_have_the_group_s_defaults():
    done = CliRunner().invoke(echoing(), ["a dress"])
    assert done.output.strip() == f"a dress 0 {HostOptions()} {SamplingOptions()}"


def test_an_option_s_bounds_hold_inside_a_group():
    assert CliRunner().invoke(echoing(), ["a dress", "--steps", "0"]).exit_code == 2


@pytest.mark.parametrize("command", [entry.callback for entry in app.registered_commands])
def test_no_command_declares_an_option_twice_and_none_takes_more_than_twenty_parameters(command):
    names = list(inspect.signature(command).parameters)
    assert len(names) == len(set(names))
    behind = inspect.getclosurevars(command).nonlocals.get("command", command)
    assert len(inspect.signature(behind).parameters) <= 20


@pytest.mark.parametrize("command", ["prompt", "generate", "compare", "pipeline"])
def test_help_says_which_preset_suits_a_server_and_where_its_password_goes(command):
    text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"}).output
    words = " ".join(text.replace("│", " ").split())
    assert "as what draws is, a server too" in words and "MODISTE_WEBUI_AUTH=user:password" in words

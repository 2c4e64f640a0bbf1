"""A picture of NaN: is it the seed, the prompt or the model? And which switch of the WebUI is not on yet.

the same request      once more
the next seed         drawn: it is the seed
nothing but a seed    drawn: it is the prompt (its LoRAs and settings included); NaN too: it is the model
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import BrokenPicture, HostBroken, HostError, NotANumber
from .responses import read_json

if TYPE_CHECKING:
    from ..connection import Connection
    from ..request import GenerationRequest

FLAGS = "/sdapi/v1/cmd-flags"
SEEDS = 2**32


def diagnose_overflow(
    error: NotANumber,
    request: GenerationRequest,
    trial: GenerationRequest,
    draw: Callable[[GenerationRequest], Any],
    connection: Connection,
    model: str,
    switches: Sequence[str],
) -> HostError:
    """The error to raise for a request that overflowed twice; draws at most two other pictures to find out.

    `draw` raises NotANumber where a picture overflows too; `trial` is the least that the server can draw. `switches`:
    what makes the server more precise, in the order to try them, the last one for all of the model.
    """
    advice = switch_to_try(connection, switches)
    for variant, cause in (
        (request.model_copy(update={"seed": (request.seed + 1) % SEEDS}), f"with the seed {request.seed} alone"),
        (trial, "with this prompt, its LoRAs and its settings, whatever the seed"),
    ):
        try:
            draw(variant)
        except NotANumber:
            continue
        except HostError:
            return error
        return BrokenPicture(
            f"{model} overflows {cause}: {error.what}", where=f"{connection.url}, seed {request.seed}", to_try=advice
        )
    return HostBroken(f"{model} overflows whatever it draws: {error.what}", where=connection.url, to_try=advice)


def switch_to_try(connection: Connection, switches: Sequence[str]) -> str:
    """What to start the WebUI with that it was not started with, as its own flags say; all where they can't be read.

    Forge can't tell its flags where it was started with --port: it fails at the port's type.
    """
    options = {switch: f"--{switch.replace('_', '-')}" for switch in switches}
    try:
        flags = read_json(connection.get(FLAGS))
    except HostError:
        flags = None
    if not isinstance(flags, Mapping):
        return f"start the WebUI with {', then '.join(options.values())}; a LoRA may hold such numbers too"
    precision = "full precision" if flags.get(switches[-1]) else "half precision"
    missing = [switch for switch in switches if not flags.get(switch)]
    if missing:
        on = [option for switch, option in options.items() if flags.get(switch)]
        is_on = f", {on[0]} is on" if on else ""
        return f"start the WebUI with {options[missing[0]]} (it runs in {precision}{is_on})"
    return (
        f"{' and '.join(reversed(options.values()))} are on already: another checkpoint, no LoRA, or the setting "
        "Emphasis mode on “No norm” (“Original” divides by the mean of the prompt's embedding)"
    )

"""What the server can do, by its own openapi.json: A1111, Forge and reForge differ by version and by extension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..connection import Connection
from ..errors import ApiMissing, RequestRefused
from .responses import read_json

TXT2IMG, OPTIONS = "/sdapi/v1/txt2img", "/sdapi/v1/options"


@dataclass(frozen=True)
class Capability:
    """Routes, the fields that txt2img knows, and the options with their types."""

    routes: frozenset[str]
    fields: Mapping[str, Any]  # name → JSON schema
    options: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""  # of the API: "Modiste" is our own server

    @classmethod
    def of(cls, connection: Connection) -> Capability:
        """Asks the server; ApiMissing where it has no API."""
        return cls.read(read_json(connection.get("/openapi.json")), connection.url)

    @classmethod
    def read(cls, document: Any, url: str) -> Capability:
        """From an openapi document of version 3.0 or 3.1."""
        routes = document.get("paths", {}) if isinstance(document, dict) else {}
        if TXT2IMG not in routes:
            what = "a WebUI without its API" if "/sdapi/v1/progress" in routes or "/config" in routes else "no WebUI"
            raise ApiMissing(f"{what} answers", where=url, to_try="start the WebUI with --api, or correct --url")
        schemas = document.get("components", {}).get("schemas", {})
        body = routes[TXT2IMG]["post"]["requestBody"]["content"]["application/json"]["schema"]
        known = schemas.get(body.get("$ref", "").rpartition("/")[2], body)
        options = schemas.get("Options", {}).get("properties", {})
        return cls(frozenset(routes), known.get("properties", {}), options, document.get("info", {}).get("title", ""))

    @property
    def lora_readers(self) -> tuple[str, ...]:
        """Whose rules the server reads LoRA files by; none where it is our own, which reads what diffusers reads."""
        if self.title == "Modiste":
            return ()
        return ("Forge",) if self.is_forge else ("A1111",)

    @property
    def is_forge(self) -> bool:
        """Whether it is Forge, or made of it."""
        return self.has("/sdapi/v1/sd-modules") and self.title != "Modiste"

    @property
    def precision_switches(self) -> tuple[str, ...]:
        """The options of its start that make it more precise, in the order to try them."""
        return ("vae_in_fp32", "all_in_fp32") if self.is_forge else ("no_half_vae", "no_half")

    def has(self, route: str) -> bool:
        """Whether the server has this route."""
        return route in self.routes

    def refuse_unfit(self, payload: Mapping[str, Any], url: str) -> None:
        """RequestRefused for a field that the server would drop without a word, or a number beyond its bounds."""
        for name, value in payload.items():
            if name not in self.fields:
                raise RequestRefused(
                    f"this WebUI knows no field {name!r} and would ignore it", where=url, to_try="update the WebUI"
                )
            schema = self.fields[name]
            for bounds in (schema, *schema.get("anyOf", ())):
                _refuse_beyond(name, value, bounds, url)

    def misfits(self, options: Mapping[str, Any]) -> list[str]:
        """`name=value` of the options whose value is of another type than the server itself declares."""
        return [
            f"{name}={value!r}"
            for name, value in options.items()
            if value is not None and name in self.options and not _fits(value, self.options[name])
        ]


def _refuse_beyond(name: str, value: Any, bounds: Mapping[str, Any], url: str) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return
    least, most, step = (bounds.get(key) for key in ("minimum", "maximum", "multipleOf"))
    if least is not None and value < least or most is not None and value > most or step and value % step:
        limits = {"at least": least, "at most": most, "a multiple of": step}
        allowed = ", ".join(f"{words} {limit:g}" for words, limit in limits.items() if limit is not None)
        raise RequestRefused(f"{name} {value:g} is not drawn there", where=url, to_try=f"{name}: {allowed}")


TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int, float),
    "boolean": (bool, int),
    "array": (list,),
    "object": (dict,),
}


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    choices = schema.get("anyOf", [schema])
    return any("type" not in choice or isinstance(value, TYPES.get(choice["type"], (object,))) for choice in choices)

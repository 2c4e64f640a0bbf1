"""Options of the commands that can work on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import InputError
from .option_groups import OptionGroup
from .options import ClusterAddress, WorkEngine, Workers

if TYPE_CHECKING:
    from ..routes.ray_cluster import ClusterOptions
    from .option_groups import HostOptions


@dataclass(frozen=True)
class EngineOptions(OptionGroup):
    """Who does the work: this process, or the workers of a Ray cluster."""

    engine: WorkEngine = "local"
    address: ClusterAddress = None
    workers: Workers = None

    @property
    def is_ray(self) -> bool:
        """Whether Ray does it. InputError for another engine, and for a cluster that nobody is asked to use."""
        if self.engine not in ("local", "ray"):
            raise InputError(f"there is no engine {self.engine!r}", to_try="--engine local or ray")
        if self.engine == "local" and (self.address or self.workers):
            raise InputError("--address and --workers are for a Ray cluster", to_try="--engine ray with them")
        return self.engine == "ray"

    @property
    def cluster(self) -> ClusterOptions:
        """The cluster as the routes know it."""
        from ..routes.ray_cluster import ClusterOptions

        return ClusterOptions(self.address, self.workers)

    def refuse_for_drawing(self, host: HostOptions) -> None:
        """InputError where workers are to draw and a server as well, or there is no Ray; before anything is opened."""
        from ..routes.ray_cluster import require_ray

        if not self.is_ray:
            return
        if not host.is_local:
            raise InputError(
                f"--engine ray draws on its workers, --host {host.host} on a server",
                to_try="one of them; several --url share a run's pictures without Ray",
            )
        require_ray()

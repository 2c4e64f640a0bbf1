"""What a command ends with: 0 ok, 2 bad input, 3 finished with skips, 4 stopped and resumable, 130 interrupted."""

from __future__ import annotations

import typer
from typer.core import TyperGroup

from ..core.disk import known_error
from ..core.errors import ModisteError
from .samples import needs_photos
from .streams import LastingStream, lasting_streams
from .terminal import say, say_error

EXIT_OK, EXIT_SKIPS, EXIT_INTERRUPTED = 0, 3, 130


class Exits(TyperGroup):
    """Turns results and errors into exit codes: 0 ok, 2 bad input, 3 skips, 4 resumable, 130 interrupted."""

    def invoke(self, ctx: typer.Context) -> None:
        """Runs the command."""
        with lasting_streams() as out:
            code = self._exit_code(ctx, out)
        raise typer.Exit(code or EXIT_OK)

    def _exit_code(self, ctx: typer.Context, out: LastingStream) -> int | None:
        code: int | None
        try:
            code = super().invoke(ctx)
            out.flush()
        except ModisteError as error:
            say_error(error)
            code = error.exit_code
        except typer.BadParameter as error:
            line = needs_photos(error)
            if line is None:
                raise
            say(f"error: {line}")
            code = error.exit_code
        except OSError as error:
            failure = known_error(error)
            if failure is None:
                raise
            say_error(failure)
            code = failure.exit_code
        except KeyboardInterrupt:
            say("interrupted: what is done is kept; the same command goes on")
            code = EXIT_INTERRUPTED
        return code

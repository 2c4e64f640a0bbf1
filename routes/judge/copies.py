"""The copies that a judgement puts into a server's LoRA folder, and takes out again when it has ended.

files/copies.txt   in the run's folder: a path a line, written before the copy is made, so that a run that is killed and
                   goes on knows which files are not the user's own
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.files import make_folder, write_whole
from ...hosts.lora_folder import name_on_host

if TYPE_CHECKING:
    from ...reports.judging import JudgeVerdict

LIST = "files/copies.txt"


def file_to_keep(verdict: JudgeVerdict) -> Path | None:
    """The best file, where it is proven better than the base model; None: no file is worth using."""
    return Path(verdict.file) if verdict.decision == "keep" else None


class LoraCopies:
    """What one judgement copies; `folder`: the server's, None where nothing is copied."""

    def __init__(self, out: Path, folder: Path | None):
        self.list, self.folder = out / LIST, folder

    def expect(self, file: Path) -> None:
        """Notes that `file` will be copied, unless the folder has that copy already."""
        if self.folder is None:
            return
        place = self.folder / f"{name_on_host(file.read_bytes(), file.stem)}{file.suffix}"
        known = self._known()
        if not place.exists() and str(place) not in known:
            make_folder(self.list.parent)
            write_whole(self.list, "".join(f"{path}\n" for path in (*known, place)).encode())

    def take_back(self, kept: Path | None) -> None:
        """Removes the copies but that of `kept`, the file that is worth using."""
        keep = None if kept is None or self.folder is None else name_on_host(kept.read_bytes(), kept.stem)
        for place in map(Path, self._known()):
            if place.stem != keep:
                place.unlink(missing_ok=True)

    def _known(self) -> list[str]:
        return self.list.read_text(encoding="utf-8").splitlines() if self.list.is_file() else []

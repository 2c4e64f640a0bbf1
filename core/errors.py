"""The errors of Modiste: each says what happened, where, and what to try, and has an exit code.

ModisteError                     a bug would end with exit code 1; each branch has its own
├── InputError        exit 2     bad photo, path, flag or config
│   └── BadPhoto                 one photo, with its code (fashion/photos.py)
├── MissingWeights    exit 2     a model that is not on this machine
├── JournalError      exit 2     a run folder that can't be used (runs/journal.py)
├── HostError         exit 4     the drawing host failed (hosts/errors.py draws its own branches)
└── Stopped           exit 4     stopped on purpose; the same command continues
"""


class ModisteError(Exception):
    """An error whose text is one line: `what` happened, `where`, and what `to_try`."""

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", to_try: str = ""):
        self.what, self.where, self.to_try = what, where, to_try
        place = f" ({where})" if where else ""
        hint = f"; {to_try}" if to_try else ""
        super().__init__(f"{what}{place}{hint}")


class InputError(ModisteError):
    """The user's input can't be used as it is."""


class MissingWeights(ModisteError):
    """A model is not on this machine."""


class Stopped(ModisteError):
    """The work was stopped before its end; what is done is kept, and the same command continues."""

    exit_code = 4

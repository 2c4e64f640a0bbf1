"""What every error of Modiste has in common: it says what happened, where, and what to try.

ModisteError                     exit code 1 would be a bug; each branch names its own
├── InputError        exit 2     bad photo, path, flag or config
│   └── BadPhoto                 one photo, with its code (fashion/photos.py)
├── MissingWeights    exit 2     a model that is not on this machine
├── JournalError      exit 2     a run folder that can't be used (runs/journal.py)
├── HostError         exit 4     the drawing host failed (hosts/errors.py draws its own branches)
└── Stopped           exit 4     stopped on purpose; the same command goes on
"""


class ModisteError(Exception):
    """`what` happened, `where`, and what `to_try`: joined into one line for people."""

    exit_code = 2

    def __init__(self, what: str, *, where: str = "", to_try: str = ""):
        self.what, self.where, self.to_try = what, where, to_try
        place = f" ({where})" if where else ""
        hint = f"; {to_try}" if to_try else ""
        super().__init__(f"{what}{place}{hint}")


class InputError(ModisteError):
    """The user's input can't be used as it is."""


class MissingWeights(ModisteError):
    """A model that this machine does not have."""


class Stopped(ModisteError):
    """Stopped before the end; what is done is kept and the same command goes on."""

    exit_code = 4

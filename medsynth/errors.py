"""What a user can be told in one line: every expected failure is a MedsynthError."""


class MedsynthError(Exception):
    """Something the user can mend: the message says what, where and the way out.

    The command line prints it as one line and exits with `exit_code`. The message
    never holds a patient's data: no file name, no path below a source folder, no
    DICOM value.
    """

    exit_code = 1


class Terminated(KeyboardInterrupt):
    """The machine asked the work to end (SIGTERM); like Ctrl-C, but said by another status."""


class UsageError(MedsynthError):
    """The command itself is wrong (an unknown key, an unknown experiment): exit 2."""

    exit_code = 2


class GeometryError(MedsynthError):
    """A geometry that is not understood, with the numbers that show why."""


class UnreadableError(MedsynthError):
    """A file that cannot be read whole, or holds what no volume holds (NaN)."""


class NoGreyImageError(UnreadableError):
    """A file that is whole and holds no grey image of a kind that is read: a report, colour, a film."""


class RunError(MedsynthError):
    """A run folder or checkpoint that is cut short, altered or not to be trusted."""

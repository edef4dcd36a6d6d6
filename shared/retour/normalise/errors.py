"""The error for an unreadable cell, in its own module because other packages use it too."""


class CellError(Exception):
    """A cell that cannot be read. Carries the values of its `Unreadable`."""

    def __init__(self, code: str, column: str, **details: str) -> None:
        super().__init__(code)
        self.code, self.column, self.details = code, column, details

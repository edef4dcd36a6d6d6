"""Errors raised for unreadable cells; a module of its own, because other packages raise and catch them too."""


class CellError(Exception):
    """A cell that cannot be read: carries what an Unreadable says of it."""

    def __init__(self, code: str, column: str, **details: str) -> None:
        super().__init__(code)
        self.code, self.column, self.details = code, column, details

"""What is raised where a cell cannot be read; alone in its module, since other rooms raise and catch it as well."""


class CellError(Exception):
    """A cell that cannot be read: carries what an Unreadable says of it."""

    def __init__(self, code: str, column: str, **details: str) -> None:
        super().__init__(code)
        self.code, self.column, self.details = code, column, details

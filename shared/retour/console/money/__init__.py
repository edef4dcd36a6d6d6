"""Money: whether the funding is safe, and the statements."""

from retour.console.money import funding, statements

__all__ = ["funding", "statements"]

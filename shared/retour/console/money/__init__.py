"""Money: whether the funding is safe, the statements, and who is paid."""

from retour.console.money import funding, payees, payments, statements

__all__ = ["funding", "payees", "payments", "statements"]

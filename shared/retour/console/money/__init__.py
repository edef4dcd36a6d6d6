"""Money: whether the funding is safe, the statements, and who is paid."""

from retour.console.money import funding, journal, payees, payments, statements

__all__ = ["funding", "journal", "payees", "payments", "statements"]

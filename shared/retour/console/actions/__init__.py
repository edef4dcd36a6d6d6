"""What was sold and to whom it is credited: the list, one action's life, and the acts of people on one or many."""

from retour.console.actions import acting, listed, many, one, record

__all__ = ["acting", "listed", "many", "one", "record"]

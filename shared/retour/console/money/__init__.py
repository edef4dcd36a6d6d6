"""Money: whether the funding is safe."""

from retour.console.money import funding

__all__ = ["funding"]

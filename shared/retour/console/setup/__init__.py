"""How a program is set up: its sources, its contracts, when things lock, its versions, and who may come in."""

from retour.console.setup import access, calendar, channels, contract, versions

__all__ = ["access", "calendar", "channels", "contract", "versions"]

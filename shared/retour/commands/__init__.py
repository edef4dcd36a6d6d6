"""Typed commands, performed by API and console alike."""

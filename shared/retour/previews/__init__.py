"""Previews: the effect of an act, a program document, new terms or a sample file. Nothing is written."""

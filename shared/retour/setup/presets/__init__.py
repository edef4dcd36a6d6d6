"""Program templates, each a file in this folder with placeholders in braces."""

from importlib.resources import files

SUFFIX = ".yaml"


def presets() -> list[str]:
    return sorted(one.name.removesuffix(SUFFIX) for one in files(__package__).iterdir() if one.name.endswith(SUFFIX))


def program_text(preset: str, **said: str) -> str:
    """The text of a program from a template; placeholders are program, name, currency, time_zone and valid_from."""
    return files(__package__).joinpath(f"{preset}{SUFFIX}").read_text("utf-8").format_map(said)

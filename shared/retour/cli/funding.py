"""retour funding check: the proof that a lock leaves time for the last return."""

import argparse
from collections.abc import Mapping
from datetime import date
from typing import Any

from retour.cli.client import UsageError
from retour.cli.hub import hub_and_program
from retour.cli.screen import echo, print_facts, print_json, print_table
from retour.errors import InvalidRequestError

STYLES = {"safe": "green", "tight": "yellow", "unsafe": "red"}
OPTIONS = {
    "lock": "lock", "window": "window_days", "lag": "lag_days", "cadence": "cadence_days", "skew": "skew_days",
    "statement_day": "statement_day", "paid": "paid",
}  # fmt: skip


def check(arguments: argparse.Namespace) -> int:
    """Exit code 0 if no date fails, else 1."""
    given = {name: getattr(arguments, option) for option, name in OPTIONS.items()}
    figures = {name: value for name, value in given.items() if value is not None}
    asks_hub = arguments.contract is not None or not (figures or arguments.preset)
    found = of_program(arguments, figures) if asks_hub else of_figures(arguments.preset, figures)
    print_json(found) if arguments.json else show(found)
    return 1 if found["verdict"] == "unsafe" else 0


def of_program(arguments: argparse.Namespace, figures: Mapping[str, Any]) -> dict[str, Any]:
    if arguments.preset:
        raise UsageError("A preset stands for itself; say --preset without --contract, or --contract with figures.")
    hub, program = hub_and_program(arguments)
    path = f"/v1/programs/{program}/funding/check"
    if not figures:
        return dict(hub.get(path, contract=arguments.contract))
    asked = {"contract": arguments.contract, **figures}
    return dict(hub.post(path, asked))


def of_figures(preset: str | None, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Check figures locally: the proof needs no hub."""
    from retour.money.asked import FigureFault, policy_of
    from retour.money.funding import check_document, check_policy
    from retour.money.presets import funding_presets

    found = policy_of({**(funding_presets()[preset] if preset else {}), **figures})
    if isinstance(found, FigureFault):
        options = {name: "--" + option.replace("_", "-") for option, name in OPTIONS.items()}
        wrong = InvalidRequestError("FIGURE_INVALID", found.about, figure=options[found.figure], value=found.value)
        raise UsageError(wrong.sentence("en"))
    return check_document(check_policy(found, date.today()), "en")


def show(found: Mapping[str, Any]) -> None:
    verdict, *others = found["sentences"]
    echo(verdict, style=STYLES[found["verdict"]])
    for sentence in others:
        echo(sentence)
    policy = found["policy"]
    print_facts(
        [
            ("contract", found["contract"]),
            ("billing group", found["billing_group"]),
            ("lock", policy["lock"]),
            ("returns are reported within", f"{sum(policy[name] for name in policy if name.endswith('_days'))} days"),
            ("statement", f"day {policy['statement_day']} of the month" if policy["statement_day"] else ""),
            ("paid", policy["paid"]),
            ("smallest change", fix_text(found["fix"])),
        ]
    )
    checks = found.get("checks", ())
    if len(checks) > 1:
        columns = ("contract", "billing group", "lock", "verdict", "unsafe dates", "tight dates")
        rows = [(one["contract"], one["billing_group"], one["policy"]["lock"], one["verdict"], one["unsafe_dates"],
                 one["tight_dates"]) for one in checks]  # fmt: skip
        print_table(columns, rows, title="All that were tried")


def fix_text(fix: Mapping[str, Any] | None) -> str:
    """The better lock and statement day; empty if none is needed or possible."""
    if fix is None:
        return ""
    day = f", statement on day {fix['statement_day']}" if fix["statement_day"] else ""
    return f"lock {fix['lock']}{day}: {fix['verdict']}"

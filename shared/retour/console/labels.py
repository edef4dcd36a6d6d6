"""The words for states, outcomes, changes and channels, each with its icon and its colour."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from retour.console.words import Words
from retour.domain.contracts.contract import Contract
from retour.domain.contracts.lock import AfterEvent, AfterStatus, LockRule, OpenEnded
from retour.domain.contracts.pay import Flat, Percent
from retour.domain.phrase import Phrase
from retour.sentences import sentence


def term(text: str) -> str:
    """Marks a text for the catalogs; it is translated where it is shown."""
    return text


LABELS = {
    "state": {
        "pending": term("Pending"),
        "approved": term("Approved"),
        "reversed": term("Reversed"),
        "locked": term("Locked"),
        "paid": term("Paid"),
    },
    "payment": {
        "open": term("Not paid yet"),
        "proposed": term("Proposed"),
        "approved": term("Approved"),
        "settled": term("Settled"),
        "in_payment": term("In payment"),
        "paid": term("Paid"),
        "failed": term("Failed"),
        "dry run": term("Preview"),
    },
    "booking": {
        "final": term("Became final"),
        "stated": term("Stated"),
        "in_payment": term("Approved for payment"),
        "paid": term("Paid"),
        "failed": term("Failed"),
    },
    "treatment": {
        "domestic_vat": term("VAT of the country"),
        "reverse_charge": term("Reverse charge"),
        "small_business": term("Small business, no VAT"),
        "not_taxable": term("Not taxable"),
        "outside_eu": term("Outside the EU"),
    },
    "verdict": {
        "safe": term("safe"),
        "tight": term("tight"),
        "unsafe": term("unsafe"),
    },
    "outcome": {
        "applied": term("Applied"),
        "unchanged": term("Unchanged"),
        "duplicate": term("Duplicate"),
        "superseded": term("Superseded"),
        "refused": term("Refused"),
        "waiting": term("Waiting"),
        "held": term("Held"),
    },
    "delivery": {
        "arriving": term("Arriving"),
        "working": term("Working"),
        "held": term("Held"),
        "done": term("Done"),
        "refused": term("Refused whole"),
        "ignored": term("Not for us"),
        "undone": term("Undone"),
        "dry run": term("Dry run"),
    },
    "change": {
        "reverse": term("Reverse"),
        "set_total": term("Set total"),
        "set_quantity": term("Set quantity"),
        "take_back": term("Take back"),
        "approve": term("Approve"),
        "restore": term("Restore"),
        "set_status": term("Set status"),
        "reattribute": term("Re-attribute"),
        "undo": term("Undo"),
        "reprice": term("Reprice"),
        "refold": term("Refold"),
        "raise_limit": term("Raise the limit"),
        "raise-limit": term("Raise the limit"),
        "release": term("Release"),
        "discard": term("Discard"),
    },
    "field": {
        "reference": term("Reference of the return"),
        "order_id": term("Order"),
        "action_id": term("Action id"),
        "event_type": term("Event type"),
        "sku": term("Item (SKU)"),
        "line": term("Line of the order"),
        "change": term("What to do"),
        "amount": term("Amount"),
        "currency": term("Currency"),
        "quantity": term("Units"),
        "status": term("Status"),
        "partner": term("Partner"),
        "undoes": term("Record to undo"),
        "reason": term("Reason"),
        "disposition": term("Disposition"),
        "note": term("Note"),
        "occurred_at": term("When it happened"),
    },
    "meaning": {
        "set_total": term("what the order is worth from now on"),
        "take_back": term("what came back"),
        "difference": term("a difference: what is below zero came back"),
    },
    "channel": {
        "api": term("API and webhooks"),
        "sftp": term("SFTP"),
        "pull": term("Pulled file"),
        "email": term("Email"),
        "salesforce": term("Salesforce"),
        "console": term("Console"),
        "cascade": term("Cascade"),
    },
    "step": {
        "open": term("Not yet"),
        "running": term("Working"),
        "waiting": term("Waiting"),
        "done": term("Works"),
        "warned": term("Look"),
        "failed": term("Failed here"),
    },
    "credential": {
        "url": term("Address"),
        "server": term("Server"),
        "user": term("User"),
        "address": term("Mail address"),
        "secret": term("Signing secret"),
        "callback_secret": term("Secret of the callback"),
        "key": term("API key"),
        "openpgp": term("OpenPGP key"),
    },
    "secret": {
        "signing": term("Signing secret"),
        "callback": term("Secret of the callback"),
        "tokens": term("Secret address"),
        "password": term("Password"),
        "private_key": term("Private key"),
        "openpgp": term("OpenPGP key"),
        "public_key": term("SSH public key"),
    },
    "secret change": {
        "made": term("made"),
        "handed over": term("handed over"),
        "revoked": term("revoked"),
    },
    "role": {
        "admin": term("Administrator"),
        "operator": term("Operator"),
        "manager": term("Partner manager"),
        "finance": term("Finance"),
        "partner": term("Partner"),
    },
    "reason": {
        "ITEM_RETURNED": term("Item returned"),
        "ITEM_OUT_OF_STOCK": term("Out of stock"),
        "ORDER_ERROR": term("Error in the order"),
        "ORDER_UPDATE": term("Order changed"),
        "CANCELLED": term("Cancelled"),
        "PAYMENT_FAILED": term("Payment failed"),
        "CHARGEBACK": term("Chargeback"),
        "CONS_FRAUD": term("Fraud by the customer"),
        "CONS_ERROR": term("Error of the customer"),
        "CONS_INFO_INVALID": term("Customer data not valid"),
        "PUB_ACT_DISPUTE": term("Disputed by the partner"),
        "ADV_ACT_DISPUTE": term("Disputed by the merchant"),
        "NOT_COMPLIANCE_TERMS": term("Against the terms"),
        "TEST_ACTION": term("Test order"),
        "PARTNER_NOT_ACTIVE": term("Partner not active"),
        "CREDITED_DIFFERENT_MP": term("Credited to another partner"),
        "DUPLICATE": term("Order counted twice"),
        "OTHER": term("Other"),
    },
}
STYLES = {
    "pending": ("neutral", "ring"),
    "approved": ("info", "check"),
    "reversed": ("bad", "back"),
    "locked": ("solid", "lock"),
    "paid": ("ok", "coin"),
    "open": ("neutral", "ring"),
    "proposed": ("wait", "glass"),
    "in_payment": ("info", "half"),
    "settled": ("ok", "check"),
    "applied": ("ok", "check"),
    "unchanged": ("neutral", "equal"),
    "duplicate": ("neutral", "copy"),
    "superseded": ("neutral", "skip"),
    "refused": ("bad", "cross"),
    "waiting": ("wait", "glass"),
    "held": ("hold", "pause"),
    "arriving": ("info", "half"),
    "working": ("info", "half"),
    "done": ("ok", "check"),
    "running": ("info", "half"),
    "warned": ("wait", "ring"),
    "failed": ("bad", "cross"),
    "ignored": ("neutral", "skip"),
    "undone": ("neutral", "back"),
    "dry run": ("info", "half"),
}


def label(words: Words, kind: str, name: str) -> str:
    """A name that has no word, such as a merchant's own reason, stands for itself."""
    known = LABELS[kind].get(name)
    return words.say(known) if known else name


def act_sentence(words: Words, change: str, order: str) -> str:
    """What was just done to an order, in words."""
    say = words.say
    match change:
        case "approve":
            return say("Approved %(order)s", order=order)
        case "reverse":
            return say("Reversed %(order)s", order=order)
        case "restore":
            return say("Restored %(order)s", order=order)
        case "reattribute":
            return say("Re-attributed %(order)s", order=order)
        case "undo":
            return say("Undid the change of %(order)s", order=order)
        case "release":
            return say("Released for %(order)s", order=order)
        case "discard":
            return say("Discarded for %(order)s", order=order)
    return say("Changed %(order)s", order=order)


def unchanged_sentence(words: Words, order: str) -> str:
    return words.say("%(order)s was so already; nothing changed", order=order)


def step_name(words: Words, number: int, last: int, at: datetime) -> str:
    """A place of the slider through an action's past."""
    if number == last:
        return words.say("Now")
    if number == 0:
        return words.say("As reported, %(time)s", time=words.moment(at))
    return words.say("After change %(number)s of %(last)s, %(time)s", number=number, last=last, time=words.moment(at))


def filter_label(words: Words, name: str, value: str) -> str:
    """A filter in force, in words."""
    say = words.say
    match name:
        case "state":
            return say("State: %(value)s", value=value)
        case "not_state":
            return say("State: not %(value)s", value=value)
        case "partner":
            return say("Partner: %(value)s", value=value)
        case "not_partner":
            return say("Partner: not %(value)s", value=value)
        case "event_type":
            return say("Event type: %(value)s", value=value)
        case "not_event_type":
            return say("Event type: not %(value)s", value=value)
        case "promo_code":
            return say("Promo code: %(value)s", value=value)
        case "not_promo_code":
            return say("Promo code: not %(value)s", value=value)
        case "open_from":
            return say("Can change until %(value)s or later", value=value)
        case "open_to":
            return say("Can change until %(value)s or earlier", value=value)
        case "locks_after":
            return say("Locks from %(value)s", value=value)
        case "locks_before":
            return say("Locks before %(value)s", value=value)
    return say("Order: %(value)s", value=value)


def delivery_style(state: str, counts: Mapping[str, int]) -> tuple[str, str]:
    """A delivery that is done is green only where something of it was applied."""
    return style(state) if state != "done" or counts.get("applied") else ("neutral", "check")


def delivery_filter(words: Words, name: str, value: str) -> str:
    """A filter in force in the list of deliveries, in words."""
    say = words.say
    match name:
        case "channel":
            return say("Channel: %(value)s", value=label(words, "channel", value))
        case "source":
            return say("Source: %(value)s", value=source(words, value))
        case "from":
            return say("From: %(value)s", value=value)
        case "to":
            return say("To: %(value)s", value=value)
    return say("Name: %(value)s", value=value)


def style(name: str) -> tuple[str, str]:
    return STYLES.get(name, ("neutral", "ring"))


def permission_sentence(words: Words, what: str) -> str:
    match what:
        case "see" | "own":
            return words.say("This page is for people of another role.")
        case "send" | "decide":
            return words.say("Operators and partner managers can do this; your role can look.")
        case "act":
            return words.say("Partner managers can do this; your role can look.")
        case "pay":
            return words.say("Finance can do this; your role can look.")
    return words.say("Administrators can do this.")


def problem_title(words: Words, status: int) -> str:
    match status:
        case 403:
            return words.say("Not with your role")
        case 404:
            return words.say("Not found")
        case 409:
            return words.say("Changed meanwhile")
        case 500:
            return words.say("Our fault")
        case 503:
            return words.say("Not available at the moment")
    return words.say("Not possible")


def kind(words: Words, name: str) -> str:
    """What a delivery without a name is."""
    match name:
        case "modifications":
            return words.say("Call with modifications")
        case "hook":
            return words.say("Webhook")
        case "salesforce":
            return words.say("Records read from Salesforce")
        case "actions":
            return words.say("Report of actions")
        case "program":
            return words.say("Version of the program")
        case "decision":
            return words.say("Decision on a held delivery")
        case "rates":
            return words.say("Rates of currencies")
    return words.say("File")


def delivery_name(words: Words, document: Mapping[str, Any]) -> str:
    """What a delivery is called: a person's act by what it did, a file by its name, else what kind of call it was."""
    acts: Mapping[str, int] = document.get("acts") or {}
    if acts:
        counts = document["counts"]
        done = counts.get("applied", 0) if counts and len(acts) == 1 else None
        return "; ".join(
            act_done(words, change, done) if done else act_asked(words, change, asked) for change, asked in acts.items()
        )
    return str(document["name"]) or kind(words, document["kind"])


def act_done(words: Words, change: str, number: int) -> str:
    """What a person did, by how many it was done to."""
    count = words.count
    match change:
        case "approve":
            return count("%(number)s action approved", "%(number)s actions approved", number)
        case "reverse":
            return count("%(number)s action reversed", "%(number)s actions reversed", number)
        case "restore":
            return count("%(number)s action restored", "%(number)s actions restored", number)
        case "reattribute":
            return count("%(number)s action re-attributed", "%(number)s actions re-attributed", number)
        case "reprice":
            return count("%(number)s action repriced", "%(number)s actions repriced", number)
        case "undo":
            return count("%(number)s change undone", "%(number)s changes undone", number)
        case "release":
            return count("%(number)s record released", "%(number)s records released", number)
        case "discard":
            return count("%(number)s record discarded", "%(number)s records discarded", number)
    return count("%(number)s action changed", "%(number)s actions changed", number)


def act_asked(words: Words, change: str, number: int) -> str:
    """The same where nothing came of it, or nobody has looked: what was asked."""
    return words.count(
        "%(change)s: %(number)s record", "%(change)s: %(number)s records", number, change=label(words, "change", change)
    )


def values_sentence(words: Words, values: Sequence[tuple[str, int]], others: int) -> str:
    """`7 × OUT_OF_STOCK, 1 × RETRUN`: the values of a group, the most frequent first."""
    told = ", ".join(f"{words.number(number)} × {value}" for value, number in values)
    if not others:
        return told
    return words.count("%(told)s and %(number)s other", "%(told)s and %(number)s others", others, told=told)


BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
SYSTEMS = {
    "iPhone": "iPhone", "iPad": "iPad", "Android": "Android", "Windows": "Windows", "Mac OS X": "macOS",
    "Linux": "Linux",
}  # fmt: skip
"""What a browser says of itself, the first that fits; and how people call it."""


def browser(agent: str) -> str:
    """A browser by what it says of itself, such as `Firefox, macOS`; of what is not known, what it begins with."""
    found = [next((name for mark, name in known.items() if mark in agent), "") for known in (BROWSERS, SYSTEMS)]
    return ", ".join(filter(None, found)) or agent.partition(" ")[0][:40]


def quoted(words: Words, text: str) -> str:
    """What somebody wrote, in the marks of the language."""
    return words.say("“%(note)s”", note=text)


def record_origin(words: Words, name: str) -> str:
    """What a record came in: a file by its name, else what kind of call it was."""
    return kind(words, name) if name in ("modifications", "hook", "salesforce") else name


def lock_rule(words: Words, rule: LockRule) -> str:
    """When an action locks, in words."""
    say, count = words.say, words.count
    match rule:
        case AfterStatus(days, statuses):
            text = count(
                "%(number)s day after the status %(statuses)s",
                "%(number)s days after the status %(statuses)s",
                days,
                statuses=", ".join(sorted(statuses)),
            )
        case OpenEnded(days):
            text = count("when it is approved, at latest %(number)s day after the event",
                         "when it is approved, at latest %(number)s days after the event", days)  # fmt: skip
        case AfterEvent(days, months, from_month_end):
            parts = [count("%(number)s month", "%(number)s months", months)] if months else []
            parts += [count("%(number)s day", "%(number)s days", days)] if days or not months else []
            span = say("%(one)s and %(other)s", one=parts[0], other=parts[1]) if len(parts) == 2 else parts[0]
            text = (
                say("%(span)s after the end of the event’s month", span=span)
                if from_month_end
                else say("%(span)s after the event", span=span)
            )
    return text


def locks(words: Words, contract: Contract) -> str:
    """When the actions of a contract lock, in words: the ranked ways by what they ask, the last for all others."""
    *ranked, last = contract.locks
    told = [
        words.say(
            "%(rule)s (%(asked)s)",
            rule=lock_rule(words, one.rule),
            asked="; ".join(condition_sentence(words, ask.phrase()) for ask in one.asks),
        )
        for one in ranked
    ]
    others = lock_rule(words, last.rule)
    return "; ".join([*told, words.say("all others %(rule)s", rule=others)]) if told else others


def rule(words: Words, contract: Contract, rank: int) -> str:
    """One ranked rule of a contract as a sentence."""
    say = words.say
    one = contract.rules[rank - 1]
    match one.pay:
        case Percent(percent, per_order):
            amount = words.rate(percent)
            text = say("%(rank)s: %(amount)s of the order", rank=rank, amount=amount) if per_order else say(
                "%(rank)s: %(amount)s of the item", rank=rank, amount=amount)  # fmt: skip
        case Flat(amount_, per_order):
            amount = words.minor(amount_, contract.currency)
            text = say("%(rank)s: %(amount)s per order", rank=rank, amount=amount) if per_order else say(
                "%(rank)s: %(amount)s per unit", rank=rank, amount=amount)  # fmt: skip
    said = "; ".join(condition_sentence(words, part) for part in one.phrases(contract.currency))
    return f"{text} ({said})" if said else text


def condition_sentence(words: Words, part: Phrase) -> str:
    """One thing that terms ask, in words."""
    days = {"day": words.day(date.fromisoformat(part.details["day"]))} if "day" in part.details else {}
    return sentence(part.code, {**part.details, **days}, words.language)


CASES = {
    "held": (term("Held"), "hold", "pause"),
    "waiting": (term("Waiting"), "wait", "glass"),
    "silent": (term("Silent"), "wait", "glass"),
    "rate": (term("Rate missing"), "wait", "glass"),
    "failing": (term("Cannot be polled"), "wait", "glass"),
    "status": (term("Status not declared"), "wait", "glass"),
    "refused": (term("Refused whole"), "bad", "cross"),
    "alarm": (term("Too late"), "bad", "cross"),
    "rows": (term("Rows refused"), "bad", "cross"),
    "orphan": (term("Orphan"), "wait", "glass"),
    "differing": (term("Sums differ"), "hold", "pause"),
}


def case(words: Words, name: str) -> str:
    return words.say(CASES[name][0])


def case_style(name: str) -> tuple[str, str]:
    return CASES[name][1:]


def source(words: Words, name: str) -> str:
    """A source, or one of Retour's own feeds."""
    match name:
        case "console":
            return words.say("People, in the console")
        case "actions":
            return words.say("Reports of actions")
        case "":
            return words.say("Versions of the program")
    return name


COMPARED = {
    "channel": term("Channel"),
    "source": term("Source"),
    "sender": term("Sender"),
    "received_at": term("Received"),
}


def comparison_label(words: Words, name: str) -> str:
    """A fact of a record, where two of them stand side by side."""
    return words.say(COMPARED[name]) if name in COMPARED else label(words, "field", name)


def threshold(words: Words, name: str) -> str:
    """What was measured of a file before anything of it was recorded."""
    match name:
        case "bad_rows":
            return words.say("Share of its rows that would be refused")
        case "pending_taken_back":
            return words.say("Share of the pending payouts that it would take back")
    return name


def channel_summary(words: Words, name: str) -> str:
    """What a channel is, in a line."""
    say = words.say
    match name:
        case "api":
            return say("Your systems and shops call us: JSON, files and webhooks over HTTPS.")
        case "sftp":
            return say("Senders upload files to our SFTP server.")
        case "pull":
            return say("We poll the merchant’s FTP, FTPS or SFTP server every day.")
        case "email":
            return say("Files are mailed to the source’s own address.")
    return say("A status changes in Salesforce, and the outcome is written back there.")


def choice(words: Words, field: str, value: str) -> str:
    """What may be chosen in a source's form; names of protocols and shops stand for themselves."""
    match field, value:
        case "amount_means", "set_total":
            return words.say("the new total")
        case "amount_means", "take_back":
            return words.say("what came back")
        case "amount_means", "difference":
            return words.say("a signed difference")
        case "kind", "standard":
            return words.say("Retour’s own JSON")
        case "default_reason", _:
            return label(words, "reason", value)
    return value


def role_summary(words: Words, role: str) -> str:
    say = words.say
    match role:
        case "admin":
            return say("Everything, and the set-up")
        case "manager":
            return say("Send files, decide on held deliveries, approve, reverse and modify actions")
        case "operator":
            return say("Send files, decide on held deliveries")
        case "finance":
            return say("Look at everything, export, and pay: propose, approve what another person proposed, confirm")
    return say("Look at their own credit only")

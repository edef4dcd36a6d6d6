"""Texts, numbers and dates as the reader's language writes them."""

import gettext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time, get_day_names, get_month_names
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

from retour.domain.calendar import last_day_before
from retour.domain.money import exponent
from retour.domain.times import parse_instant
from retour.languages import languages

LOCALE = Path(__file__).parent / "locale"
MINUS = "\N{MINUS SIGN}"
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


@cache
def load_translations(language: str) -> gettext.NullTranslations:
    """The catalog of a language, read as it was written; English is what the pages say themselves."""
    path = LOCALE / language / "LC_MESSAGES/console.po"
    if not path.exists():
        return gettext.NullTranslations()
    with path.open("rb") as file:
        compiled = BytesIO()
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def language_of(cookie: str | None, accepted: str, usual: str = "en") -> str:
    """As chosen before, else the first accepted one we speak, else the program's."""
    if cookie and cookie in languages():
        return cookie
    for one in accepted.split(","):
        tag = one.partition(";")[0].strip().lower()[:2]
        if tag in languages():
            return tag
    return usual if usual in languages() else "en"


@dataclass(frozen=True)
class Words:
    """`zone` is the program's; every time on a page is in it."""

    language: str
    zone: str
    now: datetime

    @cached_property
    def locale(self) -> Locale:
        return Locale.parse(languages()[self.language].locale)

    def say(self, text: str, **values: object) -> str:
        said = load_translations(self.language).gettext(text)
        return said % values if values else said

    def count(self, one: str, many: str, number: int, **values: object) -> str:
        said = load_translations(self.language).ngettext(one, many, number)
        return said % {"number": self.number(number), **values}

    # Numbers

    def number(self, value: int) -> str:
        return self._minus(format_decimal(value, locale=self.locale))

    def percent(self, share: Decimal | float) -> str:
        return self._minus(
            format_percent(share, format=f"#,##0.#{languages()[self.language].percent}",
                           locale=self.locale, decimal_quantization=True)
        )  # fmt: skip

    def rate(self, percent: Decimal) -> str:
        """What a contract agrees, to its last digit."""
        pattern = f"#,##0.######{languages()[self.language].percent}"
        return format_percent(percent / 100, format=pattern, locale=self.locale, decimal_quantization=False)

    def money(self, amount: str | Decimal | None, currency: str, signed: bool = False) -> str:
        """`−1,204.50 EUR`; the code after the number, so that no sign means two currencies."""
        if amount is None or amount == "":
            return ""
        places = exponent(currency)
        value = Decimal(amount)
        pattern = "#,##0" + ("." + "0" * places if places else "")
        written = format_decimal(value, format=f"+{pattern};-{pattern}" if signed and value > 0 else pattern,
                                 locale=self.locale)  # fmt: skip
        return f"{self._minus(written)}{NO_BREAK_SPACE}{currency}"

    def minor(self, amount: int, currency: str, signed: bool = False) -> str:
        return self.money(Decimal(amount).scaleb(-exponent(currency)), currency, signed)

    def minor_of(self, amount: str | Decimal, currency: str) -> int:
        return int(Decimal(amount).scaleb(exponent(currency)))

    def size(self, size: int) -> str:
        if size < 10_000:
            return f"{self.number(size)}{NO_BREAK_SPACE}B"
        unit, name = (1_000, "kB") if size < 10_000_000 else (1_000_000, "MB")
        return f"{format_decimal(Decimal(size) / unit, format='#,##0', locale=self.locale)}{NO_BREAK_SPACE}{name}"

    def _minus(self, text: str) -> str:
        return text.replace("-", MINUS).replace("\N{NARROW NO-BREAK SPACE}", NO_BREAK_SPACE)

    # Days and times

    def local(self, moment: datetime | str) -> datetime:
        when = parse_instant(moment) if isinstance(moment, str) else moment
        return when.astimezone(ZoneInfo(self.zone))

    def day(self, day: date | datetime | str | None) -> str:
        if day is None or day == "":
            return ""
        if isinstance(day, str) and len(day) == 10:
            day = date.fromisoformat(day)
        if isinstance(day, str | datetime):
            day = self.local(day).date()
        return format_date(day, "medium", locale=self.locale)

    def time(self, moment: datetime | str) -> str:
        return format_time(self.local(moment), "HH:mm", tzinfo=ZoneInfo(self.zone), locale=self.locale)

    def moment(self, moment: datetime | str | None) -> str:
        if not moment:
            return ""
        return f"{self.day(moment)}, {self.time(moment)}"

    def exact(self, moment: datetime | str) -> str:
        """For whoever has to compare it with a log."""
        when = parse_instant(moment) if isinstance(moment, str) else moment
        return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

    def ago(self, moment: datetime | str | None) -> str:
        """How long before the program's now."""
        return self.ago_real(moment, self.now) if moment else ""

    def ago_real(self, moment: datetime | str, now: datetime) -> str:
        """How long before another now, such as that of the real clock."""
        seconds = int((now - self.local(moment)).total_seconds())
        if seconds < 60:
            return self.say("just now")
        if seconds < 3600:
            return self.count("%(number)s minute ago", "%(number)s minutes ago", seconds // 60)
        if seconds < 86400:
            return self.count("%(number)s hour ago", "%(number)s hours ago", seconds // 3600)
        if seconds < 14 * 86400:
            return self.count("%(number)s day ago", "%(number)s days ago", seconds // 86400)
        return self.day(moment)

    def days_to(self, moment: datetime | str) -> int:
        """Whole days on the calendar; 0 is today."""
        return (self.local(moment).date() - self.local(self.now).date()).days

    def left(self, seconds: int) -> str:
        """How much longer something takes; of a few seconds nothing is promised."""
        if seconds < 5:
            return self.say("a few seconds left")
        if seconds < 90:
            return self.count("%(number)s second left", "%(number)s seconds left", seconds)
        minutes = -(-seconds // 60)
        return self.count("%(number)s minute left", "%(number)s minutes left", minutes)

    def last_day(self, lock: datetime | str) -> date:
        """The last day on which something that locks then can change: a lock at midnight is of the day before."""
        return last_day_before(self.local(lock), self.zone)

    def open_until(self, lock: datetime | str) -> str:
        """`until the end of 9 Nov 2026`."""
        return self.say("until the end of %(day)s", day=self.day(self.last_day(lock)))

    def days_open(self, lock: datetime | str) -> int:
        """How many more midnights may pass before the last day on which it can change; 0: it is today."""
        return (self.last_day(lock) - self.local(self.now).date()).days

    def left_open(self, lock: datetime | str) -> str:
        """How far that day is: today, or in so many days."""
        return self.distance(self.days_open(lock))

    def until(self, moment: datetime | str | None) -> str:
        if not moment:
            return ""
        return self.distance(self.days_to(moment))

    def distance(self, days: int) -> str:
        if days < 0:
            return self.count("%(number)s day ago", "%(number)s days ago", -days)
        if days == 0:
            return self.say("today")
        return self.count("in %(number)s day", "in %(number)s days", days)

    def weekdays(self) -> list[str]:
        names = get_day_names("abbreviated", locale=self.locale)
        return [names[number] for number in range(7)]

    def month(self, day: date) -> str:
        return f"{get_month_names('wide', 'stand-alone', locale=self.locale)[day.month]} {day.year}"

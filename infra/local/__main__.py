"""python -m local: the local hub, until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

from local.aws_gateway import end_with_parent
from local.data_folder import StartupError
from local.hub import Settings, run_until_stopped


def main() -> int:
    options = argparse.ArgumentParser(prog="retour up", description="Run the whole hub on loopback.")
    options.add_argument("--port", type=int, default=8400, help="where the API answers (default 8400; 0: any)")
    options.add_argument("--data", type=Path, default=Path(".retour"), help="where everything is kept")
    options.add_argument(
        "--now",
        type=parse_moment,
        help="what the business clock shows at the start, as ISO 8601 (default: as it was left)",
    )
    options.add_argument("--ready-file", type=Path, help="written when everything answers (default DATA/ready.json)")
    options.add_argument("--auth", action="store_true", help="functions may do only what their roles allow")
    chosen = options.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    for chatty in ("mail", "samtranslator"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    data = chosen.data.resolve()
    settings = Settings(
        port=chosen.port,
        data=data,
        ready_file=(chosen.ready_file or data / "ready.json").resolve(),
        clock_offset_seconds=round((chosen.now - datetime.now(UTC)).total_seconds()) if chosen.now else None,
        auth=chosen.auth,
    )
    end_with_parent()
    try:
        asyncio.run(run_until_stopped(settings, lambda text: print(text, flush=True)))
    except StartupError as reason:
        print(f"Retour stopped. {reason}", file=sys.stderr)
        return 1
    return 0


def parse_moment(text: str) -> datetime:
    """Parse a time; without an offset it is UTC."""
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no moment such as 2026-03-01T09:00:00+01:00") from None
    return said if said.tzinfo else said.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())

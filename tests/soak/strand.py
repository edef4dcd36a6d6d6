"""Something that stands still in the middle of what it does until it is switched to.

With greenlet a switch costs half a microsecond; without it, threads hand each other a baton, and the same seeds play
the same histories more slowly.
"""

import importlib
import threading
from collections.abc import Callable
from typing import Any

HERE = threading.local()


class ThreadStrand:
    def __init__(self, run: Callable[[], None] | None = None) -> None:
        self.run = run
        self.baton = threading.Lock()
        self.baton.acquire()

    def switch(self) -> None:
        me = current_thread_strand()
        if self is me:
            return
        if self.run is None:
            self.baton.release()
        else:
            run, self.run = self.run, None
            threading.Thread(target=self._start, args=(run,), daemon=True).start()
        me.baton.acquire()

    def _start(self, run: Callable[[], None]) -> None:
        HERE.strand = self
        run()


def current_thread_strand() -> ThreadStrand:
    if not hasattr(HERE, "strand"):
        HERE.strand = ThreadStrand()
    return HERE.strand  # type: ignore[no-any-return]


Strand: Any = ThreadStrand
current: Callable[[], Any] = current_thread_strand
try:
    greenlet: Any = importlib.import_module("greenlet")
    Strand, current = greenlet.greenlet, greenlet.getcurrent
except ImportError:
    pass

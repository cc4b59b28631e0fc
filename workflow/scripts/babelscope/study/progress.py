"""Progress of long jobs: a bar on a terminal, and a line every few seconds in the log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm

logger = logging.getLogger("babelscope")
LOG_INTERVAL_S = 5.0
_STARTED = time.monotonic()


def since_start() -> str:
    """Seconds since the job imported this module, one of the first things that it does."""
    return f"{time.monotonic() - _STARTED:.1f}"


class Progress(Protocol):
    """Receiver of a long job's progress."""

    def update(self, n: float) -> object: ...


class _LoggedBar:
    """A tqdm bar that also logs a line with rate and time left, at most every ``LOG_INTERVAL_S``."""

    def __init__(self, bar: tqdm, unit: str) -> None:
        self.bar, self.unit = bar, unit
        self.n = 0.0
        self.started = self.last = time.monotonic()

    def update(self, n: float) -> None:
        self.n += n
        self.bar.update(n)
        if time.monotonic() - self.last >= LOG_INTERVAL_S:
            self.last = time.monotonic()
            self.log()

    def log(self) -> None:
        rate = self.n / max(time.monotonic() - self.started, 1e-9)
        left = tqdm.format_interval(max(self.bar.total - self.n, 0) / rate) if rate > 0 else "?"
        logger.info(
            "%s: %s of %s %s, %s %s/s, %s left",
            self.bar.desc,
            f"{self.n:,.0f}",
            f"{self.bar.total:,.0f}",
            self.unit,
            f"{rate:,.1f}",
            self.unit,
            left,
        )


@contextmanager
def progress(total: float, unit: str, description: str) -> Iterator[Progress]:
    """Yield an object with ``update(n)``.

    Parameters
    ----------
    total : amount of work, in ``unit``.
    unit : for instance ``"tokens"``.
    description : what is being done, and for which language or layer.
    """
    hidden = not sys.stderr.isatty()
    with tqdm(total=total, unit=f" {unit}", desc=description, unit_scale=True, disable=hidden) as bar:
        bar.desc, bar.total = description, total  # a disabled bar forgets them
        logged = _LoggedBar(bar, unit)
        yield logged
        logged.log()

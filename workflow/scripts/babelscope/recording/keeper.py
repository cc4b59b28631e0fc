"""What a recording adds up on the device from first to last, handed over to the host and kept on disk."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from babelscope.recording.neuron_tap import NeuronSums
from babelscope.recording.resume import RunningCounts
from babelscope.recording.router_tap import RouterTap
from babelscope.recording.tap import ExpertTap
from babelscope.recording.token_finder import TokenFinder


@dataclass
class Keeper:
    """Brings sums of neurons and best tokens to the counts, and saves all of it now and then.

    Both are as large as the model is wide and take up to a second of the host, in which the device waits:
    they stay on the device over all segments.

    Attributes
    ----------
    counts : so far. tap, neurons, peaks : where the rest of them is.
    file, key : where the counts are saved, and under which key; None: nowhere.
    seconds : time from one save to the next.
    """

    counts: RunningCounts
    tap: ExpertTap | RouterTap
    neurons: NeuronSums | None
    peaks: TokenFinder | None
    file: Path | None
    key: str
    seconds: float
    _saved: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Whether it is time to save; the segment's counts have to be added before."""
        return self.file is not None and time.monotonic() - self._saved > self.seconds

    def keep(self) -> None:
        """Hand over and save."""
        self.hand_over()
        if self.file is not None:
            self.counts.save(self.file, self.key)
        self._saved = time.monotonic()

    def hand_over(self) -> None:
        """Add what the device holds to the counts."""
        if self.counts.neurons is not None and self.neurons is not None:
            assert isinstance(self.tap, ExpertTap)
            self.counts.neurons.add(self.neurons.take(self.tap.orders))
        if self.counts.peaks is not None and self.peaks is not None:
            self.counts.peaks = self.peaks.take()

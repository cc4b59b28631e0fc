"""What a study's recordings say in one bootstrap: over equivalent partitions, and beside pooled blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from babelscope.evidence.claim_statistics import Setting
from babelscope.evidence.draws import Pooled, Replicates, draw, shuffle_languages
from babelscope.evidence.replicates import MAIN, claim_estimates, over_partitions, replicate_claims
from babelscope.recording.counts import ActivationCounts
from babelscope.study.languages import Language


@dataclass(frozen=True)
class StudyQuestion:
    """What is asked of recordings.

    Attributes
    ----------
    languages : in the order of the recordings. settings : by name, for ``claim_statistics``.
    paper_table_3 : for ``claim_counts``. n_replicates, seed : of the bootstrap.
    """

    languages: Sequence[Language]
    settings: Mapping[str, Setting]
    paper_table_3: np.ndarray | None
    n_replicates: int
    seed: int

    def replicate(
        self,
        counts: Sequence[ActivationCounts],
        partitions: Mapping[str, Sequence[ActivationCounts]],
        *,
        by_layer: bool = False,
    ) -> tuple[Replicates, Replicates]:
        """Replicates over all partitions, with ``pooled``, and those of the study's own partition.

        Parameters
        ----------
        counts : recordings of the languages. partitions : the same with equivalent partitions, by name.
        by_layer : as ``replicate_claims``.

        Raises
        ------
        BabelscopeError
            Where a language has fewer than two blocks.
        """
        main = self._ask(counts, by_layer)
        others = {name: self._ask(recordings) for name, recordings in partitions.items()}
        together = over_partitions({MAIN: main, **others})
        dealt = self._ask(shuffle_languages(counts, self.seed))
        for setting in self.settings:
            together.pooled.update(compare_with_pooled(together, main, dealt, setting))
        return together, main

    def _ask(self, counts: Sequence[ActivationCounts], by_layer: bool = False) -> Replicates:
        draws = draw(counts, [row.code for row in self.languages], self.n_replicates, self.seed)
        return replicate_claims(draws, self.languages, self.settings, self.paper_table_3, by_layer=by_layer)


def compare_with_pooled(
    together: Replicates, main: Replicates, dealt: Replicates, setting: str
) -> dict[str, Pooled]:
    """Statistics of one setting, by their full names, where blocks are dealt out, and less that.

    Parameters
    ----------
    together : over all partitions: how far these are apart widens the interval of the difference.
    main, dealt : of the study's own partition, as recorded and with its blocks dealt out.
    """
    found = {}
    for name, alone in claim_estimates(dealt, setting).items():
        key = f"{setting}/{name}"
        parts = [{key: getattr(main, part)[key] - getattr(dealt, part)[key]} for part in ("values", "drawn")]
        noisier = {key: main.noisier[key] - dealt.noisier[key]} if key in main.noisier else {}
        difference = Replicates(parts[0], parts[1], noisier, {key: together.spread.get(key, np.zeros(()))})
        beyond = difference.estimate(key)
        numbers = (alone.corrected, alone.low, alone.high, beyond.corrected, beyond.low, beyond.high)
        found[key] = Pooled(*(float(number) for number in numbers))
    return found

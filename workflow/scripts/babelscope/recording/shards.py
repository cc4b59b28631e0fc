"""A language recorded in shards: which documents each holds, and how their counts add up to one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from babelscope.files.hdf5 import read_h5
from babelscope.files.kind import Kind
from babelscope.recording.counts import ACTIVATIONS, ActivationCounts, write_activations
from babelscope.recording.neurons import NEURON_BLOCKS, NEURON_SHARD, NeuronTotals, write_neurons
from babelscope.recording.peaks import PEAK_SHARD, PEAKS, Peaks, peaks_of, write_peaks
from babelscope.recording.resume import RunningCounts, to_units
from babelscope.recording.shard_names import shard_names
from babelscope.study.errors import BabelscopeError, require
from babelscope.text.token_file import TokenFile
from babelscope.text.tokens import TokenizedCorpus, documents_digest


def shard_documents(
    corpus: TokenizedCorpus | TokenFile, shard: str | None, documents_per_shard: int
) -> np.ndarray:
    """Indices of the profile documents of one shard, int64; fewer, or none, where the corpus ends.

    All of them where ``shard`` is None.
    """
    if shard is None:
        return corpus.profile_idx
    first = int(shard) * documents_per_shard
    return corpus.profile_idx[first : first + documents_per_shard]


@dataclass(frozen=True)
class ShardedLanguage:
    """One language that was recorded in shards, added up to the counts of a single job.

    Attributes
    ----------
    corpus : the documents as they are now.
    model, language : what every shard must say that it is.
    documents_per_shard, documents_per_block, max_blocks : as in the recording.
    """

    corpus: TokenizedCorpus | TokenFile
    model: str
    language: str
    documents_per_shard: int
    documents_per_block: int
    max_blocks: int

    def merge_counts(
        self, paths: Sequence[str | Path], variant: str
    ) -> tuple[ActivationCounts, dict[str, Any]]:
        """Add the counts of all shards of a variant.

        Parameters
        ----------
        paths : ``shard_{shard}.h5`` of every shard, in order.

        Returns
        -------
        The counts, and the attributes of their file.

        Raises
        ------
        BabelscopeError
            Where a shard is not the one asked for, was recorded from other documents than the corpus holds
            now, or does not fit the rest.
        """
        total: RunningCounts | None = None
        shared: dict[str, Any] = {}
        n_skipped = 0
        names = ("top_k", "experts_sha256", "weights_sha256", "n_experts_by_layer")
        for shard in self._read(paths, ACTIVATIONS, variant=variant):
            own = {name: shard.attrs.get(name, "") for name in names}
            tables = [shard.datasets["n_active"]]
            if own["n_experts_by_layer"]:
                entropy = shard.datasets.get("router_entropy")
                sums = [shard.datasets["gate_weight"], *([] if entropy is None else [entropy[:, :, None]])]
                tables += to_units(*sums)
            own["(layers, experts)"] = tables[0].shape[1:]
            shared = shared or own
            shard.require_same(own, shared)
            total = total or RunningCounts.zeros(self._n_blocks, [table.shape[1:] for table in tables])
            total.add(tables, shard.datasets["n_tokens"], shard.first_document // self._per_block)
            n_skipped += shard.attrs["n_skipped_documents"]
        assert total is not None
        routed = tuple(shared["n_experts_by_layer"])
        top_k = shared["top_k"]
        counts = total.finished_routers(top_k, routed) if routed else total.finished([top_k])[0]
        if self.corpus.unit is not None:
            counts = replace(counts, unit=self.corpus.unit[self.corpus.profile_idx])
        digests = {name: shared[name] for name in ("experts_sha256", "weights_sha256")}
        asked = {"documents_per_block": self.documents_per_block, "max_blocks": self.max_blocks}
        return counts, {**self._said(n_skipped), "variant": variant, **digests, **asked}

    def merge_neurons(self, paths: Sequence[str | Path]) -> tuple[NeuronTotals, dict[str, Any]]:
        """Add the sums of neurons of all shards, bit by bit as one job would have.

        Parameters, errors : as ``merge_counts``.

        Returns
        -------
        The sums, and the attributes of their file.
        """
        total: NeuronTotals | None = None
        n_skipped = 0
        for shard in self._read(paths, NEURON_SHARD):
            new = NeuronTotals(**shard.datasets)
            shape = new.n_positive.shape[1:]
            total = total or NeuronTotals.zeros(min(NEURON_BLOCKS, self._n_blocks), *shape)
            shard.require_same(
                {"(layers, neurons)": shape}, {"(layers, neurons)": total.n_positive.shape[1:]}
            )
            total.add(new, shard.first_document // self._per_block)
            n_skipped += shard.attrs["n_skipped_documents"]
        assert total is not None
        return total, self._said(n_skipped)

    def merge_peaks(self, paths: Sequence[str | Path]) -> tuple[Peaks, dict[str, Any]]:
        """Put the best tokens of all shards together, bit by bit as one job would have found them.

        Parameters, errors : as ``merge_counts``.

        Returns
        -------
        The tokens, and the attributes of their file.
        """
        total: Peaks | None = None
        shared: dict[str, Any] = {}
        n_skipped = 0
        for shard in self._read(paths, PEAK_SHARD):
            new = peaks_of(shard.datasets, int(shard.attrs["n_random"]))
            own = {
                "experts_sha256": shard.attrs["experts_sha256"],
                "(best, layers, neurons)": new.neuron.key.shape,
            }
            shared = shared or own
            shard.require_same(own, shared)
            total = new if total is None else total.merged(new)
            n_skipped += shard.attrs["n_skipped_documents"]
        assert total is not None
        return total, {**self._said(n_skipped), "experts_sha256": shared["experts_sha256"]}

    def merge_to_files(self, inputs: Any, outputs: Mapping[str, str]) -> None:
        """Merge the shards of every output and write it.

        Parameters
        ----------
        inputs : paths of the shards by name of the output: a variant, ``neurons`` or ``peaks``.
        outputs : paths by that name.
        """
        for name, path in outputs.items():
            if name == "neurons":
                sums, attrs = self.merge_neurons(inputs[name])
                write_neurons(path, sums, **attrs)
            elif name == "peaks":
                tokens, attrs = self.merge_peaks(inputs[name])
                write_peaks(path, PEAKS, tokens, **attrs)
            else:
                counts, attrs = self.merge_counts(inputs[name], name)
                write_activations(path, counts, **attrs)

    @property
    def _n_blocks(self) -> int:
        n_documents = len(self.corpus.profile_idx)
        most = n_documents if self.corpus.unit is not None else self.max_blocks
        return min(most, -(-n_documents // self._per_block))

    @property
    def _per_block(self) -> int:
        """Documents of a block; parallel ones are kept apart."""
        return self.documents_per_block if self.corpus.unit is None else 1

    def _said(self, n_skipped: int) -> dict[str, Any]:
        """Attributes of the file of all shards that each shard has, too."""
        return {
            "model": self.model,
            "language": self.language,
            "documents_sha256": documents_digest(self.corpus, self.corpus.profile_idx),
            "n_skipped_documents": n_skipped,
        }

    def _read(self, paths: Sequence[str | Path], kind: Kind, **said: str) -> Iterator[_Shard]:
        """Every shard that has documents, one at a time; at least one."""
        n_documents = len(self.corpus.profile_idx)
        require(n_documents > 0, "no profile document to merge: every document of the corpus is held out")
        for path, name in zip(paths, shard_names(n_documents, self.documents_per_shard), strict=False):
            datasets, attrs = read_h5(path, kind, model=self.model, language=self.language, **said)
            document_idx = shard_documents(self.corpus, name, self.documents_per_shard)
            if attrs.get("documents_sha256") != documents_digest(self.corpus, document_idx):
                raise BabelscopeError(
                    f"{path}: recorded from other documents than those of the corpus now; {kind.remake}"
                )
            yield _Shard(path, int(name) * self.documents_per_shard, datasets, attrs)


@dataclass(frozen=True)
class _Shard:
    """One file, and the number of its first document."""

    path: str | Path
    first_document: int
    datasets: dict[str, np.ndarray]
    attrs: dict[str, Any]

    def require_same(self, own: dict[str, Any], shared: dict[str, Any]) -> None:
        """Refuse a shard that was made in another way than those before it."""
        if own != shared:
            raise BabelscopeError(
                f"{self.path}: made with {own}, the shards before with {shared}; delete the older ones and "
                f"run again: rule {ACTIVATIONS.rule} remakes them"
            )

"""Recordings with known truth: languages whose frequencies are drawn with or without families."""

import numpy as np

from babelscope.recording.counts import ActivationCounts
from babelscope.study.languages import Language

PAPER_LANGUAGES = [
    Language("en", "English", "Indo-European", "Germanic", "Latn", "European", "Europe"),
    Language("fr", "French", "Indo-European", "Romance", "Latn", "European", "Europe"),
    Language("es", "Spanish", "Indo-European", "Romance", "Latn", "European", "Europe"),
    Language("pt", "Portuguese", "Indo-European", "Romance", "Latn", "European", "Europe"),
    Language("bn", "Bengali", "Indo-European", "Indic", "Beng", "Brahmic", "South Asia"),
    Language("ur", "Urdu", "Indo-European", "Indic", "Arab", "Middle Eastern", "South Asia"),
    Language("hi", "Hindi", "Indo-European", "Indic", "Deva", "Brahmic", "South Asia"),
    Language("ar", "Arabic", "Afro-Asiatic", "Semitic", "Arab", "Middle Eastern", "Middle East"),
    Language("zh", "Chinese", "Sino-Tibetan", "Chinese", "Hans", "East Asian", "East Asia"),
]
CODES = [row.code for row in PAPER_LANGUAGES]
GENERA = [row.genus for row in PAPER_LANGUAGES]


def draw_truth(rng, labels, n_layers=3, n_experts=24, own=0.4, family=0.0):
    """True frequencies, float64 (n_languages, n_layers, n_experts): a common part, one of the label, an own.

    ``own`` and ``family`` are standard deviations of log frequency. The sum over experts is the same for
    all languages, as ``top_k`` makes it.
    """
    shape = (n_layers, n_experts)
    common = rng.normal(0, 1, shape)
    of_label = {label: rng.normal(0, family, shape) for label in sorted(set(labels))}
    logs = np.stack([common + of_label[label] + rng.normal(0, own, shape) for label in labels])
    weights = np.exp(logs)
    return weights / weights.sum(axis=(1, 2), keepdims=True)


def draw_counts(rng, truth, n_blocks=8, tokens_per_block=300, top_k=6, scatter=0.0):
    """Counts of every language; ``scatter`` is the standard deviation of log frequency between blocks."""
    counts = []
    for shares in truth:
        n_tokens = rng.integers(tokens_per_block // 2, tokens_per_block * 3 // 2, n_blocks)
        blocks = np.exp(rng.normal(0, scatter, (n_blocks, *shares.shape))) * shares
        flat = blocks.reshape(n_blocks, -1)
        flat /= flat.sum(axis=1, keepdims=True)
        n_active = np.stack([rng.multinomial(top_k * n, p) for n, p in zip(n_tokens, flat, strict=True)])
        counts.append(ActivationCounts(n_active.reshape(n_blocks, *shares.shape), n_tokens, top_k))
    return counts

"""Results of the human comparison: rates with intervals, and how far they agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from krippendorff import alpha
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_kappa
from statsmodels.stats.proportion import proportion_confint

from babelscope.responses.page import Annotation, read_annotation
from babelscope.study.errors import BabelscopeError

OUTCOMES = {"win": 1, "tie": 0, "loss": -1}


def summarise_annotations(
    files: Iterable[str | Path], digests: Mapping[str, str] | None = None, model: str | None = None
) -> list[dict[str, Any]]:
    """Rates at which the pruned model's responses were judged better, comparable and worse, and agreement.

    Parameters
    ----------
    files : exported by any number of annotators, in any number of languages, of one model.
    digests : language -> ``compute_items_digest`` of the page that should have been judged; without it, files
        of one language are only compared with each other.
    model : whose page it was; without it, files are only compared with each other.

    Returns
    -------
    rows : one a language, sorted, then one over ``"all"`` of them, where every judgement weighs the same.
        ``model``, ``language``, ``n_items`` (judged by anyone), ``n_page_items``, ``n_annotators``,
        ``n_judgements``; ``{win,tie,loss}_rate`` with ``_low`` and ``_high``, the 95 % interval of
        ``share_interval``; ``alpha_nominal`` and ``alpha_ordinal`` (Krippendorff, missing judgements allowed)
        and ``fleiss_kappa`` (only where all judged items have equally many judgements), None where undefined.

    Raises
    ------
    BabelscopeError
        Where a file is wrong (``read_annotation``), an annotator has two files of one language, files of a
        language are of different pages, files are of different models, or there is no file.
    """
    by_language: dict[str, list[Annotation]] = {}
    for annotation in (read_annotation(path) for path in files):
        _check_beside(annotation, by_language, digests, model)
        by_language.setdefault(annotation.language, []).append(annotation)
    if not by_language:
        raise BabelscopeError("no annotation files to summarise")
    rows = [_summarise(name, by_language[name]) for name in sorted(by_language)]
    return [*rows, _summarise("all", [a for name in sorted(by_language) for a in by_language[name]])]


def krippendorff_alpha(ratings: np.ndarray, level: Literal["nominal", "ordinal"]) -> float | None:
    """Krippendorff's alpha: 1 is perfect agreement, 0 what chance gives, below 0 is systematic disagreement.

    Parameters
    ----------
    ratings : float (n_annotators, n_items)
        Any set of values; NaN where an annotator did not judge the item.
    level : ``"nominal"`` weighs all disagreements equally; ``"ordinal"`` counts the ranks between two values.

    Returns
    -------
    Alpha, at most 1; None where it is not defined: no item has two ratings, or all ratings are the same.

    Raises
    ------
    BabelscopeError
        Where ``ratings`` has not two axes.

    References
    ----------
    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, sections D and E.
    """
    if ratings.ndim != 2:
        raise BabelscopeError(f"ratings have shape {ratings.shape}, need (n_annotators, n_items)")
    paired = ratings[:, (~np.isnan(ratings)).sum(axis=0) >= 2]
    if len(np.unique(paired[~np.isnan(paired)])) < 2:
        return None
    return float(alpha(paired, level_of_measurement=level))


def fleiss_kappa(counts: np.ndarray) -> float | None:
    """Fleiss' kappa (Fleiss 1971) of items that all have the same number of ratings.

    Parameters
    ----------
    counts : int (n_items, n_categories)
        How many annotators put the item into the category.

    Returns
    -------
    Kappa, at most 1; None where it is not defined: unequal numbers of ratings, fewer than two of them, no
    item, or all ratings in one category.
    """
    n_ratings = counts.sum(axis=1)
    if len(counts) == 0 or n_ratings.min() != n_ratings.max() or n_ratings[0] < 2:
        return None
    if (counts.sum(axis=0) > 0).sum() < 2:
        return None
    return float(statsmodels_kappa(counts, method="fleiss"))


def share_interval(
    counts: np.ndarray, n_ratings: np.ndarray, level: float = 0.95
) -> tuple[float, float, float]:
    """Share of ratings with its Wilson interval, where ratings of one item are not independent.

    The Wilson interval is taken at the effective number of ratings: the number of independent ones that would
    give the variance between items that was seen (ratio estimator, items as clusters; Korn and Graubard 1998,
    Dean and Pagano 2015). It lies between the number of items and the number of ratings, so one annotator
    gives the plain Wilson interval, and annotators who always agree give that of one annotator.

    Parameters
    ----------
    counts : int (n_items,)
        Ratings of the item that are of the kind whose share is asked.
    n_ratings : int (n_items,)
        All ratings of the item, at least 1.
    level : coverage, in (0, 1).

    Returns
    -------
    share, low, high : in [0, 1].

    Raises
    ------
    BabelscopeError
        Where there is no item, or an item without a rating.
    """
    n_items = len(counts)
    if n_items == 0 or n_ratings.min() < 1:
        raise BabelscopeError("a share needs at least one item, and at least one rating of every item")
    n_total = int(n_ratings.sum())
    share = float(counts.sum() / n_total)
    n_effective = float(n_items)
    if n_items > 1 and 0 < share < 1:
        residuals = counts - share * n_ratings
        variance = n_items / (n_items - 1) * float((residuals**2).sum()) / n_total**2
        n_effective = share * (1 - share) / variance if variance > 0 else float(n_total)
    n_effective = min(max(n_effective, n_items), n_total)
    low, high = proportion_confint(share * n_effective, n_effective, alpha=1 - level, method="wilson")
    return share, max(0.0, float(low)), min(1.0, float(high))


def _summarise(language: str, annotations: Sequence[Annotation]) -> dict[str, Any]:
    names = sorted({_same_person(annotation.annotator) for annotation in annotations})
    items = sorted({(a.language, item_id) for a in annotations for item_id in a.outcomes})
    item_idx = {item: idx for idx, item in enumerate(items)}
    ratings = np.full((len(names), len(items)), np.nan)
    for a in annotations:
        for item_id, outcome in a.outcomes.items():
            ratings[names.index(_same_person(a.annotator)), item_idx[a.language, item_id]] = outcome
    n_ratings = (~np.isnan(ratings)).sum(axis=0)
    row: dict[str, Any] = {
        "model": annotations[0].model,
        "language": language,
        "n_items": len(items),
        "n_page_items": sum({a.language: a.n_items for a in annotations}.values()),
        "n_annotators": len(names),
        "n_judgements": int(n_ratings.sum()),
    }
    counts = np.stack([(ratings == value).sum(axis=0) for value in OUTCOMES.values()], axis=1)
    for name, column in zip(OUTCOMES, counts.T, strict=True):
        row[f"{name}_rate"], row[f"{name}_low"], row[f"{name}_high"] = share_interval(column, n_ratings)
    row["alpha_nominal"] = krippendorff_alpha(ratings, "nominal")
    row["alpha_ordinal"] = krippendorff_alpha(ratings, "ordinal")
    row["fleiss_kappa"] = fleiss_kappa(counts)
    return row


def _check_beside(
    annotation: Annotation,
    by_language: Mapping[str, Sequence[Annotation]],
    digests: Mapping[str, str] | None,
    model: str | None,
) -> None:
    """Refuse a file that does not belong to those already read."""
    path, language = annotation.path, annotation.language
    if model is not None and annotation.model != model:
        raise BabelscopeError(
            f"{path}: is about model {annotation.model!r:.80}, this summary is about {model!r}"
        )
    others = [other for group in by_language.values() for other in group]
    if others and others[0].model != annotation.model:
        raise BabelscopeError(
            f"{path}: is about model {annotation.model!r}, {others[0].path} about {others[0].model!r}; "
            "summarise one model at a time"
        )
    if digests is not None and digests.get(language) != annotation.items_digest:
        raise BabelscopeError(
            f"{path}: judges the page with digest {annotation.items_digest[:12]}, the page of language "
            f"{language!r} has {(digests.get(language) or 'none')[:12]}; the responses were made again since"
        )
    for other in by_language.get(language, ()):
        if other.items_digest != annotation.items_digest:
            raise BabelscopeError(
                f"{path}: judges the page with digest {annotation.items_digest[:12]}, {other.path} that with "
                f"{other.items_digest[:12]}; files of language {language!r} must come from the same page"
            )
        if _same_person(other.annotator) == _same_person(annotation.annotator):
            raise BabelscopeError(
                f"{path}: annotator {annotation.annotator!r} has judged language {language!r} already in "
                f"{other.path}; keep one of the two files"
            )


def _same_person(annotator: str) -> str:
    return annotator.casefold()

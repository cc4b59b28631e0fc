"""Size and power of the tests of families: frequencies are drawn from the languages' real predictors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tests.unit.simulated_counts import draw_counts

from babelscope.comparison.measures import MEASURES, as_distances, compare_layers, total_measures
from babelscope.comparison.similarity import stack_frequencies
from babelscope.evidence.families import Question, claim_questions
from babelscope.evidence.predictors import GROUPINGS, KINSHIP, choose, count_characters, predictors_of
from babelscope.model.info import read_model_info
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.permutation import compare_groups, mantel
from babelscope.statistics.ratios import wilson
from babelscope.study.languages import Language, read_languages
from babelscope.text.documents import sample_documents
from babelscope.text.tokenise import load_encoder, tokenize_documents

ROOT = Path(__file__).resolve().parents[1]
LEVEL = 0.05
CHUNK = 25  # studies of one task
N_PERMUTATIONS = 199  # p values are multiples of 1/200, so that a level of 5 % can be met exactly
OWN = 0.4  # standard deviation of log frequency that is a language's own
STRENGTH = 0.4  # the same of every planted part
NULLS = ("script", "script_family", "area", "fertility", "vocabulary")
ALL = "all three"
Predictors = Mapping[str, np.ndarray]
Row = dict[str, Any]


def real_predictors(codes: Sequence[str], model: Path) -> dict[str, np.ndarray]:
    """Predictors of the languages from 300 packaged sentences each, cut by the model's tokenizer."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    sources, info = config["corpus"]["sources"], read_model_info(model)
    encode, table = load_encoder(info), read_languages()
    corpora, n_characters = [], []
    for code in codes:
        documents = sample_documents(
            code,
            sources.get(code, sources["default"]),
            profile_documents=300,
            heldout_documents=1,
            min_characters=10,
            max_characters=4000,
            allow_fewer=True,
            seed=0,
        )
        corpora.append(tokenize_documents(documents, encode, 200, -1))
        n_characters.append(count_characters(corpora[-1], [one.text for one in documents]))
    return predictors_of([table[code] for code in codes], corpora, n_characters)


def coordinates(predictor: np.ndarray) -> np.ndarray:
    """Places of the languages whose expected squared distances follow a predictor; mean square 1.

    Classical scaling of the root of the predictor; what no place can give (negative eigenvalues) is left out.
    """
    n = len(predictor)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ np.maximum(predictor, 0.0) @ centring)
    places = vectors * np.sqrt(np.maximum(values, 0.0))
    return places / np.sqrt((places**2).sum() / n)


def draw_study(
    rng: np.random.Generator,
    predictors: Predictors,
    strengths: Mapping[str, float],
    own: float = OWN,
    shape: tuple[int, int] = (3, 24),
) -> list[ActivationCounts]:
    """Counts of languages whose log frequencies have a common part, parts by predictors, and an own part."""
    n = len(next(iter(predictors.values())))
    logs = rng.normal(0, 1, shape) + rng.normal(0, own, (n, *shape))
    for name, strength in strengths.items():
        places = coordinates(predictors[name])
        logs += strength * np.tensordot(places, rng.normal(0, 1, (n, *shape)), 1)
    weights = np.exp(logs)
    truth = weights / weights.sum(axis=(1, 2), keepdims=True)
    return draw_counts(rng, truth, n_blocks=8, tokens_per_block=1000)


def quick_p_value(
    question: Question,
    distance: np.ndarray,
    languages: Sequence[Language],
    predictors: Predictors,
    rng: np.random.Generator,
) -> float:
    """The same test as ``Question.ask`` with fewer permutations; NaN where there is nothing to ask."""
    members = question.members(languages)
    part, few = distance[np.ix_(members, members)], {"max_exact": 0, "n_random": N_PERMUTATIONS}
    if question.test == "groups":
        labels = [GROUPINGS[question.predictor](languages[idx]) for idx in members]
        test = compare_groups(part, labels, rng, **few)
    else:
        chosen = choose(predictors, members)
        test = mantel(part, chosen[question.predictor], rng, [chosen[c] for c in question.controls], **few)
    return np.nan if test is None else test.p_value


def scenarios() -> Iterator[tuple[str, str, dict[str, float]]]:
    """Kind, name, and planted parts of every scenario."""
    yield "null", "nothing", {}
    for name in NULLS:
        yield "null", name, {name: STRENGTH}
    yield "null", "all of these", dict.fromkeys(NULLS, STRENGTH)
    for strength in (0.2, 0.4, 0.8):
        yield "effect", f"kinship {strength:g}", {KINSHIP: strength}
    yield "effect", "kinship 0.4 and all of these", {KINSHIP: STRENGTH, **dict.fromkeys(NULLS, STRENGTH)}


def questions_of(languages: Sequence[Language], predictors: Predictors) -> dict[str, Question]:
    """The tests that decide claims, and genealogy with nothing held constant."""
    return {"genealogy_alone": Question("mantel", KINSHIP), **claim_questions(languages, predictors)}


def count_rejections(
    codes: Sequence[str], predictors: Predictors, name: str, strengths: Mapping[str, float], chunk: int
) -> dict[str, list[int]]:
    """Rejections at 5 % of every question in the studies of one task, by measure and by all measures."""
    table = read_languages()
    languages = [table[code] for code in codes]
    questions = questions_of(languages, predictors)
    rng = np.random.default_rng([0, chunk, len(languages), *name.encode()])
    p_values = np.full((CHUNK, len(MEASURES), len(questions)), np.nan)
    for study in range(CHUNK):
        counts = draw_study(rng, predictors, strengths)
        distances = as_distances(total_measures(compare_layers(*stack_frequencies(counts))))
        for m, distance in enumerate(distances.values()):
            for q, question in enumerate(questions.values()):
                p_values[study, m, q] = quick_p_value(question, distance, languages, predictors, rng)
    # a verdict about kinship needs all measures: the largest p value
    every = np.concatenate([p_values, p_values.max(axis=1, keepdims=True)], axis=1)
    rejected = (every <= LEVEL).sum(axis=0).T
    return dict(zip(questions, rejected.tolist(), strict=True))


def test_tasks(codes: Sequence[str], predictors: Predictors, n_studies: int) -> dict[str, Any]:
    """Calls of ``count_rejections`` by key: number of languages, scenario and number of the task."""
    return {
        f"{len(codes)}|{name}|{chunk}": partial(
            count_rejections, list(codes), dict(predictors), name, strengths, chunk
        )
        for chunk in range(-(-n_studies // CHUNK))
        for _, name, strengths in scenarios()
    }


def tabulate_tests(n_languages: int, found: Mapping[str, Any]) -> list[Row]:
    """Share of studies in which each test rejects at 5 %, by scenario and measure, with 95 % intervals."""
    rows: list[Row] = []
    for kind, name, _ in scenarios():
        parts = [part for key, part in found.items() if key.startswith(f"{n_languages}|{name}|")]
        studies = CHUNK * len(parts)
        for m, measure in enumerate([*MEASURES, ALL]):
            row = {"n_languages": n_languages, "kind": kind, "scenario": name, "measure": measure}
            row["studies"] = studies
            for question in parts[0] if parts else ():
                rejected = sum(part[question][m] for part in parts)
                low, high = wilson(rejected, studies)
                row |= {question: rejected / studies, f"{question}_low": low, f"{question}_high": high}
            if parts:
                rows.append(row)
    return rows

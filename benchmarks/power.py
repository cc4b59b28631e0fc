"""Planted truth: how often the tests of the evidence reject where nothing is, and where something is.

Languages, scripts, areas, vocabularies and fertilities are the real ones; frequencies are drawn from them.

    python benchmarks/power.py tests --studies 1000        # null x test: size; effect x test: power
    python benchmarks/power.py verdicts --studies 200   # a false "holds" where nothing is
    python benchmarks/power.py experts                     # planted language- and family-specific neurons

Tables are written to benchmarks/results/power_*.csv. `make bench-power` runs all three.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from babelscope.comparison.measures import MEASURES, as_distances, compare_layers, total_measures
from babelscope.comparison.similarity import stack_frequencies
from babelscope.evidence.claim_statistics import Setting
from babelscope.evidence.claims import HOLDS, read_criteria
from babelscope.evidence.draws import draw
from babelscope.evidence.families import Question, claim_questions, relate_to_families
from babelscope.evidence.predictors import GROUPINGS, KINSHIP, choose, count_characters, predictors_of
from babelscope.evidence.replicates import corrected_distances, replicate_claims, study_settings
from babelscope.evidence.robustness import MainStudy
from babelscope.evidence.specificity import index_experts
from babelscope.experts.clustering import cluster_neurons
from babelscope.files.tables import write_table
from babelscope.model.info import read_model_info
from babelscope.recording.counts import ActivationCounts
from babelscope.statistics.permutation import compare_groups, mantel
from babelscope.study.languages import Language, read_languages
from babelscope.text.documents import sample_documents
from babelscope.text.tokenise import load_encoder, tokenize_documents

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT))
LEVEL = 0.05
N_PERMUTATIONS = 199  # p values are multiples of 1/200, so that a level of 5 % can be met exactly
OWN = 0.4  # standard deviation of log frequency that is a language's own
STRENGTH = 0.4  # the same of every planted part
Row = dict[str, Any]
NULLS = ("script", "script_family", "area", "fertility", "vocabulary")


def real_predictors(codes: Sequence[str], model: Path) -> tuple[list[Language], dict[str, np.ndarray]]:
    """Languages and their predictors from 300 packaged sentences each."""
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
    languages = [table[code] for code in codes]
    return languages, predictors_of(languages, corpora, n_characters)


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
    predictors: Mapping[str, np.ndarray],
    strengths: Mapping[str, float],
    own: float = OWN,
    shape: tuple[int, int] = (3, 24),
) -> list[ActivationCounts]:
    """Counts of languages whose log frequencies have a common part, parts by predictors, and an own part."""
    from tests.unit.simulated_counts import draw_counts

    n = len(next(iter(predictors.values())))
    logs = rng.normal(0, 1, shape) + rng.normal(0, own, (n, *shape))
    for name, strength in strengths.items():
        places = coordinates(predictors[name])
        logs += strength * np.tensordot(places, rng.normal(0, 1, (n, *shape)), 1)
    weights = np.exp(logs)
    return draw_counts(
        rng, weights / weights.sum(axis=(1, 2), keepdims=True), n_blocks=8, tokens_per_block=1000
    )


def distances_of(counts: Sequence[ActivationCounts]) -> dict[str, np.ndarray]:
    """Symmetric distances by measure, without correction for noise."""
    return as_distances(total_measures(compare_layers(*stack_frequencies(counts))))


def quick_p_value(
    question: Question,
    distance: np.ndarray,
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
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


def run_tests(
    languages: Sequence[Language], predictors: Mapping[str, np.ndarray], n_studies: int
) -> list[Row]:
    """Share of studies in which each test rejects at 5 %, by scenario and measure."""
    questions = {"genealogy alone": Question("mantel", KINSHIP), **claim_questions(languages, predictors)}
    rows: list[Row] = []
    for kind, name, strengths in scenarios():
        rng = np.random.default_rng([0, len(languages), *name.encode()])
        p_values = np.full((n_studies, len(MEASURES), len(questions)), np.nan)
        for study in range(n_studies):
            distances = distances_of(draw_study(rng, predictors, strengths))
            for m, distance in enumerate(distances.values()):
                for q, question in enumerate(questions.values()):
                    p_values[study, m, q] = quick_p_value(question, distance, languages, predictors, rng)
        # a verdict about kinship needs all measures: the largest p value
        every = np.concatenate([p_values, p_values.max(axis=1, keepdims=True)], axis=1)
        rates = (every <= LEVEL).mean(axis=0)
        for m, measure in enumerate([*MEASURES, "all"]):
            row = {"n_languages": len(languages), "kind": kind, "scenario": name, "measure": measure}
            rows.append(row | {"studies": n_studies} | dict(zip(questions, rates[m].tolist(), strict=True)))
        print(rows[-1], flush=True)
    return rows


def run_verdicts(
    languages: Sequence[Language], predictors: Mapping[str, np.ndarray], n_studies: int
) -> list[Row]:
    """Rate of a false "holds" of each verdict about languages, and of any of them, without effect."""
    criteria = read_criteria(ROOT / "resources" / "claims.yaml")
    paper = json.loads((ROOT / "resources" / "paper.json").read_text(encoding="utf-8"))
    settings: dict[str, Setting] = study_settings(0.02, [])
    rows: list[Row] = []
    for name, own in (("languages are the same", 0.0), ("every language has a part of its own", OWN)):
        rng = np.random.default_rng([1, *name.encode()])
        holds: dict[str, int] = {}
        anywhere = 0
        for study in range(n_studies):
            counts = draw_study(rng, predictors, {}, own)
            draws = draw(counts, [row.code for row in languages], 100, study)
            replicates = replicate_claims(draws, languages, settings)
            tests = relate_to_families(corrected_distances(replicates), languages, predictors, study)
            found = MainStudy(replicates, tests).main_rows(criteria, paper)
            about = [row for row in found if row.id.split(".")[0] in ("families", "neighbours", "measures")]
            anywhere += any(row.verdict == HOLDS for row in about)
            for row in about:
                holds[row.id] = holds.get(row.id, 0) + (row.verdict == HOLDS)
        tally = {**holds, "any": anywhere}
        rows += [
            {"scenario": name, "verdict": key, "studies": n_studies, "holds": number / n_studies}
            for key, number in tally.items()
        ]
        print(rows[-1], flush=True)
    return rows


def plant(
    rng: np.random.Generator, languages: Sequence[Language], ratio: float, n_tokens: int, method: str
) -> tuple[list[ActivationCounts], np.ndarray, np.ndarray, np.ndarray]:
    """Counts of one layer of 256 experts of 8 neurons; 128 neurons per language and per genus are planted.

    The row of a planted neuron points in its target's direction, in noise; so clustering can find it.

    Parameters
    ----------
    ratio : how much more often a planted neuron fires in its target. n_tokens : per language, in 30 blocks.
    method : how neurons are grouped, a method of ``cluster_neurons``.

    Returns
    -------
    counts : of every language. labels : expert of each neuron, (2048,). target : of each neuron, -1 for none;
    languages first, then genera. rates : true share of activity, (n_languages, 256).
    """
    targets = planted_targets(languages)
    target = np.full(2048, -1)
    target[: 128 * len(targets)] = np.repeat(np.arange(len(targets)), 128)
    rows = rng.normal(0, 1, (2048, 32))
    directions = rng.normal(0, 1, (len(targets), 32))
    rows[target >= 0] += 2 * directions[target[target >= 0]]
    labels = cluster_neurons(
        rows.astype(np.float32), 256, method=method, seed=int(rng.integers(2**31))
    ).labels
    base, raised = np.exp(rng.normal(0, 0.7, 2048)), np.ones((len(languages), 2048))
    for number, members in enumerate(targets.values()):
        raised[np.ix_(members, np.flatnonzero(target == number))] = ratio
    rates = np.stack([np.bincount(labels, base * row, minlength=256) for row in raised])
    rates /= rates.sum(axis=1, keepdims=True)
    per_block, counts = max(1, n_tokens // 30), []
    for row in rates:
        blocks = np.exp(rng.normal(0, 0.1, (30, 256))) * row
        blocks /= blocks.sum(axis=1, keepdims=True)
        n_active = np.stack([rng.multinomial(25 * per_block, p) for p in blocks])
        counts.append(ActivationCounts(n_active[:, None], np.full(30, per_block), 25))
    return counts, labels, target, rates


def planted_targets(languages: Sequence[Language]) -> dict[str, list[int]]:
    """Languages, then genera of two or more, with the languages that each is made of."""
    genera: dict[str, list[int]] = {}
    for idx, row in enumerate(languages):
        genera.setdefault(row.genus, []).append(idx)
    return {row.code: [idx] for idx, row in enumerate(languages)} | {
        g: m for g, m in genera.items() if len(m) > 1
    }


def run_experts(languages: Sequence[Language], n_studies: int) -> list[Row]:
    """Recall and false discoveries of planted neurons by ratio, tokens and grouping."""
    targets, n = planted_targets(languages), len(languages)
    rows: list[Row] = []
    for method, ratio, n_tokens in itertools.product(
        ("balanced_kmeans", "random"), (1.2, 1.5, 2.0, 3.0, 4.0), (1_000, 5_000, 20_000)
    ):
        rng = np.random.default_rng([2, int(10 * ratio), n_tokens, len(method)])
        sums = np.zeros(7)
        for _ in range(n_studies):
            counts, labels, target, rates = plant(rng, languages, ratio, n_tokens, method)
            index = index_experts(counts, languages, 0.05)
            # an expert is named for a language that is above all others, for a genus by its class
            named = np.where(index.q_value <= LEVEL, index.top, -1)
            of_genus = np.array([list(targets).index(g) if k == "family-specific" and g in targets else -1
                                 for k, g in zip(index.kind, index.group, strict=True)])  # fmt: skip
            wrong = (named >= 0) & (rates.argmax(axis=0) != named)
            hit, in_genus = named[labels], of_genus[labels]
            own, kin = (target >= 0) & (target < n), target >= n
            sums += [
                own.sum(), (own & (hit == target)).sum(), (hit >= 0).sum(), (named >= 0).sum(), wrong.sum(),
                (kin & (in_genus == target)).sum(), kin.sum(),
            ]  # fmt: skip
        planted, right, covered, experts, false, kin_right, kin_all = sums
        rows.append(
            {
                "grouping": method, "ratio": ratio, "n_tokens": n_tokens, "studies": n_studies,
                "recall": right / planted, "experts_named": experts / n_studies,
                "false_discovery_rate": false / max(experts, 1),
                "planted_neurons_in_named": right / max(covered, 1), "genus_recall": kin_right / kin_all,
            }
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["tests", "verdicts", "experts"])
    parser.add_argument("--studies", type=int, default=200, help="simulated studies of each scenario")
    parser.add_argument("--model", type=Path, default=ROOT / "results" / "gemma-3-270m" / "model.json")
    parser.add_argument(
        "--config", type=Path, default=ROOT / "config" / "config.yaml", help="has the languages"
    )
    args = parser.parse_args()
    codes = yaml.safe_load(args.config.read_text(encoding="utf-8"))["languages"]
    if args.part == "experts":
        rows = run_experts([read_languages()[code] for code in codes], args.studies)
    else:
        languages, predictors = real_predictors(codes, args.model)
        rows = (run_tests if args.part == "tests" else run_verdicts)(languages, predictors, args.studies)
    RESULTS.mkdir(exist_ok=True)
    write_table(RESULTS / f"power_{args.part}_{len(codes)}.csv", rows, tuple(rows[0]))


if __name__ == "__main__":
    main()

"""Is the similarity of languages a matter of kinship, of script or area, or of how the tokenizer cuts them?

A test of *groups* asks whether languages of one genus are nearer to each other, for whatever reason: script
and vocabulary make it reject too. What is said about *kinship* rests on genealogy with everything else held
constant, and on languages that are written in one script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import false_discovery_control

from babelscope.evidence.predictors import ENCODINGS, GROUPINGS, KINSHIP, SENTENCES, choose
from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import LANGUAGES, DatasetSpec, Kind
from babelscope.statistics.permutation import PermutationTest, compare_groups, mantel
from babelscope.study.languages import Language

FAMILY_TESTS = Kind(
    "family_tests",
    "evidence/families.h5",
    "relate_families",
    ("model",),
    {
        "measure": DatasetSpec("str", ("test",), "measure of similarity"),
        "test": DatasetSpec("str", ("test",), "groups, mantel or partial_mantel"),
        "predictor": DatasetSpec("str", ("test",), "what should explain the distance"),
        "controls": DatasetSpec("str", ("test",), "predictors held constant, joined by +"),
        "within": DatasetSpec("str", ("test",), "script that all languages of the test share; empty: all"),
        "statistic": DatasetSpec("float64", ("test",), "what was permuted"),
        "effect": DatasetSpec("float64", ("test",), "effect size", low=-1.000001, high=1.000001),
        "p_value": DatasetSpec("float64", ("test",), "one-sided", low=0, high=1),
        "p_adjusted": DatasetSpec("float64", ("test",), "controls the false discoveries", low=0, high=1),
        "n_assignments": DatasetSpec("int64", ("test",), "assignments looked at", low=1),
        "exact": DatasetSpec("bool", ("test",), "true: these are all"),
        "effect_low": DatasetSpec("float64", ("test",), "lowest effect without one language"),
        "effect_high": DatasetSpec("float64", ("test",), "highest effect without one language"),
        "p_high": DatasetSpec("float64", ("test",), "highest p value without one language"),
        "p_partition": DatasetSpec("float64", ("test",), "highest p value of a single partition"),
        "without": DatasetSpec("str", ("test",), "the language without which it is highest"),
        "languages": LANGUAGES,
        "predictors": DatasetSpec("str", ("predictor",), "names of the predictors"),
        "predictor_distances": DatasetSpec(
            "float64", ("predictor", "language", "language"), "how far apart languages are by each"
        ),
    },
    version=2,
)
FAMILY_COLUMNS = (
    "measure", "test", "predictor", "controls", "within", "statistic", "effect", "p_value", "p_adjusted",
    "n_assignments", "exact", "effect_low", "effect_high", "p_high", "p_partition", "without",
)  # fmt: skip
_TEXTS = frozenset({"measure", "test", "predictor", "controls", "within", "without"})
# Languages of one script differ neither in script nor in its family.
WITHIN_CONTROLS = ("area", "fertility", "vocabulary")


@dataclass(frozen=True)
class FamilyTest:
    """One test of one measure.

    Attributes
    ----------
    measure : of similarity. test : ``groups``, ``mantel`` or ``partial_mantel``.
    predictor : what should explain the distance. controls : predictors held constant, joined by ``+``.
    within : the script that all languages of the test share; empty for a test of all languages.
    statistic, effect, p_value, n_assignments, exact : see ``PermutationTest``.
    p_adjusted : p value that controls the false discovery rate over the measure's tests (Benjamini and
        Hochberg).
    effect_low, effect_high, p_high, without : of the tests about kinship: range of the effect and highest p
        value when one language is left out, and that language; of the others the test's own, and empty.
    p_partition : highest p value of one of the study's equivalent partitions by itself, of the tests that
        decide claims; of the others the test's own.
    """

    measure: str
    test: str
    predictor: str
    controls: str
    within: str
    statistic: float
    effect: float
    p_value: float
    p_adjusted: float
    n_assignments: int
    exact: bool
    effect_low: float
    effect_high: float
    p_high: float
    p_partition: float
    without: str = ""


@dataclass(frozen=True)
class Question:
    """The question of one test.

    Attributes
    ----------
    test : ``groups``, ``mantel`` or ``partial_mantel``. predictor : a grouping, or the name of a predictor.
    controls : predictors held constant. within : ask the languages of this script alone.
    """

    test: str
    predictor: str
    controls: tuple[str, ...] = ()
    within: str = ""

    def members(self, languages: Sequence[Language]) -> list[int]:
        """Indices of the languages that are asked."""
        return [idx for idx, row in enumerate(languages) if self.within in ("", row.script)]

    def ask(
        self,
        distance: np.ndarray,
        languages: Sequence[Language],
        predictors: Mapping[str, np.ndarray],
        seed: int,
        left_out: int | None = None,
    ) -> PermutationTest | None:
        """Test one distance, float64 (n, n); None for too few languages or where nothing is left to ask.

        Parameters
        ----------
        predictors : ``predictors_of``. seed : of random permutations, the test's own.
        left_out : index of a language to leave out.
        """
        members = [idx for idx in self.members(languages) if idx != left_out]
        if len(members) < 3:
            return None
        part = distance[np.ix_(members, members)]
        text = "\n".join([self.predictor, *self.controls])
        rng = np.random.default_rng([seed, len(members), *text.encode()])
        if self.test == "groups":
            return compare_groups(part, [GROUPINGS[self.predictor](languages[idx]) for idx in members], rng)
        chosen = choose({name: predictors[name] for name in (self.predictor, *self.controls)}, members)
        return mantel(part, chosen[self.predictor], rng, [chosen[name] for name in self.controls])


def other_explanations(predictors: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Predictors beside kinship that are held constant; other ways to count the same tokens are not."""
    return tuple(name for name in predictors if name not in (KINSHIP, *ENCODINGS, SENTENCES))


def claim_questions(
    languages: Sequence[Language], predictors: Mapping[str, np.ndarray]
) -> dict[str, Question]:
    """The tests that decide claims, by the name of their criterion; those about kinship end in ``genealogy``.

    ``script_genus`` and ``script_genealogy`` ask the languages of the most common script.
    """
    others = other_explanations(predictors)
    script = Counter(row.script for row in languages).most_common(1)[0][0]
    left = tuple(name for name in WITHIN_CONTROLS if name in predictors)
    return {
        "genus": Question("groups", "genus"),
        "genealogy": Question("partial_mantel" if others else "mantel", KINSHIP, others),
        "script_genus": Question("groups", "genus", within=script),
        "script_genealogy": Question("partial_mantel" if left else "mantel", KINSHIP, left, script),
    }


def relate_to_families(
    distances: Mapping[str, np.ndarray],
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    seed: int,
    partitions: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> list[FamilyTest]:
    """All tests of all measures.

    Parameters
    ----------
    distances : by measure float64 (n, n), symmetric, best corrected for noise.
    languages : in matrix order.
    predictors : ``predictors_of``; each is tested alone, ``genealogy`` also with each other one and with all
        of them held constant, and each other one with ``genealogy`` held constant.
    seed : of random permutations.
    partitions : by measure and equivalent partition, the distances of each by itself.

    Returns
    -------
    Tests that make sense with these languages: none for fewer than three, none about genera where no genus
    has two of them.
    """
    others = other_explanations(predictors)
    questions = [Question("groups", name) for name in GROUPINGS]
    questions += [Question("mantel", name) for name in predictors]
    questions += [Question("partial_mantel", KINSHIP, (name,)) for name in others]
    questions += [Question("partial_mantel", name, (KINSHIP,)) for name in others]
    if all(name in predictors for name in ENCODINGS):
        questions.append(Question("partial_mantel", ENCODINGS[0], ENCODINGS[1:]))
    deciding = claim_questions(languages, predictors)
    questions += [question for question in deciding.values() if question not in questions]
    about_kinship = {question for name, question in deciding.items() if name.endswith(KINSHIP)}
    alone: dict[tuple[str, Question], list[float]] = {}
    for measure, parts in (partitions or {}).items():
        for question in deciding.values():
            found = [question.ask(part, languages, predictors, seed) for part in parts.values()]
            alone[measure, question] = [test.p_value for test in found if test is not None]
    table: list[FamilyTest] = []
    for measure, distance in distances.items():
        given = (distance, languages, predictors, seed)
        asked = [(question, question.ask(*given)) for question in questions]
        done = [(question, outcome) for question, outcome in asked if outcome is not None]
        if not done:
            continue
        adjusted = false_discovery_control([outcome.p_value for _, outcome in done])
        for (question, o), p in zip(done, adjusted, strict=True):
            key = (measure, question.test, question.predictor, "+".join(question.controls), question.within)
            row = FamilyTest(
                *key,
                statistic=o.statistic,
                effect=o.effect,
                p_value=o.p_value,
                p_adjusted=float(p),
                n_assignments=o.n_assignments,
                exact=o.exact,
                effect_low=o.effect,
                effect_high=o.effect,
                p_high=o.p_value,
                p_partition=max([o.p_value, *alone.get((measure, question), [])]),
            )
            if question in about_kinship:
                row = replace(row, **_leave_out(question, *given))
            table.append(row)
    return table


def claim_p_values(
    distance: np.ndarray, languages: Sequence[Language], predictors: Mapping[str, np.ndarray], seed: int
) -> dict[str, float]:
    """P values of the tests that decide claims: those of the same name in ``relate_to_families``."""
    asked = {
        name: question.ask(distance, languages, predictors, seed)
        for name, question in claim_questions(languages, predictors).items()
    }
    return {name: test.p_value for name, test in asked.items() if test is not None}


def select_claim_tests(tests: Sequence[FamilyTest], measure: str) -> dict[str, FamilyTest]:
    """The same out of all tests of a study, by the name of their criterion."""
    found: dict[str, FamilyTest] = {}
    for test in tests:
        prefix = "script_" if test.within else ""
        if test.measure == measure and (test.test, test.predictor) == ("groups", "genus"):
            found[f"{prefix}genus"] = test
        if test.measure == measure and test.predictor == KINSHIP:
            found[prefix + KINSHIP] = test  # the last one holds the most constant
    return found


def write_family_tests(
    path: str | Path,
    tests: Sequence[FamilyTest],
    predictors: Mapping[str, np.ndarray],
    codes: Sequence[str],
    model: str,
) -> None:
    """Write ``evidence/families.h5``: the numbers that claims and figures read, and the predictors."""
    columns = {name: [getattr(test, name) for test in tests] for name in FAMILY_COLUMNS}
    dtypes = {"n_assignments": "int64", "exact": "bool"} | dict.fromkeys(_TEXTS, "object")
    datasets = {name: np.array(column, dtypes.get(name, "float64")) for name, column in columns.items()}
    datasets |= {"languages": list(codes), "predictors": list(predictors)}  # type: ignore[dict-item]
    datasets["predictor_distances"] = np.stack(list(predictors.values()))
    write_h5(path, FAMILY_TESTS, datasets, model=model)


def read_family_tests(path: str | Path, model: str, codes: Sequence[str]) -> list[FamilyTest]:
    """Read the tests of ``evidence/families.h5`` of this model and these languages."""
    found, _ = read_h5(path, FAMILY_TESTS, model=model, languages=list(codes))
    rows = zip(*(found[name].tolist() for name in FAMILY_COLUMNS), strict=True)
    return [FamilyTest(*row) for row in rows]


def read_family_predictors(path: str | Path, model: str, codes: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the predictors of ``evidence/families.h5``, by name float64 (n, n), as ``read_family_tests``."""
    found, _ = read_h5(path, FAMILY_TESTS, model=model, languages=list(codes))
    return dict(zip(found["predictors"], found["predictor_distances"], strict=True))


def _leave_out(
    question: Question,
    distance: np.ndarray,
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    seed: int,
) -> dict[str, Any]:
    """Range of the effect and highest p value without one language, and that language."""
    given = (distance, languages, predictors, seed)
    asked = {languages[idx].code: question.ask(*given, left_out=idx) for idx in question.members(languages)}
    found = {code: test for code, test in asked.items() if test is not None}
    if not found:
        return {}
    effects = [test.effect for test in found.values()]
    weakest = max(found, key=lambda code: found[code].p_value)
    numbers = {"effect_low": min(effects), "effect_high": max(effects), "p_high": found[weakest].p_value}
    return {**numbers, "without": weakest}

"""Is the similarity of languages a matter of family, of script, or of how the tokenizer cuts them?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import cophenet, leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import false_discovery_control

from babelscope.files.hdf5 import read_h5, write_h5
from babelscope.files.kind import DatasetSpec, Kind
from babelscope.statistics.permutation import PermutationTest, compare_groups, mantel
from babelscope.study.languages import Language
from babelscope.text.tokens import TokenizedCorpus, read_tokens

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
        "statistic": DatasetSpec("float64", ("test",), "what was permuted"),
        "effect": DatasetSpec("float64", ("test",), "effect size", low=-1.000001, high=1.000001),
        "p_value": DatasetSpec("float64", ("test",), "one-sided", low=0, high=1),
        "p_adjusted": DatasetSpec("float64", ("test",), "controls the false discoveries", low=0, high=1),
        "n_assignments": DatasetSpec("int64", ("test",), "assignments looked at", low=1),
        "exact": DatasetSpec("bool", ("test",), "true: these are all"),
    },
)
FAMILY_COLUMNS = (
    "measure", "test", "predictor", "controls", "statistic",
    "effect", "p_value", "p_adjusted", "n_assignments", "exact",
)  # fmt: skip
GROUPINGS: dict[str, Callable[[Language], str]] = {
    "genus": lambda row: f"{row.family}/{row.genus}",
    "family": lambda row: row.family,
    "script": lambda row: row.script,
}


@dataclass(frozen=True)
class FamilyTest:
    """One test of one measure.

    Attributes
    ----------
    measure : of similarity. test : ``groups``, ``mantel`` or ``partial_mantel``.
    predictor : what should explain the distance. controls : predictors held constant, joined by ``+``.
    statistic, effect, p_value, n_assignments, exact : see ``PermutationTest``.
    p_adjusted : p value that controls the false discovery rate over the measure's tests (Benjamini and
        Hochberg).
    """

    measure: str
    test: str
    predictor: str
    controls: str
    statistic: float
    effect: float
    p_value: float
    p_adjusted: float
    n_assignments: int
    exact: bool


@dataclass(frozen=True)
class Dendrogram:
    """Average linkage (UPGMA) of the languages.

    Attributes
    ----------
    linkage : float64 (n_languages - 1, 4), as scipy's. order : int64 (n_languages,), leaves from left to
        right.
    cophenetic : correlation between the distances and those in the tree, in [-1, 1]; NaN for two languages.
    support : float64 (n_languages - 1,), share of bootstrap replicates whose tree has the same clade.
    """

    linkage: np.ndarray
    order: np.ndarray
    cophenetic: float
    support: np.ndarray


def genealogical_distance(languages: Sequence[Language]) -> np.ndarray:
    """0 within a genus, 1 within a family, 2 between families, float64 (n, n)."""
    genus = _differs([f"{row.family}/{row.genus}" for row in languages])
    return genus + _differs([row.family for row in languages])


def script_distance(languages: Sequence[Language]) -> np.ndarray:
    """0 for one script, 1 for two, float64 (n, n)."""
    return _differs([row.script for row in languages])


def fertility(corpora: Sequence[TokenizedCorpus]) -> np.ndarray:
    """Tokens per UTF-8 byte of the profile documents, float64 (n_languages,)."""
    values = []
    for corpus in corpora:
        lengths = np.diff(corpus.offsets)[corpus.profile_idx]
        values.append(lengths.sum() / corpus.n_bytes[corpus.profile_idx].sum())
    return np.array(values, dtype=np.float64)


def fertility_distance(corpora: Sequence[TokenizedCorpus]) -> np.ndarray:
    """Absolute difference of the logarithms of fertility, float64 (n, n)."""
    logs = np.log(fertility(corpora))
    return np.abs(logs[:, None] - logs[None, :])


def vocabulary_distance(corpora: Sequence[TokenizedCorpus]) -> np.ndarray:
    """Share of tokens that two languages' profile documents do not have in common, float64 (n, n), in [0, 1].

    Total variation distance between the distributions over token ids: 1 less the sum over tokens of the
    smaller of the two shares.
    """
    n_vocabulary = max(int(corpus.token_ids.max()) for corpus in corpora) + 1
    shares = []
    for corpus in corpora:
        ids = np.concatenate([corpus.document(idx) for idx in corpus.profile_idx])
        shares.append(np.bincount(ids, minlength=n_vocabulary) / len(ids))
    table = np.stack(shares)
    table = table[:, table.any(axis=0)]
    return np.stack([1 - np.minimum(table, row).sum(axis=1) for row in table])


def predictors_of(languages: Sequence[Language], corpora: Sequence[TokenizedCorpus]) -> dict[str, np.ndarray]:
    """What could explain the distances: genealogy, script, fertility, vocabulary; each float64 (n, n)."""
    return {
        "genealogy": genealogical_distance(languages),
        "script": script_distance(languages),
        "fertility": fertility_distance(corpora),
        "vocabulary": vocabulary_distance(corpora),
    }


def read_predictors(
    languages: Sequence[Language], token_files: Sequence[str | Path], model: str
) -> dict[str, np.ndarray]:
    """``predictors_of`` with the token files of the languages, in their order."""
    pairs = zip(token_files, languages, strict=True)
    return predictors_of(languages, [read_tokens(path, model, row.code) for path, row in pairs])


def relate_to_families(
    distances: Mapping[str, np.ndarray],
    languages: Sequence[Language],
    predictors: Mapping[str, np.ndarray],
    seed: int,
) -> list[FamilyTest]:
    """All tests of all measures.

    Parameters
    ----------
    distances : by measure float64 (n, n), symmetric, best corrected for noise.
    languages : in matrix order.
    predictors : ``predictors_of``; each is tested alone, ``genealogy`` also with each other one and with all
        of them held constant, and each other one with ``genealogy`` held constant.
    seed : of random permutations.

    Returns
    -------
    Tests that make sense with these languages: none for fewer than three, none about genera where no genus
    has two of them.
    """
    others = [name for name in predictors if name != "genealogy"]
    questions: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in predictors]
    questions += [("genealogy", (name,)) for name in others]
    questions += [(name, ("genealogy",)) for name in others]
    if len(others) > 1:
        questions.append(("genealogy", tuple(others)))
    table: list[FamilyTest] = []
    for measure, distance in distances.items():
        found: dict[tuple[str, str, str], PermutationTest | None] = {
            ("groups", name, ""): ask_groups(distance, languages, name, seed) for name in GROUPINGS
        }
        for name, controls in questions:
            test = "partial_mantel" if controls else "mantel"
            outcome = ask_predictor(distance, predictors, name, controls, seed)
            found[test, name, "+".join(controls)] = outcome
        done = {key: outcome for key, outcome in found.items() if outcome is not None}
        if done:
            adjusted = false_discovery_control([outcome.p_value for outcome in done.values()])
            table += [
                FamilyTest(
                    measure, *key, o.statistic, o.effect, o.p_value, float(p), o.n_assignments, o.exact
                )
                for (key, o), p in zip(done.items(), adjusted, strict=True)
            ]
    return table


def ask_groups(
    distance: np.ndarray, languages: Sequence[Language], grouping: str, seed: int
) -> PermutationTest | None:
    """Are languages of one genus, family or script nearer to each other? A key of ``GROUPINGS``."""
    if len(languages) < 3:
        return None
    rng = np.random.default_rng([seed, len(languages), *grouping.encode()])
    return compare_groups(distance, [GROUPINGS[grouping](row) for row in languages], rng)


def ask_predictor(
    distance: np.ndarray,
    predictors: Mapping[str, np.ndarray],
    name: str,
    controls: Sequence[str],
    seed: int,
) -> PermutationTest | None:
    """Do distances follow a predictor, the controls held constant? Random permutations are the test's own."""
    if len(distance) < 3:
        return None
    rng = np.random.default_rng([seed, len(distance), *"\n".join([name, *controls]).encode()])
    return mantel(distance, predictors[name], rng, [predictors[control] for control in controls])


def claim_p_values(
    distance: np.ndarray, languages: Sequence[Language], predictors: Mapping[str, np.ndarray], seed: int
) -> dict[str, float]:
    """P values of the tests that decide claims: those of the same name in ``relate_to_families``."""
    others = [name for name in predictors if name != "genealogy"]
    tests = {
        "genus": ask_groups(distance, languages, "genus", seed),
        "genealogy": ask_predictor(distance, predictors, "genealogy", others, seed),
    }
    return {name: test.p_value for name, test in tests.items() if test is not None}


def select_p_values(tests: Sequence[FamilyTest], measure: str) -> dict[str, float]:
    """The same out of all tests of a study: by genus, and of genealogy with the most held constant."""
    found = {}
    for test in tests:
        if test.measure == measure and (test.test, test.predictor) == ("groups", "genus"):
            found["genus"] = test.p_value
        if test.measure == measure and test.predictor == "genealogy" and test.controls:
            found["genealogy"] = test.p_value  # the last one holds the most constant
    return found


def write_family_tests(path: str | Path, tests: Sequence[FamilyTest], model: str) -> None:
    """Write ``evidence/families.h5``: the numbers that claims and figures read."""
    columns = {name: [getattr(test, name) for test in tests] for name in FAMILY_COLUMNS}
    dtypes = {"n_assignments": "int64", "exact": "bool"} | dict.fromkeys(FAMILY_COLUMNS[:4], "object")
    datasets = {name: np.array(column, dtypes.get(name, "float64")) for name, column in columns.items()}
    write_h5(path, FAMILY_TESTS, datasets, model=model)


def read_family_tests(path: str | Path, model: str) -> list[FamilyTest]:
    """Read ``evidence/families.h5`` of this model."""
    found, _ = read_h5(path, FAMILY_TESTS, model=model)
    rows = zip(*(found[name].tolist() for name in FAMILY_COLUMNS), strict=True)
    return [FamilyTest(*row) for row in rows]


def cluster_languages(distance: np.ndarray, replicates: np.ndarray | None = None) -> Dendrogram:
    """Hierarchical clustering by average linkage.

    Parameters
    ----------
    distance : float64 (n, n), symmetric.
    replicates : float64 (n_replicates, n, n), bootstrap replicates of it; without them support is NaN.
    """
    condensed = squareform(_hollow(distance), checks=False)
    tree = linkage(condensed, method="average", optimal_ordering=True)
    clades = _clades(tree)
    support = np.full(len(clades), np.nan)
    if replicates is not None:
        found = [
            set(_clades(linkage(squareform(_hollow(one), checks=False), method="average")))
            for one in replicates
        ]
        support = np.array([np.mean([clade in others for others in found]) for clade in clades])
    fit = float(cophenet(tree, condensed)[0]) if len(distance) > 2 else float("nan")
    return Dendrogram(tree, leaves_list(tree), fit, support)


def _differs(labels: Sequence[str]) -> np.ndarray:
    array = np.asarray(labels)
    return (array[:, None] != array[None, :]).astype(np.float64)


def _hollow(distance: np.ndarray) -> np.ndarray:
    # a distance corrected for noise can fall below zero; the order of such pairs is noise
    return np.where(np.eye(len(distance), dtype=bool), 0.0, np.maximum((distance + distance.T) / 2, 0.0))


def _clades(tree: np.ndarray) -> list[frozenset[int]]:
    n = len(tree) + 1
    members = [frozenset([leaf]) for leaf in range(n)]
    for left, right, *_ in tree:
        members.append(members[int(left)] | members[int(right)])
    return members[n:]

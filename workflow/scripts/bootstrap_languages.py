"""Adaptor of rule bootstrap_languages."""

from babelscope.evidence import intervals, noise_floor
from babelscope.evidence.bootstrap import LEVEL, frequency_intervals
from babelscope.files.hdf5 import write_h5
from babelscope.files.tables import write_table
from babelscope.files.whole import write_json
from babelscope.recording.counts import read_activations
from babelscope.study.job import run_job


def main(smk):
    model, codes, out = smk.wildcards.model, list(smk.params.languages), smk.output
    n_replicates, n_splits, seed = smk.params.replicates, smk.params.splits, smk.params.seed
    counts = [read_activations(path, model) for path in smk.input.activations]
    found = intervals.estimate_intervals(counts, codes, smk.params.threshold, n_replicates, seed)
    floor = noise_floor.measure_noise_floor(counts, codes, n_splits, seed)
    curve = noise_floor.learning_curve(counts, codes, n_splits, seed)
    noise, points = intervals.tabulate_noise(floor, curve, found.distances["euclidean"].corrected, codes)
    pairs = intervals.tabulate_pairs(found.distances, floor, codes)
    sharing = intervals.tabulate_sharing(found.n_experts_by_languages)
    write_table(out.pairs, pairs, intervals.PAIR_COLUMNS)
    write_table(out.sharing, sharing, intervals.SHARING_COLUMNS)
    write_table(out.layers, found.layers, intervals.LAYER_COLUMNS)
    write_table(out.noise, noise, intervals.NOISE_COLUMNS)
    write_table(out.curve, points, intervals.CURVE_COLUMNS)
    trees = {name: intervals.dendrogram_json(tree, codes) for name, tree in found.dendrograms.items()}
    write_json(out.trees, trees)
    low, high = frequency_intervals(counts, codes, n_replicates, seed)
    datasets = {"low": low, "high": high, "languages": codes}
    write_h5(out.frequency, "frequency_intervals", datasets, model=model, level=LEVEL)


if "snakemake" in globals():
    run_job(main, snakemake)  # noqa: F821

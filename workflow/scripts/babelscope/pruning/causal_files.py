"""What is known of a language's neurons, out of a study's files."""

from __future__ import annotations

from collections.abc import Mapping

from babelscope.pruning.selectors import Evidence, ExpertFrequencies, read_neuron_norms
from babelscope.recording.job_files import JobFiles
from babelscope.recording.neurons import read_neurons
from babelscope.text.tokens import TokenizedCorpus


def read_evidence(files: JobFiles, neurons: Mapping[str, str], corpus: TokenizedCorpus) -> Evidence:
    """Statistics of a job's language and of all others, norms of the weights, use of the experts.

    Parameters
    ----------
    files : with ``model``, ``experts`` and the language's ``activations``, made with the documents that are
        in ``corpus``.
    neurons : paths of ``neurons/{lang}.h5`` by language.
    corpus : documents of the job's language, which its statistics must come from.
    """
    info, language = files.info, files.job.wildcards.lang
    found = {
        code: read_neurons(path, model=info.name, language=code, corpus=corpus if code == language else None)
        for code, path in neurons.items()
    }
    own = found.pop(language)
    frequency = files.frequency_of(language, corpus)
    experts = ExpertFrequencies(frequency, files.partition.labels)
    return Evidence(own, list(found.values()), read_neuron_norms(info), experts=experts)

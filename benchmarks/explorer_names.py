"""Do names of units hold in sentences that they were not given from? The strongest tokens of held-out text.

    python benchmarks/explorer_names.py results/gemma-3-270m --units L8E103 L15E41

Held-out documents are recorded as the study's own are, and the strongest tokens of each unit, one of a
document, are printed with a little of their text: a person has to say which of them fit. Nothing is written.
Runs in the folder of a finished study; takes minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from babelscope.experts.partition import read_partition
from babelscope.explorer.contexts import Texts, find_contexts
from babelscope.explorer.units import LISTED, Unit
from babelscope.model.compute import Compute
from babelscope.model.info import read_model_info
from babelscope.model.load import load_model
from babelscope.recording.record import RecordingSettings, make_variants, record_activations
from babelscope.study.unit_names import parse_unit
from babelscope.text.documents import read_documents
from babelscope.text.tokenise import load_encoder
from babelscope.text.tokens import read_tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="results/{model} of a finished study")
    parser.add_argument("--units", nargs="+", required=True)
    parser.add_argument("--languages", nargs="+", help="default: all")
    parser.add_argument("--tokens", type=int, default=6, help="of each unit and language")
    parser.add_argument("--characters", type=int, default=30)
    args = parser.parse_args()
    units = [Unit(*parse_unit(name), LISTED) for name in args.units]
    info = read_model_info(args.results / "model.json")
    model, encode = load_model(info, Compute("float32", "cpu", tokens_per_batch=1024)), load_encoder(info)
    variants = make_variants({"main": read_partition(args.results / "experts.h5", info)}, 800 / 8192)
    settings = RecordingSettings(best_tokens=args.tokens, random_tokens=1)
    for lang in args.languages or sorted(path.stem for path in (args.results / "tokens").glob("*.h5")):
        corpus = read_tokens(args.results / f"tokens/{lang}.h5", info.name, lang)
        idx = np.asarray(corpus.heldout_idx)
        peaks = record_activations(model, corpus, idx, variants, settings, peaks=True).peaks
        assert peaks is not None
        peaks.expert, peaks.neuron = peaks.expert.ordered(), peaks.neuron.ordered()
        documents = read_documents(args.results.parent / f"corpora/{lang}.jsonl", lang)
        texts = Texts(corpus, documents, encode, args.characters)
        print(f"\n{lang}: {len(idx)} held-out documents")
        for row in find_contexts(units, peaks, texts, 0):
            text = f"{row['left']}[{row['token']}]{row['right']}".replace("\n", "/")
            print(f"  {row['unit']}  {row['score']:6.2f}  {text}", flush=True)


if __name__ == "__main__":
    main()

"""Explorer pages of made-up numbers, for tests and for measuring what a page of some size costs to open."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.support import ROOT

from babelscope.comparison.measures import MEASURES
from babelscope.evidence.intervals import dendrogram_json
from babelscope.evidence.trees import cluster_languages
from babelscope.explorer.data import _rounded, _tree, group_contexts, pack
from babelscope.explorer.page import read_modules, render
from babelscope.pruning.ablation_table import ABLATION_COLUMNS
from babelscope.pruning.routed_tables import ROUTED_COLUMNS
from babelscope.study.languages import read_languages
from babelscope.study.unit_names import name_unit

PAGE = ROOT / "resources" / "templates" / "explorer"
# as many as Llama 2 7B has, in 24 languages
SHAPE_7B: dict[str, Any] = {
    "n_layers": 32, "n_experts": 256, "n_neurons": 11_008,
    "codes": "en de fr es pt it ru uk pl bn hi ur ar fa he tr fi hu zh ja ko vi th id".split(),  # noqa: SIM905
}  # fmt: skip
CLASSES = ["shared", "mixed", "family-specific", "specific", "low", "dead"]
HOSTILE = (
    "</script><script>window.broken = 1</script><img src=x onerror='window.broken=1'> "
    "javascript:alert(1) \u202eevil\u202c zero\u200bwidth \u2028 &lt;b&gt;"
)


def read_embedded(page: str | Path, name: str) -> Any:
    """What a page carries: ``data`` or ``contexts``."""
    found = re.search(f'id="{name}">(.*?)</script>', Path(page).read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def make_data(
    n_layers: int = 3, n_experts: int = 8, n_neurons: int = 24, codes: Sequence[str] = ("en", "hi", "ar")
) -> dict[str, Any]:
    """Made-up numbers of the layout that ``explorer.data.gather`` gives."""
    rng = np.random.default_rng(0)
    table = read_languages()
    n = len(codes)
    frequency = rng.beta(0.8, 6, size=(n, n_layers, n_experts))
    cells = frequency.reshape(n, -1)
    order = np.argsort(-cells, axis=0)
    top, second = order[0], order[1]
    columns = np.arange(cells.shape[1])
    difference = cells[top, columns] - cells[second, columns]
    n_high = (cells >= 0.05).sum(axis=0)
    kind = np.where(n_high == n, 0, np.where(n_high == 1, 3, 1))
    labels = np.stack([rng.permutation(np.arange(n_neurons) % n_experts) for _ in range(n_layers)])
    leading = rng.integers(0, 256, size=(3, n_layers, n_neurons))
    leading[0] %= n
    leading[2] = np.minimum(leading[1], leading[2])
    return {
        "version": 1, "model": "made-up", "threshold": 0.05, "routed": False,
        "layers": list(range(n_layers)), "experts": n_experts,
        "neurons": n_neurons,
        "languages": [
            {"code": c, "name": table[c].name, "family": table[c].family, "script": table[c].script,
             "direction": "rtl" if table[c].script in ("Arab", "Hebr") else "ltr", "tokens": 1000}
            for c in codes
        ],
        "frequency": pack(frequency, "<f4"), "low": pack(frequency * 0.8, "<f4"),
        "high": pack(np.minimum(frequency * 1.2, 1), "<f4"),
        "controls": {
            name: pack(np.sort(rng.uniform(0, 0.3, size=(n, n_layers, 3)), axis=-1), "<f4")
            for name in ("random", "contiguous")
        },
        "labels": pack(labels, "<u2"), "leading": pack(leading, "<u2"),
        "index": {
            "top_language": top.tolist(), "next_language": second.tolist(),
            "difference": [float(f"{x:.6g}") for x in difference], "low": (difference * 0.5).tolist(),
            "high": (difference * 1.5).tolist(), "q_value": rng.uniform(size=cells.shape[1]).tolist(),
            "n_languages_high": n_high.tolist(), "class": kind.tolist(),
            "group": [codes[cells[:, i].argmax()] if k == 3 else "" for i, k in enumerate(kind)],
            "classes": CLASSES,
        },
        "specific": [
            [code, rank + 1, int(cell // n_experts), int(cell % n_experts)]
            for number, code in enumerate(codes)
            for rank, cell in enumerate(np.flatnonzero(top == number)[:5])
        ],
        "similarity": {name: _similarity(name, rng, n, n_layers, codes) for name in MEASURES},
        "pruning": [{"language": c, "nll_dense": "3.25", "nll_pruned": "4.5"} for c in codes],
        "ablation": [],
    }  # fmt: skip


def with_ablation(data: dict[str, Any]) -> dict[str, Any]:
    """The same with made-up rows of ``ablation.csv``; neurons 0, 1, 2 of layer 0 are the languages' own."""
    own = np.zeros((len(data["layers"]), data["neurons"]), dtype=np.uint8)
    codes = [language["code"] for language in data["languages"]]
    own[0, : len(codes)] = 1 + np.arange(len(codes))
    pairs = [(kind, code) for kind in ("experts", "neurons") for code in codes]
    rows = [
        dict.fromkeys(ABLATION_COLUMNS, "")
        | {name: f"{number + place / 100:.6g}" for place, name in enumerate(ABLATION_COLUMNS[4:])}
        | {"kind": kind, "language": code, "n_units": str(number), "n_controls": "2"}
        for number, (kind, code) in enumerate(pairs, start=1)
    ]  # fmt: skip
    return data | {"ablation": rows, "own_neurons": pack(own, "u1")}


def with_routers(data: dict[str, Any]) -> dict[str, Any]:
    """As if routers chose the experts: a dense layer comes first, the last one has two experts fewer."""
    without = ("neurons", "labels", "leading", "pruning", "ablation")
    routed = {name: value for name, value in data.items() if name not in without}
    codes = [language["code"] for language in data["languages"]]
    layers, n_experts = [layer + 1 for layer in data["layers"]], data["experts"]
    weight = np.random.default_rng(1).uniform(size=(len(codes), len(layers), n_experts))
    rows = [
        dict.fromkeys(ROUTED_COLUMNS, "")
        | {"language": text, "experts_of": code, "selection": "removed", "n_kept": "6", "n_experts": "8"}
        | {"rise": f"0.{number}", "rise_low": f"0.0{number}", "rise_high": f"1.{number}"}
        for number, (text, code) in enumerate(((t, c) for t in codes for c in codes), start=1)
    ]  # fmt: skip
    removed = {code: [[row, number], [row, 7 - number]] for number, code in enumerate(codes)
               for row in [0]}  # fmt: skip
    return routed | {
        "routed": True, "layers": layers, "sizes": [n_experts] * (len(layers) - 1) + [n_experts - 2],
        "weight": pack(weight, "<f4"), "controls": {}, "removed": removed, "removal": rows,
        "specific": [[code, rank, layer + 1, expert] for code, rank, layer, expert in data["specific"]],
    }  # fmt: skip


def _similarity(
    name: str, rng: np.random.Generator, n: int, n_layers: int, codes: Sequence[str]
) -> dict[str, Any]:
    measure = MEASURES[name]
    matrices = []
    for _ in range(n_layers + 1):
        matrix = rng.uniform(0.2, 0.9, size=(n, n))
        matrix = (matrix + matrix.T) / 2
        np.fill_diagonal(matrix, 1.0 if name == "pearson" else 0.0)
        matrices.append(matrix)
    trees = [_tree(dendrogram_json(cluster_languages(measure.distance(m)), codes)) for m in matrices]
    return {
        "title": measure.title,
        "unit": measure.unit,
        "near": "small" if measure.small_is_similar else "large",
        "total": _rounded(matrices[0]),
        "tree": trees[0] | {"support": [0.5] * (n - 1)},
        "layers": [_rounded(matrix) for matrix in matrices[1:]],
        "trees": trees[1:],
    }


def make_contexts(
    data: dict[str, Any], n_units: int = 6, hostile: bool = False, per_language: int = 9, text: bool = True
) -> dict[str, Any]:
    """Contexts of the first experts and neurons in every language."""
    words = {
        "ar": ("كان ", "البيت", " كبيرا"),
        "hi": ("यह ", "घर", " बड़ा है"),
        "ur": ("یہ ", "گھر", " بڑا ہے"),
    }
    rows: dict[str, list[dict[str, Any]]] = {}
    for language in data["languages"]:
        left, token, right = words.get(language["code"], ("the ", "Häuser", " are large"))
        if hostile:
            left, token, right = left + HOSTILE, token + "\u200b<b>", HOSTILE + right
        own = rows.setdefault(language["code"], [])
        for number in range(n_units):
            kind = "expert" if number % 3 or data["routed"] else "neuron"
            size = data["experts"] if kind == "expert" else data["neurons"]
            name = name_unit(kind, data["layers"][number % len(data["layers"])], number * 7 % size)
            for rank in range(per_language):
                texts = {"left": left * 3, "token": token, "right": right * 3} if text else {}
                own.append(texts | {
                    "unit": name, "chosen": "en" if number % 2 else "shared",
                    "sample": "top" if rank < per_language - 3 else "random", "score": 9.5 - rank,
                    "document": f"{language['code']} document {rank}" + (HOSTILE if hostile else ""),
                    "position": rank,
                })  # fmt: skip
    return group_contexts(rows)


def write_page(path: str | Path, data: dict[str, Any], contexts: dict[str, Any]) -> Path:
    """Put a page together."""
    template, style = ((PAGE / name).read_text(encoding="utf-8") for name in ("page.html", "page.css"))
    Path(path).write_text(render(template, style, read_modules(PAGE), data, contexts), encoding="utf-8")
    return Path(path)

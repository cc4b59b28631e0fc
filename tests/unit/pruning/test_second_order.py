"""Moments, ridge problem and second-order elimination against direct computation on the activations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from babelscope.pruning import moments as moments_module
from babelscope.pruning import second_order
from babelscope.pruning.columns import COMPENSATIONS
from babelscope.pruning.compensation import LayerFit, correct_columns
from babelscope.pruning.moments import LayerMoments, Moments, RidgeProblem, penalties
from babelscope.pruning.second_order import eliminate

D_FF, D_MODEL, N_TOKENS = 12, 5, 300


def activations(seed=0, n_tokens=N_TOKENS):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n_tokens, D_FF)) @ rng.normal(size=(D_FF, D_FF)) * rng.random(D_FF)
    return torch.from_numpy(mixed + 0.5).float()


def weight(seed=1):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(D_MODEL, D_FF))).float()


def moments_of(rows):
    found = Moments.zeros(rows.shape[1])
    for part in rows.split(64):
        found.add(part, Moments.tiles(part))
    found.mirror()
    return found


@pytest.mark.parametrize("tile", [5, 512])
def test_moments_are_those_of_all_tokens_in_tiles_of_any_size(monkeypatch, tile):
    monkeypatch.setattr(moments_module, "_TILE", tile)
    rows = activations()
    found = moments_of(rows)
    torch.testing.assert_close(found.gram, rows.double().T @ rows.double(), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(found.total, rows.double().sum(dim=0), rtol=1e-5, atol=1e-3)
    assert found.n_tokens == N_TOKENS


def test_the_ridge_problem_out_of_the_gram_matrix_is_that_of_the_activations():
    rows, down, kept = activations(), weight(), np.array([0, 2, 3, 7, 8, 11])
    gone = np.setdiff1d(np.arange(D_FF), kept)
    problem = RidgeProblem.of(moments_of(rows), kept, down)
    lost = rows[:, gone].double() @ down[:, gone].double().T
    torch.testing.assert_close(problem.lost, lost.square().sum(), rtol=1e-4, atol=1e-3)
    correction = problem.solve(0.3)
    h = rows[:, kept].double()
    stacked = torch.cat([h, (0.3 * penalties(h.T @ h)).sqrt().diag()])
    direct = torch.linalg.lstsq(stacked, torch.cat([lost, torch.zeros(len(kept), D_MODEL).double()])).solution
    torch.testing.assert_close(correction, direct, rtol=1e-3, atol=1e-4)
    share = (lost - h @ correction).square().sum() / lost.square().sum()
    assert problem.unexplained(correction) == pytest.approx(float(share), rel=1e-3)


def error_after(rows, down, gone, ridge):
    """Squared output error plus penalty once the rest is refitted, by least squares on the activations."""
    rest = np.setdiff1d(np.arange(D_FF), gone)
    gram = rows.double().T @ rows.double()
    p = ridge * penalties(gram)
    whole = gram + p.diag()
    columns = down.double()
    # min over corrections D (D = -columns where gone) of trace(D whole D')
    a, b, c = whole[rest][:, rest], whole[rest][:, gone], whole[gone][:, gone]
    schur = c - b.T @ torch.linalg.solve(a, b)
    return float(torch.trace(columns[:, gone] @ schur @ columns[:, gone].T))


def test_neurons_go_in_the_greedy_order_of_the_error_that_is_left_after_correction():
    rows, down, ridge = activations(), weight(), 0.5
    gram = moments_of(rows).gram
    found = eliminate(gram, down, 6, ridge, group=1)
    gone: list[int] = []
    total = float((rows.double() @ down.double().T).square().sum())
    for step in range(6):
        rest = [i for i in range(D_FF) if i not in gone]
        errors = {i: error_after(rows, down, [*gone, i], ridge) for i in rest}
        best = min(errors, key=errors.__getitem__)
        before = error_after(rows, down, gone, ridge) if gone else 0.0
        assert int(found.order[step]) == best
        assert float(found.error[step]) == pytest.approx((errors[best] - before) / total, rel=1e-3)
        gone.append(best)


def test_groups_end_close_to_the_best_of_all_sets_and_orders_are_nested():
    rows, down = activations(3), weight(4)
    gram = moments_of(rows).gram
    sets = {n: eliminate(gram, down, n, 0.5, group=2).order.tolist() for n in (2, 4, D_FF)}
    assert sets[D_FF][:4] == sets[4] and sets[4][:2] == sets[2]
    assert sorted(sets[D_FF]) == list(range(D_FF))
    best = min(error_after(rows, down, list(g), 0.5) for g in itertools.combinations(range(D_FF), 4))
    assert error_after(rows, down, sets[4], 0.5) <= 1.5 * best


def test_a_neuron_that_others_can_replace_goes_before_one_with_a_smaller_output():
    rows, down = activations(), torch.ones(D_MODEL, D_FF)
    rows[:, 4] = 3 * rows[:, 9]  # large, and a copy
    rows[:, 6] = 0.2 * torch.randn(N_TOKENS, generator=torch.Generator().manual_seed(0))
    first = int(eliminate(moments_of(rows).gram, down, 1, 1e-3, group=1).order[0])
    assert first in (4, 9)
    with_norms = (rows.double().square().sum(dim=0) * down.square().sum(dim=0)).argsort()
    assert int(with_norms[0]) == 6


def test_rank_and_error_by_neuron_put_what_stays_behind_all():
    found = eliminate(moments_of(activations()).gram, weight(), 5, 1.0, group=2)
    rank, errors = found.rank(D_FF), found.errors(D_FF)
    assert np.argsort(rank, kind="stable")[:5].tolist() == found.order.tolist()
    assert (rank == D_FF).sum() == np.isinf(errors).sum() == D_FF - 5
    nothing = eliminate(moments_of(activations()).gram, weight(), 0)
    assert len(nothing.order) == 0 and np.isinf(nothing.errors(D_FF)).all()


def test_to_overwrite_the_gram_matrix_changes_nothing_but_it():
    gram = moments_of(activations()).gram
    kept, given = gram.clone(), gram.clone()
    found, again = (
        eliminate(gram, weight(), 6, group=2),
        eliminate(given, weight(), 6, group=2, overwrite=True),
    )
    assert torch.equal(gram, kept) and not torch.equal(given, kept)
    assert torch.equal(found.order, again.order) and torch.equal(found.error, again.error)


def test_a_dead_neuron_and_too_few_tokens_leave_everything_finite():
    rows = activations(n_tokens=4)  # fewer than neurons: a singular Gram matrix
    rows[:, 3] = 0.0
    gram = moments_of(rows).gram
    found = eliminate(gram, weight(), D_FF, 1e-2, group=3)
    assert int(found.order[0]) == 3
    assert torch.isfinite(found.error).all() and (found.error > -1e-9).all()


def test_compensations_say_less_and_less_of_the_error():
    rows, down, kept = activations(), weight(), np.arange(0, D_FF, 2)
    moments, dense = moments_of(rows), rows @ weight().T
    left = {}
    for name, compensate in COMPENSATIONS.items():
        edit = compensate(moments, rows.double().mean(dim=0).numpy(), kept, down)
        columns = down[:, kept] if edit.columns is None else edit.columns
        said = rows[:, kept] @ columns.T + (0 if edit.bias is None else edit.bias)
        left[name] = float((dense - said).square().sum())
        if name == "bias":
            torch.testing.assert_close((dense - said).mean(dim=0), torch.zeros(D_MODEL), atol=1e-3, rtol=0)
    assert left["ridge"] < left["none"] and left["bias"] < left["none"]


def test_a_layer_that_keeps_all_or_nothing_is_not_fitted():
    moments = LayerMoments(moments_of(activations(0)), moments_of(activations(5)))
    for kept in (np.arange(D_FF), np.arange(0)):
        columns, fit = correct_columns(moments, kept, weight(), LayerFit(1.0))
        assert (fit.ridge, fit.unexplained) == (0.0, 1.0)
        torch.testing.assert_close(columns, weight()[:, kept].double())


def own_and_pooled(other_seed, n_own=24):
    """Few tokens of a language, and many of another: alike for the same seed, else mixed in another way."""
    rows = activations(0, 4000)
    other = activations(other_seed, 4000)[600:]
    return LayerMoments(moments_of(rows[:n_own]), moments_of(rows[300:600]), moments_of(other))


def test_other_languages_count_where_they_help_the_own_validation_and_not_where_they_do_not():
    kept, down = np.arange(0, D_FF, 2), weight()
    for seed, helps in ((0, True), (9, False)):
        moments = own_and_pooled(seed)
        alone = LayerMoments(moments.fit, moments.validation)
        (_, fit), (_, without) = (correct_columns(part, kept, down) for part in (moments, alone))
        assert without.weight == 0 and fit.unexplained <= without.unexplained * (1 + 1e-6)
        assert (fit.weight >= 0.3) == helps, (seed, fit)


def test_columns_are_fitted_to_all_tokens_each_with_its_weight():
    moments, kept, down = own_and_pooled(0), np.arange(0, D_FF, 2), weight()
    columns, fit = correct_columns(moments, kept, down)
    problem = RidgeProblem.of(moments.weighted(fit.weight), kept, down)
    torch.testing.assert_close(columns, down[:, kept].double() + problem.solve(fit.ridge).T)
    whole = moments.fit.gram + moments.validation.gram
    torch.testing.assert_close(moments.weighted(0.3).gram, whole + 0.3 * moments.pooled.gram)
    torch.testing.assert_close(moments.weighted(0.0).gram, moments.whole.gram)


@pytest.mark.parametrize("n", [12, 11, 7])
def test_a_matrix_that_is_inverted_by_halves_gives_the_same_elimination(monkeypatch, n):
    gram, down = moments_of(activations()).gram[:n, :n].contiguous(), weight()[:, :n]
    whole = eliminate(gram, down, n, group=3)
    monkeypatch.setattr(second_order, "_LEAST_HALVED", 2)
    halves = eliminate(gram, down, n, group=3)
    assert halves.order.tolist() == whole.order.tolist()
    torch.testing.assert_close(halves.error, whole.error)


def test_elimination_leaves_the_down_projection_as_it_is():
    torch.manual_seed(0)
    h = torch.randn(40, 12, dtype=torch.float64)
    weight = torch.randn(12, 5, dtype=torch.float64).T  # neurons lie together, as they do inside
    before = weight.clone()
    eliminate(h.T @ h, weight, 6, group=2)
    assert torch.equal(weight, before)


def test_products_in_tf32_leave_the_setting_as_it_was_and_obey_a_newer_one():
    before, matmul = torch.get_float32_matmul_precision(), torch.backends.cuda.matmul
    with moments_module._products_in_tf32():
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    newer = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        with moments_module._products_in_tf32():
            assert matmul.fp32_precision == "tf32"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = newer
    assert torch.get_float32_matmul_precision() == before

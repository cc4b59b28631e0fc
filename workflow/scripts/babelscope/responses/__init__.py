"""Continuations by the dense and the pruned model, with automatic measures and people's judgements.

Takes: held-out tokens, a loaded model, a `PruningPlan`; judgements that annotators exported.
Gives: `responses/{lang}.jsonl`, measures, the page for annotators, their agreement.
Never imports: matplotlib, h5py.
"""

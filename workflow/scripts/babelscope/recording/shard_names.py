"""Names of the shards of a language: rule files import this, so it needs the standard library alone."""

from __future__ import annotations


def shard_names(n_documents: int, documents_per_shard: int) -> list[str]:
    """Names of the shards of so many documents: ``000``, ``001``, …"""
    return [f"{number:03d}" for number in range(-(-n_documents // documents_per_shard))]

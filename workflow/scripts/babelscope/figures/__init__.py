"""Figures of the study. Data come in as arrays; torch is never needed."""

"""Maturity-aware representation learning for hematopoietic cells, on JAX and Flax."""

__version__ = "0.1.0"

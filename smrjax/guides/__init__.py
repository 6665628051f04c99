"""Guides: two-dimensional layouts of the classes from what experts know about them (GUIDES, section III)."""

from smrjax.guides.layouts import circular, drl, fruchterman_reingold, kamada_kawai, random
from smrjax.guides.matrices import KINDS, adjacency, find_matrix, find_matrix_file, read_matrix

#: Name -> layout, (adjacency Int[C, C], key, lineages) -> Float[C, 2].
GUIDES = {"circular": circular, "random": random, "kk": kamada_kawai, "fr": fruchterman_reingold, "drl": drl}

__all__ = ["GUIDES", "KINDS", "adjacency", "find_matrix", "find_matrix_file", "read_matrix"]

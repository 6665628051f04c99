"""Cells from anywhere, as one `CellSet`."""

from smrjax.data.cellset import CellSet

__all__ = ["CellSet"]

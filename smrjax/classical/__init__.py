"""Classical machine learning: image descriptors of fixed length, made for classifiers that read vectors."""

from smrjax.classical.features import FEATURES, describe, hog, lbp, polar, shog

__all__ = ["FEATURES", "describe", "hog", "lbp", "polar", "shog"]

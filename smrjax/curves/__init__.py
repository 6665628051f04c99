"""Curves through the class means of a lineage, and the nearest point on them."""

from smrjax.curves.bezier import bezier, bezier_interpolating, lagrange
from smrjax.curves.curve import Curve
from smrjax.curves.line import fixed_line, svd_line
from smrjax.curves.projection import distance, project
from smrjax.curves.spline import spline

# A fit(class_means, present=None, previous=None, *, min_length=0.0) -> Curve by the name the command line knows.
CURVES = {
    "fixed": fixed_line,
    "svd": svd_line,
    "bezier": bezier,
    "interpolating": bezier_interpolating,
    "lagrange": lagrange,
    "spline": spline,
}

__all__ = [
    "CURVES",
    "Curve",
    "bezier",
    "bezier_interpolating",
    "distance",
    "fixed_line",
    "lagrange",
    "project",
    "spline",
    "svd_line",
]

"""Cell classes, lineages in maturity order, ratios that are asked for, and colours; read from TOML and checked."""

from smrjax.taxonomy.colours import default_colours
from smrjax.taxonomy.counterparts import counterparts
from smrjax.taxonomy.files import BUNDLED, for_classes, load_taxonomy
from smrjax.taxonomy.lineages import Lineage, check_lineages, parse_lineages
from smrjax.taxonomy.ratios import Ratio, check_ratios, left_ratios
from smrjax.taxonomy.taxonomy import Taxonomy

__all__ = [
    "BUNDLED",
    "Lineage",
    "Ratio",
    "Taxonomy",
    "check_lineages",
    "check_ratios",
    "counterparts",
    "default_colours",
    "for_classes",
    "left_ratios",
    "load_taxonomy",
    "parse_lineages",
]

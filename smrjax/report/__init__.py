"""Pictures and pages of a run: arrays and files in, PNG, SVG and HTML out. Knows no model."""

from smrjax.report.baselines import baselines_figure
from smrjax.report.comparison import comparison_figure
from smrjax.report.confusion import confusion_figure
from smrjax.report.contact import contact_sheet
from smrjax.report.embedding import embedding_figure
from smrjax.report.explanations import by_outcome, explanations_figure
from smrjax.report.explorer import Scene, explorer, plotly_script
from smrjax.report.guides import guide_scores_figure, guides_figure
from smrjax.report.learning import learning_figure
from smrjax.report.maturity import Readout, maturity_figure
from smrjax.report.outcomes import outcomes_figure
from smrjax.report.overlays import write_overlays
from smrjax.report.rates import lr_range_figure
from smrjax.report.reliability import Reliability, reliability_figure
from smrjax.report.tables import classwise_table, strategies_table
from smrjax.report.traversal import Strip, along, traversal_figure
from smrjax.report.truth import true_maturity_figure

__all__ = [
    "Readout",
    "Reliability",
    "Scene",
    "Strip",
    "along",
    "baselines_figure",
    "by_outcome",
    "classwise_table",
    "comparison_figure",
    "confusion_figure",
    "contact_sheet",
    "embedding_figure",
    "explanations_figure",
    "explorer",
    "guide_scores_figure",
    "guides_figure",
    "learning_figure",
    "lr_range_figure",
    "maturity_figure",
    "outcomes_figure",
    "plotly_script",
    "reliability_figure",
    "strategies_table",
    "traversal_figure",
    "true_maturity_figure",
    "write_overlays",
]

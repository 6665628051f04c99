"""Whether a run is to be trusted on cells from elsewhere, in words and with the reasons."""

import numpy as np

from experiments.report_predictions import Predicted
from experiments.report_tested import Tested, in_both, orders
from experiments.report_words import enumerated, percent
from smrjax.evaluate import wilson
from smrjax.report.page import Html, listing, words

#: Do not trust a model where more than this share of the cells is unlike those it was trained with (of its own
#: validation cells 1 % is so by definition),
UNFAMILIAR = 0.1
#: where it surely names the right class of cells of shared classes less often than of its own test cells, by this,
LOSS = 0.1
#: where t orders the labelled stages no better than this, of so many cells or more,
TAU, ENOUGH = 0.3, 30
#: or where more than this share of the labelled cells is of classes that it does not know.
STRANGE = 0.05


def verdict(cells: Predicted, own: Tested) -> Html:
    """One sentence, and what it rests on.

    Args:
        cells: From elsewhere.
        own: Test cells of the same folds.
    """
    n = len(cells.predicted)
    if not n:
        return words("None of these images could be read.", "notice")
    against: list[str] = []
    known: list[str] = []
    settled = True
    share = float(cells.flags["unfamiliar"].mean())
    said = f"{percent(share)} of the cells are unlike those that it was trained with."
    (against if share > UNFAMILIAR else known).append(said)
    shared = int((cells.same >= 0).sum())
    if shared:
        right = float((cells.same == cells.predicted)[cells.same >= 0].mean())
        low, high = (float(end) for end in wilson(right * shared, shared))
        said = (
            f"Of {shared:,} cells of classes that it knows it names {percent(right)} rightly (95 % interval "
            f"{100 * low:.0f} to {100 * high:.0f} %); "
        )
        beside = in_both(own, cells)
        if beside.any():
            home = float((own.true == own.predicted)[beside].mean())
            settled = low >= home - LOSS
            said += f"of its own test cells of these classes, {percent(home)}."
            (against if high < home - LOSS else known).append(said)
        else:
            settled = False
            known.append(said + "it was tested with none of these classes.")
    for line, order in orders(cells, cells.lineages, cells.known).items():
        if order.taken < ENOUGH:
            continue
        said = (
            f"Of {order.labelled:,} cells labelled {' < '.join(order.stages)} it takes {order.taken:,} for {line} "
            f"cells; its t orders these with a Kendall's tau of {order.tau:.2f} (1: as labelled, 0: by chance)."
        )
        (against if order.tau < TAU else known).append(said)
    strange = (cells.true >= 0) & (cells.same < 0)
    if strange.any():
        names = enumerated([cells.known.titles[c].lower() for c in np.unique(cells.true[strange])])
        said = (
            f"It knows no class called {names}, and must name another one for {int(strange.sum()):,} of the cells. "
            "Classes are the same where their titles are."
        )
        (against if strange.sum() > STRANGE * (cells.true >= 0).sum() else known).append(said)
    title = cells.by
    if against:
        head = words(f"Do not trust {title} on these cells.", "notice")
    elif not shared:
        head = words(
            f"Nothing speaks against {title} on these cells, but none has a label that it knows: whether it is right, "
            "nobody can tell. Label a few hundred of them, and predict again with --labels."
        )
    elif not settled:
        head = words(f"Too few of these cells are labelled to tell whether {title} may be trusted on them.")
    else:
        head = words(f"Nothing speaks against {title} on these cells.")
    return Html(head + "\n" + listing(against + known))

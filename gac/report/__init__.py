"""Records of runs, as tables, figures and one HTML page."""

from gac.report.consistency import actor_consistency, consistency_table, critic_consistency
from gac.report.figures import (
    inference_dynamics,
    objective_curves,
    predicted_against_achieved,
    readme_figure,
    return_distributions,
    training_health,
)
from gac.report.html import render, write_report
from gac.report.runs import (
    QUERIES,
    Metrics,
    Run,
    read_metrics,
    read_run,
)
from gac.report.stages import stage_returns
from gac.report.style import DARK, LIGHT, Theme
from gac.report.tables import query_table, query_table_html
from gac.report.variants import variants_table

__all__ = [
    "DARK",
    "LIGHT",
    "QUERIES",
    "Metrics",
    "Run",
    "Theme",
    "actor_consistency",
    "consistency_table",
    "critic_consistency",
    "inference_dynamics",
    "objective_curves",
    "predicted_against_achieved",
    "query_table",
    "query_table_html",
    "read_metrics",
    "read_run",
    "readme_figure",
    "render",
    "return_distributions",
    "stage_returns",
    "training_health",
    "variants_table",
    "write_report",
]

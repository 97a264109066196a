"""source_only under the same settings: whether adaptation helped or hurt, as far as can be told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from plankton_da.config import Config
from plankton_da.config_methods import SourceOnlyConfig

FOLDER = "source_only"
"""of the yardstick's run, within output_dir"""
MID_LOSS = 0.03
"""macro recall on mid val that adaptation may cost before it is said to hurt"""
_CLASSES_LOSS = 0.7  # of the classes' worth that source_only uses on the target


def yardstick_config(config: Config) -> Config:
    """``config`` with method source_only, in a folder within its output_dir, untracked."""
    return config.model_copy(
        update={
            "output_dir": str(Path(config.output_dir) / FOLDER),
            "method": SourceOnlyConfig(),
            "tracking": config.tracking.model_copy(update={"backend": "none"}),
            "optimizer": config.optimizer.model_copy(update={"sdat": None}),
            "training": config.training.model_copy(update={"quantize": False}),
        }
    )


def yardstick_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """The yardstick's metrics under ``source_only/``; what saw target labels keeps its prefix."""
    return {
        f"oracle/{FOLDER}/{key.removeprefix('oracle/')}"
        if key.startswith("oracle/")
        else f"{FOLDER}/{key}": value
        for key, value in metrics.items()
    }


def compare_with_yardstick(
    metrics: Mapping[str, float], yardstick: Mapping[str, float]
) -> list[str]:
    """Sentences on where the adapted model looks worse than source_only; oracle has no say."""
    reasons = [
        f"macro recall on {place} is {metrics[key]:.3f}, of source_only {yardstick[key]:.3f}"
        for key in metrics
        if key.startswith("audit/")
        and key.endswith("/macro_recall")
        and key in yardstick
        and metrics[key] < yardstick[key]
        for place in [key.rpartition("/")[0]]
    ]
    key = "selection/mid_macro_recall"
    if key in metrics and key in yardstick and metrics[key] < yardstick[key] - MID_LOSS:
        reasons.append(
            f"macro recall on mid val fell from {yardstick[key]:.3f} (source_only) to "
            f"{metrics[key]:.3f}"
        )
    key = "selection/effective_classes"
    if metrics[key] < _CLASSES_LOSS * yardstick[key]:
        reasons.append(
            f"on the target it uses {metrics[key]:.1f} classes' worth, source_only "
            f"{yardstick[key]:.1f}"
        )
    if not reasons:
        return []
    return [
        f"adaptation hurt, as far as can be told without target labels: {'; '.join(reasons)}. "
        f"The bundle of source_only lies in {FOLDER}/bundle; an audit sample would settle it"
    ]

"""source_only under the same settings: whether adaptation helped or hurt, as far as can be told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from plankton_da.config import Config
from plankton_da.config_methods import SourceOnlyConfig

FOLDER = "source_only"
"""of the yardstick's run, within output_dir; and of its metrics"""
TARGET_STATISTICS = "adabn"
"""of the metrics of source_only with the target's BatchNorm statistics"""
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


def metrics_under(prefix: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics under ``prefix/``; what saw target labels keeps ``oracle/`` before it."""
    return {
        f"oracle/{prefix}/{key.removeprefix('oracle/')}"
        if key.startswith("oracle/")
        else f"{prefix}/{key}": value
        for key, value in metrics.items()
    }


def compare_with_yardstick(
    metrics: Mapping[str, float], yardstick: Mapping[str, float]
) -> list[str]:
    """Sentences on where the adapted model looks worse than source_only; oracle has no say."""
    of_target = f"source_only with the target's BatchNorm statistics (method {TARGET_STATISTICS})"
    reasons = [
        f"macro recall on {place} is {metrics[key]:.3f}, of {who} {yardstick[theirs]:.3f}"
        for key in metrics
        if key.startswith("audit/") and key.endswith("/macro_recall")
        for place in [key.rpartition("/")[0]]
        for who, theirs in {"source_only": key, of_target: f"{TARGET_STATISTICS}/{key}"}.items()
        if theirs in yardstick and metrics[key] < yardstick[theirs]
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

"""A finished run in words, for a terminal."""

from __future__ import annotations

from plankton_da.adaptation.run_folder import TrainResult


def summary(result: TrainResult) -> str:
    """Scores per instrument, the choice, what was diagnosed, and what to do next."""
    lines = [f"selected step {result.selected_step} by {result.selected_by}", ""]
    places: dict[str, dict[str, float]] = {}
    for key, value in result.metrics.items():
        place, _, metric = key.rpartition("/")
        if metric in ("n", "accuracy", "macro_recall"):
            places.setdefault(place, {})[metric] = value
    width = max((len(place) for place in places), default=0)
    if places:
        lines.append(f"{'':{width}}  images  accuracy  macro recall")
    else:
        lines.append(
            "no labelled images: nothing was measured; label some: plankton-da audit select"
        )
    for place, values in places.items():
        lines.append(
            f"{place:{width}}  {values['n']:6.0f}  {values['accuracy']:8.3f}  "
            f"{values['macro_recall']:12.3f}"
        )
    if any(place.startswith("oracle/") for place in places):
        lines += ["(oracle/: target labels were read to report this, not to choose)"]
    lines += ["", *(f"! {sentence}" for sentence in result.diagnosis)]
    lines += [
        f"bundle: {result.bundle}",
        f"next: plankton-da classify {result.bundle} FOLDER --out predictions.csv",
    ]
    return "\n".join(lines)

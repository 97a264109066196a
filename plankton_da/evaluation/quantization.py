"""``quantize``: an 8-bit model for a bundle, accepted only if it labels as the float model does."""

from __future__ import annotations

import datetime
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plankton_da.errors import BundleError, OutputError, UsageError
from plankton_da.evaluation.metrics import score
from plankton_da.evaluation.quantization_images import Choice, Images, choose_images
from plankton_da.networks.bundle import INFO_FILE, ONNX_FILE, BundleInfo, read_bundle_info
from plankton_da.networks.bundle_int8 import INT8_FILE, Int8Info, info_text
from plankton_da.prediction.files import explained, replace_file, sha256_of
from plankton_da.prediction.onnx_model import DoubtfulModel, Model, OnnxModel, margins

LEAST_AGREEMENT = 0.99
"""share of mid's val images with the same label"""
MOST_LOST = 0.005
"""of macro recall on them"""
_DRAWS = 3
"""8-bit models that are made, of which one is kept"""
_PACKAGES = ("plankton-da", "onnx", "onnxruntime", "numpy")

log = logging.getLogger(__name__)


def quantize(
    bundle: Path,
    mid: Sequence[Path] = (),
    target: Sequence[Path] = (),
    *,
    taxonomy: Path | None = None,
    out: Path | None = None,
    bundle_uri: str | None = None,
    progress: bool = False,
) -> Int8Info:
    """Give a bundle ``model.int8.onnx``, if that labels images as the float model does.

    Ranges and rounding are settled on training images of mid and target. Where the 8-bit model
    hesitates between two classes, the float model has a second look; labels so found are then
    compared with the float model's on mid's val split. Both have the target's BatchNorm statistics,
    as they are deployed.

    Parameters
    ----------
    mid, target
        Their manifests; none: those that the bundle was trained on, if they are as they were.
    taxonomy
        CSV label,class for mid's labels; None: the one that the bundle was trained with.
    out
        A folder for a copy of the bundle that has it; None: into ``bundle``.
    bundle_uri
        What the user called the bundle: a registered one is never changed.
    progress
        Bars on stderr, if that is a terminal.

    Returns
    -------
    What ``bundle.json`` now says about it.

    Raises
    ------
    BundleError
        The 8-bit model was refused (the message has the figures; nothing is changed), or the bundle
        has no ``model.onnx``.
    ModelError
        The network is not of convolutions.
    DataError, ManifestError
        Images or manifests that are not there any more, or not as they were.
    UsageError
        A registered bundle without ``out``.
    OutputError
        The bundle cannot be written, or ``out`` is there.
    """
    if out is None and bundle_uri is not None and bundle_uri.startswith(("models:/", "runs:/")):
        raise UsageError(
            f"{bundle_uri}: what is registered is never changed; --out DIR takes a copy of the "
            f"bundle, which can be registered as the next version"
        )
    if out is not None and out.exists():
        raise OutputError(f"--out {out} exists already; give another folder or remove it")
    info = read_bundle_info(bundle)
    if not (bundle / ONNX_FILE).is_file():
        raise BundleError(f"{bundle} has no {ONNX_FILE} that could be made smaller; train again")
    chosen = choose_images(info, mid, target, taxonomy, progress=progress)
    place = bundle if out is None else out.parent
    with explained(place / INT8_FILE):
        place.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=place, prefix=".quantize-")
    with temporary as name, explained(place / INT8_FILE):
        made = Path(name, INT8_FILE)
        log.info("calibrating on %s", _words(chosen.calibration.counts()))
        exact = OnnxModel(bundle / ONNX_FILE, info.classes)
        doubt = _make(bundle, made, exact, info, chosen)
        found = _compare(exact, made, doubt, info, chosen)
        _require_same(bundle, found)
        if out is None:
            _put_into(bundle, made, found)
        else:
            copy = Path(name, "bundle")
            shutil.copytree(bundle, copy, ignore=shutil.ignore_patterns(".quantize-*"))
            _put_into(copy, made, found)
            os.replace(copy, out)
    return found


def words_of(found: Int8Info, folder: Path) -> str:
    """What was found, in a line or two."""
    return (
        f"{folder}: {INT8_FILE} accepted: {_figures(found)}. classify --engine onnx-int8 uses it, "
        f"and --engine auto where it is faster"
    )


def _make(bundle: Path, path: Path, exact: Model, info: BundleInfo, chosen: Choice) -> float:
    """Write the least mistaken of several 8-bit models as ``path``; how wrong it is.

    Which places of the images ranges and rounding are settled on is drawn, and the draws differ by
    a third in how many images need a second look.
    """
    from plankton_da.networks.onnx_int8 import quantize_onnx

    images = chosen.calibration.channels_first()
    true = _on_training_images(exact, chosen)
    doubts = []
    for draw in range(_DRAWS):
        drawn = path.with_name(f"{draw}-{path.name}")
        quantize_onnx(bundle / ONNX_FILE, drawn, images, seed=draw)
        fast = OnnxModel(drawn, info.classes)
        doubts.append(_doubt(true, _on_training_images(fast, chosen)))
        if doubts[-1] == min(doubts):
            os.replace(drawn, path)
    words = ", ".join(f"{doubt:.4f}" for doubt in doubts)
    log.info("of %d 8-bit models the least mistaken is kept (errors: %s)", _DRAWS, words)
    return min(doubts)


def _on_training_images(model: Model, chosen: Choice) -> NDArray[np.float32]:
    """(N, K) probabilities of the images that were calibrated on and of others of the target."""
    sets = (chosen.calibration, chosen.target)
    return np.concatenate([_in_batches(model, images) for images in sets])


def _compare(exact: Model, made: Path, doubt: float, info: BundleInfo, chosen: Choice) -> Int8Info:
    fast = OnnxModel(made, info.classes)
    both = DoubtfulModel(fast, exact, doubt)
    names = np.array(info.classes, dtype=object)

    def labels(model: Model, images: Images) -> NDArray[np.object_]:
        found: NDArray[np.object_] = names[_in_batches(model, images).argmax(axis=1)]
        return found

    def recall(found: NDArray[np.object_]) -> float:
        sure = np.ones(len(found))
        truth = chosen.val.labels
        return float(score(truth, list(found), sure, info.classes, bootstrap=0)["macro_recall"])

    before, after = labels(exact, chosen.val), labels(both, chosen.val)
    target_same = labels(exact, chosen.target) == labels(both, chosen.target)
    return Int8Info(
        sha256=sha256_of(made),
        doubt=doubt,
        second_looks=float((margins(_in_batches(fast, chosen.target)) < doubt).mean()),
        images=len(before),
        agreement=float((before == after).mean()),
        macro_recall=recall(after),
        float_macro_recall=recall(before),
        target_agreement=float(target_same.mean()),
        calibration=chosen.calibration.counts(),
        manifests=chosen.manifests,
        versions={name: version(name) for name in _PACKAGES},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _doubt(true: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """How wrong the 8-bit model's margin between its first two classes is, in the mean (rms).

    Over the quarter of the images whose margins are least: an error of a certain label does not
    matter. An image with a greater margin is hardly ever labelled differently. ``true`` and
    ``found``: (N, K) probabilities of the float and of the 8-bit model.
    """
    if found.shape[1] < 2:
        return 0.0
    margin = margins(found)
    near = np.argsort(margin)[: max(1, len(margin) // 4)]
    first, second = np.argsort(-found[near], axis=1)[:, :2].T
    places = np.arange(len(near))
    logs = np.log(np.maximum(true[near], np.finfo(np.float32).tiny))
    errors = margin[near] - (logs[places, first] - logs[places, second])
    return float(np.sqrt(np.square(errors).mean()))


def _in_batches(model: Model, images: Images) -> NDArray[np.float32]:
    pixels = images.channels_first()
    return np.concatenate(
        [model(pixels[start : start + 32]) for start in range(0, len(pixels), 32)]
    )


def _require_same(bundle: Path, found: Int8Info) -> None:
    lost = found.float_macro_recall - found.macro_recall
    if found.agreement >= LEAST_AGREEMENT and lost <= MOST_LOST:
        return
    raise BundleError(
        f"{bundle}: the 8-bit model is refused: {_figures(found)}. Wanted: at least "
        f"{LEAST_AGREEMENT:.0%} the same labels, and at most {100 * MOST_LOST:.1f} points of macro "
        f"recall lost. The bundle is as it was; classify goes on with its float model"
    )


def _figures(found: Int8Info) -> str:
    return (
        f"{found.agreement:.2%} the same labels as the float model's on {found.images:,} images of "
        f"mid's val split, macro recall {found.float_macro_recall:.4f} -> {found.macro_recall:.4f} "
        f"(with the target's statistics); {found.target_agreement:.2%} the same labels on target "
        f"images, of which {found.second_looks:.1%} get a second look by the float model; "
        f"calibrated on {_words(found.calibration)}"
    )


def _words(counts: dict[str, int]) -> str:
    listed = [f"{count:,} images of {name}" for name, count in counts.items()]
    return " and ".join(listed)


def _put_into(folder: Path, made: Path, found: Int8Info) -> None:
    """The model first: without its sha256 in ``bundle.json`` it is nothing."""
    about: dict[str, Any] = json.loads((folder / INFO_FILE).read_bytes())
    about.pop("int8", None)
    replace_file(folder / INT8_FILE, made.read_bytes())
    replace_file(folder / INFO_FILE, info_text({**about, "int8": found.model_dump(mode="json")}))

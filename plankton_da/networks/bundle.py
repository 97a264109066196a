"""The bundle: the folder that is deployed. Loading one executes no code."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from plankton_da.errors import BundleError, OutputError
from plankton_da.images.preprocess import Preprocess
from plankton_da.networks.bundle_int8 import Int8Info, info_text, without_int8

if TYPE_CHECKING:
    from torch import nn

    from plankton_da.networks.classifier import PlanktonNetwork

FORMAT_VERSION: Literal[1] = 1
INFO_FILE = "bundle.json"
WEIGHTS_FILE = "model.safetensors"
ONNX_FILE = "model.onnx"


log = logging.getLogger(__name__)


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a class is named twice")
    return names


class BundleInfo(BaseModel):
    """``bundle.json``: what the weights are, what they need, and where they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    backbone: str
    bottleneck_dim: int
    batch_norm: Literal["frozen", "shared", "per_domain"]
    classes: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct)]
    taxon_ids: dict[str, str] = {}
    """class -> taxon id"""
    preprocess: Preprocess
    preprocess_hash: str
    method: str
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """logits are divided by it before the softmax"""
    thresholds: dict[str, float] = {}
    """class -> score below which a prediction abstains; empty: never"""
    mid_instruments: tuple[str, ...]
    target_instruments: Annotated[tuple[str, ...], Field(min_length=1)]
    priors: dict[str, float] = {}
    """class -> share in mid's training images"""
    presumed_prior: dict[str, float] = {}
    """class -> share that the probabilities presume (at ``temperature``)"""
    target_prior: dict[str, float] = {}
    """class -> share in the target, estimated without labels; for ``classify --prior estimated``"""
    mid_entropy: tuple[float, ...] = ()
    """percentiles 0 to 100 of the entropy (nats) over mid's val images, for ``--abstain``"""
    manifests: dict[str, str] = {}
    """manifest file -> sha256 fingerprint"""
    licences: tuple[str, ...] = ()
    """licences named by the training manifests"""
    metrics: dict[str, Any] = {}
    """as ``evaluate --json``"""
    versions: dict[str, str] = {}
    git_commit: str | None = None
    created: str = ""
    """UTC, ISO 8601"""
    seed: int = 0
    run_id: str | None = None
    """MLflow run that trained it"""
    config: dict[str, Any] = {}
    """the training config"""
    int8: Int8Info | None = None
    """``model.int8.onnx``, where there is one; the last key, and no part of ``bundle_hash``"""

    @model_validator(mode="after")
    def _priors_are_of_the_classes(self) -> BundleInfo:
        for name in ("presumed_prior", "target_prior"):
            shares: dict[str, float] = getattr(self, name)
            if shares and set(shares) != set(self.classes):
                raise ValueError(f"{name} must have one share per class")
        return self

    @property
    def domains(self) -> dict[str, Literal["mid", "target"]]:
        """Instrument -> domain."""
        mid: dict[str, Literal["mid", "target"]] = dict.fromkeys(self.mid_instruments, "mid")
        return {**mid, **dict.fromkeys(self.target_instruments, "target")}


@dataclass
class Bundle:
    """A network with all that its use needs; ``folder`` is None while it is only in memory."""

    info: BundleInfo
    network: PlanktonNetwork
    folder: Path | None = None


def read_bundle_info(folder: Path) -> BundleInfo:
    """Read ``bundle.json``, and check it and that the weights beside it are whole; loads no torch.

    Raises
    ------
    BundleError
        The folder is no bundle, is damaged, or is of another format version.
    """
    path = Path(folder) / INFO_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = "no such folder" if not path.parent.is_dir() else f"{INFO_FILE} is missing there"
        raise BundleError(
            f"{folder} is not a bundle: {found}; a finished training run has one in "
            f"<output_dir>/bundle"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{path} is damaged: {error}; copy the bundle again") from None
    version = raw.get("format_version") if isinstance(raw, dict) else None
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path}: bundle format version {version!r}, this plankton_da reads {FORMAT_VERSION}; "
            f"use the plankton_da that wrote it ({_writer(raw)}) or train again"
        )
    try:
        info = BundleInfo.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors()[:5]
        )
        raise BundleError(
            f"{path} is not a valid bundle: {problems}; copy the bundle again"
        ) from None
    if info.preprocess.hash() != info.preprocess_hash:
        raise BundleError(
            f"{path}: preprocess does not match preprocess_hash: the file was edited, or this "
            f"plankton_da preprocesses differently from the one that wrote it ({_writer(raw)}); "
            f"copy the bundle again, or use that version"
        )
    _check_weights(Path(folder), info)
    return info


def _check_weights(folder: Path, info: BundleInfo) -> None:
    """By the header, which says how long the file must be; the ONNX engine reads only its own."""
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS_FILE
    try:
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
            classes = file.get_slice("head.weight").get_shape()[0] if "head.weight" in names else 0
    except FileNotFoundError:
        raise BundleError(f"{folder}: {WEIGHTS_FILE} is missing; copy the bundle again") from None
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path} is damaged: {error}; copy the bundle again") from None
    if classes != len(info.classes):
        raise BundleError(
            f"{folder}: {INFO_FILE} names {len(info.classes)} classes, the weights have {classes}; "
            f"the files are of two different bundles: copy the bundle again"
        )


def read_bundle(folder: Path, *, backbone: nn.Module | None = None) -> Bundle:
    """Read a bundle; the network is in evaluation mode on the CPU.

    Parameters
    ----------
    backbone
        For a bundle that was trained over a module of the caller's: such a module. It is copied and
        given the bundle's weights.

    Raises
    ------
    BundleError
        As ``read_bundle_info``; or weights are missing, truncated, or do not fit ``bundle.json``;
        or ``backbone`` is needed, or is given and not needed.
    """
    from safetensors.torch import load_file

    from plankton_da.config import ModelConfig
    from plankton_da.networks.backbone import Weights
    from plankton_da.networks.classifier import build_network

    info = read_bundle_info(folder)
    _require_backbone(folder, info, backbone)
    tensors = load_file(Path(folder) / WEIGHTS_FILE)
    network = build_network(
        ModelConfig(backbone=info.backbone, pretrained="none", bottleneck_dim=info.bottleneck_dim),
        len(info.classes),
        preprocess=info.preprocess,
        domains=info.domains,
        batch_norm=info.batch_norm,
        weights=Weights("the bundle's"),
        backbone=backbone,
    )
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise BundleError(
            f"{folder}: the weights do not fit backbone {info.backbone} as {INFO_FILE} describes "
            f"it: {str(error).splitlines()[-1].strip()}"
        ) from None
    return Bundle(info, network.eval(), Path(folder))


def _require_backbone(folder: Path, info: BundleInfo, backbone: nn.Module | None) -> None:
    from plankton_da.networks.backbone import is_known

    if backbone is None and not is_known(info.backbone):
        onnx = (
            f"; {ONNX_FILE} serves {', '.join(info.target_instruments)} without it (engine onnx)"
            if (Path(folder) / ONNX_FILE).is_file()
            else ""
        )
        raise BundleError(
            f"{folder}: its backbone {info.backbone} is no network that the installed timm has. "
            f"Where it was a torch module of somebody's own, that is needed, since a bundle holds "
            f"no code: read_bundle(folder, backbone=module) in Python{onnx}. Else install the "
            f"version of timm that {INFO_FILE} names: {info.versions.get('timm', 'not recorded')}"
        )
    if backbone is not None and is_known(info.backbone):
        raise BundleError(
            f"{folder}: its backbone {info.backbone} is timm's; read it without a module: "
            f"read_bundle(folder)"
        )


def write_bundle(bundle: Bundle, folder: Path, *, onnx: bool = True) -> Bundle:
    """Write ``bundle`` into ``folder``, which appears whole or not at all.

    Raises
    ------
    OutputError
        The folder exists already or cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    folder = Path(folder)
    if folder.exists():
        raise OutputError(f"{folder} exists already; give another folder or remove it")
    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        temporary.chmod(0o755)  # mkdtemp makes folders private
        tensors = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in bundle.network.state_dict().items()
        }
        save_file(tensors, temporary / WEIGHTS_FILE)
        (temporary / WEIGHTS_FILE).chmod(0o644)  # safetensors makes its file private
        if onnx:
            from plankton_da.networks.onnx_export import OnnxExporterError, export_onnx

            try:
                export_onnx(bundle, temporary / ONNX_FILE)
            except OnnxExporterError as error:  # a backbone may do what ONNX has no words for
                (temporary / ONNX_FILE).unlink(missing_ok=True)
                log.warning(
                    "%s cannot be made of backbone %s: the bundle goes without it, and classify "
                    "takes the engine torch. %s",
                    ONNX_FILE,
                    bundle.info.backbone,
                    str(error).strip().splitlines()[0],
                )
        about = bundle.info.model_dump(mode="json", exclude={"int8"})  # whose file is not written
        (temporary / INFO_FILE).write_bytes(info_text(about))
        os.replace(temporary, folder)
    except (OSError, SafetensorError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"{folder}: the bundle cannot be written: {words}; make room or permit writing there, "
            f"and give the same command again (train: with --resume)"
        ) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
    return Bundle(bundle.info, bundle.network, folder)


def bundle_hash(folder: Path) -> str:
    """sha256 over bundle.json and the weights: which model this is.

    What ``quantize`` adds to a bundle does not make it another one.

    Raises
    ------
    BundleError
        A file is missing or unreadable.
    """
    digest = hashlib.sha256()
    try:
        path = Path(folder) / INFO_FILE
        digest.update(hashlib.sha256(without_int8(path.read_bytes())).digest())
        path = Path(folder) / WEIGHTS_FILE
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise BundleError(f"{folder}: {path.name} cannot be read: {error}") from None
    return digest.hexdigest()


def _writer(raw: object) -> str:
    versions = raw.get("versions") if isinstance(raw, dict) else None
    version = versions.get("plankton_da") if isinstance(versions, dict) else None
    return f"plankton_da {version}" if version else "its version is not recorded"

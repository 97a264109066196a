"""What a YAML config may say.

Loading is pure: nothing is downloaded, no folder is made, no heavy library is imported.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from plankton_da.config_methods import MethodConfig
from plankton_da.config_methods import method_configs as method_configs
from plankton_da.config_methods import method_summaries as method_summaries
from plankton_da.config_section import BatchNormMode as BatchNormMode
from plankton_da.config_section import FilledString, Polarity, Section
from plankton_da.config_section import Paths as Paths

SOURCE_FREE_METHODS = ("shot",)
"""methods that learn from the target alone, from a bundle on"""
SMOOTHED_METHODS = ("dann", "cdan", "mcc", "pada")
"""methods for which ``optimizer.sdat`` is defined"""


class CropConfig(Section):
    """Pixels to cut off each side before anything else (scale bars, frames)."""

    top: NonNegativeInt = 0
    """pixels cut off the top"""
    bottom: NonNegativeInt = 0
    """pixels cut off the bottom; 31 for vignettes exported from EcoTaxa"""
    left: NonNegativeInt = 0
    """pixels cut off the left"""
    right: NonNegativeInt = 0
    """pixels cut off the right"""


class InstrumentPreprocessConfig(Section):
    """How one instrument's images are brought to the common look."""

    polarity: Polarity = "auto"
    """auto (estimated from border and object intensity) | dark_on_light | light_on_dark"""
    crop: CropConfig = CropConfig()
    """pixels to cut off each side"""
    pixel_size_um: PositiveFloat | None = None
    """side of a pixel in micrometres, for scale: physical; null: as the manifests say"""


class PreprocessConfig(Section):
    """How images of every instrument are brought to one common look."""

    color: Literal["gray", "rgb"] = "gray"
    """gray unless colour means the same in both instruments"""
    scale: Literal["fit", "physical"] = "fit"
    """fit (every image fills the square) | physical (a millimetre is as long in every instrument;
    needs their pixel sizes)"""
    um_per_pixel: PositiveFloat | None = None
    """micrometres for each pixel of the square, for scale: physical; null: such that 95% of the
    images fit, which are not shrunk then"""
    instruments: dict[str, InstrumentPreprocessConfig] = {}  # noqa: RUF012  # pydantic copies it
    """instrument name -> what is special about it"""

    @model_validator(mode="after")
    def _sizes_are_used(self) -> PreprocessConfig:
        sized = [name for name, each in self.instruments.items() if each.pixel_size_um is not None]
        if self.scale == "fit" and (sized or self.um_per_pixel is not None):
            what = f"instruments.{sized[0]}.pixel_size_um" if sized else "um_per_pixel"
            raise ValueError(
                f"{what} has no effect with scale: fit; set scale: physical, or drop it"
            )
        return self


class DataConfig(Section):
    """Which images, and how they are read."""

    mid: Paths | None = None
    """manifests of the labelled instrument; null for methods that need none (shot)"""
    target: Paths
    """manifests of the new instrument; labels, if any, are never read for training"""
    target_labelled: Paths | None = None
    """manifest of a few labelled target images that are trained on beside every method; with
    30 to 300 of them the greatest gain there is"""
    audit: Paths | None = None
    """small labelled target manifest: chooses the model, is never trained on"""
    taxonomy: str | None = None
    """CSV with the columns label,class: raw label -> class; an empty class drops the row"""
    image_size: Annotated[int, Field(ge=16, le=1024)] = 128
    """side of the square that the network sees, in pixels"""
    batch_size_per_instrument: PositiveInt = 32
    """images of mid, and as many of target, in a training step"""
    target_labelled_weight: PositiveFloat = 1.0
    """weight of their classification loss"""
    sampler: Literal["class_balanced", "uniform"] = "class_balanced"
    """class_balanced (every class equally often) | uniform (as in the archive); of mid"""
    augmentation: Literal["instrument", "strong", "none"] = "instrument"
    """instrument (geometry, tone, blur, pixel size, noise, JPEG) | strong (the same, more often and
    wider, and patches erased: costs mid accuracy, may gain more on the target) | none"""
    workers: NonNegativeInt = 2
    """processes that load images; 0 loads in the training process"""
    on_bad_image: Literal["error", "skip"] = "error"
    """error (stop, name every bad image) | skip (leave them out, name and count them)"""
    cache: Literal["auto", "memory_map", "none"] = "auto"
    """auto (decoded images kept on disk while they take less than 20 GB) | memory_map | none"""
    preprocess: PreprocessConfig = PreprocessConfig()
    """how images are brought to one common look, per instrument where it must differ"""


class ModelConfig(Section):
    """The network."""

    backbone: FilledString = "tf_efficientnet_lite0"
    """any timm model name"""
    pretrained: FilledString = "auto"
    """auto (installed package, then the hub) | none | a weights file (.safetensors, .pth)"""
    from_bundle: FilledString | None = None
    """start from the weights of this bundle instead: a folder, models:/NAME@alias, models:/NAME/3
    or runs:/ID/bundle"""
    bottleneck_dim: NonNegativeInt = 256
    """width of the Linear-BatchNorm-ReLU layer after the backbone; 0: none"""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """probability mass spread evenly over all classes"""
    batch_norm: Literal["auto"] | BatchNormMode = "auto"
    """auto (frozen for pretrained weights, else per_domain) | frozen | shared | per_domain"""
    freeze: Literal["none", "all"] | PositiveInt = "none"
    """none | all | N: the backbone's first N stages (the stem is the first) do not learn"""
    forward_layout: Literal["auto", "concatenated", "halves"] = "auto"
    """how both instruments' images pass the backbone: concatenated (one batch) | halves (one after
    the other) | auto (measured once on each machine); the gradients are the same"""


class SGDConfig(Section):
    """SGD with Nesterov momentum; lr * (1 + 10p)^-0.75 with p the progress from 0 to 1."""

    name: Literal["sgd"] = "sgd"
    """sgd"""
    lr: PositiveFloat = 0.01
    """learning rate of bottleneck, head and discriminator at the start"""
    backbone_lr_multiplier: NonNegativeFloat = 0.1
    """the backbone's learning rate as a share of lr"""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """each stage of the backbone learns at this share of the next one's rate, such as 0.75 for a
    ViT; 1: all alike"""
    weight_decay: NonNegativeFloat = 1.0e-3
    """L2 penalty"""
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Nesterov momentum"""
    sdat: PositiveFloat | None = None
    """rho of smooth adversarial training (Rangwani et al., ICML 2022), such as 0.02: seek weights
    around which the task loss is flat; a step then costs twice as much; null: off"""


class AdamWConfig(Section):
    """AdamW; the same schedule."""

    name: Literal["adamw"]
    """adamw"""
    lr: PositiveFloat = 1.0e-3
    """learning rate of bottleneck, head and discriminator at the start"""
    backbone_lr_multiplier: NonNegativeFloat = 0.1
    """the backbone's learning rate as a share of lr"""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """each stage of the backbone learns at this share of the next one's rate, such as 0.75 for a
    ViT; 1: all alike"""
    weight_decay: NonNegativeFloat = 0.05
    """decoupled weight decay"""
    sdat: PositiveFloat | None = None
    """rho of smooth adversarial training (Rangwani et al., ICML 2022), such as 0.02: seek weights
    around which the task loss is flat; a step then costs twice as much; null: off"""


def _default_sgd(value: object) -> object:
    return {"name": "sgd", **value} if isinstance(value, dict) and "name" not in value else value


OptimizerConfig: TypeAlias = Annotated[
    Annotated[SGDConfig | AdamWConfig, Field(discriminator="name")],
    BeforeValidator(_default_sgd),
]


class TrainingConfig(Section):
    """The loop."""

    steps: PositiveInt = 2000
    """optimizer steps"""
    evaluate_every: PositiveInt = 200
    """steps between evaluations; a checkpoint is written at each"""
    frozen_copies: Literal["auto"] | NonNegativeInt = "auto"
    """augmented copies of each image that pass the frozen stages once, before training, in place of
    augmentation anew in each step; auto (4 where that is less work) | N | 0 (none)"""
    yardstick: bool = True
    """for methods that adapt: train source_only first under the same settings, to say whether
    adaptation hurt; takes half as long again"""
    compile: bool = False
    """compile the backbone with torch.compile: minutes at the start, faster steps; on a CPU it
    needs a C++ compiler"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto (bf16 on CUDA, else fp32) | fp32 | bf16"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto (cuda if there is one) | cpu | cuda"""
    select_by: Literal["default", "mid_val", "infomax", "audit", "last", "oracle"] = "default"
    """default (audit labels if given; else mid val, and for methods that adapt InfoMax among the
    checkpoints within 0.05 of the best mid val) | mid_val | infomax | audit | last | oracle"""
    quantize: bool = False
    """at the end also make the 8-bit model for classify --engine onnx-int8 (see plankton-da
    quantize); where it is refused, the log says so and the bundle goes without"""
    allow_oracle_selection: bool = False
    """permit select_by: oracle, which reads target labels; such a model's target scores are no
    estimate of anything"""

    @model_validator(mode="after")
    def _oracle_is_permitted(self) -> TrainingConfig:
        if (self.select_by == "oracle") != self.allow_oracle_selection:
            raise ValueError(
                "select_by: oracle and allow_oracle_selection: true go together; found "
                f"select_by: {self.select_by}, "
                f"allow_oracle_selection: {self.allow_oracle_selection}"
            )
        return self


class TrackingConfig(Section):
    """Where the run is recorded."""

    backend: Literal["mlflow", "none"] = "mlflow"
    """mlflow | none (only output_dir is written)"""
    uri: str | None = None
    """MLflow tracking URI; null: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db in the working
    directory"""
    experiment: str = "plankton_da"
    """MLflow experiment"""


class Config(Section):
    """One training run."""

    seed: NonNegativeInt = 0
    """seed of everything random"""
    output_dir: FilledString = "runs/plankton_da"
    """folder of this run: checkpoints, bundle, diagnosis.json"""
    data: DataConfig
    """which images, and how they are read"""
    model: ModelConfig = ModelConfig()
    """the network"""
    method: MethodConfig
    """how the network learns to see the target instrument"""
    optimizer: OptimizerConfig = SGDConfig()
    """optimizer and learning rates"""
    training: TrainingConfig = TrainingConfig()
    """the loop"""
    tracking: TrackingConfig = TrackingConfig()
    """where the run is recorded"""

    @model_validator(mode="after")
    def _sources_agree(self) -> Config:
        method, problems = self.method.name, []
        if method not in SOURCE_FREE_METHODS:
            if self.data.mid is None:
                problems.append(
                    f"data.mid: required key is missing: {method} learns from labelled images "
                    f"(without them: {', '.join(SOURCE_FREE_METHODS)})"
                )
        else:
            if self.data.mid is not None:
                problems.append(f"data.mid: {method} learns from the target alone; set it to null")
            if self.model.from_bundle is None:
                problems.append(
                    f"model.from_bundle: required key is missing: {method} adapts a bundle; give "
                    f"its folder, or models:/NAME@alias"
                )
            if self.training.select_by == "mid_val":
                problems.append(
                    f"training.select_by: mid_val needs images of mid, which {method} has not; use "
                    f"default"
                )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _options_agree(self) -> Config:
        if self.method.name == "adabn" and self.model.batch_norm in ("frozen", "shared"):
            raise ValueError(
                f"method adabn keeps statistics per instrument, but model.batch_norm is "
                f"{self.model.batch_norm}; set model.batch_norm: per_domain (or auto)"
            )
        if self.model.freeze == "none" and self.training.frozen_copies not in ("auto", 0):
            raise ValueError(
                f"training.frozen_copies: {self.training.frozen_copies} needs frozen stages, but "
                f"model.freeze is none; set model.freeze, or training.frozen_copies: auto"
            )
        if self.method.name == "distill" and not self.method.teachers:
            raise ValueError(
                "method.teachers is empty; name the bundles that the network learns from: "
                "--set 'method.teachers=[runs/a/bundle, runs/b/bundle]'"
            )
        if self.optimizer.sdat is not None and self.method.name not in SMOOTHED_METHODS:
            raise ValueError(
                f"optimizer.sdat is for the methods {', '.join(SMOOTHED_METHODS)}; method is "
                f"{self.method.name}; set optimizer.sdat: null"
            )
        if self.training.select_by == "audit" and self.data.audit is None:
            raise ValueError("training.select_by: audit needs data.audit, which is null")
        return self

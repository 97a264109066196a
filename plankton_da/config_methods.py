"""What a YAML config may say about the method: one class for each."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field, NonNegativeFloat, PositiveInt

from plankton_da.config_section import FilledString, Fraction, Section


class SourceOnlyConfig(Section):
    """No adaptation: the classifier learns from mid alone. The yardstick of every other method."""

    name: Literal["source_only"] = "source_only"
    """source_only"""


class AdaBNConfig(Section):
    """source_only, then BatchNorm statistics of the target (Li et al., arXiv:1603.04779)."""

    name: Literal["adabn"] = "adabn"
    """adabn"""


class DANNConfig(Section):
    """Domain-adversarial training (Ganin et al., JMLR 2016)."""

    name: Literal["dann"] = "dann"
    """dann"""
    grl_strength: NonNegativeFloat = 1.0
    """lambda2: the reversed gradient's factor, warmed up by 2/(1+exp(-10p))-1"""
    adversarial_weight: NonNegativeFloat = 1.0
    """lambda3: weight of the domain loss; constant"""
    hidden_dim: PositiveInt = 1024
    """width of the domain discriminator's hidden layers"""


class MCCConfig(Section):
    """Minimum class confusion on the target's predictions (Jin et al., ECCV 2020)."""

    name: Literal["mcc"] = "mcc"
    """mcc"""
    mcc_weight: NonNegativeFloat = 1.0
    """weight of the class confusion loss; constant"""
    temperature: Annotated[float, Field(ge=1)] = 2.5
    """softmax temperature within the class confusion loss"""


class CDANConfig(Section):
    """Adversarial training conditioned on the predicted classes (Long et al., NeurIPS 2018)."""

    name: Literal["cdan"] = "cdan"
    """cdan"""
    grl_strength: NonNegativeFloat = 1.0
    """lambda2: the reversed gradient's factor, warmed up by 2/(1+exp(-10p))-1"""
    adversarial_weight: NonNegativeFloat = 1.0
    """lambda3: weight of the domain loss; constant"""
    hidden_dim: PositiveInt = 1024
    """width of the domain discriminator's hidden layers"""
    entropy_conditioning: bool = False
    """weigh each image in the domain loss by 1 + exp(-entropy of its prediction): CDAN+E"""
    mcc_weight: NonNegativeFloat = 0.0
    """weight of the class confusion loss of method mcc beside it; 0: none"""
    mcc_temperature: Annotated[float, Field(ge=1)] = 2.5
    """softmax temperature within the class confusion loss"""


class PADAConfig(Section):
    """dann for targets that lack classes of mid: mid's images weigh as much as the target seems to
    have of their class (Cao et al., ECCV 2018)."""

    name: Literal["pada"] = "pada"
    """pada"""
    grl_strength: NonNegativeFloat = 1.0
    """lambda2: the reversed gradient's factor, warmed up by 2/(1+exp(-10p))-1"""
    adversarial_weight: NonNegativeFloat = 1.0
    """lambda3: weight of the domain loss; constant"""
    hidden_dim: PositiveInt = 1024
    """width of the domain discriminator's hidden layers"""
    class_weights_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """the class weights are a running mean of the target's predictions; how much of it stays at
    each step"""


class TeacherConfig(Section):
    """A teacher, which is the running mean of the network that learns, and losses that may stand
    beside those of its methods."""

    teacher_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """how much of the running mean of weights and statistics stays at each step"""
    deploy: Literal["teacher", "student"] = "teacher"
    """which network is evaluated and goes into the bundle: teacher (the running mean: steadier) |
    student"""
    mcc_weight: NonNegativeFloat = 0.0
    """weight of the class confusion loss of method mcc beside it; 0: none"""
    mcc_temperature: Annotated[float, Field(ge=1)] = 2.5
    """softmax temperature within the class confusion loss"""
    adversarial_weight: NonNegativeFloat = 0.0
    """weight of the domain loss of method cdan beside it; 0: none"""
    grl_strength: NonNegativeFloat = 1.0
    """lambda2 of that loss: the reversed gradient's factor, warmed up by 2/(1+exp(-10p))-1"""
    hidden_dim: PositiveInt = 1024
    """width of the domain discriminator's hidden layers"""


class _SelfTraining(Section):
    name: Literal["self_training"] = "self_training"
    """self_training"""
    self_training_weight: NonNegativeFloat = 1.0
    """weight of the loss on the target, reached after half of the steps"""
    threshold: Fraction = 0.9
    """a label counts if its probability is at least this share of the teacher's mean confidence on
    mid"""
    align_to: Literal["estimated", "mid", "none"] = "estimated"
    """class shares that the teacher's labels are drawn towards: estimated (the target's, by
    expectation maximisation) | mid (as in a batch of mid: AdaMatch) | none"""
    class_balance: Fraction = 0.5
    """1: every class of the target counts as much as in a batch of mid; 0: as often as it comes; in
    between: the power of that weight"""
    shares_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """how much of the running class shares stays at each step"""


class SelfTrainingConfig(TeacherConfig, _SelfTraining):  # in YAML, fields of the last base first
    """Labels from a running mean of the network, where it is sure, for the strongly augmented
    target (after AdaMatch, Berthelot et al., ICLR 2022)."""


class _MIC(Section):
    name: Literal["mic"] = "mic"
    """mic"""
    masked_weight: NonNegativeFloat = 1.0
    """weight of the loss on masked target images; constant"""
    masked_share: Annotated[float, Field(ge=0, lt=1)] = 0.7
    """share of the patches that are hidden"""
    patch_size: Annotated[float, Field(gt=0, le=1)] = 0.25
    """side of a patch, as a share of the image's side"""


class MICConfig(TeacherConfig, _MIC):
    """Masked image consistency: a running mean's label of the whole target image for one of which
    most is hidden (Hoyer et al., CVPR 2023)."""


class ShotConfig(Section):
    """Source-free: a bundle learns to see a new camera from its unlabelled images alone, without
    mid's (Liang et al., ICML 2020)."""

    name: Literal["shot"] = "shot"
    """shot"""
    entropy_weight: NonNegativeFloat = 1.0
    """weight of the entropy of each prediction, which is made small"""
    diversity_weight: NonNegativeFloat = 1.0
    """weight of the entropy of a batch's mean prediction, which is made great; less where the
    target is mostly one class"""
    pseudo_label_weight: NonNegativeFloat = 0.3
    """weight of the cross entropy with labels of the nearest class centroid"""
    refresh_every: PositiveInt = 100
    """steps between two searches for those labels"""


class DistillConfig(Section):
    """One network that predicts on the target as the mean of several finished bundles (after Hinton
    et al., arXiv:1503.02531)."""

    name: Literal["distill"] = "distill"
    """distill"""
    teachers: tuple[FilledString, ...] = ()
    """bundles (folders, models:/NAME@alias) of the same classes and preprocessing, any backbone"""
    distillation_weight: NonNegativeFloat = 1.0
    """weight of the cross entropy with the teachers' mean prediction; constant"""


MethodConfig: TypeAlias = Annotated[
    SourceOnlyConfig
    | AdaBNConfig
    | DANNConfig
    | CDANConfig
    | MCCConfig
    | PADAConfig
    | SelfTrainingConfig
    | MICConfig
    | ShotConfig
    | DistillConfig,
    Field(discriminator="name"),
]


def method_configs() -> dict[str, type[Section]]:
    """Method name -> its config class."""
    union = get_args(MethodConfig)[0]
    classes: tuple[type[Section], ...] = get_args(union)
    return {cls.model_fields["name"].default: cls for cls in classes}


def method_summaries() -> dict[str, str]:
    """Method name -> one sentence."""
    return {name: " ".join((cls.__doc__ or "").split()) for name, cls in method_configs().items()}

"""What a YAML config may say about the method: one class for each."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field, NonNegativeFloat, PositiveInt

from plankton_da.config_section import Section


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


MethodConfig: TypeAlias = Annotated[
    SourceOnlyConfig | AdaBNConfig | DANNConfig | CDANConfig | MCCConfig,
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

"""The methods. One file each; a new one needs its line here and its config class."""

from __future__ import annotations

from plankton_da.adaptation.methods.adabn import AdaBN
from plankton_da.adaptation.methods.base import Method, StepOutput
from plankton_da.adaptation.methods.cdan import CDAN
from plankton_da.adaptation.methods.dann import DANN
from plankton_da.adaptation.methods.distill import Distill
from plankton_da.adaptation.methods.mcc import MCC
from plankton_da.adaptation.methods.mic import MIC
from plankton_da.adaptation.methods.pada import PADA
from plankton_da.adaptation.methods.self_training import SelfTraining
from plankton_da.adaptation.methods.shot import Shot
from plankton_da.adaptation.methods.source_only import SourceOnly

METHODS: dict[str, type[Method]] = {
    "source_only": SourceOnly,
    "adabn": AdaBN,
    "dann": DANN,
    "cdan": CDAN,
    "mcc": MCC,
    "pada": PADA,
    "self_training": SelfTraining,
    "mic": MIC,
    "shot": Shot,
    "distill": Distill,
}

__all__ = ["METHODS", "Method", "StepOutput"]

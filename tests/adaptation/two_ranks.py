"""Run by test_ranks.py in two processes: methods step together, and rank 0 before that alone.

usage: two_ranks.py RANK COUNT STORE OUT
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from plankton_da.adaptation.forward_layout import measure_layouts
from plankton_da.adaptation.gradients import compute_gradients
from plankton_da.adaptation.methods import METHODS, Method
from plankton_da.adaptation.optimizers import create_optimizer
from plankton_da.adaptation.pairs import UdaBatch
from plankton_da.adaptation.ranks import Ranks, mean_over_ranks
from plankton_da.config import ModelConfig, SGDConfig, method_configs
from plankton_da.errors import ConfigError
from plankton_da.images.preprocess import InstrumentLook, Preprocess
from plankton_da.networks.classifier import build_network

SIZE, CLASSES, BATCH, STEPS = 32, 5, 8, 3
CASES: dict[str, tuple[str, str, dict[str, Any], float | None]] = {
    "source_only": ("source_only", "frozen", {}, None),
    "dann": ("dann", "frozen", {"hidden_dim": 8}, None),
    "dann_sdat": ("dann", "frozen", {"hidden_dim": 8}, 0.05),
    "cdan": ("cdan", "frozen", {"hidden_dim": 8}, None),
    "self_training": ("self_training", "frozen", {"threshold": 0.5}, None),
    "mcc": ("mcc", "frozen", {}, None),
    "pada": ("pada", "frozen", {"hidden_dim": 8}, None),
    "mic": ("mic", "frozen", {}, None),
    "adabn": ("adabn", "per_domain", {}, None),
    "dann_per_domain": ("dann", "per_domain", {"hidden_dim": 8}, None),
}
"""name -> method, BatchNorm, settings, sdat"""


def build(name: str, batch_norm: str, settings: dict[str, Any]) -> Method:
    torch.manual_seed(0)
    model = {"backbone": "test_resnet", "pretrained": "none", "bottleneck_dim": 0}
    network = build_network(
        ModelConfig(**model, batch_norm=batch_norm),
        CLASSES,
        preprocess=Preprocess(
            image_size=SIZE, instruments={"MID": InstrumentLook(), "TARGET": InstrumentLook()}
        ),
        domains={"MID": "mid", "TARGET": "target"},
    )
    return METHODS[name](network, method_configs()[name](**settings), 0.1).train()


def batch(step: int, part: slice) -> UdaBatch:
    generator = torch.Generator().manual_seed(step)

    def images(low: int) -> torch.Tensor:
        shape = (BATCH, 1, SIZE, SIZE)
        return torch.randint(low, 256, shape, dtype=torch.uint8, generator=generator)[part]

    labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)[part]
    return UdaBatch(images(0), labels, images(100), target_strong_images=images(50))


def steps(method: Method, ranks: Ranks, sdat: float | None) -> dict[str, torch.Tensor]:
    """The method's state after a few steps."""
    optimizer = create_optimizer(method, SGDConfig(lr=0.05, backbone_lr_multiplier=1.0))
    module = ranks.wrap(method, SIZE)
    for step in range(STEPS):
        ranks.seed(0, step)
        optimizer.zero_grad(set_to_none=True)
        compute_gradients(
            module,
            batch(step, ranks.part),
            torch.tensor(0.5),
            sdat=sdat,
            autocast=torch.autocast("cpu", enabled=False),
        )
        optimizer.step()
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


def main(rank: int, count: int, store: Path, out: Path) -> None:
    methods = {name: build(*case[:3]) for name, case in CASES.items()}
    alone = {
        name: steps(copy.deepcopy(method), Ranks(), CASES[name][3])
        for name, method in methods.items()
        if rank == 0
    }
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=count
    )
    ranks = Ranks(rank, count)
    together = {name: steps(method, ranks, CASES[name][3]) for name, method in methods.items()}
    said: dict[str, Any] = {
        "mean": float(mean_over_ranks(torch.tensor(float(rank)))),
        "any": [ranks.any(rank == 1), ranks.any(False)],
        "first": ranks.first_says(lambda: rank + 7),
        "does": ranks.first_does(lambda: rank + 7),
    }
    ranks.in_turn(lambda: (out / f"turn_{rank}").write_text(str(sorted(out.glob("turn_*")))))
    try:
        ranks.first_does(ranks.require_parts, 7)
    except (ConfigError, SystemExit) as error:
        said["refused"] = f"{type(error).__name__} {error}"
    measured = measure_layouts(methods["dann"].network, batch(0, ranks.part), torch.no_grad())
    said["layouts"] = sorted(measured)
    torch.save({"alone": alone, "together": together, "said": said}, out / f"rank_{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))

"""The rooms of the package and who may import whom.

An image walks through the rooms in one order; a room imports only those above it. A library that
one file is meant to hide is imported by that file alone.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "plankton_da"

ROOMS = (
    "errors",
    "config_section",
    "config_methods",
    "config",
    "config_reading",
    "config_text",
    "images",
    "manifests",
    "networks",
    "prediction",
    "evaluation",
    "tracking",
    "adaptation",
    "demo",
    "cli",
    "__main__",
)
"""from the top; ``plankton_da/__init__.py`` stands above them all and imports none"""

TRACKING_IMPORTS = {"errors", "config", "tracking"}
TRACKING_FREE = {"tracking/pyfunc.py"}
"""runs inside MLflow and drives the predictor"""

ONLY: dict[str, tuple[str, ...]] = {
    "timm": ("networks/backbone.py",),
    "albumentations": ("images/augment.py",),
    "mlflow": ("tracking/",),
    "ray": ("prediction/ray_backend.py",),
    "h5py": ("prediction/export/ifcb_h5.py",),
}
"""library -> files (or folders) that may import it"""


class Import(NamedTuple):
    line: int
    module: str


def imports_of(file: Path, package: Path) -> Iterator[Import]:
    """Every module that a file imports, wherever in the file, by its absolute name."""
    parts = [package.name, *file.relative_to(package).with_suffix("").parts]
    here = parts[:-1]  # the package that a relative import starts from
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            # `from plankton_da import images` names the room behind the word import
            yield from (Import(node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            named = node.args[0] if node.args else None
            name = named.value if isinstance(named, ast.Constant) else None
            yield Import(node.lineno, name if isinstance(name, str) else "?")


def _called(function: ast.expr) -> str:
    return getattr(function, "id", getattr(function, "attr", ""))


def violations(package: Path) -> list[str]:
    """``file:line: what is wrong``, for every file of the package."""
    found = []
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package)
        room = inside.parts[0].removesuffix(".py")
        if room not in (*ROOMS, "__init__"):
            found.append(f"{inside.as_posix()}:1: {room} is no room; give it a place in ROOMS")
            continue
        for line, module in imports_of(file, package):
            if words := _wrong(inside.as_posix(), room, module, package.name):
                found.append(f"{inside.as_posix()}:{line}: {words}")
    return found


def _wrong(file: str, room: str, module: str, package: str) -> str | None:
    if module == "?":
        return "imports a module whose name is not written there"
    library, *inner = module.split(".")
    if library != package:
        allowed = ONLY.get(library)
        if allowed is None or any(file == place or _is_below(file, place) for place in allowed):
            return None
        who = f"only {', '.join(allowed)} may" if allowed else "nobody may"
        return f"imports {library}; {who}"
    imported = inner[0] if inner and inner[0] in ROOMS else None
    if imported is None:
        return f"imports {module}, which is in no room"
    if room == "__init__" or ROOMS.index(imported) > ROOMS.index(room):
        return f"{room} imports {imported}, which is below it"
    if room == "tracking" and file not in TRACKING_FREE and imported not in TRACKING_IMPORTS:
        return f"tracking imports {imported}; it may import errors and config alone"
    return None


def _is_below(file: str, place: str) -> bool:
    return place.endswith("/") and file.startswith(place)


def test_rooms_import_only_upwards_and_libraries_stay_in_their_files() -> None:
    assert violations(PACKAGE) == []


def test_every_room_is_there() -> None:
    rooms = {
        file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in PACKAGE.rglob("*.py")
    }
    assert rooms == {*ROOMS, "__init__"}


def test_nobody_imports_the_file_that_mlflow_runs() -> None:
    importers = [
        file
        for file in PACKAGE.rglob("*.py")
        for _, module in imports_of(file, PACKAGE)
        if module.startswith("plankton_da.tracking.pyfunc")
    ]
    assert importers == []


FAULTS = {
    "downwards": ("images/refs.py", "import plankton_da.cli", "images imports cli"),
    "from_a_room": ("images/refs.py", "from plankton_da.cli import main", "images imports cli"),
    "from_the_package": ("images/refs.py", "from plankton_da import cli", "images imports cli"),
    "relative": ("images/refs.py", "from ..cli import main", "images imports cli"),
    "relative_room": ("images/refs.py", "from .. import cli", "images imports cli"),
    "in_a_function": (
        "networks/bundle.py",
        """
        def read() -> None:
            from plankton_da.prediction.predictor import Predictor
        """,
        "networks imports prediction",
    ),
    "for_types_alone": (
        "prediction/predictor.py",
        """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from plankton_da.adaptation.training import train
        """,
        "prediction imports adaptation",
    ),
    "by_name": (
        "images/refs.py",
        "import importlib\nimportlib.import_module('plankton_da.cli')",
        "images imports cli",
    ),
    "by_a_hidden_name": (
        "images/refs.py",
        "import importlib\nimportlib.import_module('plankton_da' + '.cli')",
        "whose name is not written there",
    ),
    "config_to_text": ("config.py", "import plankton_da.config_text", "config imports config_text"),
    "package_to_room": ("__init__.py", "from plankton_da import errors", "__init__ imports errors"),
    "new_room": ("utils/misc.py", "", "utils is no room"),
    "new_file": ("helpers.py", "", "helpers is no room"),
    "no_room": ("cli/train.py", "from plankton_da.utils import misc", "in no room"),
    "tracking_to_networks": (
        "tracking/runs.py",
        "from plankton_da.networks import bundle",
        "tracking imports networks",
    ),
    "timm": ("networks/classifier.py", "import timm.models", "only networks/backbone.py may"),
    "albumentations": (
        "images/cache.py",
        "from albumentations import Compose",
        "only images/augment.py may",
    ),
    "mlflow": ("adaptation/training.py", "import mlflow", "only tracking/ may"),
    "mlflow_in_a_similar_place": ("cli/tracking.py", "import mlflow", "only tracking/ may"),
    "ray": ("prediction/folder.py", "import ray", "only prediction/ray_backend.py may"),
    "h5py": (
        "prediction/folder.py",
        "def f(): import h5py",
        "only prediction/export/ifcb_h5.py may",
    ),
}


@pytest.mark.parametrize(("file", "source", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_breach_is_found(tmp_path: Path, file: str, source: str, words: str) -> None:
    package = tmp_path / "plankton_da"
    broken = package / file
    broken.parent.mkdir(parents=True)
    (package / "errors.py").write_text("")
    broken.write_text(textwrap.dedent(source))
    (found,) = violations(package)
    assert found.startswith(f"{file}:")
    assert words in found


ALLOWED = {
    "upwards": ("cli/train.py", "from plankton_da.adaptation.training import train"),
    "same_room": ("images/refs.py", "from plankton_da.images import archives"),
    "relative": ("images/refs.py", "from . import archives"),
    "timm": ("networks/backbone.py", "def f(): import timm"),
    "albumentations": ("images/augment.py", "import albumentations as A"),
    "mlflow": ("tracking/runs.py", "from mlflow import MlflowClient"),
    "ray": ("prediction/ray_backend.py", "import ray"),
    "pyfunc": ("tracking/pyfunc.py", "from plankton_da.prediction.predictor import Predictor"),
    "similar_name": ("images/refs.py", "import timmy"),
}


@pytest.mark.parametrize(("file", "source"), ALLOWED.values(), ids=ALLOWED.keys())
def test_what_is_allowed_is_not_found(tmp_path: Path, file: str, source: str) -> None:
    allowed = tmp_path / "plankton_da" / file
    allowed.parent.mkdir(parents=True)
    allowed.write_text(source)
    assert violations(tmp_path / "plankton_da") == []

"""A folder of copied images that people sort by label, and what each copy was before.

People move files between folders; the file's name stays. ``.copies.csv`` in the folder says which
image each name is, so that a manifest of the sorted folder has the ids of the manifest that the
copies were made from.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from plankton_da.errors import UsageError
from plankton_da.images.refs import decode_name
from plankton_da.manifests.columns import TEXT
from plankton_da.manifests.problems import Problem, Problems
from plankton_da.manifests.reading import read_table
from plankton_da.manifests.table import write_manifest

COPIES_FILE = ".copies.csv"
FILE_COLUMN = "file"


def write_copies(table: pd.DataFrame, names: list[str], folder: Path) -> None:
    """Note that the copy of row k of ``table`` (columns of a manifest) is called ``names[k]``.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    about = table.drop(columns=["image", "label"], errors="ignore")
    write_manifest(about.assign(**{FILE_COLUMN: names}), folder / COPIES_FILE)


def restore_ids(table: pd.DataFrame, folder: Path, instrument: str) -> pd.DataFrame:
    """Rows of a sorted folder with the ids, cameras and further columns of what was copied.

    Parameters
    ----------
    table
        Rows of that folder: object_id, ending in the path within it, image, instrument and, where
        its sub-folders are labels, label.
    folder
        Without ``.copies.csv`` in it the table comes back as it is; a file that is not noted there
        keeps its row.

    Raises
    ------
    UsageError
        ``instrument`` is none of those that the copies are of.
    ManifestError
        ``.copies.csv`` is damaged, or a copy lies in several folders.
    """
    path = folder / COPIES_FILE
    if not path.is_file():
        return table
    noted = _read(path)
    cameras = sorted(noted["instrument"].unique())
    if instrument not in cameras:
        raise UsageError(
            f"--instrument {instrument}: the images in {folder} are copies of images of "
            f"{', '.join(cameras)}; give that name"
        )
    names = table["object_id"].str.rpartition("/")[2]
    known = names.isin(noted.index)
    _refuse_doubles(table["object_id"][known], names[known], folder)
    if "label" in table:
        table = table.assign(label=table["label"].map(decode_name).astype(TEXT))
    for name, column in noted.items():
        ours = column.reindex(names).set_axis(table.index)
        theirs = table.get(name, pd.Series("", index=table.index, dtype=TEXT))
        table = table.assign(**{str(name): ours.where(known, theirs)})
    return table


def _read(path: Path) -> pd.DataFrame:
    """What is noted, by file name."""
    raw = read_table(path)
    columns = (FILE_COLUMN, "object_id", "instrument")
    missing = [name for name in columns if name not in raw.table] if not raw.problems else []
    words = "this column is missing: the file was changed; select the images again, elsewhere"
    raw.problems.add(Problem(str(path), 1, name, "missing_column", words) for name in missing)
    raw.problems.raise_if_any()
    return raw.table.set_index(FILE_COLUMN)


def _refuse_doubles(ids: pd.Series[str], names: pd.Series[str], folder: Path) -> None:
    doubled = names.duplicated(keep=False)
    problems = Problems()
    for name, places in ids[doubled].groupby(names[doubled]):
        words = f"one image lies in several folders: {', '.join(places)}; leave one of them"
        problems.add([Problem(str(folder / str(name)), None, None, "two_labels", words)])
    problems.raise_if_any()

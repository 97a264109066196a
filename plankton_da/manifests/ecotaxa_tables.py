"""What EcoTaxa's tables are made of: shared by those who read them and those who write them.

Source: the import page and the importer of EcoTaxa (https://ecotaxa.obs-vlfr.fr), and tables of
UVP5, UVP6, ZooScan, flatbed scanner, PlanktoScope, LOKI and IFCB.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

PREFIXES = ("img_", "object_", "acq_", "process_", "sample_")
"""a column's first word says which entity it belongs to; EcoTaxa refuses all others"""
MANDATORY = ("img_file_name", "object_id")
IDS = ("object_id", "acq_id", "process_id", "sample_id")
"""where a table has columns of an entity, it needs the entity's id"""
CATEGORY = "object_annotation_category"
CATEGORY_ID = "object_annotation_category_id"
"""taxon number of the server; where there is one, the importer passes over the category's name"""
STATUS = "object_annotation_status"
HIERARCHY = "object_annotation_hierarchy"
"""names from the root to the category joined by ``>``; only in exports"""
STATUSES = ("predicted", "validated", "dubious")
"""a category is only imported together with one of these, in any case of letters"""
VALIDATED = "validated"
FIXED_NUMBERS = ("object_lat", "object_lon", "object_depth_min", "object_depth_max", "img_rank")
FIXED_TEXTS = (
    *MANDATORY,
    "object_date",
    "object_time",
    "object_link",
    CATEGORY,
    CATEGORY_ID,
    STATUS,
    "object_annotation_date",
    "object_annotation_time",
    "object_annotation_person_name",
    "object_annotation_person_email",
    "acq_id",
    "acq_instrument",
    "process_id",
    "sample_id",
    "sample_dataportal_descriptor",
)
"""columns that mean the same in every project; all others are free"""

NUMBER, TEXT = "[f]", "[t]"
"""types of the second row; in acq_, process_ and sample_ every column is stored as text"""
MAX_NUMBERS, MAX_TEXTS = 500, 20
"""free columns of objects, by type"""
MAX_PARENT_COLUMNS = 30
"""free columns of acquisitions, of processes and of samples"""
MAX_TEXT_LENGTH = 250

OWN_ID = "ecotaxa_id"
"""manifest column: EcoTaxa's ``object_id``, which images of one object share"""
ORIGINAL_RANK = 100
"""``img_rank`` under which EcoTaxa keeps the camera's image of which it made a vignette"""

UTF8_BOM = b"\xef\xbb\xbf"
"""with these first bytes a table is UTF-8, for EcoTaxa and here"""
FALLBACK_ENCODING = "latin-1"
"""how EcoTaxa's importer reads a table without those bytes"""

_TABLE_NAME = re.compile(r"ecotaxa.*\.(tsv|txt)", re.IGNORECASE)
_TYPE = re.compile(r"\[.{0,3}\]|")


def is_table_name(name: str) -> bool:
    """Whether a file's name (without folders) is that of a table in a bundle.

    EcoTaxa demands lower case; what people make by hand often has it not.
    """
    return _TABLE_NAME.fullmatch(name) is not None


def column_name(header: str) -> str:
    """A header as EcoTaxa's importer understands it: lower case, no blanks around it."""
    return header.strip().lower()


def is_type_row(cells: Sequence[str]) -> bool:
    """Whether a row is the second one of an import table: ``[t]``, ``[f]`` and the like."""
    stripped = [cell.strip() for cell in cells]
    return any(stripped) and all(_TYPE.fullmatch(cell) for cell in stripped)


def is_empty(value: str) -> bool:
    """Whether a value stands for none: EcoTaxa takes ``nan`` and ``NA`` of numbers so."""
    return value.strip().lower() in ("", "nan", "na")

"""The rows of EcoTaxa tables, held against the rules of its importer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from plankton_da.manifests.ecotaxa_faults import Faults
from plankton_da.manifests.ecotaxa_header import Header
from plankton_da.manifests.ecotaxa_tables import (
    CATEGORY,
    CATEGORY_ID,
    MAX_TEXT_LENGTH,
    STATUS,
    STATUSES,
)
from plankton_da.manifests.ecotaxa_values import date_text, degrees, number, time_text
from plankton_da.manifests.ingest.ecotaxa_rows import Row

PARENT_CATEGORY = "object_annotation_parent_category"
"""a column of older tools, which the importer stores as any free text"""

_LATITUDE, _LONGITUDE = ("object_lat", 90.0), ("object_lon", 180.0)
_DATES = ("object_date", "object_annotation_date")
_TIMES = ("object_time", "object_annotation_time")
_LONG_TEXT = "sample_dataportal_descriptor"
_FIVE_DIGITS = re.compile(r"\d{5}")


class RowRules:
    """The rules for rows; remembers what must not come twice in a bundle."""

    def __init__(self, update_only: bool) -> None:
        self.update_only = update_only
        self._images: dict[tuple[str, str], tuple[str, int]] = {}
        self._sample_of: dict[str, str] = {}
        self._parents: dict[str, str] = {}

    def check(self, row: Row, header: Header, found: Faults) -> str | None:
        """Note what is wrong with a row; returns the image's name, if it gives one."""
        line, cells = row.line, row.cells
        beyond = [cell for cell in cells[len(header.columns) :] if cell.strip()]
        if beyond:
            words = f"{len(cells)} cells, but {len(header.columns)} columns: {beyond[0]!r} has none"
            found.error(line, None, "long_row", words)
            return None
        values = {
            name: cell.strip() for name, cell in zip(header.columns, cells, strict=False) if name
        }
        for name, value in values.items():
            if value:
                _check_value(name, value, name in header.numbers, line, found)
        self._check_annotation(values, line, found)
        self._check_place(values, line, found)
        return self._check_ids(values, line, found)

    def _check_ids(self, values: Mapping[str, str], line: int, found: Faults) -> str | None:
        object_id, image = values.get("object_id", ""), values.get("img_file_name", "")
        if not object_id:
            found.error(line, "object_id", "empty_value", "every row needs an object_id")
        if not image:
            if not self.update_only:
                found.error(line, "img_file_name", "empty_value", "every row needs an image")
            return None
        file, before = self._images.setdefault((object_id, image), (found.file, line))
        if (file, before) != (found.file, line):
            where = f"line {before}" if file == found.file else f"{file}, line {before}"
            words = f"object {object_id!r} with image {image!r} stands in {where} already"
            found.error(line, None, "duplicate_image", words)
            return None
        return image

    def _check_annotation(self, values: Mapping[str, str], line: int, found: Faults) -> None:
        status, name = values.get(STATUS, ""), values.get(CATEGORY, "")
        category = values.get(CATEGORY, values.get(CATEGORY_ID, ""))
        if status and status.lower() not in STATUSES:
            words = f"a status is {', '.join(STATUSES)}; found {status!r}"
            found.error(line, STATUS, "status", words)
        if status and not category:
            words = f"the status {status!r} needs a category; fill {CATEGORY}, or leave out both"
            found.error(line, CATEGORY, "status_without_category", words)
        if not status and (category or values.get(CATEGORY_ID)):
            given = category or values.get(CATEGORY_ID)
            words = f"the category {given!r} needs a status: {', '.join(STATUSES)}"
            found.error(line, STATUS, "category_without_status", words)
        parent = values.get(PARENT_CATEGORY, "")
        if name and parent and not values.get(CATEGORY_ID):
            other = self._parents.setdefault(name, parent)
            if other != parent:
                words = (
                    f"{name!r} is meant below {parent!r} here and below {other!r} elsewhere; "
                    f"EcoTaxa does not look at {PARENT_CATEGORY}: give {CATEGORY_ID}"
                )
                found.error(line, CATEGORY, "ambiguous_category", words)

    def _check_place(self, values: Mapping[str, str], line: int, found: Faults) -> None:
        sample, acquisition = values.get("sample_id", ""), values.get("acq_id", "")
        if self.update_only or not (sample and acquisition):
            return
        other = self._sample_of.setdefault(acquisition, sample)
        if other != sample:
            words = (
                f"acquisition {acquisition!r} is of sample {sample!r} here and of {other!r} "
                "elsewhere; an acquisition belongs to one sample"
            )
            found.error(line, "acq_id", "acquisition_in_two_samples", words)


def _check_value(name: str, value: str, is_number: bool, line: int, found: Faults) -> None:
    for column, most in (_LATITUDE, _LONGITUDE):
        if name == column:
            angle = degrees(value)
            if angle is None or abs(angle) > most:
                words = f"decimal degrees from {-most:g} to {most:g} are wanted; found {value!r}"
                found.error(line, name, "degrees", words)
            return
    if is_number or name == CATEGORY_ID:
        if number(value) is None:
            found.error(line, name, "not_a_number", f"a number is wanted; found {value!r}")
    elif name in _DATES:
        if date_text(value) is None:
            words = f"a date is YYYYMMDD; found {value!r}"
            found.error(line, name, "date", words)
    elif name in _TIMES:
        if time_text(value) is None:
            words = f"a time is HHMMSS, in UTC; found {value!r}"
            found.error(line, name, "time", words)
        elif _FIVE_DIGITS.fullmatch(value):
            words = f"a time is HHMMSS; {value!r} lacks its first zero: write {time_text(value)}"
            found.warn(line, name, "short_time", words)
    elif len(value) > MAX_TEXT_LENGTH and name != _LONG_TEXT:
        words = f"{len(value)} characters; EcoTaxa keeps {MAX_TEXT_LENGTH}"
        found.warn(line, name, "long_text", words)

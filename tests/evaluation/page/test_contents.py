"""The page: what it holds, what can not get into it, how large it may become."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plankton_da.demo.bins import write_bin
from plankton_da.errors import ManifestError, OutputError, UsageError
from plankton_da.evaluation.report.agreement import Agreement
from plankton_da.evaluation.report.markup import score, share, text
from plankton_da.evaluation.report.page import write_report
from plankton_da.evaluation.report.thumbnails import SIDE, make_thumbnails

Drawn = Callable[..., pd.DataFrame]
VOID = {"meta", "link", "img", "input"}


class Page(HTMLParser):
    """Elements in order, and that each one is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(predictions: Path, tmp_path: Path) -> Page:
    write_report(predictions, tmp_path / "P.html")
    return Page(tmp_path / "P.html")


def test_nothing_of_the_file_becomes_markup(page: Page) -> None:
    assert len(page.all("script")) == 1
    assert all(
        (image["src"] or "").startswith("data:image/webp;base64,") for image in page.all("img")
    )
    for _, attributes in page.elements:
        assert not {name for name in attributes if name.startswith("on")}
    named = {tile["data-id"] for tile in page.all("button") if tile.get("class") == "tile"}
    assert '<script>document.title = "taken"</script>\\n"&\'</details>' in named
    assert "caf%E9.png" in named
    assert "<img src=x onerror=alert(1)>" in {
        tile["data-label"] for tile in page.all("button") if tile.get("class") == "tile"
    }


def test_nothing_is_loaded_from_elsewhere(page: Page, tmp_path: Path) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            assert value.startswith(("data:", "#")) or not value, (tag, value)
    content = (tmp_path / "P.html").read_text()
    assert "url(" not in content
    assert "@import" not in content
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in str(policy)
    assert "unsafe" not in str(policy)


def test_it_says_who_made_the_rows(page: Page) -> None:
    said = " ".join(page.said)
    for words in ("models:/zoo@champion", "0123456789ab", "2026-05-04", "ship", "onnx on cpu"):
        assert words in said
    assert "was changed after classify wrote it" not in said


def test_a_changed_file_is_told(predictions: Path, tmp_path: Path) -> None:
    with predictions.open("a") as file:
        file.write("x,images/0.png,CAM1,medusa,0.5,medusa,0.5,,\n")
    write_report(predictions, tmp_path / "P.html")
    assert "P.csv was changed after classify wrote it" in (tmp_path / "P.html").read_text()


@pytest.mark.parametrize(
    "run",
    [
        {},
        [],
        {"runs": [3, {}], "options": 7, "inputs": {}, "prior": 1},
        {"runs": [{"host": "<b>"}]},
    ],
)
def test_any_run_json_is_bearable(run: object, predictions: Path, tmp_path: Path) -> None:
    predictions.with_suffix(".run.json").write_text(json.dumps(run))
    write_report(predictions, tmp_path / "P.html")
    assert Page(tmp_path / "P.html").all("b")


def test_a_broken_run_json_is_told(predictions: Path, tmp_path: Path) -> None:
    predictions.with_suffix(".run.json").write_text("{")
    with pytest.raises(ManifestError, match=r"P\.run\.json.*delete it to go on"):
        write_report(predictions, tmp_path / "P.html")


def test_counts(predictions: Path, page: Page) -> None:
    table = pd.read_csv(predictions, dtype=str, keep_default_na=False)
    cards = re.findall(r"(\S+) \| (images|classified|unclassified|failed)", " | ".join(page.said))
    failed = int((table["error"] != "").sum())
    abstained = int((table["label"] == "unclassified").sum())
    assert {name: value for value, name in cards[:4]} == {
        "images": "200",
        "classified": str(200 - failed - abstained),
        "unclassified": str(abstained),
        "failed": str(failed),
    }


def test_agreement_is_counted_by_hand() -> None:
    rows = {
        ("CAM1", "a", "a"): 6,
        ("CAM2", "a", "a"): 2,
        ("CAM1", "b", "a"): 2,
        ("CAM1", "unclassified", "b"): 1,
        ("CAM1", "b", "b"): 3,
        ("CAM1", "a", "c"): 4,
        ("CAM1", "a", ""): 99,
    }
    found = Agreement.of(rows)
    assert (found.n, found.right) == (18, 11)
    assert found.recall("a") == 0.8
    assert found.recall("b") == 0.75
    assert found.recall("c") == 0
    assert found.precision("a") == 8 / 12
    assert found.macro_recall == pytest.approx((0.8 + 0.75 + 0) / 3)
    assert "Never predicted: c." in found.section()


@pytest.mark.parametrize("kind", ["path", "zip", "roi", "collage"])
def test_refs_of_every_kind_become_pictures(kind: str, tmp_path: Path) -> None:
    pixels = np.full((30, 30), 20, np.uint8)
    pixels[:15] = 220  # the upper half is light
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    if kind == "path":
        (tmp_path / "a#b.png").write_bytes(buffer.getvalue())
        ref = "a%23b.png"
    elif kind == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("deep/x.png", buffer.getvalue())
        ref = "a.zip!deep/x.png"
    elif kind == "roi":
        ref = f"{write_bin(tmp_path, 'D20160714T023910_IFCB101', [None, pixels]).name}#2"
    else:
        Image.fromarray(np.pad(pixels, 10)).save(tmp_path / "c.tif")
        ref = "c.tif#10,10,30,30"
    found = make_thumbnails([ref], tmp_path, room=100_000)
    assert found.problems == {}
    data = base64.b64decode(found.pictures[ref].partition(",")[2])
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("L")).astype(int)
    assert shown.shape == (SIDE, SIDE)
    assert abs(shown[: SIDE // 2 - 4].mean() - 220) < 6
    assert abs(shown[SIDE // 2 + 4 :].mean() - 20) < 6


def test_pictures_that_are_lost_are_told(predictions: Path, tmp_path: Path) -> None:
    (tmp_path / "images" / "3.png").unlink()
    (tmp_path / "images" / "4.png").write_bytes(b"\x89PNG")
    result = write_report(predictions, tmp_path / "P.html")
    assert {ref: why.partition(":")[0] for ref, why in result.lost.items()} == {
        "images/3.png": "missing",
        "images/4.png": "truncated",
    }
    said = Page(tmp_path / "P.html").said
    assert "cannot be opened now: missing" in said
    assert "2 pictures cannot be opened now." in said


def test_room_is_kept_and_shared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        noise = rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    refs = [f"{number % 24}.png" for number in range(48)]  # each is shown twice
    room = 200_000
    found = make_thumbnails(refs, tmp_path, room)
    taken = sum(len(found.pictures.get(ref, "")) for ref in refs)
    assert room * 0.8 < taken <= room
    assert list(found.pictures) == [f"{number}.png" for number in range(len(found.pictures))]


def test_a_hundred_classes_share_the_pictures(drawn: Drawn, tmp_path: Path, draw: object) -> None:
    labels = tuple(f"class {number:03d}" for number in range(100))
    table = drawn(6000, labels=labels)
    for number in range(12):
        draw(tmp_path / "images" / f"{number}.png", number)
    table.to_parquet(tmp_path / "P.parquet")
    write_report(tmp_path / "P.parquet", tmp_path / "P.html")
    page = Page(tmp_path / "P.html")
    names = {details["data-name"] for details in page.all("details") if "data-name" in details}
    assert names == {*labels, "unclassified"}
    tiles = [button for button in page.all("button") if button.get("class") == "tile"]
    shown = [tile["data-label"] for tile in tiles]
    assert len(shown) <= 1800
    assert min(shown.count(label) for label in labels) >= 4
    assert (tmp_path / "P.html").stat().st_size < 10_000_000


@pytest.mark.parametrize("name", ["P.pdf", "P"])
def test_the_name_of_a_page(name: str, predictions: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.html"):
        write_report(predictions, tmp_path / name)


def test_a_page_that_is_there_stays(predictions: Path, tmp_path: Path) -> None:
    (tmp_path / "P.html").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        write_report(predictions, tmp_path / "P.html")
    assert (tmp_path / "P.html").read_text() == "mine"
    write_report(predictions, tmp_path / "P.html", overwrite=True)
    assert Page(tmp_path / "P.html").all("dialog")


def test_all_failed(tmp_path: Path, drawn: Drawn) -> None:
    table = drawn(300)
    table[table["error"] != ""].to_csv(tmp_path / "P.csv", index=False)
    write_report(tmp_path / "P.csv", tmp_path / "P.html")
    page = Page(tmp_path / "P.html")
    menu = [link["href"] for link in page.all("a")]
    assert menu == ["#main", "#overview", "#instruments", "#failures", "#run"]


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 5, "0.0%"),
        (1, 10_000, "<0.1%"),
        (9_999, 10_000, ">99.9%"),
        (5, 5, "100.0%"),
        (0, 0, "–"),
    ],
)
def test_a_share_never_rounds_to_none_or_all(part: int, whole: int, words: str) -> None:
    assert share(part, whole) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0.99951, ">0.999"), (1.0, "1.000"), (0.9994, "0.999"), (None, "–")]
)
def test_a_score_is_1_only_where_it_is(value: float | None, words: str) -> None:
    assert score(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\nb", "a\\nb"),
        ("\udce9", "\\udce9"),
        ("\u202e", "\\u202e"),
        ("<&\"'>", "&lt;&amp;&quot;&#x27;&gt;"),
        ("x" * 500, f"{'x' * 80} … {'x' * 80}"),
    ],
    ids=["newline", "not_utf_8", "right_to_left", "markup", "long"],
)
def test_text(value: str, words: str) -> None:
    assert text(value) == words

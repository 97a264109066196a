"use strict";

const all = (selector, where = document) => [...where.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);

// Classes: find, unfold, follow a link into a folded one
const filter = one("#filter");
if (filter) {
  const rows = all("#classes tbody tr");
  const classes = all("details.class");
  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      count += row.hidden ? 0 : 1;
    }
    for (const each of classes) each.hidden = !each.dataset.name.includes(wanted);
    one("#found").textContent = wanted ? `${count} of ${rows.length} classes` : "";
  };
  filter.addEventListener("input", show);

  const unfold = one("#unfold");
  unfold?.addEventListener("click", () => {
    const open = unfold.textContent === "Unfold all";
    for (const each of classes) each.open = open;
    unfold.textContent = open ? "Fold all" : "Unfold all";
  });

  const follow = () => {
    const target = /^#class-\d+$/.test(location.hash) && one(location.hash);
    if (!target) return;
    if (target.hidden) {
      filter.value = "";
      show();
    }
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  };
  addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#class-"]');
    if (link && link.hash === location.hash) follow(); // the address does not change then
  });
  follow();
}

// Tables: a click on a column's name sorts by it
const value = (row, column) => row.cells[column].textContent.trim();
const amount = (text) => {
  const number = Number.parseFloat(text.replace(/[,%<>]/g, ""));
  return Number.isNaN(number) ? -1 : number;
};
for (const table of all("table.sortable")) {
  all("thead th", table).forEach((head, column) => {
    if (table.tBodies[0].rows[0]?.cells[column].querySelector(".histogram")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const numbers = head.classList.contains("n");
      const down = head.hasAttribute("aria-sort")
        ? head.getAttribute("aria-sort") === "ascending"
        : numbers;
      for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) =>
        numbers
          ? amount(value(a, column)) - amount(value(b, column))
          : value(a, column).localeCompare(value(b, column)),
      );
      if (down) rows.reverse();
      table.tBodies[0].append(...rows);
    });
  });
}

// Pictures: one of them large, with what is known about it
const viewer = one("#viewer");
const names = {
  score: "Score",
  best: "Best class",
  second: "Second",
  true: "True label",
  instrument: "Instrument",
  id: "object_id",
  image: "Image",
};
let shown = null;
const look = (tile) => {
  shown = tile;
  const tiles = all(".tile", tile.closest(".strip"));
  const place = tiles.indexOf(tile);
  const picture = tile.querySelector("img, .none").cloneNode(true);
  one("#viewer .picture").replaceChildren(picture);
  one("#viewer-title").textContent = tile.dataset.label;
  const facts = Object.keys(names).filter((key) => tile.dataset[key]);
  one("#viewer .facts").replaceChildren(
    ...facts.map((key) => {
      const line = document.createElement("div");
      const term = document.createElement("dt");
      const said = document.createElement("dd");
      term.textContent = names[key];
      said.textContent = tile.dataset[key];
      line.append(term, said);
      return line;
    }),
  );
  one("#place").textContent = `${place + 1} of ${tiles.length}`;
  one("#earlier").disabled = place === 0;
  one("#later").disabled = place === tiles.length - 1;
};
const step = (by) => {
  const tiles = all(".tile", shown.closest(".strip"));
  const next = tiles[tiles.indexOf(shown) + by];
  if (next) look(next);
};
document.addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile) return;
  look(tile);
  viewer.showModal();
});
one("#earlier").addEventListener("click", () => step(-1));
one("#later").addEventListener("click", () => step(1));
one("#close").addEventListener("click", () => viewer.close());
viewer.addEventListener("click", (event) => {
  if (event.target === viewer) viewer.close(); // beside the picture
});
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
viewer.addEventListener("close", () => shown.focus());

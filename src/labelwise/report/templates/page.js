"use strict";

const find = (id) => document.getElementById(id);
const list = find("cards");

if (list) {
  const { words, rows, items } = JSON.parse(find("listed").textContent);
  const [KIND, TASK, GIVEN, SUGGESTED, WHY, ID, SCORE, ITEM] = rows.length ? rows[0].keys() : [];
  for (const row of rows) {
    for (const field of [KIND, TASK, GIVEN, SUGGESTED]) row[field] = row[field] === null ? null : words[row[field]];
    row[WHY] = row[WHY].map((at) => words[at]).join("; ");
  }
  const skeleton = find("card").content.querySelector("li");
  const filters = find("filters");
  const size = Number(list.dataset.page);
  const squeeze = (text) => text.replace(/\s+/g, " ").trim().toLowerCase();
  const kinds = new Map([...filters.elements.kind.options].map((option) => [option.value, option]));
  const texts = new Map();
  let matching = rows;
  let page = 0;

  const cell = (value) => (value === null ? "–" : value);
  const claim = (row) =>
    (row[GIVEN] ?? (row[SUGGESTED] === null ? "" : "no label")) + (row[SUGGESTED] === null ? "" : ` → ${row[SUGGESTED]}`);

  // Everything is set as text or as an attribute, never as markup.
  const card = (row) => {
    const made = skeleton.cloneNode(true);
    const part = (name) => made.querySelector(`[data-part="${name}"]`);
    const fill = (name, text) => (text === null ? part(name).remove() : (part(name).textContent = text));
    const item = items[row[ITEM]] ?? { kind: "nothing" };
    for (const kind of ["image", "text", "audio", "row", "none"]) if (item.kind !== kind) part(kind).remove();
    if (row[SUGGESTED] === null) part("likely").remove();
    else fill("suggested", row[SUGGESTED]);
    if (row[GIVEN] === null && row[SUGGESTED] === null) part("claim").remove();
    else fill("given", row[GIVEN] ?? "no label");
    fill("why", row[WHY]);
    fill("sign", kinds.get(row[KIND]).dataset.sign);
    fill("title", kinds.get(row[KIND]).textContent);
    fill("task", row[TASK]);
    fill("id", row[ID]);
    fill("score", row[SCORE].toFixed(2));
    part("bar").setAttribute("width", (100 * row[SCORE]).toFixed(1));
    if (item.kind === "image") {
      const image = part("image");
      image.src = item.data;
      image.alt = `Example ${row[ID]}${row[GIVEN] === null ? "" : `, labelled ${row[GIVEN]}`}`;
      image.width = item.width;
      image.height = item.height;
      image.classList.toggle("tiny", item.width < 48);
    } else if (item.kind === "audio") {
      part("audio").src = item.data;
      part("audio").setAttribute("aria-label", `Sound of example ${row[ID]}`);
    } else if (item.kind === "text") fill("text", item.text);
    else if (item.kind === "none") fill("none", `${item.why[0].toUpperCase()}${item.why.slice(1)}.`);
    else if (item.kind === "row") {
      for (const [name, value] of item.cells) {
        const [term, told] = [document.createElement("dt"), document.createElement("dd")];
        term.textContent = name;
        told.textContent = cell(value);
        part("cells").append(term, told);
      }
      fill("more", item.more ? `${item.more} more columns` : null);
    }
    return made;
  };

  const textOf = (row) => {
    if (!texts.has(row)) {
      const item = items[row[ITEM]] ?? {};
      const told = (item.cells ?? []).flat().map(cell).join(" ");
      const parts = [claim(row), row[WHY], kinds.get(row[KIND]).textContent, row[TASK] ?? "", `row ${row[ID]}`];
      texts.set(row, squeeze([...parts, item.text ?? "", told].join(" ")));
    }
    return texts.get(row);
  };

  // A whole claim ("9 → 4") is meant exactly, so that it does not find "19 → 4" as well.
  const says = (row, wanted) => (wanted.includes(" → ") ? squeeze(claim(row)) === wanted : textOf(row).includes(wanted));

  const show = () => {
    const pages = Math.max(1, Math.ceil(matching.length / size));
    page = Math.min(Math.max(page, 0), pages - 1);
    const first = page * size;
    list.replaceChildren(...matching.slice(first, first + size).map(card));
    list.start = first + 1;
    const last = Math.min(first + size, matching.length);
    find("status").textContent = matching.length
      ? `${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${matching.length.toLocaleString("en")} findings`
      : "No finding matches.";
    find("place").textContent = `Page ${page + 1} of ${pages}`;
    find("previous").disabled = page === 0;
    find("next").disabled = page === pages - 1;
    find("pager").hidden = pages === 1;
  };

  const filter = () => {
    const kind = filters.elements.kind.value;
    const task = filters.elements.task.value;
    const wanted = squeeze(filters.elements.find.value);
    matching = rows.filter(
      (row) => (!kind || row[KIND] === kind) && (!task || row[TASK] === task) && (!wanted || says(row, wanted)),
    );
    page = 0;
    show();
  };

  const turn = (step) => {
    page += step;
    show();
    find("browse").scrollIntoView();
  };

  filters.hidden = false;
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(filter));
  find("previous").addEventListener("click", () => turn(-1));
  find("next").addEventListener("click", () => turn(1));
  for (const link of document.querySelectorAll('a[href="#browse"]')) {
    link.addEventListener("click", () => {
      filters.elements.kind.value = link.dataset.kind ?? "";
      filters.elements.task.value = link.dataset.task ?? "";
      filters.elements.find.value = link.dataset.find ?? "";
      filter();
    });
  }
  show();
}

find("save").hidden = false;
find("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([find("facts").textContent], { type: "application/json" }));
  link.download = "report.json";
  link.click();
  URL.revokeObjectURL(link.href);
});

"use strict";

const find = (id) => document.getElementById(id);
const list = find("cards");

if (list) {
  const cards = [...list.children, ...find("more-cards").content.children];
  const filters = find("filters");
  const size = Number(list.dataset.page);
  const squeeze = (text) => text.replace(/\s+/g, " ").trim().toLowerCase();
  const words = new Map();
  let matching = cards;
  let page = 0;

  const textOf = (card) => {
    if (!words.has(card)) words.set(card, squeeze(card.textContent));
    return words.get(card);
  };

  // A whole claim ("9 → 4") is meant exactly, so that it does not find "19 → 4" as well.
  const says = (card, wanted) =>
    wanted.includes(" → ")
      ? squeeze(card.querySelector(".claim")?.textContent ?? "") === wanted
      : textOf(card).includes(wanted);

  const show = () => {
    const pages = Math.max(1, Math.ceil(matching.length / size));
    page = Math.min(Math.max(page, 0), pages - 1);
    const first = page * size;
    list.replaceChildren(...matching.slice(first, first + size));
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
    matching = cards.filter(
      (card) =>
        (!kind || card.dataset.kind === kind) &&
        (!task || card.dataset.task === task) &&
        (!wanted || says(card, wanted)),
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

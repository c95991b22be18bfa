"use strict";

const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const typing = (element) => element.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");

// Keys: a button says by data-key which one presses it.
document.addEventListener("keydown", (event) => {
  const open = find("dialog[open]");
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const leaves = event.key === "Escape" || (event.key === "Enter" && event.target.closest("#filters"));
  if (leaves && typing(event.target) && !open) return event.target.blur(); // a filter takes effect by that
  if (typing(event.target)) return;
  if (open) return open.id === "zoom" && zoomKeys(event);
  if (arrows(event)) return event.preventDefault();
  const key = event.key.toLowerCase();
  const button = event.repeat ? null : find(`main [data-key="${CSS.escape(key)}"]`);
  const ways = { q: "/", g: "/grid" };
  if (button) button.click();
  else if (key === "e" && find("#note")) find("#note").focus();
  else if (key === "/" && find("#search")) find("#search").focus();
  else if (key === "?") find("#keys").showModal();
  else if (key === "p" && find("audio")) find("audio").paused ? find("audio").play() : find("audio").pause();
  else if (ways[key]) location.assign(ways[key]);
  else return;
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  const target = event.target.closest("button, [role=option], .thumb input");
  if (!target) return;
  const { opens, picks, zoom, zoomBy, select, name } = target.dataset;
  if (opens) find(`#${opens}`).showModal();
  else if (picks) openPicker(picks);
  else if (zoom) openZoom(zoom);
  else if (zoomBy) scale(zoomBy);
  else if (target.id === "done") finish();
  else if (select) tick(boxes(), select === "all");
  else if (target.matches("[role=option]") && name !== undefined) choose(name);
  else if (target.matches(".thumb input")) range(target, event.shiftKey);
});

// Choosing a class by typing.
const MODES = { choose: "Choose a class", several: "Choose several classes", new_class: "Name a new class" };
const picked = new Set();
let mode = "choose";

const openPicker = (how) => {
  if (find("#bulk") && !boxes().some((box) => box.checked)) return say("Nothing is selected.", true);
  mode = how;
  picked.clear();
  showPicked();
  find("#picker-title").textContent = MODES[mode];
  find("#done").hidden = mode === "choose";
  find("#typed").value = "";
  find("#options").replaceChildren();
  find("#picker").showModal();
  find("#typed").focus();
  htmx.trigger("#typed", "refresh");
};

const showPicked = () => {
  find("#picked").replaceChildren(
    ...[...picked].map((name) => Object.assign(document.createElement("li"), { textContent: name })),
  );
  for (const option of all("#options [data-name]")) option.classList.toggle("picked", picked.has(option.dataset.name));
};

const choose = (name) => {
  if (mode === "choose" || mode === "new_class") return send("choose", [name]); // a class that is there is not new
  if (!picked.delete(name)) picked.add(name);
  showPicked();
  find("#typed").select();
};

const finish = () => {
  const typed = find("#typed").value.trim();
  if (mode === "new_class" && typed) {
    const known = all("#options [data-name]").some((option) => option.dataset.name === typed);
    send(known ? "choose" : "new_class", [typed]);
  } else if (mode === "several" && picked.size) send(picked.size > 1 ? "several" : "choose", [...picked]);
};

const send = (action, names) => {
  const button = find(`#say-${action}`);
  for (const name of names) {
    button.form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "classes", value: name }));
  }
  find("#picker").close();
  button.form.requestSubmit(button);
};

const activate = (option) => {
  for (const each of all("#options [role=option]")) each.setAttribute("aria-selected", String(each === option));
  find("#typed").setAttribute("aria-activedescendant", option ? option.id : "");
  option?.scrollIntoView({ block: "nearest" });
};

document.addEventListener("keydown", (event) => {
  if (event.target.id !== "typed") return;
  const options = all("#options [data-name]");
  const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    activate(options[(at + (event.key === "ArrowDown" ? 1 : options.length - 1)) % options.length]);
  } else if (event.key === "Enter") {
    if (mode === "new_class" || event.ctrlKey || event.metaKey) finish();
    else if (at >= 0) choose(options[at].dataset.name);
  } else return;
  event.preventDefault();
});

// Pictures at any size.
let size = 1;
const openZoom = (address) => {
  const picture = find("#zoom img");
  picture.onload = () => {
    const pane = find("#zoom .pane");
    size = Math.min(pane.clientWidth / picture.naturalWidth, pane.clientHeight / picture.naturalHeight);
    picture.classList.toggle("tiny", picture.naturalWidth < 96);
    scale(1);
  };
  picture.src = address;
  find("#zoom").showModal();
};
const scale = (by) => {
  size *= by;
  const picture = find("#zoom img");
  picture.style.width = `${picture.naturalWidth * size}px`;
  picture.style.height = `${picture.naturalHeight * size}px`;
};
const zoomKeys = (event) => {
  if (event.key === "+" || event.key === "=") scale(1.25);
  else if (event.key === "-") scale(0.8);
  else if (event.key.toLowerCase() === "i") find("#zoom").close();
  else return;
  event.preventDefault();
};
document.addEventListener("pointermove", (event) => {
  const pane = event.target.closest?.("#zoom .pane");
  if (pane && event.buttons === 1) pane.scrollBy(-event.movementX, -event.movementY);
});
document.addEventListener("dragstart", (event) => event.target.closest("#zoom") && event.preventDefault());

// The grid: selecting with the mouse and by keys.
let last = null;
const boxes = () => all(".thumb input");
const tick = (some, on) => {
  for (const box of some) box.checked = on;
  const number = boxes().filter((box) => box.checked).length;
  if (find("#chosen")) find("#chosen").textContent = number.toLocaleString("en");
};
const range = (box, stretch) => {
  const known = boxes();
  const [from, to] = [known.indexOf(last), known.indexOf(box)].sort((a, b) => a - b);
  tick(stretch && from >= 0 ? known.slice(from, to + 1) : [box], box.checked);
  last = box;
};
const arrows = (event) => {
  const known = boxes();
  if (!known.length || !/^Arrow|^Home$|^End$/.test(event.key)) return false;
  const tops = known.map((box) => box.closest("li").offsetTop);
  const columns = tops.filter((top) => top === tops[0]).length;
  const at = known.indexOf(document.activeElement);
  const steps = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: known.length - 1 };
  const next = known[at < 0 ? 0 : Math.min(Math.max(steps[event.key], 0), known.length - 1)];
  next.focus();
  if (event.shiftKey && at >= 0) {
    known[at].checked = true;
    last ??= known[at];
    next.checked = true;
    range(next, true);
  }
  return true;
};

document.addEventListener("htmx:config:request", (event) => {
  if (event.target.id !== "bulk" || boxes().some((box) => box.checked)) return;
  event.preventDefault();
  say("Nothing is selected.", true);
});

// Counts follow the work of all.
let events = null;
const listen = () => {
  events?.close();
  const filters = find("#filters");
  if (!filters) return;
  const wanted = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value));
  events = new EventSource(`${filters.dataset.live}?${wanted}`);
  events.addEventListener("counts", (event) => {
    const { states, kinds, tasks } = JSON.parse(event.data);
    for (const place of all("[data-state]:not(article)")) place.textContent = states[place.dataset.state].toLocaleString("en");
    for (const option of all("option[data-kind]")) count(option, kinds[option.dataset.kind]);
    for (const option of all("option[data-task]")) count(option, tasks[option.dataset.task]);
  });
};
const count = (option, number) => (option.textContent = `${option.dataset.name} (${(number ?? 0).toLocaleString("en")})`);
addEventListener("pagehide", () => events?.close());
addEventListener("pageshow", listen);

document.addEventListener("change", (event) => {
  const filters = event.target.closest("#filters");
  if (filters) remember(filters);
});
document.addEventListener("input", (event) => event.target.id === "search" && remember(event.target.form));
const remember = (filters) => {
  const wanted = new URLSearchParams([...new FormData(filters)].filter(([name, value]) => value && value !== "open"));
  history.replaceState(null, "", wanted.size ? `?${wanted}` : location.pathname);
  listen();
};

const say = (text, failed = false) => {
  const told = Object.assign(document.createElement("span"), { textContent: text, className: failed ? "failed" : "" });
  find("#notice").replaceChildren(told);
};

// After a part of the page was exchanged.
document.addEventListener("htmx:after:swap", () => {
  if (find("#picker[open]")) {
    showPicked();
    activate(mode === "new_class" ? null : find("#options [data-name]"));
    return;
  }
  if (document.activeElement === document.body) (find("#stage") ?? find("#thumbnails"))?.focus({ preventScroll: true });
  tick([], true);
  last = null;
  for (const row of find(".question")?.dataset.ahead.split(" ").filter(Boolean) ?? []) new Image().src = `/items/${row}/content`;
});
document.addEventListener("htmx:response:error", (event) => {
  const { text, response } = event.detail.ctx;
  let told = `The server answered ${response.status}.`;
  try {
    const { detail } = JSON.parse(text);
    told = typeof detail === "string" ? detail : `${detail[0].loc.at(-1)}: ${detail[0].msg}`;
  } catch {} // not from our server: a proxy's page
  say(told, true);
  if (response.status === 401) location.assign("/login");
});
document.addEventListener("htmx:error", () => say("The server does not answer; nothing was recorded. Try again.", true));

// One entry, or two beside each other, with their controls.
import { badges } from "./gallery.js";
import { Panel, VIEWS } from "./panel.js";

const at = (id) => document.getElementById(id);
const LINK = { "2d": true, "3d": true };
const MOST = 3000;

export const KEYS = [
  ["← →", "previous, next sample"],
  ["↑ ↓", "next, previous slice (Page Up, Page Down: ten)"],
  ["0 1 2 3 4", "three planes, axial, coronal, sagittal, 3D"],
  ["L", "label map on and off"],
  ["[ ]", "label map fainter, stronger"],
  ["W", "window as at first"],
  ["B", "nearest training case beside it, or away again"],
  ["Esc", "back to all"],
  ["?", "this list"],
];

export class Viewer {
  constructor(entries, gallery, go) {
    [this.entries, this.gallery, this.go] = [entries, gallery, go];
    this.audited = entries.some((entry) => entry.verdict);
    this.name = "planes";
    this.panels = [0, 1].map((number) => new Panel(at(`panel-${number}`), { window: () => this.#windowed(number) }));
    this.#controls();
  }

  async open(number, beside) {
    [this.number, this.beside] = [number, beside];
    const shown = [number, beside].filter((one) => one !== null);
    at("panels").classList.toggle("two", shown.length === 2);
    at("panel-1").hidden = shown.length < 2;
    this.#say();
    at("low").value = at("high").value = "";
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const opacity = at("opacity").valueAsNumber;
    const smooth = at("smooth").checked;
    const channel = Math.max(0, at("channel").selectedIndex);
    const done = shown.map((one, index) => this.panels[index].show(this.entries[one], channel, opacity, smooth));
    if ((await Promise.all(done)).includes(false) || turn !== this.turn) return;
    this.#fit();
    const [one, two] = this.panels;
    one.nv.broadcastTo(shown.length === 2 ? [two.nv] : [], LINK);
    two.nv.broadcastTo(shown.length === 2 ? [one.nv] : [], LINK);
    if (shown.length === 2) two.place = one.place;
    this.#windowed(0);
  }

  get active() { return this.panels.filter((panel) => !panel.section.hidden && panel.entry); }

  // The view that was chosen, where there is one: pictures have their own plane alone.
  #fit() {
    const flat = this.active.map((panel) => panel.plane);
    for (const [index, panel] of this.active.entries()) panel.view(flat[index] ?? this.name);
    for (const button of at("views").children) {
      button.disabled = flat.every(Boolean);
      button.setAttribute("aria-pressed", String(button.textContent === this.name));
    }
    at("views").hidden = flat.every(Boolean);
  }

  view(name) {
    this.name = name;
    this.#fit();
  }

  #controls() {
    for (const { name, key } of VIEWS) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.title = `key ${key}`;
      button.addEventListener("click", () => this.view(name));
      at("views").append(button);
    }
    at("opacity").addEventListener("input", () => this.opacity(at("opacity").valueAsNumber));
    for (const id of ["low", "high"]) {
      at(id).addEventListener("change", () => this.#window());
      at(id).addEventListener("keydown", (event) => event.key === "Enter" && at(id).blur()); // keys are the viewer's again
    }
    at("window-reset").addEventListener("click", () => this.reset());
    at("smooth").addEventListener("change", () => this.active.forEach((panel) => panel.smooth(at("smooth").checked)));
    at("channel").addEventListener("change", () => this.open(this.number, this.beside));
    at("beside").addEventListener("change", () => this.go(this.number, at("beside").value === "" ? null : Number(at("beside").value)));
    at("previous").addEventListener("click", () => this.walk(-1));
    at("next").addEventListener("click", () => this.walk(1));
  }

  #say() {
    const entry = this.entries[this.number];
    for (const [index, number] of [this.number, this.beside].entries()) {
      if (number === null) continue;
      const name = document.createElement("span");
      name.textContent = this.entries[number].id;
      at(`panel-${index}`).querySelector("h2").replaceChildren(name, badges(this.entries[number], this.audited));
    }
    const place = this.gallery.shown.indexOf(this.number);
    at("place").textContent = place < 0 ? entry.id : `${place + 1} / ${this.gallery.shown.length}`;
    at("previous").disabled = this.gallery.beside(this.number, -1) === undefined;
    at("next").disabled = this.gallery.beside(this.number, 1) === undefined;
    this.#channels(entry);
    this.#legend(entry);
    this.#besides(entry);
    const facts = Object.entries({ ...entry.facts, ...(entry.reason ? { audit: entry.reason } : {}) });
    at("facts").replaceChildren(...facts.flatMap(([key, value]) => [text("dt", key), text("dd", value)]));
  }

  #channels(entry) {
    const names = entry.volumes.filter((one) => one.kind === "image").map((one) => one.name);
    at("channel-field").hidden = names.length < 2;
    if ([...at("channel").options].map((one) => one.value).join() === names.join()) return;
    at("channel").replaceChildren(...names.map((name) => new Option(name, name)));
  }

  #legend(entry) {
    at("label-set").hidden = !entry.volumes.some((one) => one.kind === "label");
    at("legend").replaceChildren(...entry.labels.map((label) => {
      const item = text("li", label.name);
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const square = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [key, value] of [["width", 14], ["height", 14]]) {
        svg.setAttribute(key, value);
        square.setAttribute(key, value);
      }
      square.setAttribute("fill", `rgb(${label.colour.join()})`);
      svg.append(square);
      item.prepend(svg);
      return item;
    }));
  }

  #besides(entry) {
    const groups = { synthetic: "samples", real: "cases", file: "files" };
    const options = [new Option("nothing", "")];
    if (entry.nearest) options.push(new Option(`nearest: ${this.entries[entry.nearest.number].id}`, entry.nearest.number));
    const lists = Object.entries(groups).map(([kind, name]) => {
      const group = document.createElement("optgroup");
      group.label = name;
      const found = this.entries.flatMap((one, number) => (one.kind === kind && number !== this.number ? [number] : []));
      group.append(...found.slice(0, MOST).map((number) => new Option(this.entries[number].id, number)));
      return group;
    });
    at("beside").replaceChildren(...options, ...lists.filter((group) => group.children.length));
    at("beside").value = this.beside === null ? "" : String(this.beside);
    at("beside-set").hidden = this.entries.length < 2;
    at("pair").textContent = entry.nearest && this.beside === entry.nearest.number ? entry.nearest.text : "";
  }

  // The two volumes have one window where they have one unit; arbitrary units have none in common.
  #window() {
    const [low, high] = [at("low").valueAsNumber, at("high").valueAsNumber];
    if (!(low < high)) return;
    this.active.forEach((panel, index) => { if (index === 0 || this.#alike()) panel.window = [low, high]; });
  }

  #alike() {
    const units = this.active.map((panel) => panel.file.units);
    return units.every((unit) => unit === units[0] && unit !== "arbitrary" && unit !== "");
  }

  #windowed(number) {
    if (number !== 0 || !this.panels[0].image) return;
    const [low, high] = this.panels[0].window;
    [at("low").value, at("high").value] = [low, high].map((value) => String(Number(value.toPrecision(5))));
  }

  reset() {
    for (const panel of this.active) panel.window = panel.first;
    this.#windowed(0);
  }

  opacity(value) {
    at("opacity").value = String(Math.min(1, Math.max(0, value)));
    for (const panel of this.active) panel.opacity(at("opacity").valueAsNumber);
  }

  walk(step) {
    const next = this.gallery.beside(this.number, step);
    if (next !== undefined) this.go(next, null);
  }

  #slice(voxels) {
    const panel = this.active.find((one) => one.canvas === document.activeElement) ?? this.active[0];
    if (!panel || panel.plane) return;
    panel.step(["coronal", "sagittal"].includes(this.name) ? this.name : "axial", voxels);
  }

  key(event) {
    const view = VIEWS.find((one) => one.key === event.key);
    const opacity = at("opacity").valueAsNumber;
    const acts = {
      ArrowLeft: () => this.walk(-1),
      ArrowRight: () => this.walk(1),
      ArrowUp: () => this.#slice(1),
      ArrowDown: () => this.#slice(-1),
      PageUp: () => this.#slice(10),
      PageDown: () => this.#slice(-10),
      "[": () => this.opacity(opacity - 0.1),
      "]": () => this.opacity(opacity + 0.1),
      l: () => this.opacity(opacity > 0 ? ((this.before = opacity), 0) : (this.before ?? 0.5)),
      w: () => this.reset(),
      b: () => this.#nearest(),
      Escape: () => { location.hash = ""; },
    };
    const act = view ? () => this.active.every((panel) => panel.plane) || this.view(view.name) : acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation(); // niivue has other ideas of these keys
    act();
  }

  #nearest() {
    const { nearest } = this.entries[this.number];
    this.go(this.number, this.beside !== null || !nearest ? null : nearest.number);
  }
}

function text(tag, said) {
  const element = document.createElement(tag);
  element.textContent = said;
  return element;
}

// All entries as cards, and filters over them.
const VERDICTS = { pass: "✓ audit: pass", fail: "✗ audit: copy?", "cannot-assess": "? audit: cannot assess" };
const FILTERED = 6;

export function badges(entry, audited) {
  const found = [[entry.kind === "file" ? "origin not said" : entry.kind, entry.kind]];
  if (entry.verdict) found.push([VERDICTS[entry.verdict], entry.verdict]);
  else if (entry.kind === "synthetic" && !audited) found.push(["no audit", "none"]);
  const span = document.createElement("span");
  span.className = "badges";
  for (const [text, kind] of found) {
    const one = document.createElement("span");
    one.className = `badge ${kind}`;
    one.textContent = text;
    span.append(one);
  }
  return span;
}

function card(entry, number, audited) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = `#${number}`;
  const picture = document.createElement("img");
  picture.loading = "lazy";
  picture.alt = "";
  picture.src = entry.thumbnail;
  picture.addEventListener("error", () => {
    const unseen = document.createElement("p");
    unseen.className = "unseen";
    unseen.textContent = "no picture: the file cannot be read";
    picture.replaceWith(unseen);
  });
  const said = document.createElement("div");
  said.className = "said";
  const line = document.createElement("div");
  const name = document.createElement("b");
  name.textContent = entry.id;
  line.append(name, badges(entry, audited));
  const facts = document.createElement("p");
  facts.className = "facts";
  facts.textContent = Object.entries(entry.facts).map(([key, value]) => `${key} ${value}`).join(" · ");
  said.append(line, facts);
  link.append(picture, said);
  item.append(link);
  return item;
}

export class Gallery {
  constructor(entries) {
    this.entries = entries;
    this.audited = entries.some((entry) => entry.verdict);
    this.chosen = {};
    this.shown = entries.map((_, number) => number);
    this.cards = entries.map((entry, number) => card(entry, number, this.audited));
    this.list = document.getElementById("cards");
    this.list.append(...this.cards);
    this.#filters();
    this.#apply();
    const first = this.cards[0].querySelector("img");
    const shape = () => this.list.classList.toggle("flat", first.naturalWidth < 2 * first.naturalHeight);
    first.loading = "eager";
    if (first.complete && first.naturalWidth) shape();
    else first.addEventListener("load", shape);
  }

  #filters() {
    const values = new Map();
    const add = (key, value) => values.set(key, (values.get(key) ?? new Set()).add(value));
    for (const entry of this.entries) {
      add("kind", entry.kind);
      if (entry.verdict) add("verdict", entry.verdict);
      for (const [key, value] of Object.entries(entry.filters)) add(`· ${key}`, value);
    }
    const useful = [...values].filter(([, found]) => found.size > 1 && found.size <= 50).slice(0, FILTERED);
    for (const [key, found] of useful) {
      const label = document.createElement("label");
      const select = document.createElement("select");
      select.name = key;
      select.append(new Option("all", ""), ...[...found].sort().map((value) => new Option(value, value)));
      select.addEventListener("change", () => {
        this.chosen[key] = select.value;
        this.#apply();
      });
      label.append(key.replace("· ", ""), select);
      document.getElementById("filters").append(label);
    }
  }

  #fits(entry) {
    return Object.entries(this.chosen).every(([key, value]) => {
      if (!value) return true;
      return (key === "kind" ? entry.kind : key === "verdict" ? entry.verdict : entry.filters[key.slice(2)]) === value;
    });
  }

  #apply() {
    this.shown = this.entries.flatMap((entry, number) => (this.#fits(entry) ? [number] : []));
    const shown = new Set(this.shown);
    this.cards.forEach((one, number) => { one.hidden = !shown.has(number); });
    document.getElementById("count").textContent = `${this.shown.length} of ${this.entries.length}`;
  }

  // The entry before or after another, of those that are shown.
  beside(number, step) {
    const place = this.shown.indexOf(number);
    return place < 0 ? this.shown[0] : this.shown[place + step];
  }

  // Arrow keys go from card to card.
  key(event) {
    const cards = this.shown.map((number) => this.cards[number].firstChild);
    const place = cards.indexOf(document.activeElement);
    const tops = cards.map((one) => one.offsetTop);
    const across = Math.max(1, tops.filter((top) => top === tops[0]).length);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
    if (step === undefined || event.target.closest("select") || !cards.length) return;
    event.preventDefault();
    cards[place < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, place + step))].focus();
  }

  focus(number) { this.cards[number]?.firstChild.focus(); }
}

// The page: what the address behind # names. `#3` is entry 3, `#3+40` entry 3 with 40 beside it.
import { Gallery } from "./gallery.js";
import { KEYS, Viewer } from "./viewer.js";

const at = (id) => document.getElementById(id);

function trouble(error) {
  at("trouble").hidden = !error;
  at("trouble").textContent = error ? `This could not be shown: ${error.message ?? error}` : "";
}

function route(count) {
  const found = /^#(\d+)(?:\+(\d+))?$/.exec(location.hash);
  if (!found) return null;
  const [number, beside] = [Number(found[1]), found[2] === undefined ? null : Number(found[2])];
  return number < count && (beside === null || beside < count) ? [number, beside] : null;
}

async function main() {
  const answer = await fetch("catalogue.json");
  if (!answer.ok) throw new Error("the list of volumes is not there");
  const entries = await answer.json();
  const gallery = new Gallery(entries);
  const viewer = new Viewer(entries, gallery, (number, beside) => {
    location.hash = beside === null ? `#${number}` : `#${number}+${beside}`;
  });
  let last = null;

  async function show() {
    trouble(null);
    const place = route(entries.length);
    at("gallery").hidden = place !== null;
    at("viewer").hidden = at("walk").hidden = place === null;
    document.title = place ? `${entries[place[0]].id} · medsynth view` : "medsynth view";
    document.body.dataset.ready = "no";
    if (place) {
      last = place[0];
      await viewer.open(...place);
    } else if (last !== null) {
      gallery.focus(last);
    }
    document.body.dataset.ready = location.hash || "gallery";
  }

  at("keys").append(...KEYS.flatMap(([keys, meaning]) => {
    const [term, said] = [document.createElement("dt"), document.createElement("dd")];
    term.append(...keys.split(" ").flatMap((key) => [Object.assign(document.createElement("kbd"), { textContent: key }), " "]));
    said.textContent = meaning;
    return [term, said];
  }));
  at("help-open").addEventListener("click", () => at("help").showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || at("help").open) return;
    if (event.key === "?") at("help").showModal();
    else if (event.target.matches("input, select, textarea") && event.key !== "Escape") return;
    else if (at("viewer").hidden) gallery.key(event);
    else viewer.key(event);
  }, true);
  const safely = () => show().catch((error) => { trouble(error); document.body.dataset.ready = "failed"; });
  addEventListener("hashchange", safely);
  globalThis.medsynthView = viewer; // for tests and the browser's console
  await safely();
}

main().catch(trouble);

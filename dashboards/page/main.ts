// The page: which view is shown, and what keeps it up to date.
import { ask, isReport, reportMade, reportStudy, type Studies } from "./api";
import { isDark } from "./charts";
import { empty, fill, h, select } from "./dom";
import { clock, duration } from "./format";
import { Study } from "./model";
import { address, type Context, type Place, type View } from "./view";
import { makeAblationView } from "./view_ablation";
import { makeCurvesView } from "./view_curves";
import { makeJobView } from "./view_job";
import { makePicturesView } from "./view_pictures";
import { makeStudyView } from "./view_study";

const VIEWS: { id: string; title: string; make: (context: Context) => View }[] = [
  { id: "study", title: "Study", make: makeStudyView },
  { id: "ablation", title: "Ablation", make: makeAblationView },
  { id: "curves", title: "Curves", make: makeCurvesView },
  { id: "pictures", title: "Pictures", make: makePicturesView },
  { id: "job", title: "Job", make: makeJobView },
];
const INTERVAL = 1000;

const app = document.getElementById("app") as HTMLElement;
const pulse = h("span", { class: "pulse" });
const main = h("main", { id: "main", tabindex: -1 });
const navigation = h("nav", { class: "views", "aria-label": "Views" });
const chooser = h("span", {});
let studies: Studies = { work: "", studies: [] };
let study: Study | null = null;
let view: View | null = null;
let shown = "";

function readPlace(): Place {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", id = ""] = path.split("/");
  let decoded = "";
  try { decoded = decodeURIComponent(name); } catch { decoded = ""; }
  const known = VIEWS.some((one) => one.id === id) ? id : "study";
  return { study: decoded, view: known, parameters: new URLSearchParams(query) };
}

function setTheme(theme: string): void {
  document.documentElement.dataset["theme"] = theme;
}

function startTheme(): void {
  let kept: string | null = null;
  try { kept = localStorage.getItem("zeroth-theme"); } catch { /* a file, or storage is off */ }
  const system = matchMedia("(prefers-color-scheme: dark)");
  setTheme(kept ?? (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => { if (kept === null) { setTheme(system.matches ? "dark" : "light"); show(true); } });
}

function toggleTheme(): void {
  const theme = isDark() ? "light" : "dark";
  setTheme(theme);
  try { localStorage.setItem("zeroth-theme", theme); } catch { /* forgotten with the page */ }
  show(true);
}

const help = h("dialog", { "aria-label": "Keys" },
  h("h2", {}, "Keys"),
  h("table", {}, h("tbody", {}, [
    ["1 … 5", "study, ablation, curves, pictures, job"], ["/", "to the filter"], ["t", "light or dark"],
    ["← → ↑ ↓", "in the job graph: another job; Enter opens it"], ["j k", "next and previous image"],
    ["?", "these keys"], ["Esc", "closes"],
  ].map(([key, meaning]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, meaning))))),
  h("p", {}, h("button", { onclick: () => help.close() }, "Close")));

function onKey(event: KeyboardEvent): void {
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName)) return;
  const number = Number(event.key);
  let used = true;
  if (event.key === "?") help.showModal();
  else if (event.key === "t") toggleTheme();
  else if (event.key === "/") document.querySelector<HTMLElement>("main input[type=search]")?.focus();
  else if (number >= 1 && number <= VIEWS.length) go(VIEWS[number - 1]?.id ?? "study", {});
  else used = view?.key?.(event.key) ?? false;
  if (used) event.preventDefault();
}

function go(id: string, parameters: Record<string, string | null>, replace = false): void {
  const target = address(study?.name ?? "", id, parameters);
  if (replace) { history.replaceState(null, "", target); show(false); } else location.hash = target;
}

function change(parameters: Record<string, string | null>): void {
  const place = readPlace(), all: Record<string, string | null> = {};
  place.parameters.forEach((value, key) => { all[key] = value; });
  go(place.view, { ...all, ...parameters }, true);
}

function showPulse(): void {
  if (isReport) {
    pulse.className = "pulse";
    fill(pulse, `report of ${clock(reportMade)}`);
    return;
  }
  const runs = study?.progress.runs ?? 0, left = study?.progress.left ?? null;
  pulse.className = runs > 0 ? "pulse live" : "pulse";
  fill(pulse, h("i", { "aria-hidden": "true" }),
    runs === 0 ? "nothing runs" : `${runs} running${left === null ? "" : `, about ${duration(left)} left`}`);
}

function showTitle(): void {
  if (study === null) return;
  const done = study.counts().get("finished") ?? 0;
  document.title = `${study.name} ${done}/${study.jobs.length} · Zeroth`;
}

/** Shows the place of the address; `again` draws it though it is the same. */
function show(again: boolean): void {
  if (study === null) return;
  const place = readPlace();
  if (place.study !== "" && place.study !== study.name && studies.studies.some((one) => one.name === place.study)) {
    void open(place.study);
    return;
  }
  const identity = `${study.name} ${study.epoch} ${location.hash}`;
  if (identity === shown && !again) return;
  const moved = shown !== "" && identity.split("?")[0] !== shown.split("?")[0];
  shown = identity;
  const focused = (document.activeElement as HTMLElement | null)?.dataset["keep"];
  const scrolled = window.scrollY;
  view?.dispose?.();
  fill(navigation, VIEWS.map((one) => h("a", { href: address(study?.name ?? "", one.id),
    "aria-current": one.id === place.view ? "page" : null }, one.title)));
  const made = VIEWS.find((one) => one.id === place.view) ?? VIEWS[0];
  if (made === undefined) return;
  view = made.make({ study, place, go, change, redraw: () => show(true) });
  fill(main, view.element);
  if (moved) window.scrollTo(0, 0);
  else window.scrollTo(0, scrolled);
  if (focused !== undefined) main.querySelector<HTMLElement>(`[data-keep="${focused}"]`)?.focus();
  showPulse();
  showTitle();
}

async function open(name: string): Promise<void> {
  const opened = new Study(name);
  await opened.refresh();
  study = opened;
  fill(chooser, studies.studies.length > 1
    ? select("study", studies.studies.map((one) => ({ value: one.name, text: one.name })), name,
      (chosen) => { location.hash = address(chosen, "study"); })
    : h("h1", {}, name));
  if (readPlace().study !== name) history.replaceState(null, "", address(name, readPlace().view));
  show(true);
}

function showError(error: unknown): void {
  pulse.className = "pulse lost";
  fill(pulse, h("i", { "aria-hidden": "true" }), "no answer: " + (error instanceof Error ? error.message : String(error)));
}

async function tick(): Promise<void> {
  if (document.hidden) return;
  if (study === null) {
    await begin();
    return;
  }
  const epoch = study.epoch;
  if (await study.refresh()) {
    if (study.epoch !== epoch) show(true);
    else view?.update?.();
    showTitle();
  }
  showPulse();
}

async function begin(): Promise<void> {
  studies = isReport ? { work: "", studies: [{ name: reportStudy, path: "", trials: 0, recorded: 0 }] }
    : await ask<Studies>("/api/studies");
  const wanted = readPlace().study;
  const first = studies.studies.find((one) => one.name === wanted) ?? studies.studies[0];
  if (first === undefined) {
    fill(main, empty(`No study in ${studies.work} yet. This page shows it as soon as 'zeroth run' has planned one.`));
    return;
  }
  await open(first.name);
}

async function run(): Promise<void> {
  startTheme();
  fill(app,
    h("a", { class: "skip", href: "#main", onclick: (event: Event) => { event.preventDefault(); main.focus(); } }, "To the content"),
    h("header", { class: "top" },
      h("div", { class: "name" }, h("span", { class: "mark" }, "Zeroth"), chooser), navigation,
      h("div", { class: "right" }, pulse,
        h("button", { class: "plain", onclick: toggleTheme, title: "light or dark (t)" }, "◐", h("span", { class: "visually-hidden" }, "light or dark")),
        h("button", { class: "plain", onclick: () => help.showModal(), title: "keys (?)" }, "?", h("span", { class: "visually-hidden" }, "keys")))),
    main, help);
  window.addEventListener("hashchange", () => show(false));
  document.addEventListener("keydown", onKey);
  try { await begin(); } catch (error) { showError(error); }
  document.documentElement.dataset["ready"] = "yes";
  if (isReport) return;
  const loop = async (): Promise<void> => {
    try { await tick(); } catch (error) { showError(error); }
    window.setTimeout(() => void loop(), INTERVAL);
  };
  window.setTimeout(() => void loop(), INTERVAL);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) void tick().catch(showError); });
}

void run();

// The table of variants: mean and interval over seeds, best in bold, difference to a baseline.
import { ask, type Cell, type TableAnswer } from "./api";
import { calmly, check, h, select } from "./dom";
import { heading, isCost, plural, shortName, value } from "./format";
import { headline, type Group, type Study } from "./model";
import { makeRows } from "./rows";
import { address, type Context, type View } from "./view";

interface Row { group: Group; trials: number; finished: number; failed: number; cells: Cell[]; differences: Cell[] | null }

/** Half of the interval, or nothing. */
function half(metric: string, cell: Cell): string {
  return cell[2] === undefined ? "" : ` ± ${value(metric, cell[2])}`;
}

function chosenMetrics(context: Context): string[] {
  const asked = context.place.parameters.get("metrics");
  return asked === null ? headline(context.study) : asked.split(",").filter((one) => one !== "");
}

/** Columns of labels: the variant and the axes that differ. */
function labelKeys(study: Study): string[] {
  const keys = study.hasVariants() ? ["variant", ...study.axes] : [...study.axes];
  const differing = keys.filter((key) => new Set(study.groups.map((group) => study.axisValue(group, key))).size > 1);
  return differing.length > 0 ? differing : ["variant"];
}

/** The best mean of each metric, by its place; none where there is but one group. */
function bestOf(rows: Row[], metrics: string[]): (number | null)[] {
  return metrics.map((metric, place) => {
    const means = rows.map((row) => row.cells[place]?.[1]).filter((mean): mean is number => mean !== undefined);
    if (means.length < 2 || Math.min(...means) === Math.max(...means)) return null;
    return isCost(metric) ? Math.min(...means) : Math.max(...means);
  });
}

export function makeTable(context: Context): View {
  const { study, place } = context;
  const metrics = chosenMetrics(context), labels = labelKeys(study);
  const sortKey = place.parameters.get("sort") ?? "", down = place.parameters.get("down") === "1";
  const baseline = study.findGroup(place.parameters.get("base")), seeds = place.parameters.get("seeds") === "1";
  let filter = place.parameters.get("filter") ?? "";
  let rows: Row[] = [], shown: Row[] = [], best: (number | null)[] = [];
  const count = h("span", { class: "quiet small", "aria-live": "polite" });
  const height = 29 + (baseline === undefined ? 0 : 18) + (seeds ? 18 : 0);
  const table = makeRows("Variants", makeHead(), labels.length + 1 + metrics.length, height, makeRow);

  function makeHead(): HTMLElement {
    const cell = (key: string, text: string, number: boolean): HTMLElement => {
      const sorted = sortKey === key;
      return h("th", { scope: "col", class: number ? "number" : "", "aria-sort": sorted ? (down ? "descending" : "ascending") : null },
        h("button", { title: key, onclick: () => context.change({ sort: key, down: (sorted ? !down : number) ? "1" : null }) },
          text, sorted ? (down ? " ↓" : " ↑") : ""));
    };
    return h("thead", {}, h("tr", {}, labels.map((key) => cell(key, shortName(key, labels), false)), cell("#", "seeds", true),
      metrics.map((metric) => cell(metric, heading(metric), true))));
  }

  function makeCell(row: Row, place_: number): HTMLElement {
    const metric = metrics[place_] ?? "", cell = row.cells[place_] ?? [0], mean = cell[1];
    const difference = row.differences?.[place_];
    const content = mean === undefined ? ["–"]
      : [h("span", { class: best[place_] === mean ? "best" : "" }, value(metric, mean)), h("span", { class: "half" }, half(metric, cell))];
    return h("td", { class: "number nowrap" }, content,
      baseline !== undefined && difference !== undefined && row.group !== baseline ? underDifference(metric, difference) : null,
      baseline !== undefined && row.group === baseline ? h("span", { class: "under" }, "baseline") : null,
      seeds ? h("span", { class: "under" }, row.group.trials.slice(0, 12)
        .map((trial) => value(metric, study.result(trial, metric))).join(" · ")) : null);
  }

  function underDifference(metric: string, cell: Cell): HTMLElement {
    const mean = cell[1], width = cell[2];
    if (mean === undefined) return h("span", { class: "under" }, "no seed in common");
    const clear = width !== undefined && Math.abs(mean) > width;
    const good = isCost(metric) ? mean < 0 : mean > 0;
    return h("span", { class: `under${clear ? (good ? " good" : " bad") : ""}`, title: `paired over ${plural(cell[0], "seed")}` },
      `${value(metric, mean, true)}${half(metric, cell)}${clear ? "" : " ∼"}`);
  }

  function makeRow(index: number): HTMLElement {
    const row = shown[index];
    if (row === undefined) return h("tr", {});
    const pictures = address(study.name, "pictures", { a: row.group.name });
    return h("tr", { class: row.group === baseline ? "chosen" : "", style: `height:${height}px` },
      labels.map((key, column) => {
        const text = study.axisValue(row.group, key) ?? "–";
        return column === 0 ? h("th", { scope: "row" }, h("a", { href: pictures, title: row.group.label }, text)) : h("td", {}, text);
      }),
      h("td", { class: "number nowrap" }, row.finished === row.trials ? row.trials : `${row.finished}/${row.trials}`,
        row.failed > 0 ? h("span", { class: "bad" }, ` ${row.failed} failed`) : null),
      metrics.map((_, metric) => makeCell(row, metric)));
  }

  function compare(a: Row, b: Row): number {
    if (sortKey === "#") return a.finished - b.finished;
    const metric = metrics.indexOf(sortKey);
    if (metric >= 0) {
      const x = a.cells[metric]?.[1], y = b.cells[metric]?.[1];
      if (x === undefined || y === undefined) return x === y ? 0 : (x === undefined ? 1 : -1) * (down ? -1 : 1);
      return x - y;
    }
    const x = study.axisValue(a.group, sortKey) ?? "", y = study.axisValue(b.group, sortKey) ?? "";
    return x.localeCompare(y, "en", { numeric: true });
  }

  function arrange(): void {
    const words = filter.toLowerCase().split(/\s+/).filter((word) => word !== "");
    shown = rows.filter((row) => words.every((word) => row.group.label.toLowerCase().includes(word)));
    if (sortKey !== "") shown.sort((a, b) => (down ? -1 : 1) * compare(a, b) || a.group.index - b.group.index);
    best = bestOf(rows, metrics);
    count.textContent = shown.length === rows.length ? plural(rows.length, "group") : `${shown.length} of ${plural(rows.length, "group")}`;
    table.show(shown.length);
  }

  async function load(): Promise<void> {
    if (metrics.length === 0) { count.textContent = "no result yet"; return; }
    let answer: TableAnswer;
    try {
      answer = await ask<TableAnswer>("/api/table", { study: study.name, metrics: metrics.join(","), baseline: baseline?.name });
    } catch (error) {
      count.textContent = error instanceof Error ? error.message : String(error);
      return;
    }
    const places = metrics.map((metric) => answer.metrics.indexOf(metric));
    const pick = (cells: Cell[]): Cell[] => places.map((one) => cells[one] ?? [0]);
    rows = answer.groups.flatMap((group, index) => {
      const known = study.groups[index];
      return known === undefined ? [] : [{ group: known, trials: group.trials, finished: group.finished, failed: group.failed,
        cells: pick(group.cells), differences: group.differences === undefined ? null : pick(group.differences) }];
    });
    arrange();
  }

  const search = h("input", { type: "search", placeholder: "filter", "aria-label": "Filter variants", value: filter, "data-keep": "filter",
    oninput: () => { filter = search.value; arrange(); }, onchange: () => context.change({ filter: search.value || null }) });
  const columns = h("details", { class: "menu" }, h("summary", {}, "columns"),
    h("div", {}, study.metrics.map((metric) => check(heading(metric), metrics.includes(metric), (on) => {
      const next = study.metrics.filter((one) => one === metric ? on : metrics.includes(one));
      context.change({ metrics: next.join(",") });
    }))));
  const bases = [{ value: "", text: "none" }, ...study.groups.slice(0, 500).map((group) => ({ value: group.name, text: group.label }))];
  const element = h("section", { "aria-labelledby": "variants" },
    h("div", { class: "section-head" }, h("h2", { id: "variants" }, "Variants"),
      h("span", { class: "quiet small" }, "mean ± half of the 95 % interval over seeds (Student’s t); best in bold")),
    h("div", { class: "bar" }, search, select("baseline", bases, baseline?.name ?? "", (name) => context.change({ base: name || null })),
      check("every seed", seeds, (on) => context.change({ seeds: on ? "1" : null })), columns, count),
    table.element,
    baseline === undefined ? null : h("p", { class: "quiet small" },
      "Below each mean its difference to the baseline, paired over the seeds that both have; ∼ where the interval holds zero."));
  const known = study.metrics.length, again = calmly(Math.max(200, 5 * study.groups.length), () => void load());
  let outcomes = study.outcomes;
  void load();
  return {
    element,
    update: () => {
      if (study.metrics.length !== known) { context.redraw(); return; } /* the first result brings columns */
      if (study.outcomes !== outcomes) again();
      outcomes = study.outcomes;
    },
  };
}

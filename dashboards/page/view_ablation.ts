// Ablation: a metric against what was swept.
import { ask, type Cell, type TableAnswer } from "./api";
import { axisStyle, crossBars, cssColor, errorBars, escapeHtml, makeChart, SCALE, seriesColor, type Chart, type Option } from "./charts";
import { calmly, empty, fill, h, select } from "./dom";
import { heading, isFraction, plural, short, shortName, value } from "./format";
import { headline, type Group, type Study } from "./model";
import type { Context, View } from "./view";

const MOST_LINES = 24, MOST_BARRED = 10, MOST_BARS = 80;

interface Point { group: Group; cell: Cell }

function scaled(metric: string, number: number | undefined): number | null {
  if (number === undefined) return null;
  return isFraction(metric) ? 100 * number : number;
}

function unit(metric: string): string {
  return heading(metric) + (isFraction(metric) ? " (%)" : "");
}

/** An axis whose values grow by factors rather than by steps. */
export function isLogarithmic(values: number[]): boolean {
  const sorted = [...new Set(values)].sort((a, b) => a - b);
  const low = sorted[0] ?? 0, high = sorted[sorted.length - 1] ?? 0;
  if (sorted.length < 3 || low <= 0 || high / low < 4) return false;
  const spread = (list: number[]): number => {
    const steps = list.slice(1).map((one, index) => one - (list[index] ?? 0));
    return Math.max(...steps) / Math.min(...steps);
  };
  return spread(sorted.map(Math.log)) < spread(sorted);
}

/** An axis with a little room on both sides, and its ticks at the values themselves where they are few. */
function numericAxis(name: string, values: number[], log: boolean): Record<string, unknown> {
  const style = axisStyle(name), few = values.length <= 12;
  const low = values[0] ?? 0, high = values[values.length - 1] ?? 1;
  const room = log ? (high / low) ** 0.08 : (high - low || Math.abs(high) || 1) * 0.08;
  return {
    ...style, type: log ? "log" : "value", min: log ? low / room : low - room, max: log ? high * room : high + room,
    axisTick: { ...style["axisTick"] as object, ...(few ? { customValues: values } : {}) },
    axisLabel: { ...style["axisLabel"] as object, showMinLabel: few, showMaxLabel: few, formatter: (number: number) => short(number), ...(few ? { customValues: values } : {}) },
    splitLine: { show: !few, lineStyle: { color: cssColor("line") } },
  };
}

/** Values of an axis in order, and whether they are numbers. */
function axisValues(study: Study, groups: Group[], key: string): { values: string[]; numeric: boolean } {
  const values = [...new Set(groups.map((group) => study.axisValue(group, key)).filter((one): one is string => one !== null))];
  const numeric = values.length > 0 && values.every((one) => one !== "" && Number.isFinite(Number(one)));
  if (numeric) values.sort((a, b) => Number(a) - Number(b));
  return { values, numeric };
}

export function makeAblationView(context: Context): View {
  const { study, place } = context;
  const keys = study.sweptKeys();
  const axes = study.hasVariants() ? [...keys, "variant"] : keys;
  const x = axes.includes(place.parameters.get("x") ?? "") ? place.parameters.get("x") as string : axes[0] ?? "";
  const y = axes.includes(place.parameters.get("y") ?? "") && place.parameters.get("y") !== x ? place.parameters.get("y") as string : "";
  const metrics = study.metrics;
  const defaults = headline(study);
  const metric = metrics.includes(place.parameters.get("metric") ?? "") ? place.parameters.get("metric") as string
    : defaults.find((one) => one.endsWith(".harmonic")) ?? defaults[0] ?? "";
  const families = metrics.filter((one) => one.endsWith(".seen") && metrics.includes(one.replace(/\.seen$/, ".unseen")))
    .map((one) => one.replace(/\.seen$/, ""));
  const family = families.find((one) => one === place.parameters.get("family")) ?? families.find((one) => metric.startsWith(one + ".")) ?? families[0] ?? "";
  const charts: Chart[] = [];
  const element = h("div", {});
  let points: Point[] = [], trade: { group: Group; seen: Cell; unseen: Cell }[] = [];

  if (metrics.length === 0 || study.groups.length === 0) {
    element.append(empty("No trial has a result yet. This view begins with the first."));
    return { element, update: context.redraw };
  }

  const main = makeChart(`${unit(metric)} against ${x}${y === "" ? "" : " and " + y}`);
  const scatter = makeChart(`${family}: unseen against seen, with lines of equal harmonic mean`);
  const parallel = makeChart(`Parallel coordinates: every axis and ${unit(metric)}`);
  charts.push(main, scatter, parallel);
  const note = h("p", { class: "quiet small" }), rows = h("div", {});

  function lineChart(): Option {
    const axis = axisValues(study, points.map((point) => point.group), x);
    const log = axis.numeric && isLogarithmic(axis.values.map(Number));
    const lines = new Map<string, Point[]>();
    for (const point of points) {
      if (study.axisValue(point.group, x) === null || point.cell[1] === undefined) continue;
      const others = axes.filter((key) => key !== x && (key !== "variant" || !settingsMake(point.group)));
      const name = others.map((key) => study.axisValue(point.group, key)).filter((one) => one !== null).join(", ");
      lines.set(name, [...lines.get(name) ?? [], point]);
    }
    const at = (group: Group): number => axis.numeric ? Number(study.axisValue(group, x)) : axis.values.indexOf(study.axisValue(group, x) ?? "");
    const list = [...lines].sort((a, b) => b[1].length - a[1].length);
    const shown = list.slice(0, MOST_LINES);
    note.textContent = (list.length > shown.length ? `${shown.length} of ${list.length} lines are drawn: those with most points. ` : "") +
      (shown.length > MOST_BARRED ? "Too many lines for their intervals: the table has them." : "");
    const single = shown.length === 1;
    return {
      grid: { left: 64, right: 24, top: 24, bottom: 56 },
      xAxis: axis.numeric ? numericAxis(x, axis.values.map(Number), log)
        : { ...axisStyle(x), type: "category", data: axis.values, boundaryGap: true },
      yAxis: { ...axisStyle(unit(metric)), nameGap: 42, type: "value", scale: true },
      tooltip: { trigger: "item" },
      series: shown.flatMap(([name, members], index) => {
        const color = seriesColor(index);
        const sorted = [...members].sort((a, b) => at(a.group) - at(b.group));
        const label = (point: Point): string => `${escapeHtml(point.group.label)}<br><b>${value(metric, point.cell[1])}</b> ± ` +
          `${value(metric, point.cell[2])} <span>(${plural(point.cell[0], "seed")})</span>`;
        return [
          { type: "line", name: name || metric, color, symbol: "circle", symbolSize: 8, lineStyle: { width: axis.numeric ? 1.8 : 0 },
            data: sorted.map((point) => ({ value: [at(point.group), scaled(metric, point.cell[1])], label_: label(point) })),
            tooltip: { formatter: (one: { data: { label_: string } }) => one.data.label_ },
            endLabel: { show: !single && shown.length <= 8 && axis.numeric, formatter: name, color: cssColor("text"), fontSize: 12 } },
          { type: "custom", color, renderItem: errorBars, silent: true, clip: true, encode: { x: 0, y: [1, 2] }, z: 1,
            data: shown.length > MOST_BARRED ? [] : sorted.filter((point) => point.cell[2] !== undefined).map((point) => [at(point.group),
              scaled(metric, (point.cell[1] ?? 0) - (point.cell[2] ?? 0)), scaled(metric, (point.cell[1] ?? 0) + (point.cell[2] ?? 0))]) },
        ];
      }),
    };
  }

  /** Whether the axis x comes from what variants set, so that variants are its values and not lines. */
  function settingsMake(group: Group): boolean {
    return x !== "variant" && group.axes[x] === undefined;
  }

  function heatMap(): Option {
    const across = axisValues(study, points.map((point) => point.group), x), up = axisValues(study, points.map((point) => point.group), y);
    const cells = new Map<string, number[]>();
    for (const point of points) {
      const a = across.values.indexOf(study.axisValue(point.group, x) ?? ""), b = up.values.indexOf(study.axisValue(point.group, y) ?? "");
      const mean = scaled(metric, point.cell[1]);
      if (a < 0 || b < 0 || mean === null) continue;
      cells.set(`${a} ${b}`, [...cells.get(`${a} ${b}`) ?? [], mean]);
    }
    const data = [...cells].map(([where, means]) => [...where.split(" ").map(Number), means.reduce((sum, one) => sum + one, 0) / means.length]);
    const numbers = data.map((one) => one[2] ?? 0);
    const digits = Math.max(...numbers) - Math.min(...numbers) < 5 ? 2 : 1;
    const many = [...cells.values()].some((means) => means.length > 1);
    note.textContent = many ? "A field is the mean over the groups that share both values." : "";
    return {
      grid: { left: 90, right: 90, top: 16, bottom: 56 },
      xAxis: { ...axisStyle(x), type: "category", data: across.values, splitLine: { show: false } },
      yAxis: { ...axisStyle(y), nameGap: 66, type: "category", data: up.values, splitLine: { show: false } },
      visualMap: { min: Math.min(...numbers), max: Math.max(...numbers), calculable: true, orient: "vertical", right: 0, top: "middle",
        inRange: { color: SCALE }, textStyle: { color: cssColor("soft") }, precision: digits },
      series: [{ type: "heatmap", data, label: { show: data.length <= 150, formatter: (one: { value: number[] }) => (one.value[2] ?? 0).toFixed(digits) } }],
      tooltip: { formatter: (one: { value: number[] }) => `${escapeHtml(x)} ${escapeHtml(across.values[one.value[0] ?? 0] ?? "")}, ${escapeHtml(y)} ` +
        `${escapeHtml(up.values[one.value[1] ?? 0] ?? "")}<br><b>${(one.value[2] ?? 0).toFixed(2)}</b>` },
    };
  }

  function scatterChart(): Option {
    const known = trade.filter((one) => one.seen[1] !== undefined && one.unseen[1] !== undefined);
    const name = `${family}.seen`;
    const most = (pick: (one: typeof known[number]) => Cell): number => Math.max(1, ...known.map((one) => (scaled(name, pick(one)[1]) ?? 0) + (scaled(name, pick(one)[2]) ?? 0)));
    const right = Math.min(100, 1.08 * most((one) => one.seen)), top = Math.min(100, 1.15 * most((one) => one.unseen));
    const limit = isFraction(name) ? 2 * right * top / (right + top) : 0;
    const levels = [2, 5, 10, 20, 30, 40, 50, 60, 70, 80].filter((level) => level < limit * 1.02);
    const iso = levels.map((level) => {
      const data: [number, number][] = [];
      for (let i = 0; i <= 80; i++) {
        const s = level / 2 + (right - level / 2) * i / 80, u = 2 * s - level <= 0 ? Infinity : level * s / (2 * s - level);
        if (u <= top && s > 0) data.push([s, u]);
      }
      return { type: "line", data, symbol: "none", silent: true, z: 0, color: cssColor("strong"), lineStyle: { width: 1, type: "dashed" },
        endLabel: { show: data.length > 1, formatter: String(level), color: cssColor("soft"), fontSize: 11, distance: 3 } };
    });
    const variants = [...new Set(known.map((one) => one.group.variant))];
    const color = (one: typeof known[number]): string => seriesColor(variants.length > 1 ? variants.indexOf(one.group.variant) : one.group.index);
    const few = known.length <= 14;
    const digits = (range: number) => (number: number): string => number.toFixed(range < 5 ? 1 : 0);
    return {
      grid: { left: 64, right: 40, top: 20, bottom: 56 },
      xAxis: { ...axisStyle(`${heading(name)} (%)`), type: "value", min: 0, max: right, axisLabel: { color: cssColor("soft"), showMaxLabel: false, formatter: digits(right) } },
      yAxis: { ...axisStyle(`${heading(family + ".unseen")} (%)`), nameGap: 38, type: "value", min: 0, max: top, axisLabel: { color: cssColor("soft"), showMaxLabel: false, formatter: digits(top) } },
      series: [...iso,
        { type: "custom", renderItem: crossBars, silent: true, clip: true, z: 1,
          data: (known.length > MOST_BARS ? [] : known).map((one) => ({ value: [scaled(name, one.seen[1]), scaled(name, one.unseen[1]), scaled(name, one.seen[2]) ?? 0, scaled(name, one.unseen[2]) ?? 0], itemStyle: { color: color(one) } })) },
        { type: "scatter", symbolSize: known.length > 200 ? 5 : 9, z: 2, labelLayout: { moveOverlap: "shiftY" },
          data: known.map((one) => ({ value: [scaled(name, one.seen[1]), scaled(name, one.unseen[1])], itemStyle: { color: color(one) },
            name: one.group.label, label: { show: few, position: "right", formatter: one.group.label, color: cssColor("text"), fontSize: 11.5 } })),
          tooltip: { formatter: (one: { dataIndex: number }) => {
            const at = known[one.dataIndex];
            return at === undefined ? "" : `${escapeHtml(at.group.label)}<br>seen <b>${value(name, at.seen[1])}</b> ± ${value(name, at.seen[2])}` +
              `<br>unseen <b>${value(name, at.unseen[1])}</b> ± ${value(name, at.unseen[2])}`;
          } } }],
    };
  }

  function parallelChart(): Option {
    const known = points.filter((point) => point.cell[1] !== undefined);
    const sets = axes.map((key) => ({ key, ...axisValues(study, known.map((point) => point.group), key) }));
    const numbers = known.map((point) => scaled(metric, point.cell[1]) ?? 0);
    return {
      parallel: { left: 60, right: 100, top: 34, bottom: 26, parallelAxisDefault: {
        nameLocation: "end", nameTextStyle: { color: cssColor("soft") }, axisLine: { lineStyle: { color: cssColor("strong") } },
        axisLabel: { color: cssColor("text") }, axisTick: { lineStyle: { color: cssColor("strong") } } } },
      parallelAxis: [...sets.map((set, dim) => set.numeric
        ? { dim, name: shortName(set.key, axes), ...rangeOf(set.values.map(Number)) }
        : { dim, name: shortName(set.key, axes), type: "category", data: [...set.values, "–"] }),
      { dim: sets.length, name: unit(metric), type: "value", scale: true }],
      visualMap: { show: false, dimension: sets.length, min: Math.min(...numbers), max: Math.max(...numbers), inRange: { color: SCALE.slice(1, -1) } },
      series: [{ type: "parallel", lineStyle: { width: known.length > 300 ? 0.7 : 1.8, opacity: known.length > 300 ? 0.35 : 0.8 }, progressive: 500,
        data: known.map((point) => [...sets.map((set) => {
          const text = study.axisValue(point.group, set.key);
          return set.numeric ? (text === null ? NaN : Number(text)) : text ?? "–";
        }), scaled(metric, point.cell[1])]) }],
      tooltip: { formatter: (one: { dataIndex: number }) => escapeHtml(known[one.dataIndex]?.group.label ?? "") },
    };
  }

  function rangeOf(values: number[]): Record<string, unknown> {
    const { type, min, max, axisTick, axisLabel } = numericAxis("", values, isLogarithmic(values));
    return { type, min, max, axisTick, axisLabel: { ...axisLabel as object, color: cssColor("text") } };
  }

  function asRows(): HTMLElement {
    const known = points.filter((point) => point.cell[1] !== undefined).slice(0, 500);
    return h("details", {}, h("summary", {}, "The same as a table"), h("table", {}, h("thead", {}, h("tr", {},
      ["group", ...axes, unit(metric), "±", "seeds"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, known.map((point) => h("tr", {}, h("th", { scope: "row" }, point.group.label),
      axes.map((key) => h("td", {}, study.axisValue(point.group, key) ?? "–")), h("td", {}, value(metric, point.cell[1])),
      h("td", {}, value(metric, point.cell[2])), h("td", {}, point.cell[0]))))));
  }

  function draw(): void {
    if (x !== "") main.set(y === "" ? lineChart() : heatMap());
    if (family !== "") scatter.set(scatterChart());
    if (axes.length > 1) parallel.set(parallelChart());
    const open = rows.querySelector("details")?.open ?? false;
    fill(rows, asRows());
    const details = rows.querySelector("details");
    if (details !== null) details.open = open;
  }

  async function load(): Promise<void> {
    const wanted = [metric, ...(family === "" ? [] : [`${family}.seen`, `${family}.unseen`])];
    const answer = await ask<TableAnswer>("/api/table", { study: study.name, metrics: wanted.join(",") });
    const [main_, seen, unseen] = [metric, `${family}.seen`, `${family}.unseen`].map((one) => answer.metrics.indexOf(one)) as [number, number, number];
    points = study.groups.map((group) => ({ group, cell: answer.groups[group.index]?.cells[main_] ?? [0] }));
    trade = study.groups.map((group) => ({ group, seen: answer.groups[group.index]?.cells[seen] ?? [0], unseen: answer.groups[group.index]?.cells[unseen] ?? [0] }));
    draw();
  }

  const again = calmly(Math.max(500, 10 * study.groups.length), () => void load().catch(() => undefined));
  let outcomes = study.outcomes;
  const choice = (list: string[]): { value: string; text: string }[] => list.map((one) => ({ value: one, text: one }));
  element.append(
    h("section", { "aria-labelledby": "swept" }, h("div", { class: "section-head" }, h("h2", { id: "swept" }, x === "" ? "Nothing was swept" : `${heading(metric)} against ${x}`)),
      h("div", { class: "bar" },
        select("metric", metrics.map((one) => ({ value: one, text: heading(one) })), metric, (chosen) => context.change({ metric: chosen })),
        select("along", choice(axes), x, (chosen) => context.change({ x: chosen, y: null })),
        axes.length > 1 ? select("and", [{ value: "", text: "–" }, ...choice(axes.filter((one) => one !== x))], y, (chosen) => context.change({ y: chosen || null })) : null),
      x === "" ? empty("Every trial has the same settings but for its seed.") : main.element, note, rows),
    h("div", { class: "columns" },
      family === "" ? h("section", {}) : h("section", { "aria-labelledby": "trade" }, h("div", { class: "section-head" }, h("h2", { id: "trade" }, "Seen against unseen"),
        h("span", { class: "quiet small" }, "dashed: equal harmonic mean")),
      families.length > 1 ? h("div", { class: "bar" }, select("of", families.map((one) => ({ value: one, text: heading(one + ".").trim() })), family, (chosen) => context.change({ family: chosen }))) : null,
      scatter.element),
      axes.length > 1 ? h("section", { "aria-labelledby": "parallel" }, h("div", { class: "section-head" }, h("h2", { id: "parallel" }, "All axes"),
        h("span", { class: "quiet small" }, `a line is a group; light is more ${heading(metric)}`)), parallel.element) : null));
  void load().catch((error: unknown) => { note.textContent = error instanceof Error ? error.message : String(error); });
  return { element, update: () => { if (study.outcomes !== outcomes) again(); outcomes = study.outcomes; }, dispose: () => charts.forEach((chart) => chart.dispose()) };
}


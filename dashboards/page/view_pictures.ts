// Pictures: what a variant sees, beside another; scores of classes; how classes are related.
import { ask, pictureAddress, type ClassesAnswer, type ClassScore, type PicturesAnswer, type RelationsAnswer } from "./api";
import { axisStyle, cssColor, DIVERGING, escapeHtml, makeChart, SCALE, seriesColor, type Chart, type Option } from "./charts";
import { empty, fill, h, select } from "./dom";
import { shortKey, value } from "./format";
import type { Group, Job } from "./model";
import { address, type Context, type View } from "./view";

const ORDERS = [{ value: "worst", text: "worst first" }, { value: "best", text: "best first" }, { value: "name", text: "by name" }];

export function makePicturesView(context: Context): View {
  const { study, place } = context;
  const parameters = place.parameters;
  const evaluate = study.stages.indexOf("evaluate");
  const finished = study.groups.filter((group) => group.trials.some((trial) => study.jobs[study.trials[trial]?.jobs[evaluate] ?? -1]?.state === "finished"));
  const element = h("div", {});
  if (finished.length === 0) {
    element.append(empty("No trial is finished yet. Pictures come with the first."));
    return { element, update: context.redraw };
  }
  const a = study.findGroup(parameters.get("a")) ?? finished[finished.length - 1] as Group;
  const b = study.findGroup(parameters.get("b"));
  const seeds = [...new Set(a.trials.map((trial) => study.trials[trial]?.seed ?? 0))];
  const seed = parameters.get("seed") === null ? null : Number(parameters.get("seed"));
  const jobA = study.evaluateJob(a, seed), jobB = b === undefined ? undefined : study.evaluateJob(b, seed);
  const order = ORDERS.some((one) => one.value === parameters.get("order")) ? parameters.get("order") as string : "worst";
  const perClass = parameters.get("class") ?? "semantic.iou";
  const charts: Chart[] = [];
  const thumbs = h("div", { class: "thumbs", role: "group", "aria-label": "Images" }), pictures = h("div", { class: "pictures" });
  const classes = h("div", {}), relations = h("div", {}), note = h("p", { class: "quiet small", "aria-live": "polite" });
  let names: string[] = [], scores: PicturesAnswer["scores"], current = parameters.get("image") ?? "", disposed = false;

  function score(name: string): number | null {
    const found = scores?.[name]?.["miou"];
    return typeof found === "number" ? found : null;
  }

  const scored = (): boolean => Object.keys(scores ?? {}).length > 0;

  function sort(): void {
    if (order === "name" || !scored()) { names.sort(); return; }
    const rank = (name: string): number => score(name) ?? 2;
    names.sort((x, y) => (order === "worst" ? rank(x) - rank(y) : rank(y) - rank(x)) || x.localeCompare(y));
  }

  function figure(title: string, job: Job, name: string, of: PicturesAnswer["scores"]): HTMLElement {
    const source = pictureAddress(job.key, name), own = of?.[name];
    const told = own === undefined ? "" : `mIoU of this image ${value("semantic.", own["miou"] as number | null)} %` +
      (own["image"] === undefined ? "" : `, ${String(own["image"])}`);
    return h("figure", {}, h("figcaption", {}, h("b", {}, title),
      h("a", { href: address(study.name, "job", { job: shortKey(job.key) }), class: "mono" }, shortKey(job.key)), h("span", { class: "quiet" }, told)),
    source === null ? h("p", { class: "quiet" }, "This report does not hold the picture.")
      : h("img", { src: source, alt: `Image, truth and prediction side by side, ${title}, ${name}; unseen classes are hatched` }));
  }

  let scoresB: PicturesAnswer["scores"];
  function showCurrent(): void {
    if (jobA === undefined || current === "") return;
    fill(pictures, figure(a.label, jobA, current, scores), b !== undefined && jobB !== undefined ? figure(b.label, jobB, current, scoresB) : null);
    for (const button of thumbs.querySelectorAll("button"))
      button.setAttribute("aria-pressed", button.dataset["name"] === current ? "true" : "false");
  }

  function showThumbs(): void {
    if (jobA === undefined) return;
    fill(thumbs, names.slice(0, 200).map((name) => h("button", { "data-name": name, "aria-pressed": "false", onclick: () => choose(name) },
      h("img", { src: pictureAddress(jobA.key, name) ?? "data:,", alt: "", loading: "lazy" }),
      h("span", {}, name.replace(/\.png$/, ""), score(name) === null ? "" : ` · ${value("semantic.", score(name))} %`))));
  }

  function choose(name: string): void {
    current = name;
    const place_ = new URLSearchParams(parameters);
    place_.set("image", name);
    history.replaceState(null, "", `#/${encodeURIComponent(study.name)}/pictures?${place_.toString()}`);
    showCurrent();
  }

  async function loadPictures(): Promise<void> {
    if (jobA === undefined || jobA.state !== "finished") { fill(pictures, empty("This trial is not finished.")); return; }
    const answer = await ask<PicturesAnswer>("/api/pictures", { job: jobA.key });
    scores = answer.scores;
    names = [...answer.names];
    if (jobB !== undefined) scoresB = (await ask<PicturesAnswer>("/api/pictures", { job: jobB.key })).scores;
    if (disposed) return;
    if (names.length === 0) { fill(pictures, empty("This job left no pictures: extract.pictures and evaluate.pictures say how many.")); return; }
    sort();
    if (!scored() && order !== "name") note.textContent = "These pictures have no scores of their own, so they are in the order of their names.";
    showThumbs();
    if (!names.includes(current)) current = names[0] ?? "";
    showCurrent();
  }

  function classOption(lists: { group: Group; classes: Record<string, ClassScore> }[]): Option {
    const first = lists[0]?.classes ?? {};
    const read = (one: Record<string, ClassScore>, name: string): number | null => {
      const found = one[name]?.[perClass];
      return typeof found === "number" ? 100 * found : null;
    };
    const sorted = Object.keys(first).sort((x, y) => Number(first[x]?.split === "unseen") - Number(first[y]?.split === "unseen") ||
      (read(first, y) ?? -1) - (read(first, x) ?? -1)).reverse();
    const unseen = (name: string): boolean => first[name]?.split === "unseen";
    return {
      grid: { left: 8, right: 30, top: 8, bottom: 44, containLabel: true },
      xAxis: { ...axisStyle(`${perClass.startsWith("panoptic") ? "PQ" : "IoU"} (%)`), type: "value", min: 0 },
      yAxis: { ...axisStyle(""), type: "category", data: sorted, axisTick: { show: false }, splitLine: { show: false },
        axisLabel: { color: cssColor("text"), fontSize: 11.5, interval: 0, formatter: (name: string) => unseen(name) ? `★ ${name}` : name } },
      tooltip: { trigger: "axis", axisPointer: { type: "shadow" } },
      series: lists.map((list, index) => ({ type: "bar", name: list.group.label, barGap: "10%", barCategoryGap: "24%",
        data: sorted.map((name) => ({ value: read(list.classes, name) ?? 0, itemStyle: { color: unseen(name) ? seriesColor(1) : seriesColor(0),
          opacity: index === 0 ? 1 : 0.5, decal: unseen(name) ? { symbol: "rect", rotation: Math.PI / 4, dashArrayX: [1, 0], dashArrayY: [3, 4], color: "rgba(255,255,255,.5)" } : undefined } })) })),
    };
  }

  async function loadClasses(): Promise<void> {
    if (jobA === undefined || jobA.state !== "finished") return;
    const lists = [{ group: a, classes: (await ask<ClassesAnswer>("/api/classes", { job: jobA.key })).classes }];
    if (b !== undefined && jobB !== undefined && jobB.state === "finished") lists.push({ group: b, classes: (await ask<ClassesAnswer>("/api/classes", { job: jobB.key })).classes });
    if (disposed) return;
    const count = Object.keys(lists[0]?.classes ?? {}).length;
    const chart = makeChart("Scores of classes, unseen ones marked by a star");
    charts.push(chart);
    chart.element.style.height = `${Math.max(160, 54 + count * (lists.length > 1 ? 25 : 18))}px`;
    fill(classes, h("div", { class: "legend" }, h("span", { class: "state" }, h("i", { style: `background:${seriesColor(0)}` }), "seen"),
      h("span", { class: "state" }, h("i", { style: `background:${seriesColor(1)}` }), "★ unseen"),
      lists.length > 1 ? h("span", {}, `full: ${a.label}; pale: ${lists[1]?.group.label}`) : null), chart.element);
    chart.set(classOption(lists));
  }

  function mapOption(rows: number[][], down: string[], across: string[], low: number, high: number, colors: string[], name: string): Option {
    return {
      grid: { left: 8, right: 78, top: 8, bottom: across.length <= 40 ? 8 : 40, containLabel: true },
      xAxis: { ...axisStyle(""), type: "category", data: across, splitLine: { show: false }, axisTick: { show: false },
        axisLabel: { color: cssColor("soft"), fontSize: 10.5, rotate: across.length > 12 ? 60 : 0, interval: across.length <= 40 ? 0 : "auto" } },
      yAxis: { ...axisStyle(""), type: "category", data: down, inverse: true, splitLine: { show: false }, axisTick: { show: false },
        axisLabel: { color: cssColor("text"), fontSize: 10.5, interval: down.length <= 40 ? 0 : "auto" } },
      visualMap: { min: low, max: high, calculable: true, orient: "vertical", right: 4, top: "middle", itemHeight: 110, precision: 2, inRange: { color: colors }, textStyle: { color: cssColor("soft") } },
      tooltip: { formatter: (one: { value: [number, number, number] }) => `${escapeHtml(down[one.value[1]] ?? "")} · ${escapeHtml(across[one.value[0]] ?? "")}<br>${name} <b>${one.value[2].toFixed(3)}</b>` },
      series: [{ type: "heatmap", progressive: 4000, data: rows.flatMap((row, y) => row.map((number, x) => [x, y, number])) }],
    };
  }

  async function loadRelations(): Promise<void> {
    if (jobA === undefined || jobA.state !== "finished") return;
    const answer = await ask<RelationsAnswer>("/api/relations", { study: study.name, job: jobA.key });
    if (disposed) return;
    const labels = answer.names.map((name, index) => answer.unseen[index] === true ? `★ ${name}` : name);
    const size = `${Math.min(640, 150 + 15 * labels.length)}px`;
    const add = (label: string, option: Option, height = size): Chart => {
      const chart = makeChart(label, true);
      charts.push(chart);
      chart.element.style.height = height;
      chart.set(option);
      return chart;
    };
    const semantic = add("Cosines of class vectors", mapOption(answer.semantic, labels, labels, -1, 1, DIVERGING, "cosine"));
    const feature = add("Cosines of classifier weights", mapOption(answer.feature.slice(0, labels.length).map((row) => row.slice(0, labels.length)), labels, labels, -1, 1, DIVERGING, "cosine"));
    const parts: (HTMLElement | null)[] = [h("div", { class: "columns" },
      h("div", {}, h("h3", {}, "In semantic space"), h("p", { class: "quiet small" }, "cosine of the class vectors"), semantic.element),
      h("div", {}, h("h3", {}, "In feature space"), h("p", { class: "quiet small" }, "cosine of the finetuned classifier’s weights"), feature.element))];
    if (answer.primitives !== undefined) {
      const { order: columns, rows } = byLeader(answer.primitives);
      const map = add("Attention of classes to primitives", mapOption(rows, labels, columns.map(String), 0, Math.max(...rows.flat()), SCALE, "weight"), `${130 + 16 * labels.length}px`);
      parts.push(h("div", { style: "margin-top:22px" }, h("h3", {}, "Which classes attend to which primitives"),
        h("p", { class: "quiet small" }, "weights of the generator’s first cross-attention, mean over heads; primitives in the order of the class that attends most"), map.element));
    }
    fill(relations, parts);
  }

  const groups = finished.map((group) => ({ value: group.name, text: group.label }));
  element.append(
    h("section", { "aria-labelledby": "pictures" }, h("div", { class: "section-head" }, h("h2", { id: "pictures" }, "Pictures"),
      h("span", { class: "quiet small" }, "image, truth, prediction; unseen classes are hatched and starred")),
    h("div", { class: "bar" }, select("variant", groups, a.name, (chosen) => context.change({ a: chosen, seed: null })),
      select("beside", [{ value: "", text: "–" }, ...groups.filter((one) => one.value !== a.name)], b?.name ?? "", (chosen) => context.change({ b: chosen || null })),
      seeds.length > 1 ? select("seed", seeds.map((one) => ({ value: String(one), text: String(one) })), String(seed ?? study.trials[a.trials[0] ?? 0]?.seed ?? 0), (chosen) => context.change({ seed: chosen })) : null,
      select("order", ORDERS, order, (chosen) => context.change({ order: chosen === "worst" ? null : chosen }))),
    note, thumbs, pictures),
    h("section", { "aria-labelledby": "classes" }, h("div", { class: "section-head" }, h("h2", { id: "classes" }, "Classes"),
      select("score", [{ value: "semantic.iou", text: "IoU" }, { value: "panoptic.pq", text: "PQ" }], perClass, (chosen) => context.change({ class: chosen === "semantic.iou" ? null : chosen }))), classes),
    h("section", { "aria-labelledby": "relations" }, h("div", { class: "section-head" }, h("h2", { id: "relations" }, "Relations of classes")), relations));
  const failed = (where: HTMLElement) => (error: unknown): void => fill(where, h("p", { class: "quiet" }, error instanceof Error ? error.message : String(error)));
  void loadPictures().catch(failed(pictures));
  void loadClasses().catch(failed(classes));
  void loadRelations().catch(failed(relations));
  return {
    element,
    key: (key) => {
      const step = key === "j" ? 1 : key === "k" ? -1 : 0, next = names[names.indexOf(current) + step];
      if (step === 0 || next === undefined) return false;
      choose(next);
      thumbs.querySelector<HTMLElement>(`[data-name="${next}"]`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
      return true;
    },
    dispose: () => { disposed = true; charts.forEach((chart) => chart.dispose()); },
  };
}

/** Primitives in the order of the class that attends to each the most, strongest first, so that blocks show. */
function byLeader(map: number[][]): { order: number[]; rows: number[][] } {
  const count = map[0]?.length ?? 0;
  const leaders = Array.from({ length: count }, (_, column) => {
    let best = 0;
    map.forEach((row, index) => { if ((row[column] ?? 0) > (map[best]?.[column] ?? 0)) best = index; });
    return { column, best, weight: map[best]?.[column] ?? 0 };
  }).sort((x, y) => x.best - y.best || y.weight - x.weight);
  const order = leaders.map((one) => one.column);
  return { order, rows: map.map((row) => order.map((column) => row[column] ?? 0)) };
}

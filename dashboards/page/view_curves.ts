// Curves: losses and metrics over steps, of any jobs together.
import { ask, isReport, type CurveAnswer } from "./api";
import { axisStyle, cssColor, escapeHtml, makeChart, seriesColor, type Option } from "./charts";
import { calmly, check, empty, fill, h, select } from "./dom";
import { plural, short, shortKey } from "./format";
import type { Job } from "./model";
import { badge } from "./states";
import type { Context, View } from "./view";

const AT_ONCE = 6, FIRST_SHOWN = 60, MOST_SHOWN = 1000, MOST_POINTS = 240000, AGAIN = 3000;

interface Drawn { job: Job; answer: CurveAnswer; color: string }

/** An exponential mean whose memory is measured in steps of the chart, so that thinned curves look alike. */
export function smooth(steps: number[], values: number[], weight: number): number[] {
  if (weight <= 0 || steps.length < 3) return values;
  const usual = ((steps[steps.length - 1] ?? 1) - (steps[0] ?? 0)) / (steps.length - 1) || 1;
  let mean = 0, total = 0;
  return values.map((value, index) => {
    const gap = index === 0 ? 1 : ((steps[index] ?? 0) - (steps[index - 1] ?? 0)) / usual;
    const kept = weight ** gap;
    mean = kept * mean + (1 - kept) * value;
    total = kept * total + (1 - kept);
    return mean / total;
  });
}

export function makeCurvesView(context: Context): View {
  const { study, place } = context;
  const parameters = place.parameters;
  const started = study.jobs.filter((job) => job.attempts > 0);
  const asked = (parameters.get("jobs") ?? "").split(",").filter((one) => one !== "");
  const askedJobs = asked.map((start) => study.findJob(start)).filter((job): job is Job => job !== undefined);
  const stages = study.stages.filter((_, index) => started.some((job) => job.stage === index));
  const preferred = askedJobs[0] !== undefined ? study.stages[askedJobs[0].stage] : undefined;
  const stage = stages.find((one) => one === parameters.get("stage")) ?? preferred ??
    ["generator", "backbone"].find((one) => stages.includes(one)) ?? stages[0] ?? "";
  const filter = (parameters.get("filter") ?? "").toLowerCase();
  const all = askedJobs.length > 0 ? askedJobs : started.filter((job) => study.stages[job.stage] === stage &&
    (filter === "" || study.jobLabel(job).toLowerCase().includes(filter) || job.key.startsWith(filter)));
  const most = parameters.get("all") === "1" ? MOST_SHOWN : FIRST_SHOWN;
  const jobs = all.slice(0, most);
  const hidden = new Set((parameters.get("hide") ?? "").split(",").filter((one) => one !== ""));
  const weight = Math.min(0.99, Math.max(0, Number(parameters.get("smooth") ?? "0") || 0));
  const log = parameters.get("log") === "1";
  let metric = parameters.get("metric") ?? "";
  let names: string[] = [];
  const drawn = new Map<number, Drawn>();
  const element = h("div", {});
  if (started.length === 0) {
    element.append(empty("No job has begun yet. Curves appear with the first step."));
    return { element, update: context.redraw };
  }

  const chart = makeChart("Curves over steps", true);
  const list = h("div", { class: "series" }), note = h("p", { class: "quiet small", "aria-live": "polite" });
  const bar = h("div", { class: "bar" });
  let disposed = false;

  function option(): Option {
    const shown = [...drawn.values()].filter((one) => !hidden.has(shortKey(one.job.key)));
    const many = shown.length > 30;
    const positive = (value: number): number | null => log && value <= 0 ? null : value;
    const line = (one: Drawn, values: number[], faint: boolean): Record<string, unknown> => ({
      type: "line", name: shortKey(one.job.key), data: one.answer.steps.map((step, index) => [step, positive(values[index] ?? NaN)]),
      symbol: "none", color: one.color, silent: many || faint, z: faint ? 1 : 2,
      lineStyle: { width: many ? 1 : 1.6, opacity: faint ? 0.22 : many ? 0.5 : 1 }, emphasis: { disabled: true },
    });
    const marks = shown.flatMap((one) => one.answer.attempts.slice(1).filter((mark) => mark.begin >= 0).map((mark) => {
      const steps = one.answer.steps, near = steps.findIndex((step) => step >= mark.begin);
      const values = smooth(steps, one.answer.values, weight);
      return { value: [mark.begin, values[near < 0 ? values.length - 1 : near]], name: `${shortKey(one.job.key)}: attempt ${mark.attempt} goes on from step ${mark.begin}`, itemStyle: { color: one.color, borderColor: cssColor("ground"), borderWidth: 1.5 } };
    }));
    return {
      grid: { left: 74, right: 20, top: 16, bottom: 86 },
      xAxis: { ...axisStyle("step"), type: "value", min: 0, max: "dataMax" },
      yAxis: { ...axisStyle(metric), nameGap: 54, type: log ? "log" : "value", scale: true, axisLabel: { color: cssColor("soft"), formatter: (n: number) => short(n) } },
      dataZoom: [{ type: "inside", filterMode: "none" }, { type: "slider", height: 18, bottom: 14, filterMode: "none", borderColor: cssColor("line"), textStyle: { color: cssColor("soft") }, brushSelect: false, showDataShadow: false }],
      tooltip: { trigger: many ? "item" : "axis", axisPointer: { type: "line", lineStyle: { color: cssColor("strong") } },
        formatter: (items: unknown) => tip(Array.isArray(items) ? items : [items]) },
      series: [...(weight > 0 && !many ? shown.map((one) => line(one, one.answer.values, true)) : []),
        ...shown.map((one) => line(one, smooth(one.answer.steps, one.answer.values, weight), false)),
        { type: "scatter", symbol: "triangle", symbolSize: 11, data: marks, z: 5, tooltip: { formatter: (one: { name: string }) => escapeHtml(one.name) } }],
    };
  }

  function tip(items: { seriesName?: string; name?: string; value?: (number | null)[]; color?: string; seriesType?: string }[]): string {
    const seen = new Map<string, string>();
    for (const item of items) {
      if (item.seriesType === "scatter") { seen.set(item.name ?? "", escapeHtml(item.name ?? "")); continue; }
      const job = study.findJob(item.seriesName ?? "");
      if (job !== undefined && item.value?.[1] !== null && item.value?.[1] !== undefined)
        seen.set(job.key, `<span style="color:${item.color}">━</span> ${escapeHtml(study.jobLabel(job))} <b>${short(item.value[1])}</b>`);
    }
    const step = items[0]?.value?.[0];
    return `step ${step ?? ""}<br>${[...seen.values()].slice(0, 14).join("<br>")}${seen.size > 14 ? "<br>…" : ""}`;
  }

  function showList(): void {
    const order = [...drawn.values()].sort((x, y) => study.jobGroup(x.job) - study.jobGroup(y.job) ||
      study.jobLabel(x.job).localeCompare(study.jobLabel(y.job), "en", { numeric: true }));
    fill(list, order.slice(0, 400).map((one) => {
      const short_ = shortKey(one.job.key), on = !hidden.has(short_);
      return h("button", { "aria-pressed": on ? "true" : "false", "data-keep": short_, title: short_, onclick: () => {
        if (on) hidden.add(short_); else hidden.delete(short_);
        context.change({ hide: [...hidden].join(",") || null });
      } }, h("i", { style: `background:${one.color}`, "aria-hidden": "true" }), h("span", {}, study.jobLabel(one.job)));
    }));
  }

  const draw = calmly(120, () => {
    if (disposed) return;
    chart.set(option());
    showList();
    const points = [...drawn.values()].reduce((sum, one) => sum + one.answer.count, 0);
    const gaps = [...drawn.values()].reduce((sum, one) => sum + one.answer.gaps, 0);
    const resumed = [...drawn.values()].some((one) => one.answer.attempts.length > 1);
    fill(note, `${plural(drawn.size, "curve")}, ${plural(points, "point")}; each shows its extremes.`, gaps > 0 ? ` ${plural(gaps, "value")} not finite.` : "",
      resumed ? " ▲ a later attempt goes on." : "", all.length > jobs.length ? [" ", h("button", { onclick: () => context.change({ all: "1" }) },
        `all ${Math.min(MOST_SHOWN, all.length)}`)] : null);
  });

  async function loadNames(): Promise<void> {
    const found = new Set<string>(), picked = [jobs[0], jobs[Math.floor(jobs.length / 2)], jobs[jobs.length - 1]];
    for (const job of new Set(picked)) {
      if (job === undefined) continue;
      try { (await ask<{ names: string[] }>("/api/series", { job: job.key })).names.forEach((name) => found.add(name)); } catch { /* not in this report */ }
    }
    names = [...found];
    if (!names.includes(metric)) metric = ["generator_loss", "loss", "classifier_loss"].find((one) => found.has(one)) ?? names[0] ?? "";
    fill(bar,
      stages.length > 1 && askedJobs.length === 0 ? select("stage", stages.map((one) => ({ value: one, text: one })), stage, (chosen) => context.change({ stage: chosen, metric: null, hide: null })) : null,
      select("metric", names.map((one) => ({ value: one, text: one })), metric, (chosen) => context.change({ metric: chosen })),
      slider(), check("log scale", log, (on) => context.change({ log: on ? "1" : null })),
      askedJobs.length === 0 ? h("input", { type: "search", placeholder: "filter", "aria-label": "Filter jobs", value: filter, "data-keep": "filter",
        onchange: (event: Event) => context.change({ filter: (event.target as HTMLInputElement).value || null }) })
        : h("button", { onclick: () => context.change({ jobs: null }) }, "all jobs of the stage"));
  }

  function slider(): HTMLElement {
    const input = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: weight, "aria-label": "Smoothing", "data-keep": "smooth",
      onchange: () => context.change({ smooth: input.value === "0" ? null : input.value }) });
    return h("label", { class: "field" }, h("span", {}, "smoothing"), input);
  }

  async function loadCurve(job: Job, points: number): Promise<void> {
    const answer = await ask<CurveAnswer>("/api/curve", { job: job.key, metric, points });
    if (disposed || answer.steps.length === 0) return;
    drawn.set(job.index, { job, answer, color: seriesColor(study.trialsOf(job.index).length > 1 ? jobs.indexOf(job) : study.jobGroup(job)) });
    draw();
  }

  async function loadAll(list_: Job[]): Promise<void> {
    const points = Math.max(60, Math.min(1200, 2 * Math.floor(MOST_POINTS / Math.max(1, jobs.length) / 2)));
    const waiting = [...list_];
    const worker = async (): Promise<void> => {
      for (let job = waiting.shift(); job !== undefined && !disposed; job = waiting.shift())
        try { await loadCurve(job, points); } catch (error) { if (!isReport) throw error; }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (drawn.size === 0 && !disposed) fill(note, isReport ? "This report does not hold these curves." : "No job has such a curve yet.");
    draw();
  }

  async function start(): Promise<void> {
    await loadNames();
    await loadAll(jobs);
  }

  let last = Date.now();
  const failed = (error: unknown): void => { note.textContent = error instanceof Error ? error.message : String(error); };
  element.append(
    h("section", { "aria-labelledby": "curves" }, h("div", { class: "section-head" }, h("h2", { id: "curves" }, "Curves"),
      askedJobs.length > 0 ? h("span", {}, badge(askedJobs[0]?.state ?? "unknown", plural(askedJobs.length, "chosen job"))) : null), bar,
    h("div", { class: "columns wide" }, h("div", {}, chart.element, note), list)));
  void start().catch(failed);
  return {
    element,
    update: () => {
      if (Date.now() - last < AGAIN) return;
      last = Date.now();
      void loadAll(jobs.filter((job) => job.state === "running" || !drawn.has(job.index)).slice(0, 40)).catch(failed);
    },
    dispose: () => { disposed = true; chart.dispose(); },
  };
}

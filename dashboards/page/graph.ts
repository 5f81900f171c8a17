// The graph of jobs: a column per stage, a cell per job, coloured by state, and lines from what a job reads. Drawn on a
// canvas, for a study may have ten thousand; the chosen job's ancestors and descendants are picked out.
import { cssColor } from "./charts";
import { h } from "./dom";
import { shortKey } from "./format";
import type { Job, Study } from "./model";

const TOP = 24, MOST_HEIGHT = 420, FEW = 240, GAP_SHARE = 0.36;

interface Cell { x: number; y: number; width: number; height: number }

export interface Graph { element: HTMLElement; draw: () => void; dispose: () => void }

export function makeGraph(study: Study, chosen: string, open: (job: Job) => void): Graph {
  const canvas = h("canvas", { tabindex: 0, role: "img", "data-keep": "graph",
    "aria-label": "Graph of jobs by stage. Arrow keys go from job to job, Enter opens one." });
  const told = h("p", { class: "small", "aria-live": "polite", style: "min-height:1.5em" });
  const element = h("div", { class: "graph" }, canvas, told);
  const order = study.stages.map((_, stage) => arrange(study, stage));
  const dependents: number[][] = study.jobs.map(() => []);
  for (const job of study.jobs) for (const input of job.inputs) dependents[input]?.push(job.index);
  const cells: Cell[] = [];
  let focus = study.findJob(chosen)?.index ?? -1;
  let height = 0;

  function layout(width: number): void {
    const most = Math.max(1, ...order.map((list) => list.length));
    const stages = order.length, step = width / stages;
    height = Math.min(MOST_HEIGHT, Math.max(90, most * 17));
    order.forEach((list, stage) => {
      const inner = step * (1 - GAP_SHARE);
      // As many cells side by side as keep them about as high as wide, once they no longer fit one below another.
      const across = list.length * 5 <= height ? 1 : Math.ceil(Math.sqrt(list.length * inner / height));
      const down = Math.ceil(list.length / across);
      const w = inner / across, tall = Math.min(15, height / Math.max(1, down));
      list.forEach((index, place) => {
        cells[index] = { x: stage * step + (place % across) * w, y: TOP + Math.floor(place / across) * tall, width: w, height: tall };
      });
    });
  }

  function related(start: number): Set<number> {
    const found = new Set<number>();
    const walk = (index: number, next: (index: number) => number[]): void => {
      for (const one of next(index)) if (!found.has(one)) { found.add(one); walk(one, next); }
    };
    walk(start, (index) => study.jobs[index]?.inputs ?? []);
    walk(start, (index) => dependents[index] ?? []);
    return found;
  }

  function drawLines(context: CanvasRenderingContext2D, wanted: (job: Job) => boolean): void {
    context.beginPath();
    for (const job of study.jobs) {
      const to = cells[job.index];
      if (to === undefined) continue;
      for (const input of job.inputs) {
        const from = cells[input], source = study.jobs[input];
        if (from === undefined || source === undefined || !(wanted(job) && wanted(source))) continue;
        if (job.stage - source.stage > 1 && job.inputs.some((other) => study.jobs[other]?.inputs.includes(input))) continue;
        const x1 = from.x + from.width, y1 = from.y + from.height / 2, x2 = to.x, y2 = to.y + to.height / 2;
        const middle = (x1 + x2) / 2;
        context.moveTo(x1, y1);
        context.bezierCurveTo(middle, y1, middle, y2, x2, y2);
      }
    }
    context.stroke();
  }

  function draw(): void {
    const width = element.clientWidth;
    if (width === 0) return;
    layout(width);
    const ratio = window.devicePixelRatio || 1, whole = TOP + height + 4;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(whole * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(whole * ratio);
      canvas.style.height = `${whole}px`;
    }
    const context = canvas.getContext("2d");
    if (context === null) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, whole);
    const picked = focus >= 0 ? related(focus) : null;
    if (picked !== null) picked.add(focus);
    context.lineWidth = 1;
    context.strokeStyle = cssColor("line");
    if (study.jobs.length <= FEW) drawLines(context, () => true);
    if (picked !== null) {
      context.lineWidth = 1.4;
      context.strokeStyle = cssColor("accent");
      drawLines(context, (job) => picked.has(job.index));
    }
    drawCells(context, picked);
    drawHeads(context, width);
    tell();
  }

  function drawCells(context: CanvasRenderingContext2D, picked: Set<number> | null): void {
    const colors = new Map(study.states.map((state) => [state, cssColor(state)]));
    for (const job of study.jobs) {
      const cell = cells[job.index];
      if (cell === undefined) continue;
      const gap = cell.height > 6 ? 2 : cell.height > 3 ? 1 : 0.4;
      context.globalAlpha = picked === null || picked.has(job.index) ? 1 : 0.32;
      context.fillStyle = colors.get(job.state) ?? "#888";
      context.fillRect(cell.x, cell.y, Math.max(0.8, cell.width - gap), Math.max(0.8, cell.height - gap));
      if (isCached(study, job) && cell.height > 6) {
        context.fillStyle = cssColor("ground");
        context.fillRect(cell.x + 3, cell.y + (cell.height - gap) / 2 - 1, 6, 2);
      }
      if (job.index === focus) {
        context.globalAlpha = 1;
        context.lineWidth = 2;
        context.strokeStyle = cssColor("text");
        context.strokeRect(cell.x - 1, cell.y - 1, Math.max(3, cell.width - gap + 2), Math.max(3, cell.height - gap + 2));
      }
    }
    context.globalAlpha = 1;
  }

  function drawHeads(context: CanvasRenderingContext2D, width: number): void {
    context.fillStyle = cssColor("soft");
    context.font = "12.5px system-ui, sans-serif";
    context.textBaseline = "alphabetic";
    order.forEach((list, stage) => {
      if (list.length > 0)
        context.fillText(`${study.stages[stage] ?? ""} · ${list.length.toLocaleString("en")}`, stage * width / order.length, 14);
    });
  }

  function tell(): void {
    const job = study.jobs[focus];
    if (job === undefined) { told.textContent = "A dash marks what was finished before this plan. Choose a job to see what it reads and who reads it."; return; }
    const share = job.trials > 1 ? `shared by ${job.trials} trials` : "one trial";
    told.replaceChildren(`${study.stages[job.stage] ?? ""} ${shortKey(job.key)}: ${job.state}, ${share}` +
      `${isCached(study, job) ? ", finished before this plan" : ""}${job.cause === "" ? "" : `, ${job.cause}: ${job.message}`}. `,
    h("a", { href: "#", onclick: (event: Event) => { event.preventDefault(); open(job); } }, "Open"));
  }

  function at(event: MouseEvent): number {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    return study.jobs.findIndex((job) => {
      const cell = cells[job.index];
      return cell !== undefined && x >= cell.x && x < cell.x + cell.width && y >= cell.y && y < cell.y + cell.height;
    });
  }

  function step(key: string): void {
    const job = study.jobs[focus];
    if (job === undefined) { focus = order.find((list) => list.length > 0)?.[0] ?? -1; return; }
    const list = order[job.stage] ?? [], place = list.indexOf(focus);
    if (key === "ArrowDown") focus = list[place + 1] ?? focus;
    if (key === "ArrowUp") focus = list[place - 1] ?? focus;
    if (key === "ArrowLeft") focus = job.inputs[job.inputs.length - 1] ?? focus;
    if (key === "ArrowRight") focus = dependents[focus]?.[0] ?? focus;
  }

  canvas.addEventListener("click", (event) => { const found = at(event); focus = found === focus ? -1 : found; draw(); });
  canvas.addEventListener("dblclick", (event) => { const job = study.jobs[at(event)]; if (job !== undefined) open(job); });
  canvas.addEventListener("mousemove", (event) => {
    const job = study.jobs[at(event)];
    canvas.style.cursor = job === undefined ? "default" : "pointer";
    canvas.title = job === undefined ? "" : `${study.stages[job.stage]} ${shortKey(job.key)} · ${job.state} · ${study.jobLabel(job)}`;
  });
  canvas.addEventListener("keydown", (event) => {
    const job = study.jobs[focus];
    if (event.key === "Enter" && job !== undefined) open(job);
    else if (event.key === "Escape") focus = -1;
    else if (event.key.startsWith("Arrow")) step(event.key);
    else return;
    event.preventDefault();
    event.stopPropagation();
    draw();
  });
  const observer = new ResizeObserver(draw);
  observer.observe(element);
  return { element, draw, dispose: () => observer.disconnect() };
}

/** Finished before the study was planned. */
export function isCached(study: Study, job: Job): boolean {
  return job.state === "finished" && job.updated < Math.floor(study.recorded);
}

/** Jobs of a stage in an order that keeps what belongs together side by side: that of the trials. */
function arrange(study: Study, stage: number): number[] {
  const list: number[] = [], seen = new Set<number>();
  for (const trial of study.trials) {
    const job = trial.jobs[stage] ?? -1;
    if (job >= 0 && !seen.has(job)) { seen.add(job); list.push(job); }
  }
  return list;
}

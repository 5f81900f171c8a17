// Study: how far it is, what runs, what failed, the graph of jobs, the table of variants.
import { isReport } from "./api";
import { fill, h } from "./dom";
import { clock, duration, plural, shortKey } from "./format";
import { makeGraph } from "./graph";
import type { Job } from "./model";
import { badge, isBroken, STATE_ORDER } from "./states";
import { makeTable } from "./table";
import { address, type Context, type View } from "./view";

const SHOWN = 12;

export function makeStudyView(context: Context): View {
  const { study } = context;
  const figures = h("div", { class: "figures" });
  const stages = h("div", {}), running = h("div", {}), broken = h("div", {});
  const openJob = (job: Job): void => context.go("job", { job: shortKey(job.key) });
  const graph = makeGraph(study, context.place.parameters.get("job") ?? "", openJob);
  const table = makeTable(context);

  function link(job: Job): HTMLElement {
    return h("a", { href: address(study.name, "job", { job: shortKey(job.key) }), class: "mono" }, shortKey(job.key));
  }

  function showFigures(): void {
    const counts = study.counts(), done = counts.get("finished") ?? 0;
    const evaluate = study.stages.indexOf("evaluate");
    const trials = study.trials.filter((trial) => study.jobs[trial.jobs[evaluate] ?? -1]?.state === "finished").length;
    const figure = (number: string, text: string): HTMLElement => h("div", {}, h("b", {}, number), h("span", {}, text));
    const { runs, left } = study.progress, open = left !== null && left > 0;
    fill(figures, figure(`${trials.toLocaleString("en")} / ${study.trials.length.toLocaleString("en")}`, "trials with results"),
      figure(`${done.toLocaleString("en")} / ${study.jobs.length.toLocaleString("en")}`, "jobs finished"),
      figure(String(runs), "running now"),
      figure(String((counts.get("failed") ?? 0) + (counts.get("killed") ?? 0)), "failed or killed"),
      done === study.jobs.length ? figure("done", `planned ${clock(study.recorded)}`)
        : figure(open ? duration(left) : "–", runs > 0 ? "left, at this pace" : "of work left, and nothing runs"));
  }

  function showStages(): void {
    const rows = study.stages.map((stage, index) => {
      const counts = study.progress.counts[index] ?? [], total = counts.reduce((sum, one) => sum + one, 0);
      if (total === 0) return null;
      const parts = STATE_ORDER.map((state) => ({ state, count: counts[study.states.indexOf(state)] ?? 0 })).filter((part) => part.count > 0);
      const words = parts.map((part) => `${part.count.toLocaleString("en")} ${part.state}`).join(", ");
      return [h("span", {}, stage),
        h("div", { class: "meter", role: "img", "aria-label": `${stage}: ${words}` }, parts.map((part) =>
          h("i", { style: `flex:${part.count};background:var(--${part.state})` }))),
        h("span", { class: "quiet small" }, words)];
    });
    fill(stages, h("div", { class: "stage-rows" }, rows));
  }

  function showRunning(): void {
    const list = study.progress.running;
    if (list.length === 0) { fill(running, h("p", { class: "quiet" }, isReport ? "Nothing ran when this report was made." : "Nothing runs.")); return; }
    fill(running, h("div", { class: "scroll", style: "max-height:300px", tabindex: 0, role: "region", "aria-label": "Running jobs" },
      h("table", {}, h("thead", {}, h("tr", {}, ["job", "for", "where", "step", "since"].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, list.slice(0, 60).map((one) => {
          const job = study.jobs[one.job];
          if (job === undefined) return null;
          return h("tr", {}, h("th", { scope: "row", class: "nowrap" }, study.stages[job.stage] ?? "", " ", link(job)), h("td", {}, study.jobLabel(job)),
            h("td", {}, one.host), h("td", { class: "nowrap" }, one.total > 0 ? `${Math.max(0, one.step)} / ${one.total} ${one.unit}` : "starts"),
            h("td", { class: "nowrap" }, one.live ? duration(study.time - one.started)
              : h("span", { class: "bad" }, "no process holds it: run the study again")));
        })))),
    study.progress.runs > 60 ? h("p", { class: "quiet small" }, `and ${study.progress.runs - 60} more`) : null);
  }

  function showBroken(): void {
    const list = study.jobs.filter((job) => isBroken(job.state) || job.state === "interrupted");
    if (list.length === 0) { fill(broken, h("p", { class: "quiet" }, "Nothing.")); return; }
    const blocked = study.counts().get("blocked") ?? 0;
    fill(broken, h("table", {}, h("thead", {}, h("tr", {}, ["job", "state", "why"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, list.slice(0, SHOWN).map((job) => h("tr", {}, h("th", { scope: "row", class: "nowrap" }, study.stages[job.stage] ?? "", " ", link(job)),
        h("td", {}, badge(job.state)), h("td", {}, job.cause === "" ? study.jobLabel(job) : `${job.cause}: ${job.message}`))))),
    list.length > SHOWN ? h("p", { class: "quiet small" }, `and ${list.length - SHOWN} more`) : null,
    blocked > 0 ? h("p", { class: "quiet small" }, `${plural(blocked, "job")} blocked by them`) : null);
  }

  function legend(): HTMLElement {
    const counts = study.counts();
    return h("div", { class: "legend" }, STATE_ORDER.filter((state) => counts.has(state)).map((state) => badge(state)));
  }
  const states = h("div", {});

  function update(): void {
    showFigures();
    showStages();
    showRunning();
    showBroken();
    fill(states, legend());
    graph.draw();
  }
  update();
  return {
    element: h("div", {}, figures,
      h("div", { class: "columns" },
        h("section", { "aria-labelledby": "progress" }, h("div", { class: "section-head" }, h("h2", { id: "progress" }, "Progress")), stages),
        h("div", {},
          h("section", { "aria-labelledby": "running" }, h("div", { class: "section-head" }, h("h2", { id: "running" }, "What runs where")), running),
          h("section", { "aria-labelledby": "broken" }, h("div", { class: "section-head" }, h("h2", { id: "broken" }, "What failed")), broken))),
      table.element,
      h("section", { "aria-labelledby": "graph" }, h("div", { class: "section-head" }, h("h2", { id: "graph" }, "Jobs"), states), graph.element)),
    update: () => { update(); table.update?.(); },
    dispose: () => graph.dispose(),
  };
}

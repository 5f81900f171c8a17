// One job: what it was told to do, where it ran, what it said.
import { ask, isReport, type JobAnswer, type LogAnswer } from "./api";
import { check, empty, fill, h, select } from "./dom";
import { bytes, clock, duration, plural, shortKey } from "./format";
import type { Job } from "./model";
import { badge } from "./states";
import { address, type Context, type View } from "./view";

const LOG_KEPT = 400000, FOLLOW = 1000;

export function makeJobView(context: Context): View {
  const { study, place } = context;
  const job = study.findJob(place.parameters.get("job") ?? "") ?? study.jobs.find((one) => one.state === "failed") ??
    study.jobs.find((one) => one.state === "running") ?? study.jobs[study.jobs.length - 1];
  const element = h("div", {});
  if (job === undefined) {
    element.append(empty("This study has no jobs."));
    return { element };
  }
  const other = study.findJob(place.parameters.get("other") ?? "");
  const head = h("div", {}), facts = h("div", {}), attempts = h("div", {}), config = h("div", {});
  const log = h("pre", { class: "log", tabindex: 0, role: "region", "aria-label": "Log" });
  const logNote = h("span", { class: "quiet small", "aria-live": "polite" });
  let attempt = Number(place.parameters.get("attempt") ?? "0"), reached = -1, following = true, disposed = false;
  const onlyDifferences = place.parameters.get("same") !== "1";

  const link = (one: Job): HTMLElement => h("a", { href: address(study.name, "job", { job: shortKey(one.key) }) },
    study.stages[one.stage] ?? "", " ", h("span", { class: "mono" }, shortKey(one.key)));

  function showHead(): void {
    if (job === undefined) return;
    fill(head, h("div", { class: "section-head" }, h("h2", {}, `${study.stages[job.stage]} `, h("span", { class: "mono" }, shortKey(job.key))), badge(job.state),
      h("span", { class: "quiet" }, study.jobLabel(job)),
      job.total > 0 ? h("span", { class: "quiet" }, `step ${Math.max(0, job.step)} of ${job.total}`) : null,
      job.seconds > 0 ? h("span", { class: "quiet" }, duration(job.seconds)) : null,
      job.attempts > 0 ? h("a", { href: address(study.name, "curves", { jobs: shortKey(job.key) }) }, "its curves") : null),
    job.cause === "" ? null : h("p", { class: job.state === "failed" || job.state === "killed" ? "note error" : "note" }, `${job.cause}: ${job.message}`));
  }

  function showFacts(answer: JobAnswer): void {
    if (job === undefined) return;
    const last = answer.attempts[answer.attempts.length - 1], artifact = answer.artifact;
    const readers = study.jobs.filter((one) => one.inputs.includes(job.index));
    const fact = (name: string, content: (string | HTMLElement)[]): HTMLElement[] => content.length === 0 ? []
      : [h("dt", {}, name), h("dd", {}, content.flatMap((one, index) => index === 0 ? [one] : [", ", one]))];
    fill(facts, h("dl", { class: "facts" },
      fact("key", [h("span", { class: "mono" }, job.key)]),
      fact("reads", job.inputs.map((index) => study.jobs[index]).filter((one): one is Job => one !== undefined).map(link)),
      fact("read by", readers.length > 8 ? [...readers.slice(0, 8).map(link), `${readers.length - 8} more`] : readers.map(link)),
      fact("trials", [String(job.trials)]),
      fact("stage’s version", artifact?.version === undefined ? [] : [String(artifact.version)]),
      fact("program", last === undefined ? [] : [h("span", { class: "mono" }, last.code), last.compiler]),
      fact("ran on", last === undefined ? [] : [last.host, plural(last.ranks, "rank"), plural(last.threads, "thread") + " each"]),
      fact("peak memory", last === undefined || last.peak_memory <= 0 ? [] : [bytes(last.peak_memory)]),
      fact("artifact", artifact?.files === undefined ? [] : [`${plural(artifact.files.length, "file")}, ${bytes(artifact.files.reduce((sum, file) => sum + file.bytes, 0))}`])),
    artifact?.files === undefined ? null : h("details", {}, h("summary", {}, "Files with checksums"), h("table", {}, h("tbody", {}, artifact.files.map((file) =>
      h("tr", {}, h("th", { scope: "row" }, file.path), h("td", { class: "number" }, bytes(file.bytes)), h("td", { class: "mono" }, file.xxh3)))))));
  }

  function showAttempts(answer: JobAnswer): void {
    if (answer.attempts.length === 0) { fill(attempts, h("p", { class: "quiet" }, "It has not been started.")); return; }
    fill(attempts, h("table", {}, h("thead", {}, h("tr", {}, ["attempt", "state", "began", "from step", "to step", "took", "where", "outcome"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, answer.attempts.map((one) => h("tr", {}, h("th", { scope: "row" }, String(one.number)), h("td", {}, badge(one.state)),
        h("td", { class: "nowrap" }, clock(one.started)), h("td", {}, one.begin >= 0 ? String(one.begin) : "–"), h("td", {}, one.step >= 0 ? String(one.step) : "–"),
        h("td", {}, duration(one.seconds > 0 ? one.seconds : one.started !== null && one.updated !== null ? one.updated - one.started : null)),
        h("td", {}, one.host), h("td", {}, one.outcome === "ok" ? "ok" : one.message === "" ? one.outcome : `${one.outcome}: ${one.message}`))))));
  }

  async function showConfig(answer: JobAnswer): Promise<void> {
    const mine = answer.config;
    if (mine === undefined) { fill(config, h("p", { class: "quiet" }, "Its config is written when it starts.")); return; }
    let theirs: Record<string, string> | undefined;
    if (other !== undefined) theirs = (await ask<JobAnswer>("/api/job", { job: other.key })).config;
    const keys = [...new Set([...Object.keys(mine), ...Object.keys(theirs ?? {})])];
    const differs = (key: string): boolean => theirs !== undefined && mine[key] !== theirs[key];
    const changed = keys.filter(differs);
    const shown = theirs !== undefined && onlyDifferences ? changed : keys;
    fill(config,
      theirs === undefined ? null : h("p", { class: "quiet small" }, changed.length === 0 ? "Both have the same values." : `${plural(changed.length, "key")} of ${keys.length} differ.`),
      shown.length === 0 ? null : h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "key"), h("th", { scope: "col" }, "this job"),
        theirs === undefined ? null : h("th", { scope: "col" }, "the other"))),
      h("tbody", {}, shown.map((key) => h("tr", { class: differs(key) ? "differs" : "" }, h("th", { scope: "row", class: "mono" }, key),
        h("td", { class: "mono" }, mine[key] ?? "–"), theirs === undefined ? null : h("td", { class: "mono" }, theirs[key] ?? "–"))))));
  }

  async function load(): Promise<void> {
    if (job === undefined) return;
    showHead();
    let answer: JobAnswer;
    try { answer = await ask<JobAnswer>("/api/job", { job: job.key }); } catch (error) {
      fill(facts, h("p", { class: "quiet" }, error instanceof Error ? error.message : String(error)));
      return;
    }
    if (disposed) return;
    showFacts(answer);
    showAttempts(answer);
    await showConfig(answer);
    if (answer.newest > 0 && bar.childElementCount === 0) showLogBar(answer.newest);
    if (answer.newest === 0) logNote.textContent = "no attempt yet";
  }

  const bar = h("div", { class: "bar" });
  function showLogBar(newest: number): void {
    const numbers = Array.from({ length: Math.min(newest, 200) }, (_, index) => String(newest - index));
    fill(bar, newest > 1 ? select("attempt", numbers.map((one) => ({ value: one, text: one })), String(attempt || newest), (chosen) => context.change({ attempt: chosen })) : null,
      isReport ? null : check("follow", following, (on) => { following = on; }), logNote);
  }

  async function readLog(): Promise<void> {
    if (job === undefined || disposed) return;
    let answer: LogAnswer;
    try { answer = await ask<LogAnswer>("/api/log", { job: job.key, attempt: attempt || undefined, from: reached < 0 ? undefined : reached }); } catch (error) {
      logNote.textContent = error instanceof Error ? error.message : String(error);
      return;
    }
    if (reached > answer.size || (reached >= 0 && answer.from !== reached)) log.textContent = "";
    reached = answer.to;
    attempt = answer.attempt;
    if (answer.text !== "") {
      const low = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      // eslint-disable-next-line no-control-regex
      const plain = answer.text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, "").replace(/^.*\r(?!\n)/gm, "");
      const text = (log.textContent ?? "") + plain;
      log.textContent = text.length > LOG_KEPT ? text.slice(text.indexOf("\n", text.length - LOG_KEPT) + 1) : text;
      if (low || answer.from === 0) log.scrollTop = log.scrollHeight;
    }
    logNote.textContent = log.textContent === "" ? "the log is empty" : answer.from > 0 && reached === answer.to && answer.to === answer.size ? `${bytes(answer.size)}, the end of it` : bytes(answer.size);
  }

  const same = study.jobs.filter((one) => one.stage === job.stage && one !== job && one.attempts > 0).slice(0, 500);
  const choices = [{ value: "", text: "–" }, ...same.map((one) => ({ value: shortKey(one.key), text: `${study.jobLabel(one)} (${shortKey(one.key)})` }))];
  const finder = h("input", { type: "search", placeholder: "another job’s key", "aria-label": "Open a job by its key", onchange: () => {
    const found = study.findJob(finder.value.trim().toLowerCase());
    if (found !== undefined) context.go("job", { job: shortKey(found.key) });
    else finder.setCustomValidity("no such job");
  } });
  element.append(head,
    h("div", { class: "columns" },
      h("section", { "aria-labelledby": "provenance" }, h("div", { class: "section-head" }, h("h2", { id: "provenance" }, "Provenance"), h("span", { class: "right" }, finder)), facts),
      h("section", { "aria-labelledby": "config" }, h("div", { class: "section-head" }, h("h2", { id: "config" }, "Config"), h("span", { class: "quiet small" }, "the keys that its stage reads")),
        h("div", { class: "bar" }, select("beside", choices, other === undefined ? "" : shortKey(other.key), (chosen) => context.change({ other: chosen || null, job: shortKey(job.key) })),
          other === undefined ? null : check("only differences", onlyDifferences, (on) => context.change({ same: on ? null : "1", job: shortKey(job.key) }))),
        h("div", { class: "scroll", style: "max-height:420px", tabindex: 0, role: "region", "aria-label": "Config" }, config))),
    h("section", { "aria-labelledby": "attempts" }, h("div", { class: "section-head" }, h("h2", { id: "attempts" }, "Attempts")), attempts),
    h("section", { "aria-labelledby": "log" }, h("div", { class: "section-head" }, h("h2", { id: "log" }, "Log")), bar, log));
  void load();
  void readLog();
  const timer = isReport ? 0 : window.setInterval(() => { if (following && !document.hidden) void readLog(); }, FOLLOW);
  return { element, update: () => void load(), dispose: () => { disposed = true; window.clearInterval(timer); } };
}

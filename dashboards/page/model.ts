// A study in the page: what the server told, merged as it changes.
import { ask, type GroupListed, type Progress, type StudyAnswer } from "./api";
import { unquoted } from "./format";

export interface Job {
  index: number; key: string; stage: number; state: string; step: number; total: number; attempts: number;
  trials: number; seconds: number; updated: number; cause: string; message: string; inputs: number[];
}
export interface Trial { group: number; seed: number; jobs: number[] }
export interface Group extends GroupListed { index: number; trials: number[]; label: string }

export class Study {
  name: string;
  path = ""; work = ""; recorded = 0; time = 0; epoch = 0; change = 0;
  stages: string[] = []; states: string[] = []; metrics: string[] = []; axes: string[] = [];
  jobs: Job[] = []; trials: Trial[] = []; groups: Group[] = [];
  results = new Map<number, (number | null)[]>();
  /** Grows when the table of variants may be another. */
  outcomes = 0;
  progress: Progress = { counts: [], left: null, runs: 0, running: [] };
  private users: Map<number, number[]> | null = null;
  private settings: Record<string, Record<string, string>> = {};

  constructor(name: string) { this.name = name; }

  /** Fetches what has changed; true where anything has. */
  async refresh(): Promise<boolean> {
    const answer = await ask<StudyAnswer>("/api/study", { study: this.name, epoch: this.epoch, since: this.change });
    const changed = answer.change !== this.change || answer.epoch !== this.epoch;
    this.merge(answer);
    return changed;
  }

  private merge(answer: StudyAnswer): void {
    if (answer.whole) this.begin(answer);
    this.epoch = answer.epoch;
    this.change = answer.change;
    this.time = answer.time;
    this.progress = answer.progress;
    if (answer.metrics !== undefined) this.metrics = answer.metrics;
    for (const row of answer.jobs ?? []) {
      const job = this.jobs[row[0]];
      if (job === undefined) continue;
      const state = this.states[row[1]] ?? "unknown";
      if (state !== job.state && (state === "failed" || job.state === "failed")) this.outcomes++;
      job.state = state;
      [job.step, job.total, job.attempts, job.trials, job.seconds, job.updated] = [row[2], row[3], row[4], row[5], row[6], row[7]];
      job.cause = row[8] ?? "";
      job.message = row[9] ?? "";
    }
    for (const [place, values] of Object.entries(answer.results ?? {})) {
      this.results.set(Number(place), values);
      this.outcomes++;
    }
  }

  private begin(answer: StudyAnswer): void {
    this.path = answer.path ?? "";
    this.work = answer.work ?? "";
    this.recorded = answer.recorded ?? 0;
    this.stages = answer.stages ?? [];
    this.states = answer.states ?? [];
    this.settings = answer.settings ?? {};
    this.results.clear();
    this.users = null;
    this.jobs = (answer.keys ?? []).map((key, index) => ({
      index, key, stage: answer.stage?.[index] ?? 0, state: "waiting", step: -1, total: -1, attempts: 0, trials: 0, seconds: 0,
      updated: 0, cause: "", message: "", inputs: (answer.inputs?.[index] ?? []).filter((input) => input >= 0),
    }));
    this.trials = (answer.trials ?? []).map(([group, seed, jobs]) => ({ group, seed, jobs }));
    this.groups = (answer.groups ?? []).map((group, index) => ({ ...group, index, trials: [], label: "" }));
    this.trials.forEach((trial, index) => this.groups[trial.group]?.trials.push(index));
    const axes = new Set<string>();
    for (const group of this.groups) Object.keys(group.axes).forEach((key) => axes.add(key));
    axes.delete("seed");
    this.axes = [...axes];
    for (const group of this.groups) group.label = group.name === "" ? this.name : group.name;
  }

  /** Keys that an ablation may take for an axis: swept ones, and those that variants set to different values. */
  sweptKeys(): string[] {
    const keys = new Set(this.axes);
    const seen = new Map<string, Set<string>>();
    for (const setting of Object.values(this.settings))
      for (const [key, text] of Object.entries(setting)) {
        const values = seen.get(key) ?? new Set<string>();
        seen.set(key, values.add(text));
      }
    for (const [key, values] of seen) if (values.size > 1) keys.add(key);
    return [...keys].filter((key) => new Set(this.groups.map((group) => this.axisValue(group, key))).size > 1);
  }

  /** A group's value on an axis, or null; "variant" is an axis too. */
  axisValue(group: Group, key: string): string | null {
    if (key === "variant") return group.variant === "" ? this.name : group.variant;
    const text = group.axes[key] ?? this.settings[group.variant]?.[key];
    return text === undefined ? null : unquoted(text);
  }

  hasVariants(): boolean {
    return new Set(this.groups.map((group) => group.variant)).size > 1;
  }

  findJob(start: string): Job | undefined {
    return start === "" ? undefined : this.jobs.find((job) => job.key.startsWith(start));
  }

  findGroup(name: string | null): Group | undefined {
    return this.groups.find((group) => group.name === name);
  }

  /** Trials that have the job. */
  trialsOf(job: number): number[] {
    if (this.users === null) {
      const users = new Map<number, number[]>();
      this.trials.forEach((trial, index) => {
        for (const place of trial.jobs) {
          if (place < 0) continue;
          const list = users.get(place);
          if (list === undefined) users.set(place, [index]);
          else list.push(index);
        }
      });
      this.users = users;
    }
    return this.users.get(job) ?? [];
  }

  /** What a job is for, in words. */
  jobLabel(job: Job): string {
    const trials = this.trialsOf(job.index);
    const groups = new Set(trials.map((trial) => this.trials[trial]?.group));
    const seeds = new Set(trials.map((trial) => this.trials[trial]?.seed));
    const seed = seeds.size === 1 && this.trials.length > 1 ? `seed ${[...seeds][0]}` : "";
    const first = [...groups][0];
    const label = first === undefined ? "" : this.groups[first]?.label ?? "";
    if (groups.size === 1) return seed === "" ? label : `${label}, ${seed}`;
    const shared = `shared by ${trials.length} trials`;
    return seed === "" ? shared : `${seed}, ${shared}`;
  }

  /** The colour's number of a job: that of its group, or for a shared job its own. */
  jobGroup(job: Job): number {
    const trials = this.trialsOf(job.index);
    return this.trials[trials[0] ?? -1]?.group ?? 0;
  }

  result(trial: number, metric: string): number | null {
    const place = this.trials[trial]?.jobs[this.stages.indexOf("evaluate")] ?? -1;
    return this.results.get(place)?.[this.metrics.indexOf(metric)] ?? null;
  }

  /** The evaluate job of a group's trial with that seed, or of its first finished one. */
  evaluateJob(group: Group, seed: number | null): Job | undefined {
    const stage = this.stages.indexOf("evaluate");
    const jobs = group.trials.map((trial) => this.trials[trial]).filter((trial) => trial !== undefined);
    const chosen = jobs.find((trial) => trial.seed === seed) ??
      jobs.find((trial) => this.jobs[trial.jobs[stage] ?? -1]?.state === "finished") ?? jobs[0];
    return chosen === undefined ? undefined : this.jobs[chosen.jobs[stage] ?? -1];
  }

  counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const job of this.jobs) counts.set(job.state, (counts.get(job.state) ?? 0) + 1);
    return counts;
  }
}

const DEFAULT_METRICS = ["panoptic.pq.seen", "panoptic.pq.unseen", "panoptic.pq.harmonic", "semantic.miou.seen",
  "semantic.miou.unseen", "semantic.miou.harmonic"];

/** What is shown until somebody chooses. */
export function headline(study: Study): string[] {
  const known = DEFAULT_METRICS.filter((metric) => study.metrics.includes(metric));
  return known.length > 0 ? known : study.metrics.slice(0, 6);
}

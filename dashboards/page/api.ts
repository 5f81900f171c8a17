// What the server, or in a report the data in the page, answers.

export interface StudyListed { name: string; path: string; trials: number; recorded: number }
export interface Studies { work: string; studies: StudyListed[] }
export interface Running {
  job: number; attempt: number; host: string; started: number; updated: number;
  begin: number; step: number; total: number; unit: string; live: boolean;
}
export interface Progress { counts: number[][]; left: number | null; runs: number; running: Running[] }
export type JobRow = [number, number, number, number, number, number, number, number, (string | null)?, (string | null)?];
export interface GroupListed { name: string; variant: string; axes: Record<string, string> }
export interface StudyAnswer {
  study: string; epoch: number; change: number; time: number; whole: boolean; progress: Progress;
  path?: string; work?: string; recorded?: number; stages?: string[]; states?: string[]; keys?: string[];
  stage?: number[]; inputs?: number[][]; groups?: GroupListed[]; trials?: [number, number, number[]][];
  settings?: Record<string, Record<string, string>>;
  jobs?: JobRow[]; metrics?: string[]; results?: Record<string, (number | null)[]>;
}
/** n, mean, half of the interval. */
export type Cell = [number, number?, number?];
export interface TableGroup {
  name: string; trials: number; finished: number; failed: number; cells: Cell[]; differences?: Cell[];
}
export interface TableAnswer { confidence: number; metrics: string[]; baseline?: string; groups: TableGroup[] }
export interface AttemptMark { attempt: number; begin: number; step: number; state: string }
export interface CurveAnswer { count: number; gaps: number; steps: number[]; values: number[]; attempts: AttemptMark[] }
export interface Attempt {
  number: number; state: string; host: string; code: string; compiler: string; unit: string; outcome: string;
  message: string; pid: number; threads: number; ranks: number; started: number | null; ended: number | null;
  updated: number | null; begin: number; step: number; total: number; checkpoint: number; seconds: number;
  peak_memory: number;
}
export interface JobAnswer {
  key: string; attempts: Attempt[]; newest: number; config?: Record<string, string>;
  artifact?: { version?: number; code?: string; attempt?: string; inputs?: Record<string, string>;
    files?: { path: string; bytes: number; xxh3: string }[] };
}
export interface LogAnswer { attempt: number; from: number; to: number; size: number; text: string }
export interface PictureScore { image?: string; [metric: string]: number | string | null | undefined }
export interface PicturesAnswer { names: string[]; scores?: Record<string, PictureScore> }
export interface ClassScore { split: string; thing: boolean; [metric: string]: number | string | boolean | null }
export interface ClassesAnswer { classes: Record<string, ClassScore> }
export interface RelationsAnswer {
  names: string[]; unseen: boolean[]; semantic: number[][]; feature: number[][]; primitives?: number[][];
}

export type Parameters = Record<string, string | number | undefined>;

interface Inlined { made: number; study: string; answers: Record<string, unknown>; pictures: Record<string, string> }

function readInlined(): Inlined | null {
  const element = document.getElementById("zeroth-data");
  return element === null ? null : JSON.parse(element.textContent ?? "") as Inlined;
}
const inlined = readInlined();

/** Whether this is a report: a file with its data, and no server. */
export const isReport = inlined !== null;
export const reportMade = inlined?.made ?? 0;
export const reportStudy = inlined?.study ?? "";

export class NotHere extends Error {}

/** Arguments that a report has one answer for, whatever they are. */
const FREE: Record<string, string[]> = {
  "/api/study": ["since", "epoch"], "/api/table": ["metrics"], "/api/curve": ["points", "first", "last"],
  "/api/log": ["from", "attempt"],
};

function encode(parameters: Parameters, without: string[] = []): string {
  return Object.keys(parameters).sort().filter((key) => parameters[key] !== undefined && !without.includes(key))
    .map((key) => `${key}=${encodeURIComponent(String(parameters[key]))}`).join("&");
}

export async function ask<T>(path: string, parameters: Parameters = {}): Promise<T> {
  if (inlined !== null) {
    const found = inlined.answers[`${path}?${encode(parameters, FREE[path] ?? [])}`];
    if (found === undefined) throw new NotHere("This report does not hold that. 'zeroth dashboard' shows it.");
    return found as T;
  }
  const response = await fetch(`${path}?${encode(parameters)}`, { credentials: "same-origin" });
  if (response.ok) return await response.json() as T;
  const type = response.headers.get("Content-Type") ?? "";
  const message = type.startsWith("application/json") ? (await response.json() as { error: string }).error
    : (await response.text()).trim();
  throw new Error(message);
}

export function pictureAddress(job: string, name: string): string | null {
  const query = encode({ job, name });
  if (inlined === null) return `/picture?${query}`;
  return inlined.pictures[query] ?? null;
}

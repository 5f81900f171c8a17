// States of jobs: always a word, and a colour beside it.
import { h } from "./dom";

/** In the order of bars and legends: what is done, what goes on, what is to come, what went wrong. */
export const STATE_ORDER = ["finished", "running", "queued", "waiting", "paused", "interrupted", "killed", "unknown", "failed",
  "blocked", "cancelled", "skipped"];

export function badge(state: string, text = state): HTMLElement {
  return h("span", { class: "state" }, h("i", { style: `background:var(--${state})`, "aria-hidden": "true" }), text);
}

export function isBroken(state: string): boolean {
  return state === "failed" || state === "killed";
}

// What all views share.
import type { Study } from "./model";

/** Where one is: the address after '#'. */
export interface Place { study: string; view: string; parameters: URLSearchParams }

export interface Context {
  study: Study;
  place: Place;
  /** Another place; `replace` keeps the history short while a control is moved. */
  go: (view: string, parameters: Record<string, string | null>, replace?: boolean) => void;
  /** The same view with some parameters changed (null: removed). */
  change: (parameters: Record<string, string | null>) => void;
  /** Makes the view anew: for what it cannot show by an update. */
  redraw: () => void;
}

export interface View {
  element: HTMLElement;
  /** The study has changed. */
  update?: () => void;
  /** A key that the page itself does not use; true where it was for this view. */
  key?: (key: string) => boolean;
  dispose?: () => void;
}

export function address(study: string, view: string, parameters: Record<string, string | null> = {}): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) if (value !== null && value !== "") query.set(key, value);
  const text = query.toString();
  return `#/${encodeURIComponent(study)}/${view}${text === "" ? "" : "?" + text}`;
}

// A table body of any length: only the rows that are in sight are in the document.
import { h } from "./dom";

const WHOLE = 300;

export interface Rows { element: HTMLElement; show: (count: number) => void }

/** `head` is the table's head; `row` makes one row, `height` pixels high. */
export function makeRows(label: string, head: HTMLElement, columns: number, height: number, row: (index: number) => HTMLElement): Rows {
  const body = h("tbody", {});
  const table = h("table", { "aria-label": label }, head, body);
  const element = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
  let total = 0, first = -1, last = -1;

  function spacer(pixels: number): HTMLElement {
    return h("tr", { "aria-hidden": "true" }, h("td", { colspan: columns, style: `height:${pixels}px;padding:0;border:0` }));
  }

  function draw(again: boolean): void {
    if (total <= WHOLE) {
      if (again) body.replaceChildren(...Array.from({ length: total }, (_, index) => row(index)));
      return;
    }
    const from = Math.max(0, Math.floor(element.scrollTop / height) - 20);
    const to = Math.min(total, from + Math.ceil((element.clientHeight || 600) / height) + 40);
    if (!again && from === first && to === last) return;
    [first, last] = [from, to];
    const shown = Array.from({ length: to - from }, (_, index) => {
      const made = row(from + index);
      made.setAttribute("aria-rowindex", String(from + index + 2));
      return made;
    });
    body.replaceChildren(spacer(from * height), ...shown, spacer((total - to) * height));
  }

  element.addEventListener("scroll", () => draw(false), { passive: true });
  return {
    element,
    show: (count) => {
      total = count;
      if (count > WHOLE) table.setAttribute("aria-rowcount", String(count + 1));
      draw(true);
    },
  };
}

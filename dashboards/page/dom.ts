// Elements without a framework.

export type Child = Node | string | number | null | undefined | false | Child[];
type Value = string | number | boolean | null | undefined | ((event: never) => void);
export type Attributes = Record<string, Value>;

function append(parent: Node, child: Child): void {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) child.forEach((one) => append(parent, one));
  else parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
}

function decorate(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value as unknown as EventListener);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
}

/** An element: attributes, listeners as "onclick", children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  decorate(element, attributes);
  append(element, children);
  return element;
}

export function svg(tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  decorate(element, attributes);
  append(element, children);
  return element;
}

export function fill(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

export interface Choice { value: string; text: string }

/** A labelled <select>. */
export function select(label: string, choices: Choice[], value: string, change: (value: string) => void): HTMLElement {
  const element = h("select", { onchange: () => change(element.value) },
    choices.map((one) => h("option", { value: one.value, selected: one.value === value }, one.text)));
  return h("label", { class: "field" }, h("span", {}, label), element);
}

export function check(label: string, value: boolean, change: (value: boolean) => void): HTMLElement {
  const element = h("input", { type: "checkbox", checked: value, onchange: () => change(element.checked) });
  return h("label", { class: "check" }, element, label);
}

export function empty(text: string): HTMLElement {
  return h("p", { class: "quiet pad" }, text);
}

/** Calls at most once in `wait` milliseconds, the last call always. */
export function calmly(wait: number, call: () => void): () => void {
  let timer = 0;
  return () => {
    if (timer !== 0) return;
    timer = window.setTimeout(() => { timer = 0; call(); }, wait);
  };
}

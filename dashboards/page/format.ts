// Numbers, times and names as people read them.

const FRACTIONS = ["panoptic.", "semantic.", "instance."];
const HEADINGS: [string, string][] = [
  ["panoptic.pq.", "PQ "], ["panoptic.sq.", "SQ "], ["panoptic.rq.", "RQ "], ["semantic.miou.", "mIoU "],
  ["semantic.fwiou.", "fwIoU "], ["semantic.macc.", "mAcc "], ["semantic.pacc.", "pAcc "], ["instance.ap.", "AP "],
];

/** Whether a metric is shown in percent. */
export function isFraction(metric: string): boolean {
  return FRACTIONS.some((prefix) => metric.startsWith(prefix));
}

export function heading(metric: string): string {
  for (const [prefix, text] of HEADINGS) if (metric.startsWith(prefix)) return text + metric.slice(prefix.length);
  return metric;
}

/** Whether less is better. */
export function isCost(metric: string): boolean {
  return /loss|error|seconds|time|memory/.test(metric);
}

export function value(metric: string, number: number | null | undefined, signed = false): string {
  if (number === null || number === undefined || !Number.isFinite(number)) return "–";
  const scaled = isFraction(metric) ? 100 * number : number;
  const text = isFraction(metric) ? scaled.toFixed(1) : short(scaled);
  const plain = text === "-0.0" ? "0.0" : text;
  return (signed && scaled > 0 ? "+" : "") + plain.replace("-", "−");
}

export function short(number: number): string {
  if (number === 0) return "0";
  const size = Math.abs(number);
  if (size >= 1e6 || size < 1e-3) return number.toExponential(2).replace("e+", "e").replace(/\.?0+e/, "e");
  return String(Number(number.toPrecision(4)));
}

export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 10) return seconds.toFixed(1) + " s";
  if (seconds < 60) return Math.round(seconds) + " s";
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (hours === 0) return `${minutes} min ${Math.round(seconds % 60)} s`;
  if (days === 0) return `${hours} h ${minutes % 60} min`;
  return `${days} d ${hours % 24} h`;
}

export function bytes(count: number): string {
  if (count <= 0) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit++; }
  return `${unit === 0 ? count : count.toPrecision(3)} ${units[unit]}`;
}

export function clock(seconds: number | null | undefined): string {
  if (!seconds) return "–";
  const date = new Date(1000 * seconds);
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export const KEY_SHOWN = 10;
export function shortKey(key: string): string {
  return key.slice(0, KEY_SHOWN);
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A config text without the quotes of a string. */
export function unquoted(text: string): string {
  return text.length > 1 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}

/** The last part of a key, or all of it where another ends alike. */
export function shortName(key: string, others: string[]): string {
  const last = (name: string): string => name.slice(name.lastIndexOf(".") + 1);
  return others.some((other) => other !== key && last(other) === last(key)) ? key : last(key);
}

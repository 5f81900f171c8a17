// Charts in the page's colours, on the parts of Apache ECharts that are used.
import * as echarts from "echarts/core";
import { BarChart, CustomChart, HeatmapChart, LineChart, ParallelChart, ScatterChart } from "echarts/charts";
import { DataZoomComponent, GridComponent, ParallelComponent, TooltipComponent, VisualMapComponent } from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";
import type { EChartsCoreOption, EChartsType } from "echarts/core";
import type { CustomSeriesRenderItem } from "echarts/types/dist/shared";
import { h } from "./dom";

echarts.use([BarChart, CustomChart, HeatmapChart, LineChart, ParallelChart, ScatterChart, DataZoomComponent, GridComponent,
  ParallelComponent, TooltipComponent, VisualMapComponent, CanvasRenderer]);

export type Option = EChartsCoreOption;

/** Okabe and Ito's colours, the yellow darkened to be seen on white; in each theme as it needs. */
const SERIES_LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#5b4fa2", "#4d4d4d"];
const SERIES_DARK = ["#56a9e0", "#ee7733", "#2fbf97", "#dd95bd", "#e6c84a", "#8fd0f5", "#a99bea", "#b8bdc2"];

export function isDark(): boolean {
  return document.documentElement.dataset["theme"] === "dark";
}

export function seriesColor(index: number): string {
  const colors = isDark() ? SERIES_DARK : SERIES_LIGHT;
  return colors[index % colors.length] ?? "#888";
}

export function cssColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim() || "#888";
}

/** From little to much, monotone in lightness (cividis). */
export const SCALE = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
/** About zero. */
export const DIVERGING = ["#8c3a00", "#d55e00", "#f0b48a", "#f4f2ee", "#93c4e2", "#0072b2", "#00436b"];

export function axisStyle(name: string): Record<string, unknown> {
  return {
    name, nameLocation: "middle", nameGap: 30, nameTextStyle: { color: cssColor("soft"), fontSize: 12 },
    axisLine: { lineStyle: { color: cssColor("strong") } }, axisTick: { lineStyle: { color: cssColor("strong") } },
    axisLabel: { color: cssColor("soft"), fontSize: 12, hideOverlap: true }, splitLine: { lineStyle: { color: cssColor("line") } },
  };
}

export interface Chart { element: HTMLElement; instance: EChartsType; set: (option: Option) => void; dispose: () => void }

/** A chart with a name for those who do not see it. It is drawn once it is in the document. */
export function makeChart(label: string, tall = false): Chart {
  const element = h("div", { class: tall ? "chart tall" : "chart", role: "img", "aria-label": label });
  const instance = echarts.init(element, null, { renderer: "canvas", width: 640, height: tall ? 520 : 380 });
  const observer = new ResizeObserver(() => {
    if (element.clientWidth > 0) instance.resize({ width: element.clientWidth, height: element.clientHeight });
  });
  observer.observe(element);
  return {
    element, instance,
    set: (option) => instance.setOption({
      animation: false, textStyle: { fontFamily: "inherit", color: cssColor("text") },
      ...option,
      tooltip: { confine: true, transitionDuration: 0, backgroundColor: cssColor("raised"), borderColor: cssColor("strong"),
        padding: [5, 9], textStyle: { color: cssColor("text"), fontSize: 12 }, ...(option["tooltip"] as object | undefined) },
    }, { notMerge: true }),
    dispose: () => { observer.disconnect(); instance.dispose(); },
  };
}

/** Bars from low to high at x, with caps: data are [x, low, high, y]. */
export const errorBars: CustomSeriesRenderItem = (_parameters, api) => {
  const low = api.coord([api.value(0), api.value(1)]), high = api.coord([api.value(0), api.value(2)]);
  const x = low[0] ?? 0, bottom = low[1] ?? 0, top = high[1] ?? 0, cap = 5;
  const style = { stroke: String(api.visual("color")), lineWidth: 1.3 };
  const line = (x1: number, y1: number, x2: number, y2: number) =>
    ({ type: "line" as const, shape: { x1, y1, x2, y2 }, style });
  return { type: "group", children: [line(x, bottom, x, top), line(x - cap, bottom, x + cap, bottom), line(x - cap, top, x + cap, top)] };
};

/** Bars in both directions: data are [x, y, half of x, half of y]. */
export const crossBars: CustomSeriesRenderItem = (_parameters, api) => {
  const [x, y, dx, dy] = [0, 1, 2, 3].map((place) => Number(api.value(place))) as [number, number, number, number];
  const at = (a: number, b: number): [number, number] => { const p = api.coord([a, b]); return [p[0] ?? 0, p[1] ?? 0]; };
  const [left, right, low, high] = [at(x - dx, y), at(x + dx, y), at(x, y - dy), at(x, y + dy)];
  const style = { stroke: String(api.visual("color")), lineWidth: 1.1, opacity: 0.55 };
  const line = (a: [number, number], b: [number, number]) =>
    ({ type: "line" as const, shape: { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }, style });
  return { type: "group", children: [line(left, right), line(low, high)] };
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

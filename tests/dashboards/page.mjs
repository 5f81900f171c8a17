// The dashboard's page in a real browser: node page.mjs TASK ADDRESS [ARGUMENT...]. Says what is wrong and ends with 1.
//   views ADDRESS STUDY TRUTH   every view of a study that has run; TRUTH is its report as JSON
//   live ADDRESS STUDY COMMAND  starts the command, sees the study run, and then be done, without a reload
//   report ADDRESS STUDY TRUTH  the HTML report, from disk
//   pictures ADDRESS STUDY DIRECTORY   screenshots for the README
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const modules = join(dirname(fileURLToPath(import.meta.url)), "../../dashboards/page/package.json");
const require = createRequire(modules);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const VIEWS = ["study", "ablation", "curves", "pictures", "job"];
const PATIENCE = 60000;

const [task, address, study, argument] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"],
});

/** A page that fails on errors, and on every request that is not to the server of the test. */
async function makePage(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, bypassCSP: true, ...options });
  const page = await context.newPage();
  const faults = [], requests = [];
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => faults.push(error.stack));
  page.on("console", (message) => { if (message.type() === "error") faults.push(message.text()); });
  page.on("request", (request) => requests.push(request.url()));
  const check = () => {
    assert.deepEqual(faults, []);
    const base = address.split("#")[0];
    const away = requests.filter((url) => !url.startsWith("data:") && !(base.startsWith("file:") ? url.split("#")[0] === base : url.startsWith(base)));
    assert.deepEqual(away, [], "requests to elsewhere");
    return requests;
  };
  return { page, check };
}

const at = (view, query = "") => `${address}#/${encodeURIComponent(study)}/${view}${query}`;

async function open(page, view, query = "") {
  await page.goto("about:blank");
  await page.goto(at(view, query));
  await page.waitForSelector("html[data-ready]");
}

/** Serious and critical faults that axe-core finds. */
async function checkAccess(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
  assert.deepEqual(serious.map((one) => `${where}: ${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`), []);
}

/** Waits until a chart has been drawn with something: its canvas has more than one colour. */
async function drawn(page, selector) {
  await page.waitForFunction((wanted) => [...document.querySelectorAll(`${wanted} canvas`)].some((canvas) => {
    if (canvas.width === 0 || canvas.height === 0) return false;
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data, seen = new Set();
    for (let i = 0; i < data.length && seen.size < 4; i += 4) if (data[i + 3] > 0) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
    return seen.size >= 3;
  }), selector);
}

const percent = (number) => (100 * number).toFixed(1).replace("-", "−");

async function checkStudy(page, truth) {
  await open(page, "study");
  await page.waitForFunction(() => document.querySelectorAll('table[aria-label="Variants"] tbody tr').length > 0);
  const rows = await page.locator('table[aria-label="Variants"] tbody tr').allInnerTexts();
  assert.equal(rows.length, truth.rows.length, "a row per group");
  truth.rows.forEach((row, index) => {
    for (const cell of Object.values(row.metrics)) {
      const text = `${percent(cell.mean)} ± ${percent(cell.half_width)}`;
      assert.ok(rows[index].includes(text), `row ${index} lacks "${text}": ${rows[index]}`);
    }
  });
  assert.ok((await page.locator(".figures").innerText()).includes(`${truth.rows.reduce((sum, row) => sum + row.finished, 0)} / `));
  await drawn(page, ".graph");
}

/** Sorting, filter, baseline, columns, all of it in the address. */
async function checkTable(page, truth) {
  const first = Object.keys(truth.rows[0].metrics)[0];
  await open(page, "study");
  await page.getByRole("button", { name: "mIoU seen" }).click();
  await page.waitForFunction(() => location.hash.includes("sort=semantic.miou.seen") && document.querySelector('th[aria-sort="descending"]'));
  await page.waitForFunction(() => document.querySelectorAll('table[aria-label="Variants"] tbody tr').length > 0);
  const column = await page.locator('table[aria-label="Variants"] tbody tr').evaluateAll((rows) => rows.map((row) => parseFloat(row.cells[row.cells.length - 3].innerText)));
  assert.deepEqual(column, [...column].sort((a, b) => b - a), "sorted by a metric, the most first");
  const base = "none";
  await open(page, "study", `?base=${base}&seeds=1`);
  await page.waitForFunction(() => document.querySelectorAll("td .under").length > 0);
  const text = await page.locator('table[aria-label="Variants"] tbody').innerText();
  const reference = truth.rows.find((row) => row.labels.variant === base).metrics["semantic.miou.seen"];
  const other = truth.rows.findIndex((row) => row.labels.variant !== base);
  const differences = truth.rows[other].metrics["semantic.miou.seen"].values.map((value, seed) => value - reference.values[seed]);
  const mean = differences.reduce((sum, one) => sum + one, 0) / differences.length;
  const shown = `${mean > 0 ? "+" : ""}${percent(mean)}`.replace("−0.0", "0.0");
  assert.ok(text.includes(shown), `no difference "${shown}" in ${text}`);
  const seeds = truth.rows[other].metrics["semantic.miou.seen"].values.map(percent).join(" · ");
  assert.ok(text.includes(seeds), `not every seed: "${seeds}" in ${text}`);
  await open(page, "study", "?filter=primitives%3D8");
  await page.waitForFunction(() => document.querySelectorAll('table[aria-label="Variants"] tbody tr').length === 1);
  await open(page, "study", `?metrics=${first}`);
  await page.waitForFunction(() => document.querySelectorAll('table[aria-label="Variants"] thead th').length > 0);
  assert.equal(await page.getByRole("button", { name: "mIoU seen" }).count(), 0, "a column that was not chosen");
}

async function checkAblation(page, truth) {
  await open(page, "ablation", "?metric=semantic.miou.seen&x=generator.primitives");
  await drawn(page, '.chart[aria-label*="generator.primitives"]');
  await drawn(page, '.chart[aria-label*="unseen against seen"]');
  await page.locator("summary", { hasText: "The same as a table" }).click();
  const rows = await page.locator("details table tbody tr").allInnerTexts();
  for (const row of truth.rows) {
    const wanted = percent(row.metrics["semantic.miou.seen"].mean);
    assert.ok(rows.some((text) => text.includes(wanted)), `no ${wanted} in the ablation`);
  }
  await open(page, "ablation", "?metric=semantic.miou.seen&x=generator.primitives&y=variant");
  await drawn(page, '.chart[aria-label*="and variant"]');
  await drawn(page, '.chart[aria-label*="Parallel"]');
}

async function checkCurves(page) {
  await open(page, "curves", "?stage=backbone&metric=loss");
  await drawn(page, '.chart[aria-label*="Curves"]');
  await page.waitForFunction(() => document.querySelectorAll(".series button").length === 2);
  await page.locator(".series button").first().click();
  await page.waitForFunction(() => document.querySelector('.series button[aria-pressed="false"]') && location.hash.includes("hide="));
  await open(page, "curves", "?stage=backbone&metric=step+time+(s)&log=1&smooth=0.5");
  await drawn(page, '.chart[aria-label*="Curves"]');
  await open(page, "curves", "?stage=generator&metric=generator_loss");
  await drawn(page, '.chart[aria-label*="Curves"]');
}

async function checkPictures(page) {
  await open(page, "pictures", "?a=full%2C+generator.primitives%3D8&b=none");
  await page.waitForFunction(() => document.querySelectorAll(".pictures img").length === 2 &&
    [...document.querySelectorAll(".pictures img")].every((image) => image.complete && image.naturalWidth > 50));
  const thumbs = await page.locator(".thumbs button").count();
  assert.ok(thumbs >= 3, `${thumbs} images`);
  const scores = (await page.locator(".thumbs button").allInnerTexts()).map((text) => parseFloat(text.split("·")[1]));
  assert.deepEqual(scores, [...scores].sort((a, b) => a - b), "the worst image first");
  const before = await page.locator(".pictures img").first().getAttribute("src");
  await page.keyboard.press("j");
  await page.waitForFunction((old) => document.querySelector(".pictures img").getAttribute("src") !== old, before);
  await drawn(page, '.chart[aria-label*="Scores of classes"]');
  await drawn(page, '.chart[aria-label*="class vectors"]');
  await drawn(page, '.chart[aria-label*="classifier"]');
  await drawn(page, '.chart[aria-label*="primitives"]');
}

async function checkJob(page) {
  await open(page, "study");
  const graph = page.locator(".graph canvas");
  await graph.focus();
  for (const key of ["ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"]) await page.keyboard.press(key);
  await page.waitForFunction(() => document.querySelector(".graph p").innerText.startsWith("generator"));
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => location.hash.includes("/job?job=") && document.querySelector("pre.log")?.innerText.includes("finished"));
  const text = await page.locator("main").innerText();
  for (const wanted of ["generator.kind", "Attempts", "classifier.rows", "peak memory"]) assert.ok(text.includes(wanted), `the job lacks ${wanted}`);
  const choices = await page.locator("select").first().locator("option").evaluateAll((all) => all.map((one) => [one.value, one.text]));
  const other = choices.find(([, label]) => /none/.test(label)) ?? choices[choices.length - 1];
  await page.locator("select").first().selectOption(other[0]);
  await page.waitForFunction(() => document.querySelectorAll("tr.differs").length > 0);
  assert.ok((await page.locator("tr.differs").allInnerTexts()).some((row) => row.includes("generator.kind") || row.includes("seed")), "what differs");
}

/** Keys go between views, and the address brings back each of them. */
async function checkKeys(page) {
  await open(page, "study");
  for (const [index, view] of VIEWS.entries()) {
    await page.keyboard.press(String(index + 1));
    await page.waitForFunction((wanted) => location.hash.includes(`/${wanted}`) && document.querySelector('nav a[aria-current="page"]')?.innerText.toLowerCase() === wanted, view);
  }
  await page.keyboard.press("1");
  await page.waitForSelector("input[type=search]");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.type), "search");
  await page.keyboard.press("Escape");
  await page.evaluate(() => document.activeElement.blur());
  const dark = await page.evaluate(() => document.documentElement.dataset.theme);
  await page.keyboard.press("t");
  assert.notEqual(await page.evaluate(() => document.documentElement.dataset.theme), dark);
  await page.keyboard.press("t");
}

async function checkAllAccess(page, where) {
  for (const view of VIEWS) {
    await open(page, view, view === "study" ? "?base=none&seeds=1" : "");
    if (view !== "job") await drawn(page, view === "study" ? ".graph" : ".chart");
    await checkAccess(page, `${where} ${view}`);
  }
}

async function taskViews() {
  const truth = JSON.parse(readFileSync(argument, "utf8"));
  const { page, check } = await makePage();
  await checkStudy(page, truth);
  await checkTable(page, truth);
  await checkAblation(page, truth);
  await checkCurves(page);
  await checkPictures(page);
  await checkJob(page);
  await checkKeys(page);
  await checkAllAccess(page, "light");
  check();
  const dark = await makePage({ colorScheme: "dark" });
  await checkAllAccess(dark.page, "dark");
  dark.check();
}

async function taskReport() {
  const truth = JSON.parse(readFileSync(argument, "utf8"));
  const { page, check } = await makePage();
  await checkStudy(page, truth);
  await checkTable(page, truth);
  await checkAblation(page, truth);
  await checkCurves(page);
  await checkPictures(page);
  await checkJob(page);
  const requests = check();
  assert.ok(requests.every((url) => url.startsWith("data:") || url.startsWith("file:")), "a report asks nobody");
}

/** The page is open before the study is planned, and is never loaded again. */
async function taskLive() {
  const { page, check } = await makePage();
  await page.goto(address);
  await page.waitForSelector("html[data-ready]");
  await page.evaluate(() => { window.sameDocument = true; });
  const run = spawn(argument, { shell: true, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  run.stderr.on("data", (data) => { said += data; });
  const ended = once(run, "close");
  await page.waitForFunction(() => document.querySelector(".pulse.live") && /\d+ running/.test(document.querySelector(".pulse").innerText));
  await page.waitForFunction(() => document.querySelectorAll('[aria-label="Running jobs"] tbody tr').length > 0);
  await page.waitForFunction(() => document.querySelector(".figures b")?.innerText === "2 / 2", null, { timeout: 2 * PATIENCE });
  await page.waitForFunction(() => document.querySelectorAll('table[aria-label="Variants"] tbody tr').length > 0);
  assert.equal(await page.evaluate(() => window.sameDocument), true);
  assert.equal((await ended)[0], 0, said);
  check();
}

async function taskPictures() {
  const { page, check } = await makePage({ deviceScaleFactor: 1 });
  const shots = JSON.parse(readFileSync(join(argument, "screenshots.json"), "utf8"));
  for (const shot of shots) {
    await page.setViewportSize({ width: shot.width ?? 1180, height: shot.height ?? 760 });
    await page.emulateMedia({ colorScheme: shot.scheme ?? "light" });
    await open(page, shot.view, shot.query ?? "");
    await drawn(page, shot.view === "study" ? ".graph" : ".chart");
    await page.waitForLoadState("networkidle");
    if (shot.scroll) await page.locator(shot.scroll).evaluate((element) => window.scrollTo(0, element.getBoundingClientRect().top + window.scrollY - 60));
    await page.screenshot({ path: join(argument, shot.file) });
  }
  check();
}

try {
  await { views: taskViews, live: taskLive, report: taskReport, pictures: taskPictures }[task]();
} catch (error) {
  console.error(error.stack ?? String(error));
  process.exitCode = 1;
} finally {
  await browser.close();
}

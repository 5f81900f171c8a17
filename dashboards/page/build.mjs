// Bundles the page into one HTML file: node build.mjs OUTPUT. Script and style are inlined; the policy names the script
// by its hash, so that nothing else can run, and lets the page speak to its own server alone.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const output = process.argv[2];
const options = {
  bundle: true,
  minify: true,
  write: false,
  target: ["es2021"],
  legalComments: "inline",
  charset: "utf8",
  absWorkingDir: here,
};
const script = (await build({ ...options, entryPoints: ["main.ts"], format: "iife" })).outputFiles[0].text
  .replaceAll("</script", "<\\/script");
const style = (await build({ ...options, entryPoints: ["style.css"] })).outputFiles[0].text.trim();
const hash = createHash("sha256").update(script, "utf8").digest("base64");
const policy = [
  "default-src 'none'",
  `script-src 'sha256-${hash}'`,
  "style-src 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");
const page = readFileSync(join(here, "index.html"), "utf8")
  .replace("@policy@", () => policy)
  .replace("@style@", () => style)
  .replace("@script@", () => script);
writeFileSync(output, page);

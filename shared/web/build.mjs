// Builds the static files: `node shared/web/build.mjs [folder]`. NGINX serves what it writes to build/static.
//
//   shared/web/static/js/{site,theme-entry}.js, css/app.css, img/*   ->  shared/…
//   services/<service>/static/<service>/*.{js,css,svg,…}              ->  <service>/…
//
// A file in a deeper folder is a module of an entry, not an entry. Names get a hash of the content; manifest.json
// says which (`static_url` in templates reads it). ES modules share common code in chunks. licenses.txt holds the
// notices of every package that went in. Source maps lie beside, not linked from, the files.
//
// Files of earlier builds stay for a week after a build without them: processes that run on, and pages that are open,
// still name them. Since when each is out of use stands beside the folder, in <folder>.earlier.json.
import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const target = path.resolve(process.argv[2] ?? path.join(root, "build/static"));
const work = `${target}.${process.pid}`;
const replaced = `${work}.replaced`;
const earlierList = `${target}.earlier.json`;
const shared = path.join(root, "shared/web/static");

const ASSETS = new Set([".svg", ".png", ".webp", ".ico", ".webmanifest", ".mp3", ".ogg", ".wav"]);
const KEEP_MS = 7 * 24 * 3600 * 1000;
/** A name that a browser keeps for ever, and so never means other content; the gateway's step adds packed ones. */
const HASHED = /[.-][0-9A-Za-z]{8,}\.[0-9a-z]+(?:\.map)?(?:\.gz)?$/;
const NOTICE = /^(licen[cs]e|notice|copying)/i;

/** name in the manifest, without extension -> source file */
const modules = { "shared/site": path.join(shared, "js/site.js") };
const styles = { "shared/app": path.join(shared, "css/app.css") };
/** classic scripts: run before the page is painted */
const scripts = { "shared/theme": path.join(shared, "js/theme-entry.js") };
/** name in the manifest -> source file */
const assets = {};

await collect(path.join(shared, "img"), "shared", { onlyAssets: true });
for (const service of await folders(path.join(root, "services"))) {
  await collect(path.join(root, "services", service, "static", service), service);
}

await rm(work, { recursive: true, force: true });
const manifest = { "licenses.txt": "licenses.txt" };
const packages = new Map();
try {
  await bundle(modules, { format: "esm", splitting: true, chunkNames: "shared/chunk-[hash]" });
  await bundle(scripts, { format: "iife" });
  await bundle(styles, {});
  for (const [name, file] of Object.entries(assets)) manifest[name] = await copyAsset(name, file);
  await writeFile(path.join(work, "licenses.txt"), await notices());
  const sorted = Object.fromEntries(Object.entries(manifest).sort(([a], [b]) => (a < b ? -1 : 1)));
  await writeFile(path.join(work, "manifest.json"), `${JSON.stringify(sorted, null, 2)}\n`);
  await keepEarlier(Date.now());
  // Whole or not at all: whoever serves the folder meanwhile never sees half a build.
  await rename(target, replaced).catch(missing);
  await rename(work, target);
} finally {
  for (const folder of [work, replaced]) await rm(folder, { recursive: true, force: true });
}
console.log(`${Object.keys(manifest).length} static files in ${path.relative(process.cwd(), target) || target}`);

async function collect(folder, prefix, { onlyAssets = false } = {}) {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(missing)) {
    if (!entry.isFile()) continue;
    const { name: stem, ext } = path.parse(entry.name);
    const file = path.join(folder, entry.name);
    if (ASSETS.has(ext)) assets[`${prefix}/${entry.name}`] = file;
    else if (ext === ".js" && !onlyAssets) modules[`${prefix}/${stem}`] = file;
    else if (ext === ".css" && !onlyAssets) styles[`${prefix}/${stem}`] = file;
    else throw new Error(`${file}: this kind of file is not built`);
  }
}

async function folders(parent) {
  const entries = await readdir(parent, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

function missing(error) {
  if (error.code === "ENOENT") return [];
  throw error;
}

async function bundle(entryPoints, options) {
  const { metafile } = await esbuild.build({
    entryPoints,
    outdir: work,
    absWorkingDir: root,
    alias: { "@shared": path.join(shared, "js") },
    bundle: true,
    minify: true,
    sourcemap: "external",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    entryNames: "[dir]/[name]-[hash]",
    assetNames: "shared/[name]-[hash]",
    loader: { ".woff2": "file" },
    metafile: true,
    logLevel: "warning",
    ...options,
  });
  const names = new Map(Object.entries(entryPoints).map(([name, file]) => [path.relative(root, file), name]));
  for (const [output, { entryPoint }] of Object.entries(metafile.outputs)) {
    const name = entryPoint && names.get(entryPoint);
    if (name) manifest[name + path.extname(output)] = path.relative(work, path.join(root, output));
  }
  for (const input of Object.keys(metafile.inputs)) {
    const match = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) packages.set(match[1], path.join(root, "node_modules", match[1]));
  }
}

async function copyAsset(name, file) {
  const hash = createHash("sha256").update(await readFile(file)).digest("hex").slice(0, 8).toUpperCase();
  const { dir, name: stem, ext } = path.parse(name);
  const hashed = `${dir}/${stem}-${hash}${ext}`;
  await mkdir(path.join(work, dir), { recursive: true });
  await copyFile(file, path.join(work, hashed));
  return hashed;
}

async function keepEarlier(now) {
  const known = JSON.parse(await readFile(earlierList, "utf8").catch((error) => (missing(error), "{}")));
  const earlier = {};
  for (const file of await filesIn(target)) {
    const output = path.join(work, file);
    if (!HASHED.test(file) || (await exists(output))) continue;
    // packed beside a file that is still in use: so is it
    const inUse = file.endsWith(".gz") && (await exists(output.slice(0, -".gz".length)));
    const since = known[file] ?? now;
    if (!inUse && now - since > KEEP_MS) continue;
    if (!inUse) earlier[file] = since;
    await mkdir(path.dirname(output), { recursive: true });
    await copyFile(path.join(target, file), output);
  }
  await writeFile(earlierList, `${JSON.stringify(earlier, null, 2)}\n`);
}

async function filesIn(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(missing);
  const files = entries.filter((entry) => entry.isFile());
  return files.map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name))).sort();
}

async function exists(file) {
  return (await stat(file).catch((error) => (missing(error), null))) !== null;
}

async function notices() {
  const parts = ["Boritrader's pages contain these packages, under the licences that follow.\n"];
  for (const [name, folder] of [...packages].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { version, license, author } = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
    const files = (await readdir(folder)).filter((file) => NOTICE.test(file)).sort();
    if (files.length === 0 && !(license && author)) throw new Error(`${name} says no licence`);
    const texts = await Promise.all(files.map((file) => readFile(path.join(folder, file), "utf8")));
    // some packages name licence and author in package.json alone
    if (files.length === 0) texts.push(`Licence: ${license}, by ${author.name ?? author}`);
    parts.push(`${"=".repeat(80)}\n${name} ${version} (${license})\n\n${texts.map((text) => text.trim()).join("\n\n")}\n`);
  }
  return parts.join("\n");
}

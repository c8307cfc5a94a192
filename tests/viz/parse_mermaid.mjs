// The kind of diagram of each file, by Mermaid's own parser: node parse_mermaid.mjs NODE_MODULES FILE...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, ...files] = process.argv.slice(2);
const require = createRequire(modules + "/");
const { JSDOM } = require("jsdom");
const page = new JSDOM("<body></body>");
globalThis.window = page.window;
globalThis.document = page.window.document;
const mermaid = (await import(require.resolve("mermaid").replace(/[^/]*$/, "mermaid.core.mjs"))).default;
for (const file of files) console.log((await mermaid.parse(readFileSync(file, "utf8"))).diagramType);

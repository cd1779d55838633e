/**
 * The page of `weft explain`: one file of HTML that needs no network, no server and, to be read, no script.
 *
 *     explainPage(explanation, { device: devices["nvidia-h200"], compileSeconds: 1.2, … })   →   "<!doctype html>…"
 *
 * The source stands on the left, what came of it on the right: totals, the launches of each entry, the passes, the kernels. Links go both
 * ways: a line to its kernels, a kernel to its lines. The script (script.ts) only hides what does not belong to the chosen line.
 */
import type { Explanation } from "../view.js"
import { entrySection, entrySwitch } from "./entry.js"
import { dataElement, element, html, type Markup } from "./html.js"
import { kernelCard } from "./kernel.js"
import type { PageOptions } from "./options.js"
import { passesSection } from "./passes.js"
import { script } from "./script.js"
import { sourcePane } from "./source.js"
import { style } from "./style.js"
import { summary } from "./summary.js"

export function explainPage(explanation: Explanation, options: PageOptions): string {
  const { main, entries, kernels, facts } = explanation
  const { compileSeconds, peakRssBytes } = options
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${main} · weft explain</title>
${element("style", style)}
</head>
<body>
<a class="skip" href="#work">Skip to the kernels</a>
${summary(explanation, options)}
${entrySwitch(entries)}
<div class="columns">
<section class="source" aria-label="Source">${sourcePane(explanation)}</section>
<main id="work">
<p id="chosen" role="status" hidden></p>
${entries.map((entry, i) => entrySection(entry, i, explanation, options))}
${section(
  "kernels",
  "Kernels",
  html`<p>A kernel is one program for the device. Open one to see what it computes, how its work is laid out, and each form that it
went through. The costs are those of one launch.</p>`,
  kernels.map((k) => kernelCard(k, explanation, options)),
)}
${passesSection(entries)}
</main>
</div>
${dataElement("facts", options.data ?? { ...facts, compileSeconds, peakRssBytes })}
${element("script", script)}
</body>
</html>
`
  return page.text
}

const section = (id: string, title: string, caption: Markup, content: readonly Markup[]): Markup =>
  html`<section id="${id}"><h2>${title}</h2>${caption}${content}</section>`

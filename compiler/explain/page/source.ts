/**
 * The source with its line numbers; a line that kernels came from links to them.
 *
 *     145   const q = turned(normed(…       k1 k2
 *
 * The model's file comes first; other files follow that something was written in, such as the language's own functions.
 */
import type { Explanation, Place } from "../view.js"
import { plural } from "./format.js"
import { highlight } from "./highlight.js"
import { html, type Markup } from "./html.js"

export function sourcePane({ files, main, entries, kernels }: Explanation): Markup {
  const byPlace = new Map<Place, { entry: number; kernels: number[] }[]>()
  for (const [i, entry] of entries.entries()) {
    const used = new Set(entry.parts.flatMap((p) => p.launches.map((l) => l.kernel)))
    for (const { number, places } of kernels)
      if (used.has(number))
        for (const place of places) {
          const lists = byPlace.get(place) ?? []
          const list = lists.find((l) => l.entry === i) ?? { entry: i, kernels: [] }
          if (!lists.includes(list)) lists.push(list)
          list.kernels.push(number)
          byPlace.set(place, lists)
        }
  }
  const marked = files.filter(({ path }) => [...byPlace.keys()].some((p) => p.startsWith(`${path}:`)))
  const others = marked.filter(({ path }) => path !== main)
  const own = files.find(({ path }) => path === main)
  return html`<h2>Source</h2>
<p class="caption">The numbers at the right of a line are the kernels that compute something of it.</p>
${own === undefined ? undefined : listing(own, byPlace)}
${others.map((file) => html`<details><summary>${file.path}</summary>${listing(file, byPlace)}</details>`)}`
}

function listing(
  { path, text }: Explanation["files"][number],
  byPlace: ReadonlyMap<Place, readonly { entry: number; kernels: readonly number[] }[]>,
): Markup {
  const lines = highlight(text.replace(/\n$/, "")).map((code, i) => {
    const place = `${path}:${i + 1}`
    const found = byPlace.get(place)
    if (found === undefined) return html`<div class="line"><span class="no">${i + 1}</span><code>${code}</code></div>\n`
    const all = [...new Set(found.flatMap((f) => f.kernels))]
    return html`<div class="line linked" id="${anchorOf(place)}" data-place="${place}"${found.map((f) => html` data-of-${f.entry}="${f.kernels.join(" ")}"`)}><a class="no" href="#k${
      all[0]
    }" aria-label="${`line ${i + 1}: ${plural(all.length, "kernel")}`}">${i + 1}</a><code>${code}</code>${found.map(
      (f) => html`<span class="chips of-${f.entry}">${chips(f.kernels)}</span>`,
    )}</div>\n`
  })
  return html`<div class="listing" tabindex="0" role="region" aria-label="${path}">${lines}</div>`
}

const chips = (kernels: readonly number[]): Markup =>
  kernels.length > 3
    ? html`<span class="chip many">${kernels.length} kernels</span>`
    : html`${kernels.map((k) => html`<a class="chip" href="#k${k}">k${k}</a>`)}`

export const anchorOf = (place: Place): string => `at-${place.replace(/[^A-Za-z0-9]/g, "-")}`

/**
 * The passes: each part of the program before and after them, side by side.
 *
 * Lines that the other side does not have are marked; numbers of values are left out of that comparison, for they shift.
 */
import type { EntryView, PartView, TensorLine } from "../view.js"
import { titleOf } from "./entry.js"
import { plural } from "./format.js"
import { html, type Markup } from "./html.js"

const captions: Readonly<Record<string, string>> = {
  trace: "the model's own calls, one value for each",
  simplify: "constants into formulas, renames and slices into one index map, axes of one element away",
  hoist: "factors that a sum does not depend on, out of the sum",
  online: "folds that wait for each other over one axis, into one that carries what it needs",
  gather: "rows that picked the same weights, grouped",
}

export function passesSection(entries: readonly EntryView[]): Markup {
  return html`<section id="passes"><h2>Passes</h2>
<p>The same program again and again, each time a step nearer to kernels. Every line is a value: its number, how it is made, and its axes with
their extents. Marked lines are not on the other side.</p>
${entries.map(
  (entry, i) =>
    html`<div class="of-${i}">${entry.parts.map((part) => html`<h3>${part.name} <small>${titleOf(entry)}</small></h3>${steps(part)}`)}</div>`,
)}</section>`
}

function steps({ programs, launches }: PartView): Markup {
  const changes = programs.slice(1).map((after, i) => {
    const before = programs[i]!
    const title = html`${before.pass} → ${after.pass}`
    if (isSame(before.lines, after.lines))
      return html`<p class="idle"><b>${title}</b> <small>nothing to do here</small></p>`
    return html`<details class="form"><summary>${title} <small>${captions[after.pass] ?? ""}: ${before.lines.length} → ${plural(after.lines.length, "line")}</small></summary>
<div class="sides"><div><h4>after ${before.pass}</h4>${program(before.lines, after.lines)}</div><div><h4>after ${after.pass}</h4>${program(after.lines, before.lines)}</div></div></details>`
  })
  const last = programs.at(-1)!
  const numbers = [...new Set(launches.map((l) => l.kernel))]
  return html`${changes}<details class="form"><summary>${last.pass} → fuse <small>each value to the kernels that compute it; ${last.lines.length} lines → ${plural(numbers.length, "kernel")}</small></summary>
<pre tabindex="0">${last.lines.map((l) => html`<span class="tensor" data-places="${l.places.join(" ")}"><span class="into">${l.kernels.map((k) => html`<a href="#k${k}">k${k}</a> `)}</span>${l.text}\n</span>`)}</pre></details>`
}

const isSame = (before: readonly TensorLine[], after: readonly TensorLine[]): boolean =>
  before.length === after.length && before.every((l, i) => l.text === after[i]!.text)

const unnumbered = (line: TensorLine): string => line.text.replace(/%\d+/g, "%").trim()

function program(lines: readonly TensorLine[], others: readonly TensorLine[]): Markup {
  const there = new Set(others.map(unnumbered))
  return html`<pre tabindex="0">${lines.map((l) =>
    there.has(unnumbered(l)) ? html`${l.text}\n` : html`<mark>${l.text}</mark>\n`,
  )}</pre>`
}

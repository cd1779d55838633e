/** An entry point: its launches in order, part by part, with what each moves and computes. */
import { rooflineOf } from "../devices.js"
import type { Cost } from "../facts.js"
import { isSlow, type KernelCost } from "../kernels.js"
import type { EntryView, Explanation, KernelView, LaunchView, PartView } from "../view.js"
import { bytesText, countText, percentText, plural, timeText } from "./format.js"
import { html, type Markup } from "./html.js"
import type { PageOptions } from "./options.js"
import { anchorOf } from "./source.js"

const titles: Readonly<Record<string, (entry: EntryView) => string>> = {
  step: ({ sizes }) => `One token, after ${plural(sizes.get("past") ?? 0, "token")} (step)`,
  prefill: ({ sizes }) => `A prompt of ${plural(sizes.get("seq") ?? 0, "token")} (prefill)`,
}

export const titleOf = (entry: EntryView): string =>
  titles[entry.name]?.(entry) ?? (entry.sizes.size === 0 ? "A run" : "A run, at the largest sizes")

/** Chooses which entry is shown; without it all are. Works without a script. */
export function entrySwitch(entries: readonly EntryView[]): Markup | undefined {
  if (entries.length < 2) return undefined
  return html`<fieldset class="switch"><legend>Show</legend>${entries.map(
    (entry, i) =>
      html`<label><input type="radio" name="entry" id="entry-${i}"${i === 0 && html` checked`}><span>${titleOf(entry)}</span></label>`,
  )}</fieldset>`
}

/** What a launch costs in an entry. */
export const costIn = (entry: EntryView, kernel: number, { costs }: Explanation): KernelCost | undefined =>
  costs.find((c) => c.kernel === kernel && c.entry === entry.name)

/** Seconds of one launch: as measured, else the least that the device allows. */
function secondsOf(
  { cost }: LaunchView,
  kernel: KernelView,
  { atoms }: Explanation,
  { device, measured }: PageOptions,
) {
  const microseconds = measured?.get(kernel.name)
  return {
    least: device === undefined ? undefined : rooflineOf(cost, device, atoms),
    measured: microseconds === undefined ? undefined : microseconds / 1e6,
  }
}

export function entrySection(entry: EntryView, index: number, explanation: Explanation, options: PageOptions): Markup {
  const launches = entry.parts.reduce((n, p) => n + p.times * p.launches.length, 0)
  const { device, measured } = options
  return html`<section class="entry of-${index}" id="${entry.name}">
<h2>${titleOf(entry)}</h2>
<p>${plural(launches, "launch", "launches")} in this order; together they move ${bytesText(entry.facts.bytes)} and compute ${countText(
    entry.facts.operations,
  )} operations, where computing every tensor once takes ${countText(entry.facts.unfusedOperations)}. <b>Moves</b>: the bytes that one launch must read and write, each element that it
touches once. <b>Computes</b>: operations on values. <b>Per byte</b>: operations per byte moved; where that is low, memory is what limits.
${
  device !== undefined &&
  html`<b>Least time</b>: what ${device.title} needs for the larger of the two. <b>Estimated</b>: with the lanes that work, the steps that one
waits for after the other, and a launch; <mark>marked</mark> where it is far above, and the kernel says why.`
}
${measured !== undefined && html`<b>Measured</b>: one launch${device !== undefined && html`, and how much of it the least time is`}.`}
<b>Share</b>: of the whole run, all launches of the row together, by ${basis(options)}.</p>
${entry.parts.filter((p) => p.launches.length > 0).map((part) => partTable(part, entry, explanation, options))}
</section>`
}

const basis = ({ device, measured }: PageOptions): string =>
  measured !== undefined ? "measured time" : device !== undefined ? "least time" : "bytes"

function partTable(part: PartView, entry: EntryView, explanation: Explanation, options: PageOptions): Markup {
  const { device, measured } = options
  const repeated = part.name !== entry.name
  const weight = (l: LaunchView) => {
    const seconds = secondsOf(l, kernelOf(explanation, l.kernel), explanation, options)
    return measured !== undefined ? (seconds.measured ?? 0) : (seconds.least?.seconds ?? l.cost.bytes)
  }
  const whole = entry.parts.reduce((n, p) => n + p.times * p.launches.reduce((m, l) => m + weight(l), 0), 0)
  const largest = Math.max(...entry.parts.flatMap((p) => p.launches.map((l) => p.times * weight(l))))
  const rows = part.launches.map((l) => {
    const kernel = kernelOf(explanation, l.kernel)
    const seconds = secondsOf(l, kernel, explanation, options)
    const share = whole === 0 ? 0 : (part.times * weight(l)) / whole
    return html`<tr class="launch" data-kernel="${l.kernel}">
<th scope="row"><a href="#k${l.kernel}">k${l.kernel}</a></th>
<td class="what">${writtenAt(kernel, explanation)}</td>
<td data-label="moves">${bytesText(l.cost.bytes)}</td>
<td data-label="computes">${countText(l.cost.operations)}</td>
<td data-label="per byte">${intensity(l.cost)}</td>
${seconds.least !== undefined && html`<td data-label="least time">${timeText(seconds.least.seconds)} <small>${seconds.least.bound}</small></td>`}
${seconds.least !== undefined && html`<td data-label="estimated">${estimatedText(costIn(entry, l.kernel, explanation))}</td>`}
${measured !== undefined && html`<td data-label="measured">${measuredText(seconds)}</td>`}
<td class="share" data-label="share"><span class="bar" style="--share:${((100 * part.times * weight(l)) / (largest || 1)).toFixed(1)}%" aria-hidden="true"></span>${percentText(share)}</td>
</tr>`
  })
  return html`<div class="part"><h3>${part.name}${repeated ? html` <small>runs ${plural(part.times, "time")}</small>` : entry.parts.length > 1 && html` <small>around what repeats</small>`}</h3>
<table><thead><tr><th>Kernel</th><th class="what">Written on</th><th>Moves</th><th>Computes</th><th>Per byte</th>${
    device !== undefined && html`<th>Least time</th><th>Estimated</th>`
  }${measured !== undefined && html`<th>Measured</th>`}<th>Share</th></tr></thead><tbody>${rows}</tbody></table></div>`
}

const intensity = ({ bytes, operations }: Cost): string => {
  const perByte = operations / Math.max(1, bytes)
  return perByte >= 99.5 ? countText(Math.round(perByte)) : perByte.toPrecision(2)
}

function estimatedText(cost: KernelCost | undefined): Markup | string {
  if (cost === undefined || cost.estimatedMicroseconds === null) return "–"
  const text = timeText(cost.estimatedMicroseconds / 1e6)
  return isSlow(cost) ? html`<mark title="${cost.why.join("; ")}">${text}</mark>` : text
}

function measuredText({ least, measured }: ReturnType<typeof secondsOf>): Markup | string {
  if (measured === undefined) return "–"
  if (least === undefined) return timeText(measured)
  return html`${timeText(measured)} <small>${percentText(least.seconds / measured)} of the roofline</small>`
}

export const kernelOf = ({ kernels }: Explanation, number: number): KernelView =>
  kernels.find((k) => k.number === number)!

/** The lines of the model on which the stored values were written: the innermost ones, with their text. */
export function writtenAt(kernel: KernelView, { files, main }: Explanation): Markup {
  const own = kernel.stored.filter((p) => p.startsWith(`${main}:`)).map((p) => Number(p.slice(main.length + 1)))
  const shown = own.length > 1 ? own.slice(1) : own
  const text = files.find((f) => f.path === main)?.text.split("\n") ?? []
  if (shown.length === 0) return html`${kernel.stored.map((p) => html`<a href="#${anchorOf(p)}">${p}</a> `)}`
  return html`${shown.map(
    (line) =>
      html`<a class="at" href="#${anchorOf(`${main}:${line}`)}"><span>${line}</span> <code>${text[line - 1]?.trim() ?? ""}</code></a>`,
  )}`
}

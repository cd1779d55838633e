/** The head of the page: what it is, and the totals with their meaning in plain words. */
import { rooflineOf } from "../devices.js"
import type { Facts, StepFacts } from "../facts.js"
import { isSlow } from "../kernels.js"
import type { EntryView, Explanation } from "../view.js"
import { bytesText, countText, plural, timeText } from "./format.js"
import { html, type Markup } from "./html.js"
import type { PageOptions } from "./options.js"

const targets = { webgpu: "WebGPU", wasm: "WebAssembly", cuda: "CUDA" } as const

export function summary(explanation: Explanation, options: PageOptions): Markup {
  const { main, target, facts } = explanation
  const [first] = explanation.entries
  return html`<header>
<p class="eyebrow">weft explain</p>
<h1>${main}</h1>
<p class="lead">What the compiler made of this file ${options.subject !== undefined && html`for <b>${options.subject}</b> `}on <b>${targets[target]}</b>${options.precision === "fast" && html`, in precision <b>fast</b>`}. Beside the source
stand the ${plural(explanation.kernels.length, "kernel")} that came of it, the small programs that the device runs: choose a line to see
its kernels, or a kernel to see its lines.</p>
<dl class="totals">
${first === undefined ? undefined : entryTotals(first, explanation, options)}
${kernelTotals(facts)}
${memoryTotals(explanation, options)}
${total("Compiled in", timeText(options.compileSeconds), html`from the file to all kernels, with ${bytesText(options.peakRssBytes)} of memory at most`)}
</dl>
</header>`
}

const total = (name: string, value: string, meaning: Markup, share?: number): Markup => html`<div class="total">
<dt>${name}</dt><dd class="value">${value}</dd>${share === undefined ? undefined : gauge(share)}<dd class="meaning">${meaning}</dd>
</div>`

/** How far a number is above the least: a bar that is full at the least. */
const gauge = (ratio: number): Markup =>
  html`<dd class="gauge${ratio > 1.1 ? " high" : ""}" aria-hidden="true"><span style="width:${(100 / Math.max(1, ratio)).toFixed(1)}%"></span></dd>`

const unitOf = (entry: EntryView): string =>
  entry.name === "step" ? "a token" : entry.name === "prefill" ? "a prompt" : "a run"

function entryTotals(entry: EntryView, explanation: Explanation, options: PageOptions): Markup {
  const { facts } = entry
  const run = unitOf(entry)
  return html`${total(
    `Memory traffic for ${run}`,
    bytesText(facts.bytes),
    floorText(facts),
    facts.floorBytes === 0 ? undefined : facts.bytes / facts.floorBytes,
  )}${total(
    `Arithmetic for ${run}`,
    `${countText(facts.operations)} operations`,
    html`${times(facts.operations, facts.unfusedOperations)} the ${countText(facts.unfusedOperations)} of computing every tensor once; more is
arithmetic that kernels repeat instead of storing a result`,
    facts.unfusedOperations === 0 ? undefined : facts.operations / facts.unfusedOperations,
  )}${timeTotal(entry, explanation, options)}`
}

const floorText = ({ bytes, floorBytes }: StepFacts): Markup =>
  floorBytes === 0
    ? html`counting each element that a kernel touches once`
    : html`${times(bytes, floorBytes)} the least possible, ${bytesText(floorBytes)}: each weight and each kept value that it needs, read once`

const times = (a: number, b: number): string => (b === 0 ? "" : `${(a / b).toFixed(a < 1.1 * b ? 3 : 2)} ×`)

function timeTotal(entry: EntryView, explanation: Explanation, { device, measured }: PageOptions): Markup | undefined {
  const launches = entry.parts.flatMap((p) => p.launches.map((l) => ({ ...l, times: p.times })))
  const run = unitOf(entry)
  if (measured !== undefined) {
    const known = launches.flatMap((l) => {
      const microseconds = measured.get(explanation.kernels.find((k) => k.number === l.kernel)!.name)
      return microseconds === undefined ? [] : [l.times * microseconds]
    })
    const missing = launches.length - known.length
    const seconds = known.reduce((n, x) => n + x, 0) / 1e6
    return total(
      `Measured for ${run}`,
      timeText(seconds),
      html`the sum of its launches${missing > 0 && html`; ${plural(missing, "kernel")} without a measurement`}`,
    )
  }
  if (device === undefined) return undefined
  const seconds = launches.reduce(
    (n, { cost, times }) => n + times * rooflineOf(cost, device, explanation.atoms).seconds,
    0,
  )
  const estimated = explanation.costs.reduce(
    (n, c) => n + (c.entry === entry.name ? c.launches * (c.estimatedMicroseconds ?? 0) : 0),
    0,
  )
  const slow = explanation.costs.filter((c) => c.entry === entry.name && isSlow(c))
  return html`${total(
    `Least time for ${run}`,
    timeText(seconds),
    html`on ${device.title}, ${bytesText(device.bytesPerSecond)}/s and ${countText(device.operationsPerSecond)} operations/s (${device.source})`,
  )}${total(
    `Estimated for ${run}`,
    timeText(estimated / 1e6),
    html`with the lanes of its kernels, their steps, and launches${slow.length > 0 && html`; far above what they need: ${slow.map((c) => html`<a href="#k${c.kernel}">k${c.kernel}</a> `)}`}`,
    estimated / 1e6 / seconds,
  )}`
}

function kernelTotals({ kernelsPerLayer: { dense, moe }, distinctKernels }: Facts): Markup {
  const layers = [
    dense !== null && `${dense} for a dense layer`,
    moe !== null && `${moe} for a layer that picks among its weights by indices that it computes`,
  ].filter((text) => text !== false)
  return total(
    "Kernels",
    `${distinctKernels} distinct`,
    html`in all entry points; equal ones are compiled once${layers.length > 0 && html`. In a step: ${layers.join(", ")}`}`,
  )
}

function memoryTotals({ entries, facts }: Explanation, { memory }: PageOptions): Markup {
  const prompt = entries.find((e) => e.name === "prefill")?.sizes.get("seq")
  return total(
    "Memory",
    bytesText(memory.total),
    html`${memory.weights > 0 && `${bytesText(memory.weights)} of weights, `}${
      memory.state > 0 && `${bytesText(memory.state)} of state kept between runs (at the full context), `
    }${bytesText(memory.scratch)} between kernels${
      facts.scratchBytes !== null &&
      prompt !== undefined &&
      html` (${bytesText(facts.scratchBytes)} for a prompt of ${plural(prompt, "token")})`
    }`,
  )
}

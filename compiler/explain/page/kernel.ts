/** The card of a kernel: what it computes, what it reads and writes, and each form that it went through. */

import type { KernelCost } from "../kernels.js"
import type { Explanation, KernelView, LaunchView } from "../view.js"
import { costIn, writtenAt } from "./entry.js"
import { bytesText, countText, digits, plural, timeText } from "./format.js"
import { html, type Markup } from "./html.js"
import type { PageOptions } from "./options.js"
import { anchorOf } from "./source.js"

export function kernelCard(kernel: KernelView, explanation: Explanation, _options: PageOptions): Markup {
  const uses = explanation.entries.flatMap((entry, i) =>
    entry.parts.flatMap((part) =>
      part.launches.filter((l) => l.kernel === kernel.number).map((launch) => ({ entry, i, part, launch })),
    ),
  )
  const [first] = uses
  const entries = [...new Set(uses.map((u) => u.i))]
  const tensors = [...new Set(uses.flatMap(({ part }) => tensorLines(part, kernel.number)))]
  const lines = kernel.places.filter((p) => p.startsWith(`${explanation.main}:`))
  return html`<details class="kernel ${entries.map((i) => `of-${i}`).join(" ")}" id="k${kernel.number}" data-kernel="${kernel.number}" data-places="${kernel.places.join(" ")}">
<summary><span class="name">k${kernel.number}</span> <span class="where">${writtenAt(kernel, explanation)}</span>${
    first !== undefined &&
    html`<span class="cost">${bytesText(first.launch.cost.bytes)} · ${countText(first.launch.cost.operations)} operations</span>`
  }</summary>
<p class="caption"><code>${kernel.name}</code>: ${plural(kernel.groups, "workgroup")} of ${plural(kernel.threads, "thread")}.
${lines.length > 0 && html`From ${lines.map((p) => html`<a class="chip" href="#${anchorOf(p)}">${p.slice(explanation.main.length + 1)}</a> `)}`}</p>
${entries.map((i) => latency(costIn(explanation.entries[i]!, kernel.number, explanation), explanation.entries[i]!.name))}
${first !== undefined && traffic(first.launch)}
${form("Tensor program", "the values that it computes, as the model asks for them: one line each, sources first", tensors.join("\n"), true)}
${form("Kernel", "fused: what is stored, as a formula over what is read; a local is kept by the workgroup", kernel.kernel, true)}
${form("Schedule", "how the work is laid out: elements of each axis that a workgroup and a thread own, vectors, shared folds", kernel.schedule)}
${kernel.tiled === kernel.loops ? undefined : form("Loops, after tile", "the schedule carried out, before it is cleaned up", kernel.tiled)}
${form("Loops, after clean", "what is emitted: index arithmetic simplified, invariant parts moved out of loops", kernel.loops)}
${kernel.source === "" ? html`<p class="caption">On WebAssembly the last loops are encoded as instructions, one export of a module for each kernel.</p>` : form(explanation.target === "cuda" ? "CUDA" : "WGSL", "the text that the device compiles", kernel.source)}
</details>`
}

/** How its lanes work in an entry, and why that takes long, where it does. */
function latency(cost: KernelCost | undefined, entry: string): Markup | undefined {
  if (cost === undefined || cost.blocks === 0) return undefined
  const { blocks, threads, busyThreads, serialSteps, barriers, atom, estimatedMicroseconds, floorMicroseconds, why } =
    cost
  const times = estimatedMicroseconds !== null && floorMicroseconds !== null
  return html`<p class="caption">In <code>${entry}</code>: ${plural(blocks, "block")}, in each ${digits(busyThreads / blocks)} of ${plural(threads / blocks, "lane")} with work of
their own, ${plural(serialSteps, "step")} of a lane one after the other, ${plural(barriers, "barrier")}${atom !== null && html`, products by <code>${atom}</code>`}${
    times && html`: ${timeText(estimatedMicroseconds / 1e6)} estimated, ${timeText(floorMicroseconds / 1e6)} at least`
  }.${why.length > 0 && html` <mark>${why.join("; ")}.</mark>`}</p>`
}

const tensorLines = (part: Explanation["entries"][number]["parts"][number], kernel: number): readonly string[] =>
  part.programs.at(-1)!.lines.flatMap((l) => (l.kernels.includes(kernel) ? [l.text.trim()] : []))

function form(title: string, caption: string, text: string, open = false): Markup {
  return html`<details class="form"${open && html` open`}><summary>${title} <small>${caption}</small></summary>
<pre tabindex="0">${indented(text)}</pre></details>`
}

/** The text with a tab for two spaces of indent: deep loops are a third shorter, and there are many. */
const indented = (text: string): string => text.replace(/^(?: {2})+/gm, (spaces) => "\t".repeat(spaces.length / 2))

/** The buffers by the names that they have where the kernel is launched. */
function traffic({ buffers, cost }: LaunchView): Markup {
  const count = (n: number) => (n === 0 ? "–" : n.toLocaleString("en-US"))
  const rows = cost.buffers.map(
    (b, i) =>
      html`<tr><th scope="row"><code>${buffers[i]!.name}</code></th><td>${roles[buffers[i]!.role] ?? buffers[i]!.role}</td><td>${b.buffer}</td><td>${count(b.read)}</td><td>${count(b.written)}</td><td>${bytesText(b.bytes)}</td></tr>`,
  )
  return html`<div class="scroll"><table class="buffers"><thead><tr><th>Buffer</th><th>What it is</th><th>In the kernel</th><th>Elements read</th><th>Written</th><th>Bytes</th></tr></thead><tbody>${rows}</tbody></table></div>${
    buffers.some((b) => /^\d/.test(b.name)) &&
    html`<p class="caption">A name that begins with a number is an argument of the repeated unit: 1.norm is the field norm of argument 1.</p>`
  }`
}

const roles: Readonly<Record<string, string>> = { input: "argument", scratch: "between kernels" }

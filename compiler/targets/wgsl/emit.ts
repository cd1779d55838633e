/**
 * Prints a kernel of the loop language as WGSL.
 *
 *   kernel twice(x: read f32[n], y: write f32[n])
 *   → // twice
 *     @group(0) @binding(0) var<uniform> symbols: array<vec4<i32>, 1>;
 *     @group(0) @binding(1) var<storage, read> x: array<f32>;
 *     @group(0) @binding(2) var<storage, read_write> y: array<f32>;
 *     @compute @workgroup_size(64) fn main(…) { … }
 *
 * Binding 0 holds the size symbols of the whole artifact in its order, bindings 1… the kernel's buffers in theirs. Arithmetic is printed in the
 * order in which it is written.
 */
import type { ArtifactKernel } from "../../../runtime/artifact.js"
import { WeftError } from "../../../runtime/errors.js"
import { type MatrixSpelling, matrixDirectives } from "../../../runtime/matrices.js"
import type { LoopKernel } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"
import type { Operation } from "../../ir/operations.js"
import { checkAtoms, checkNoBoxes, withPlainCopies } from "../atoms.js"
import { printKernel } from "../text/kernel.js"
import { unitType } from "./arrays.js"
import { wgslDialect } from "./dialect.js"
import { checkWgsl, defaultWgslLimits, symbolCapacity, type WgslLimits } from "./limits.js"
import { isMatrixAtom, subgroupName } from "./matrices.js"
import { lateNumbers } from "./types.js"

export interface WgslOptions {
  /** All size symbols of the artifact, in its order. */
  readonly symbolOrder: readonly string[]
  readonly limits?: WgslLimits
  /** Operations that are spelled by simpler ones, for WGSL promises less accuracy than the table of operations. */
  readonly lacks?: ReadonlySet<Operation>
  /** Whether the driver may unroll serial loops with a literal extent; a software adapter then compiles for seconds. */
  readonly unrollable?: boolean
  /** The newer one when left out. */
  readonly matrices?: MatrixSpelling
}

/** WGSL text of a kernel. Throws a WeftError with the code of the refusal when the kernel is beyond the limits. */
export function emitWgsl(given: LoopKernel, options: WgslOptions): { readonly source: string } {
  const has = (atom: string) => isMatrixAtom(atom) && options.limits?.atoms?.includes(atom) === true
  checkAtoms(given, "WGSL", has)
  checkNoBoxes(given, "WGSL")
  const kernel = withPlainCopies(given)
  const refusal = checkWgsl(kernel, options.limits ?? defaultWgslLimits)
  if (refusal !== undefined) throw new WeftError(refusal.code, refusal.message)
  const halves = options.limits?.f16 === true
  const lacks = new Set([...(options.lacks ?? inaccurate), ...(halves ? [] : (["half"] as const))])
  const dialect = wgslDialect(kernel, {
    lacks,
    unrollable: options.unrollable ?? false,
    matrices: options.matrices ?? "template",
  })
  const body = printKernel(kernel, dialect, (name) => symbolText(kernel, options, name))
  const lines = [...body.lines]
  const bindings = kernel.buffers.map((b, i) => {
    const access = b.access === "read" ? "read" : "read_write"
    const type = unitType(dialect.layouts.get(b.name)!)
    return `@group(0) @binding(${i + 1}) var<storage, ${access}> ${body.buffers[i]}: array<${type}>;`
  })
  // Always 0, for a dispatch is one deep; no driver knows it.
  const late = [...lateNumbers].filter(([name]) => lines.some((line) => new RegExp(`\\b${name}\\b`).test(line)))
  lines.unshift(...late.map(([, declaration]) => `  ${declaration}`))
  if (lines.some((line) => /\bzero\b/.test(line))) lines.unshift("  let zero = i32(workgroup_count.z) - 1;")

  const hasMatrices = everyStatement(kernel.body).some((s) => s.kind === "alloc" && s.layout !== undefined)
  const words = Math.max(1, Math.ceil(options.symbolOrder.length / 4))
  const directives = hasMatrices
    ? matrixDirectives
    : [
        ...(everyStatement(kernel.body).some((s) => s.kind === "shuffle") ? ["enable subgroups;"] : []),
        ...(lines.some((line) => /\bf16\b/.test(line)) ? ["enable f16;"] : []),
      ]
  const source = [
    ...directives,
    `// ${kernel.name.replace(/[^\x20-\x7e]/g, "?")}`,
    `@group(0) @binding(0) var<uniform> symbols: array<vec4<i32>, ${words}>;`,
    ...bindings,
    ...body.globals,
    ...body.helpers,
    `@compute @workgroup_size(${kernel.threads})`,
    "fn main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(num_workgroups) workgroup_count: vec3<u32>,",
    `    @builtin(local_invocation_index) local_index: u32${hasMatrices ? ", @builtin(subgroup_id) subgroup_id: u32" : ""}) {`,
    "  let workgroup = i32(workgroup_id.x + workgroup_id.y * workgroup_count.x);",
    "  let workgroups = i32(workgroup_count.x * workgroup_count.y);",
    ...(hasMatrices ? [`  let ${subgroupName} = i32(subgroup_id);`] : []),
    ...lines,
    "}",
    "",
  ].join("\n")
  return { source }
}

/** The kernel as an artifact holds it. */
export function wgslKernel(kernel: LoopKernel, options: WgslOptions): ArtifactKernel {
  const bindings = kernel.buffers.map((b) => ({ access: b.access }))
  return { name: kernel.name, source: emitWgsl(kernel, options).source, bindings, threads: kernel.threads, scratch: 0 }
}

/** WGSL's own are less accurate than the table: absolute 2^-11 for sine and cosine, 1e-5 for tanh, an error that grows
 * with |x| for exp and exp2; the sign of NaN is a number. It has no products of halves of words. */
export const inaccurate: ReadonlySet<Operation> = new Set([
  "sin",
  "cos",
  "tanh",
  "pow",
  "exp",
  "exp2",
  "log",
  "sign",
  "dot2",
])

function symbolText(kernel: LoopKernel, { symbolOrder }: WgslOptions, name: string): string {
  const at = symbolOrder.indexOf(name)
  if (at < 0)
    throw new WeftError("wgsl/symbol", `kernel '${kernel.name}' reads '${name}', which the artifact does not list`)
  if (at >= symbolCapacity)
    throw new WeftError("wgsl/symbols", `the artifact has more than ${symbolCapacity} size symbols`)
  return `symbols[${at >> 2}].${"xyzw"[at & 3]}`
}

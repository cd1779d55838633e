/**
 * WGSL as a dialect: halves of 8 (halves.ts), layouts of arrays (arrays.ts), and what its compilers must not see through (cancel.ts).
 *
 *   for i (serial)   → for (var i = 0; i < 6 + zero; i += 1) { … }
 *   alloc (shared)   → var<workgroup> at the top of the module
 *
 * An operation on constants only goes through a `let`, for WGSL evaluates constant expressions itself and refuses an infinite result.
 */

import { fault } from "../../../runtime/errors.js"
import type { MatrixSpelling } from "../../../runtime/matrices.js"
import { freeVariables } from "../../ir/expression.js"
import type { LoopKernel, Statement } from "../../ir/loop.js"
import { everyStatement, expressionsOf } from "../../ir/loop-visit.js"
import type { Expression, Fetch, OperationNode } from "../../ir/nodes.js"
import type { Operation } from "../../ir/operations.js"
import { nodesOf } from "../../ir/query.js"
import { expand } from "../expand.js"
import type { Context, Dialect, Printed } from "../text/dialect.js"
import { printed, spelled } from "../text/expression.js"
import { argument, bare, shifted } from "../text/literals.js"
import { callOf } from "../text/operations.js"
import { type ArrayLayout, arrayLayouts, inWords, type Layouts, layoutOf, unitIndex, unitType } from "./arrays.js"
import { cancels, hidden } from "./cancel.js"
import { inHalves, widen } from "./halves.js"
import { wgslHelper } from "./library.js"
import { printFragments, printMatrices } from "./matrices.js"
import { wgslOperations, widened } from "./operations.js"
import { boundedOperation, halfText, patternOperands } from "./patterns.js"
import { literalText, typeText } from "./types.js"
import { reserved } from "./words.js"

export interface DialectOptions {
  /** Operations that are spelled by simpler ones. */
  readonly lacks: ReadonlySet<Operation>
  /** Whether the driver may unroll serial loops. */
  readonly unrollable: boolean
  readonly matrices: MatrixSpelling
}

export interface WgslDialect extends Dialect {
  readonly layouts: Layouts
}

export function wgslDialect(kernel: LoopKernel, { lacks, unrollable, matrices }: DialectOptions): WgslDialect {
  const layouts = arrayLayouts(kernel)
  const registers = new Set(
    everyStatement(kernel.body).flatMap((s) => (s.kind === "alloc" && s.space === "register" ? [s.name] : [])),
  )
  const lanes = new Set(
    everyStatement(kernel.body).flatMap((s) => (s.kind === "for" && s.bind === "lane" ? [s.variable] : [])),
  )
  const sharesBuffers = kernel.buffers.some((b) => b.access === "readwrite")
  const expanded = new Map<Expression, Expression>()
  let hides = 0
  return {
    layouts,
    reserved,
    helper: wgslHelper,
    literal: literalText,
    vector: ({ dtype, width }, parts) => `${typeText(dtype, width)}(${parts.map(argument).join(", ")})`,
    ramp: (width, of) => {
      const type = typeText("i32", width)
      return `(${type}(${argument(of)}) + ${type}(${[0, 1, 2, 3].slice(0, width).join(", ")}))`
    },
    lane: (text, lane) => `${text}.${"xyzw"[lane]}`,
    operation: (context, x, operands) => operationText(context, x, operands, () => ++hides),
    operands: patternOperands,
    namesConstants: true,
    fetch: (context, x, index) => fetchText(context, layoutOf(layouts, x.array), x, index),
    repeatsOffset: (x) => x.width > layoutOf(layouts, x.array).unit,
    lowered: (context, x) => inHalves(context, layouts, expand(x, lacks, expanded)),
    declaration: (name, _, value, mutable) => `${mutable ? "var" : "let"} ${name} = ${value};`,
    array: ({ name: key, size, space }, name) => {
      const layout = layoutOf(layouts, key)
      const type = `array<${unitType(layout)}, ${Math.max(1, Math.ceil(size / layout.unit))}>`
      return `var${space === "shared" ? "<workgroup>" : ""} ${name}: ${type};`
    },
    store: (context, s) => printStore(context, layouts, s),
    barrier: (context) => {
      // A barrier must also order accesses to buffers that are read and written.
      if (sharesBuffers) context.line("storageBarrier();")
      context.line("workgroupBarrier();")
    },
    early: () => {},
    holds: printFragments,
    fragments: (context, s) => {
      if (s.kind !== "multiply" && s.kind !== "fill" && s.kind !== "drain") throw fault(`WGSL has no '${s.kind}'`)
      printMatrices(context, layouts, lanes, matrices, s)
    },
    shuffle: (text, { dtype, width }, mask) => {
      const sent = dtype === "bool" ? truth(text, width) : argument(text)
      const received = `subgroupShuffleXor(${sent}, ${mask}u)`
      return dtype === "bool" ? `${received} != ${typeText("u32", width)}()` : received
    },
    loop: ({ variable: i, start, limit, step }) => [`for (var ${i} = ${start}; ${i} < ${limit}; ${i} += ${step}) {`],
    extent: (s, extent) => (!unrollable && opaque(s, extent, registers) ? `${extent} + zero` : String(extent)),
    laneNumber: "i32(local_index)",
    workgroup: "workgroup",
    workgroups: "workgroups",
  }
}

function operationText(
  context: Context,
  x: OperationNode,
  operands: readonly Printed[],
  occurrence: () => number,
): Printed {
  if (x.operation === "half") {
    const half = halfText(x, operands)
    return { text: widened(half, x.width), half }
  }
  const at = cancels(x, context)
  const texts = operands.map(({ text }, i) => (at.includes(i) ? hidden(text, x.args[i]!.width, occurrence()) : text))
  if (boundedOperation(x) !== undefined)
    return { text: `${context.library.use("bounded", x.width)}(${texts.map(argument).join(", ")})` }
  return { text: wgslOperations[x.operation](callOf(context, x, texts)) }
}

function fetchText(context: Context, layout: ArrayLayout, x: Fetch, index: string): string {
  const array = spelled(context, x.array)
  const unit = Math.min(layout.unit, x.width)
  const element = (i: number) => `${array}[${i === 0 ? bare(index) : shifted(index, i)}]`
  const at = (i: number) => (layout.single ? `f32(${element(i)})` : element(i))
  const units = Array.from({ length: x.width / unit }, (_, i) => (layout.atomic ? `atomicLoad(&${at(i)})` : at(i)))
  if (inWords(layout)) {
    const parts = units.map((u) => `${widen(context, layout, unit)}(${u})`)
    return parts.length === 1 ? parts[0]! : `vec4<f32>(${parts.join(", ")})`
  }
  const stored = typeText(layout.dtype === "bool" ? "u32" : layout.dtype, x.width)
  const whole = units.length === 1 ? units[0]! : `${stored}(${units.join(", ")})`
  return layout.dtype === "bool" ? `(${whole} != ${stored}())` : whole
}

/**
 * Whether to hide the extent of a loop from the driver. A serial loop is meant to stay one: Mesa's software adapter unrolls every loop with a
 * constant extent and then compiles for up to 20 seconds. A loop that walks over a register array has to be unrolled to keep it in registers.
 */
function opaque(s: Statement & { kind: "for" }, extent: number, registers: ReadonlySet<string>): boolean {
  if (s.bind !== "serial" || extent < 2) return false
  const derived = new Set([s.variable])
  const depends = (x: Expression) => [...freeVariables(x)].some((name) => derived.has(name))
  return !everyStatement(s.body).some((inner) => {
    if (inner.kind === "let" && depends(inner.value)) derived.add(inner.name)
    if (inner.kind === "store" && registers.has(inner.array) && depends(inner.offset)) return true
    return nodesOf(expressionsOf(inner), "fetch").some((x) => registers.has(x.array) && depends(x.offset))
  })
}

function printStore(c: Context, layouts: Layouts, s: Statement & { kind: "store" }): void {
  const layout = layoutOf(layouts, s.array)
  const width = s.value.width
  if (movesWords(c, layouts, s)) return
  const halves = c.dialect.lowered(c, s.value)
  const unit = Math.min(layout.unit, width)
  const index = unitIndex(c.dialect.lowered(c, s.offset)[0]!, unit)
  const several = width > unit || width === 8
  const texts = printed(c, [...halves, index], [...(several ? halves : []), ...(width > unit ? [index] : [])])
  const at = texts.pop()!
  const array = c.names.find(s.array)!
  const units = stored(c, layout, texts, width, unit)
  for (const [i, value] of units.entries()) {
    const place = `${array}[${i === 0 ? bare(at) : shifted(at, i)}]`
    if (layout.atomic) c.line(`${s.adds === true ? "atomicAdd" : "atomicStore"}(&${place}, ${bare(value)});`)
    else c.line(`${place} = ${bare(value)};`)
  }
}

/** Stores of halves as they are read: words are moved, and no value is made of them. */
function movesWords(c: Context, layouts: Layouts, { array, offset, value }: Statement & { kind: "store" }): boolean {
  const to = layoutOf(layouts, array)
  if (value.kind !== "fetch") return false
  if (!inWords(to)) return to.single === true && movesHalves(c, layouts, array, offset, value)
  const from = layouts.get(value.array)
  const unit = Math.min(to.unit, value.width)
  if (from?.storage !== to.storage || Math.min(from.unit, value.width) !== unit) return false
  const places = [offset, value.offset].map((x) => unitIndex(c.dialect.lowered(c, x)[0]!, unit))
  const [at, source] = printed(c, places, places) as [string, string]
  const place = (name: string, text: string, i: number) =>
    `${c.names.find(name)}[${i === 0 ? bare(text) : shifted(text, i)}]`
  for (let i = 0; i < value.width / unit; i++) c.line(`${place(array, at, i)} = ${place(value.array, source, i)};`)
  return true
}

/** Halves as they lie in words, to where each is an element. */
function movesHalves(c: Context, layouts: Layouts, array: string, offset: Expression, value: Fetch): boolean {
  const from = layouts.get(value.array)
  if (from === undefined || from.storage !== "f16" || !inWords(from) || value.width === 1) return false
  const unit = Math.min(from.unit, value.width)
  const places = [offset, unitIndex(c.dialect.lowered(c, value.offset)[0]!, unit)]
  const [at, source] = printed(c, [c.dialect.lowered(c, places[0]!)[0]!, places[1]!], places) as [string, string]
  for (let i = 0; i < value.width; i += unit) {
    const words = c.temporary()
    c.line(`let ${words} = ${c.names.find(value.array)}[${i === 0 ? bare(source) : shifted(source, i / unit)}];`)
    for (let j = 0; j < unit; j += 4) {
      const width = Math.min(4, unit)
      const halves = c.temporary()
      const part = unit === 8 ? (j === 0 ? ".xy" : ".zw") : ""
      c.line(`let ${halves} = bitcast<vec${width}<f16>>(${words}${part});`)
      for (let n = 0; n < width; n++) {
        const to = i + j + n
        c.line(`${c.names.find(array)}[${to === 0 ? bare(at) : shifted(at, to)}] = ${halves}.${"xyzw"[n]};`)
      }
    }
  }
  return true
}

/** The values of the units that a store of one or two vectors writes. */
function stored(c: Context, layout: ArrayLayout, texts: readonly string[], width: number, unit: number): string[] {
  const each = Math.min(width, 4)
  if (inWords(layout)) {
    const pack = c.library.use(layout.storage === "bf16" ? "packBf16" : "packF16")
    const words = texts.flatMap((t) =>
      each === 2 ? [`${pack}(${bare(t)})`] : [`${pack}(${t}.xy)`, `${pack}(${t}.zw)`],
    )
    return grouped(words, unit / 2, (ws) => `${typeText("u32", ws.length)}(${ws.join(", ")})`)
  }
  const values = layout.dtype === "bool" ? texts.map((t) => truth(t, each)) : texts
  if (layout.single)
    return values.flatMap((t) =>
      each === 1 ? [`f16(${bare(t)})`] : [..."xyzw"].slice(0, each).map((p) => `f16(${t}.${p})`),
    )
  if (unit >= each) return [...values]
  const parts = unit === 1 ? [..."xyzw"].slice(0, each) : ["xy", "zw"]
  return values.flatMap((t) => parts.map((p) => `${t}.${p}`))
}

const truth = (text: string, width: number) =>
  `select(${typeText("u32", width)}(), ${typeText("u32", width)}(1u), ${argument(text)})`

function grouped(items: readonly string[], size: number, join: (group: readonly string[]) => string): string[] {
  if (size === 1) return [...items]
  return Array.from({ length: items.length / size }, (_, i) => join(items.slice(i * size, (i + 1) * size)))
}

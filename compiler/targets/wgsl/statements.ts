/**
 * Prints statements: one case each, with the names of a body in a scope of its own.
 *
 *   for g (grid)     → for (var g = workgroup; g < n; g += workgroups) { … }     uniform for all lanes of a workgroup
 *   for l (lane)     → { let l = local_index; … }
 *   for i (serial)   → for (var i = 0; i < 6 + zero; i += 1) { … }
 *   for i (unroll)   → the body once per iteration, with the number in place of i
 *   alloc (shared)   → var<workgroup> at the top of the module
 */
import { fault } from "../../../runtime/errors.js"
import { freeVariables, isLiteral, literal, walk } from "../../ir/expression.js"
import { packed, type Statement } from "../../ir/loop.js"
import { everyStatement, expressionsOf } from "../../ir/loop-visit.js"
import type { Expression, Fetch } from "../../ir/nodes.js"
import { type ArrayLayout, unitIndex, unitType } from "./arrays.js"
import { type Context, halfName, lowered, printed, shifted } from "./expression.js"
import { isNonNegative } from "./signs.js"
import { argument, bare, typeText } from "./types.js"

export interface BodyContext extends Context {
  readonly lanes: number
  /** Names of the register arrays. */
  readonly registers: ReadonlySet<string>
  /** Whether the driver may unroll serial loops. */
  readonly unrollable: boolean
  /** Writes a line at the top of the module. */
  readonly global: (text: string) => void
  /** Whether a barrier must also order accesses to buffers. */
  readonly sharesBuffers: boolean
  readonly indented: (body: () => void) => void
}

export function printBody(c: BodyContext, body: readonly Statement[]): void {
  for (const s of body) printStatement(c, s)
}

function printStatement(c: BodyContext, s: Statement): void {
  switch (s.kind) {
    case "for":
      printFor(c, s)
      break
    case "if": {
      const [condition] = one(c, s.condition)
      c.line(`if (${bare(condition)}) {`)
      scope(c, s.body)
      if (s.otherwise.length > 0) {
        c.line("} else {")
        scope(c, s.otherwise)
      }
      c.line("}")
      break
    }
    case "block":
      c.line("{")
      scope(c, s.body)
      c.line("}")
      break
    case "let":
      printLet(c, s)
      break
    case "assign": {
      const halves = lowered(c, s.value)
      const texts = printed(c, halves, halves.length > 1 ? halves : [])
      for (const [h, text] of texts.entries())
        c.line(`${c.names.find(halves.length > 1 ? halfName(s.name, h) : s.name)} = ${bare(text)};`)
      break
    }
    case "alloc":
      printAlloc(c, s)
      break
    case "store":
      printStore(c, s)
      break
    case "shuffle":
      printShuffle(c, s)
      break
    case "barrier":
      if (c.sharesBuffers) c.line("storageBarrier();")
      c.line("workgroupBarrier();")
      break
    default:
      s satisfies never
  }
}

function printShuffle(c: BodyContext, s: Statement & { kind: "shuffle" }): void {
  const { dtype } = s.value
  const halves = lowered(c, s.value)
  for (const [h, text] of printed(c, halves, halves.length > 1 ? halves : []).entries()) {
    const width = halves[h]!.width
    const sent = dtype === "bool" ? truth(text, width) : argument(text)
    const received = `subgroupShuffleXor(${sent}, ${s.mask}u)`
    const value = dtype === "bool" ? `${received} != ${typeText("u32", width)}()` : received
    const name = halves.length > 1 ? halfName(s.name, h) : s.name
    const known = c.names.find(name)
    c.line(known === undefined ? `let ${c.names.declare(name)} = ${value};` : `${known} = ${value};`)
  }
}

/** An expression of at most 4 lanes. */
const one = (c: BodyContext, x: Expression): [string] => printed(c, lowered(c, x)) as [string]

function scope(c: BodyContext, body: readonly Statement[]): void {
  c.names.scoped(() => c.indented(() => printBody(c, body)))
}

function printFor(c: BodyContext, s: Statement & { kind: "for" }): void {
  const before = c.nonNegative.has(s.variable)
  const extent = lowered(c, s.extent)[0]!
  c.nonNegative.add(s.variable)
  if (s.bind === "unroll" && isLiteral(extent)) printUnrolled(c, s, extent.value)
  else if (s.bind === "lane") printLanes(c, s)
  else {
    const [text] = printed(c, [extent])
    const atom = isLiteral(extent) || extent.kind === "symbol"
    const limit = isLiteral(extent) && opaque(c, s, extent.value) ? `${text} + zero` : atom ? text! : c.temporary()
    if (!atom) c.line(`let ${limit} = ${bare(text!)};`)
    c.names.scoped(() => {
      const i = c.names.declare(s.variable)
      const [start, step] = s.bind === "grid" ? ["workgroup", "workgroups"] : ["0", "1"]
      c.line(`for (var ${i} = ${start}; ${i} < ${limit}; ${i} += ${step}) {`)
      c.indented(() => printBody(c, s.body))
      c.line("}")
    })
  }
  if (!before) c.nonNegative.delete(s.variable)
}

/**
 * Whether to hide the extent of a loop from the driver. A serial loop is meant to stay one: Mesa's software adapter unrolls every loop with a
 * constant extent and then compiles for up to 20 seconds. A loop that walks over a register array has to be unrolled to keep it in registers.
 */
function opaque(c: BodyContext, s: Statement & { kind: "for" }, extent: number): boolean {
  if (s.bind !== "serial" || extent < 2 || c.unrollable) return false
  const derived = new Set([s.variable])
  const depends = (x: Expression) => [...freeVariables(x)].some((name) => derived.has(name))
  return !everyStatement(s.body).some((inner) => {
    if (inner.kind === "let" && depends(inner.value)) derived.add(inner.name)
    if (inner.kind === "store" && c.registers.has(inner.array) && depends(inner.offset)) return true
    return expressionsOf(inner).some((e) => fetches(e).some((x) => c.registers.has(x.array) && depends(x.offset)))
  })
}

function fetches(root: Expression): readonly Fetch[] {
  const found: Fetch[] = []
  walk(root, (x) => {
    if (x.kind === "fetch") found.push(x)
  })
  return found
}

function printLanes(c: BodyContext, s: Statement & { kind: "for" }): void {
  const all = isLiteral(s.extent) && s.extent.value === c.lanes
  const [extent] = all ? [""] : one(c, s.extent)
  c.names.scoped(() => {
    const name = c.names.declare(s.variable)
    c.line("{")
    c.indented(() => {
      c.line(`let ${name} = i32(local_index);`)
      if (all) {
        printBody(c, s.body)
        return
      }
      c.line(`if (${name} < ${extent}) {`)
      scope(c, s.body)
      c.line("}")
    })
    c.line("}")
  })
}

function printUnrolled(c: BodyContext, s: Statement & { kind: "for" }, extent: number): void {
  const declares = s.body.some((x) => x.kind === "let" || x.kind === "alloc" || x.kind === "shuffle")
  const shadowed = c.unrolled.get(s.variable)
  for (let i = 0; i < extent; i++) {
    c.unrolled.set(s.variable, literal(i))
    if (declares) printStatement(c, { kind: "block", body: s.body })
    else printBody(c, s.body)
  }
  if (shadowed === undefined) c.unrolled.delete(s.variable)
  else c.unrolled.set(s.variable, shadowed)
}

function printLet(c: BodyContext, s: Statement & { kind: "let" }): void {
  const halves = lowered(c, s.value)
  const texts = printed(c, halves)
  const keyword = s.mutable ? "var" : "let"
  const sign = !s.mutable && isNonNegative(s.value, c.nonNegative)
  if (sign) c.nonNegative.add(s.name)
  else c.nonNegative.delete(s.name)
  for (const [h, text] of texts.entries()) {
    const own = halves.length > 1 ? halfName(s.name, h) : s.name
    if (s.mutable) c.definitions.delete(own)
    else c.definitions.set(own, halves[h]!)
    const name = c.names.declare(own)
    c.line(`${keyword} ${name} = ${bare(text)};`)
  }
}

function printAlloc(c: BodyContext, s: Statement & { kind: "alloc" }): void {
  const layout = c.layouts.get(s.name)!
  const type = `array<${unitType(layout)}, ${Math.max(1, Math.ceil(s.size / layout.unit))}>`
  if (s.space === "shared") c.global(`var<workgroup> ${c.names.declare(s.name, true)}: ${type};`)
  else c.line(`var ${c.names.declare(s.name)}: ${type};`)
}

function printStore(c: BodyContext, s: Statement & { kind: "store" }): void {
  const layout = c.layouts.get(s.array)
  if (layout === undefined) throw fault(`'${s.array}' is neither a buffer nor an allocation`)
  const width = s.value.width
  if (movesWords(c, s, layout)) return
  const halves = lowered(c, s.value)
  const unit = Math.min(layout.unit, width)
  const index = unitIndex(lowered(c, s.offset)[0]!, unit)
  const several = width > unit || width === 8
  const texts = printed(c, [...halves, index], [...(several ? halves : []), ...(width > unit ? [index] : [])])
  const at = texts.pop()!
  const array = c.names.find(s.array)!
  const units = stored(c, layout, texts, width, unit)
  for (const [i, value] of units.entries()) {
    const place = `${array}[${i === 0 ? bare(at) : shifted(at, i)}]`
    c.line(`${place} = ${bare(value)};`)
  }
}

/** Stores of halves as they are read: words are moved, and no value is made of them. */
function movesWords(c: BodyContext, { array, offset, value }: Statement & { kind: "store" }, to: ArrayLayout): boolean {
  if (value.kind !== "fetch" || !packed(to.storage)) return false
  const from = c.layouts.get(value.array)
  const unit = Math.min(to.unit, value.width)
  if (from?.storage !== to.storage || Math.min(from.unit, value.width) !== unit) return false
  const places = [offset, value.offset].map((x) => unitIndex(lowered(c, x)[0]!, unit))
  const [at, source] = printed(c, places, places) as [string, string]
  const place = (name: string, text: string, i: number) =>
    `${c.names.find(name)}[${i === 0 ? bare(text) : shifted(text, i)}]`
  for (let i = 0; i < value.width / unit; i++) c.line(`${place(array, at, i)} = ${place(value.array, source, i)};`)
  return true
}

/** The values of the units that a store of one or two vectors writes. */
function stored(c: BodyContext, layout: ArrayLayout, texts: readonly string[], width: number, unit: number): string[] {
  const each = Math.min(width, 4)
  if (packed(layout.storage)) {
    const pack = c.library.use(layout.storage === "bf16" ? "packBf16" : "packF16")
    const words = texts.flatMap((t) =>
      each === 2 ? [`${pack}(${bare(t)})`] : [`${pack}(${t}.xy)`, `${pack}(${t}.zw)`],
    )
    return grouped(words, unit / 2, (ws) => `${typeText("u32", ws.length)}(${ws.join(", ")})`)
  }
  const values = layout.dtype === "bool" ? texts.map((t) => truth(t, each)) : texts
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

/**
 * How each array lies in WGSL, from how the kernel touches it.
 *
 *   every access of 4 or 8 f32                → array<vec4<f32>>, indexed by unit = 4 elements
 *   a bf16 buffer read 8 at a time            → array<vec4<u32>>, a unit of 8 elements
 *   any access of a single element            → array<f32>; a bf16 buffer still has units of 2
 *   a shared array that lanes add to          → array<atomic<u32>>
 *   halves that matrices are loaded from      → array<f16>
 *
 * A bool is stored as u32. Offsets count elements; `unitIndex` turns one into an index of units.
 */
import { fault } from "../../../runtime/errors.js"
import { add, apply, isLiteral, literal, mul, sub } from "../../ir/expression.js"
import { type LoopKernel, packed, type Statement, type Storage } from "../../ir/loop.js"
import { everyStatement, expressionsOf } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"
import type { DType } from "../../ir/operations.js"
import { nodesOf } from "../../ir/query.js"
import { typeText } from "./types.js"

export interface ArrayLayout {
  readonly dtype: DType
  readonly storage: Storage
  /** Elements of one WGSL array element. */
  readonly unit: number
  /** Whether lanes add to elements: then all accesses are atomic. */
  readonly atomic?: boolean
  /** Whether halves are elements of their own: matrices are loaded from them. */
  readonly single?: boolean
}

/** Whether several halves are one word. */
export const inWords = ({ storage, single }: ArrayLayout): boolean => packed(storage) && single !== true

/** Layouts by name. */
export type Layouts = ReadonlyMap<string, ArrayLayout>

export function layoutOf(layouts: Layouts, array: string): ArrayLayout {
  const layout = layouts.get(array)
  if (layout === undefined) throw fault(`'${array}' is neither a buffer nor an allocation`)
  return layout
}

export function arrayLayouts(kernel: LoopKernel): Layouts {
  const statements = everyStatement(kernel.body)
  const narrowest = new Map<string, number>()
  const touch = (array: string, width: number) =>
    narrowest.set(array, Math.min(width, narrowest.get(array) ?? Number.POSITIVE_INFINITY))
  for (const s of statements) {
    if (s.kind === "store") touch(s.array, s.value.width)
    for (const x of nodesOf(expressionsOf(s), "fetch")) touch(x.array, x.width)
    if (s.kind === "fill") touch(s.from.array, 1)
    if (s.kind === "drain") touch(s.to.array, 1)
  }
  const layouts = new Map<string, ArrayLayout>()
  const added = addedTo(statements)
  const loaded = new Set(statements.flatMap((s) => (s.kind === "fill" ? [s.from.array] : [])))
  const place = (name: string, dtype: DType, storage: Storage) => {
    const width = narrowest.get(name) ?? 1
    if (loaded.has(name) && storage === "f16") {
      layouts.set(name, { dtype, storage, unit: 1, single: true })
      return
    }
    const unit = packed(storage) ? Math.max(2, width) : Math.min(4, width)
    layouts.set(name, { dtype, storage, unit, ...(added.has(name) ? { atomic: true } : {}) })
  }
  for (const b of kernel.buffers) place(b.name, packed(b.storage) ? "f32" : b.dtype, b.storage)
  for (const s of statements) if (s.kind === "alloc") place(s.name, s.dtype, s.storage ?? s.dtype)
  return layouts
}

const addedTo = (statements: readonly Statement[]) =>
  new Set(statements.flatMap((s) => (s.kind === "store" && s.adds === true ? [s.array] : [])))

/** The WGSL type of one unit. */
export function unitType(layout: ArrayLayout): string {
  const { dtype, storage, unit, atomic } = layout
  if (layout.single) return storage
  if (atomic) return `atomic<${typeText(dtype, 1)}>`
  if (packed(storage)) return typeText("u32", unit / 2)
  return typeText(dtype === "bool" ? "u32" : dtype, unit)
}

/** The index of the unit that starts at an offset, which is a multiple of it. */
export function unitIndex(offset: Expression, unit: number): Expression {
  if (unit === 1) return offset
  return quotient(offset, unit) ?? apply("shr", offset, literal(Math.log2(unit)))
}

/** x / d where the form of x shows that d divides it. */
function quotient(x: Expression, d: number): Expression | undefined {
  if (isLiteral(x)) return x.value % d === 0 ? literal(x.value / d) : undefined
  if (x.kind !== "operation" || x.args.length !== 2) return undefined
  const [a, b] = x.args as [Expression, Expression]
  if (x.operation === "mul") {
    const right = quotient(b, d)
    if (right !== undefined) return mul(a, right)
    const left = quotient(a, d)
    return left === undefined ? undefined : mul(left, b)
  }
  if (x.operation !== "add" && x.operation !== "sub") return undefined
  const left = quotient(a, d)
  const right = quotient(b, d)
  return left === undefined || right === undefined ? undefined : (x.operation === "add" ? add : sub)(left, right)
}

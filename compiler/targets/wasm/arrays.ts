/**
 * Where arrays live: buffers behind their parameter, allocations in locals or in the worker's scratch memory.
 *
 *   alloc acc f32[8] register;  acc[0 : 4] = …;  acc[4 : 4] = …        → two v128 locals: every access is at a literal offset
 *   alloc tile f32[256] shared; tile[k] = …                            → bytes 0 … 1023 of scratch
 *
 * Lanes run one after the other, so that shared arrays need no more than register arrays do. Scratch is a stack: scopes that do not overlap
 * share bytes.
 */
import { isLiteral, operands, variable, walk } from "../../ir/expression.js"
import { type LoopBuffer, type Statement, storageBytes } from "../../ir/loop.js"
import { everyStatement, expressionsOf } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"

export type Place =
  | {
      readonly kind: "memory"
      readonly base: Expression
      readonly at: number
      readonly bytes: 2 | 4
      /** Whether groups of eight lie as their vectors do: the even elements, then the odd ones. Nothing else but such vectors are read or written. */
      readonly apart: boolean
    }
  /** Elements are scalar locals, or lanes of v128 locals in groups of four. */
  | { readonly kind: "locals"; readonly vectors: boolean; readonly apart: boolean }

/** Elements of an allocation that may become locals: more would spill anyway. */
const mostLocals = 256

/** The local with the worker's scratch pointer, as a variable. */
const scratchPointer = variable("&scratch")
const bufferPointer = (name: string) => variable(`&${name}`)

export interface Placed {
  readonly places: ReadonlyMap<string, Place>
  /** Bytes of scratch memory. */
  readonly scratch: number
}

export function placeArrays(buffers: readonly LoopBuffer[], statements: readonly Statement[]): Placed {
  const places = new Map<string, Place>()
  for (const b of buffers) {
    const bytes = storageBytes(b.storage) as 2 | 4
    places.set(b.name, { kind: "memory", base: bufferPointer(b.name), at: 0, bytes, apart: false })
  }
  const inLocals = promotable(statements)
  const mixed = otherThanEights(statements)
  let most = 0
  const visit = (list: readonly Statement[], from: number): void => {
    let top = from
    for (const s of list) {
      if (s.kind === "alloc") {
        const vectors = inLocals.get(s.name)
        const apart = !mixed.has(s.name)
        if (vectors !== undefined) places.set(s.name, { kind: "locals", vectors, apart })
        else {
          const bytes = storageBytes(s.storage ?? s.dtype) as 2 | 4
          places.set(s.name, {
            kind: "memory",
            base: scratchPointer,
            at: top,
            bytes,
            apart: bytes === 4 && apart,
          })
          top += Math.ceil((s.size * bytes) / 16) * 16
          most = Math.max(most, top)
        }
      }
      if (s.kind === "for" || s.kind === "block" || s.kind === "if") visit(s.body, top)
      if (s.kind === "if") visit(s.otherwise, top)
    }
  }
  visit(statements, 0)
  return { places, scratch: most }
}

/** Allocations that are only accessed at literal offsets in range, and whether any access is a vector. */
function promotable(statements: readonly Statement[]): ReadonlyMap<string, boolean> {
  const sizes = new Map<string, number>()
  const vectors = new Map<string, boolean>()
  for (const s of everyStatement(statements))
    if (s.kind === "alloc" && s.storage === undefined && s.size <= mostLocals) {
      sizes.set(s.name, s.size)
      vectors.set(s.name, false)
    }
  eachAccess(statements, (array, offset, width) => {
    const size = sizes.get(array)
    if (size === undefined) return
    const ok = isLiteral(offset) && offset.value % width === 0 && offset.value >= 0 && offset.value + width <= size
    if (!ok) vectors.delete(array)
    else if (vectors.has(array)) vectors.set(array, vectors.get(array)! || width > 1)
  })
  return vectors
}

/** Arrays with an access that is no vector of eight. */
function otherThanEights(statements: readonly Statement[]): ReadonlySet<string> {
  const found = new Set<string>()
  eachAccess(statements, (array, _, width) => {
    if (width !== 8) found.add(array)
  })
  return found
}

/** Calls `see` with every access to an array. Reads that statements share are seen once. */
function eachAccess(
  statements: readonly Statement[],
  see: (array: string, offset: Expression, width: number) => void,
): void {
  const seen = new Set<Expression>()
  for (const s of everyStatement(statements)) {
    if (s.kind === "store") see(s.array, s.offset, s.value.width)
    for (const root of expressionsOf(s)) walk(root, (x) => x.kind === "fetch" && see(x.array, x.offset, x.width), seen)
  }
}

/** The operands of a node as the emitter needs them: locals have no address, and a shift's amount or a select's condition may be a scalar. */
export function emittedOperands(x: Expression, places: ReadonlyMap<string, Place>): readonly Expression[] {
  if (x.kind === "fetch") return places.get(x.array)!.kind === "locals" ? [] : [splitAddress(x.offset).address]
  if (x.kind !== "operation") return operands(x)
  const scalar = x.operation === "select" ? 0 : x.operation === "shl" || x.operation === "shr" ? 1 : -1
  return x.args.map((a, i) => (i === scalar && a.kind === "splat" ? a.of : a))
}

/** Immediate offsets stay below the reserved bytes at the start of memory, so that no address below a buffer wraps around. */
export const mostImmediate = 65535

/** address + a literal → the immediate offset apart. */
export function splitAddress(x: Expression): { readonly address: Expression; readonly immediate: number } {
  if (x.kind === "operation" && x.operation === "add") {
    const last = x.args[1]!
    if (isLiteral(last) && last.value >= 0 && last.value <= mostImmediate)
      return { address: x.args[0]!, immediate: last.value }
  }
  return { address: x, immediate: 0 }
}

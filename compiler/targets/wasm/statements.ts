/**
 * Statements as instructions. All kinds but loops, which are in `loops.ts`.
 *
 *   acc = acc + x · w[k]   →   local.get acc; …; f32x4.add; local.set acc
 *
 * A statement is a scope of values that read memory; the branches of an `if` are structures of their own.
 */
import { fault } from "../../../runtime/errors.js"
import { isLiteral } from "../../ir/expression.js"
import type { Statement, StatementOf } from "../../ir/loop.js"
import { isJoint } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"
import { type Place, splitAddress } from "./arrays.js"
import type { Emission } from "./emission.js"
import { part } from "./expressions.js"
import { emitLoop, parameters } from "./loops.js"
import { isSumOfWords } from "./turns.js"
import { partsOf, typeOf } from "./values.js"

export function emitStatements(e: Emission, statements: readonly Statement[]): void {
  for (const s of statements) if (!e.hoisted.has(s)) emitStatement(e, s)
}

function emitStatement(e: Emission, s: Statement): void {
  const { code, values } = e
  if (isJoint(s)) throw notCore(s)
  switch (s.kind) {
    case "for":
      emitLoop(e, s)
      return
    case "if":
      values.within("statement", () => part(e, s.condition))
      code.if()
      values.within("structure", () => emitStatements(e, s.body))
      if (s.otherwise.length > 0) {
        code.else()
        values.within("structure", () => emitStatements(e, s.otherwise))
      }
      code.end()
      return
    case "block":
      emitStatements(e, s.body)
      return
    case "let":
    case "assign":
      values.within("statement", () => define(e, s))
      return
    case "alloc":
      allocate(e, s)
      return
    case "store":
      values.within("statement", () => store(e, s))
      return
    case "shuffle":
    case "barrier":
    case "prefetch":
    case "await":
    case "release":
      throw notCore(s)
    default:
      s satisfies never
  }
}

const notCore = ({ kind }: Statement) => fault(`'${kind}' is not in the core language`)

const parts = (x: Expression) => Array.from({ length: partsOf(x.width) }, (_, p) => p)

/** All parts are computed before the first is set: a part may read another of the old value. */
function define(e: Emission, s: StatementOf<"let" | "assign">): void {
  const product = s.kind === "assign" ? addedProduct(e, s) : undefined
  for (const p of parts(s.value)) {
    if (product === undefined) part(e, s.value, p)
    else {
      for (const factor of product) part(e, factor, p)
      e.code.multiplyAdd(() => e.code.get(e.variables.get(s.name)![p]!))
    }
  }
  if (s.kind === "let") {
    const type = typeOf(s.value.dtype, s.value.width)
    e.variables.set(
      s.name,
      parts(s.value).map(() => e.values.local(type, "structure")),
    )
  }
  for (const local of e.variables.get(s.name)!.toReversed()) e.code.set(local)
  if (e.aside !== undefined && isSumOfWords(s))
    e.code.get(parameters.scratch).get(e.variables.get(s.name)![0]!).memory("v128.store", e.aside)
}

/** The factors of a vector that is added to the variable itself: sums of products may be contracted, other values are as they are written. */
function addedProduct(e: Emission, { name, value }: StatementOf<"assign">): readonly Expression[] | undefined {
  if (value.kind !== "operation" || value.operation !== "add" || value.dtype !== "f32" || value.width === 1)
    return undefined
  const [a, b] = value.args as [Expression, Expression]
  const product =
    a.kind === "variable" && a.name === name ? b : b.kind === "variable" && b.name === name ? a : undefined
  if (product?.kind !== "operation" || product.operation !== "mul" || (e.uses.get(product) ?? 0) > 1) return undefined
  return (e.uses.get(value) ?? 0) > 1 || e.values.find(product, 0) !== undefined ? undefined : product.args
}

function allocate(e: Emission, s: StatementOf<"alloc">): void {
  const place = e.places.get(s.name)!
  if (place.kind !== "locals") return
  const [count, type] = place.vectors ? [Math.ceil(s.size / 4), "v128" as const] : [s.size, typeOf(s.dtype, 1)]
  e.slots.set(
    s.name,
    Array.from({ length: count }, () => e.values.local(type, "structure")),
  )
}

function store(e: Emission, s: StatementOf<"store">): void {
  const { code } = e
  const place = e.places.get(s.array)!
  const { value } = s
  const { dtype, width } = value
  if (width === 8) {
    storeEight(e, s, place)
    return
  }
  if (place.kind === "locals") {
    storeLocal(e, s, place.vectors)
    return
  }
  const { address, immediate: at } = splitAddress(s.offset)
  part(e, address)
  part(e, value)
  if (place.bytes === 2) {
    if (width === 1) code.memory("i32.store16", at)
    else {
      const halves = e.values.local("v128")
      code.tee(halves).get(halves).op("i16x8.narrow_i32x4_u")
      code.memory(width === 2 ? "v128.store32_lane" : "v128.store64_lane", at, 0)
    }
  } else if (width === 1) code.memory(dtype === "f32" ? "f32.store" : "i32.store", at)
  else {
    if (dtype === "bool") code.integers([1, 1, 1, 1]).op("v128.and")
    if (width === 2) code.memory("v128.store64_lane", at, 0)
    else code.memory("v128.store", at)
  }
}

/** The bytes of four lanes, even and odd ones in turns: the first four of eight, and the last. */
const firstBytes = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23]
const merge = [firstBytes, firstBytes.map((b) => b + 8)] as const

/** Both parts are read before the first is written. */
function storeEight(e: Emission, s: StatementOf<"store">, place: Place): void {
  const { code } = e
  const [even, odd] = [0, 1].map((p) => toLocal(e, s.value, p)) as [number, number]
  const half = (i: 0 | 1): void => {
    if (place.apart) code.get(i === 0 ? even : odd)
    else code.get(even).get(odd).shuffle(merge[i])
  }
  if (place.kind === "locals") {
    if (!isLiteral(s.offset)) throw fault(`'${s.array}' is in locals`)
    const slots = e.slots.get(s.array)!
    for (const i of [0, 1] as const) {
      half(i)
      code.set(slots[(s.offset.value >> 2) + i]!)
    }
    return
  }
  const { address, immediate } = splitAddress(s.offset)
  if (place.bytes === 2) {
    part(e, address)
    code.get(even).get(odd).integer(16).op("i32x4.shl", "v128.or").memory("v128.store", immediate)
    return
  }
  for (const i of [0, 1] as const) {
    part(e, address)
    half(i)
    if (s.value.dtype === "bool") code.integers([1, 1, 1, 1]).op("v128.and")
    code.memory("v128.store", immediate + 16 * i)
  }
}

function toLocal(e: Emission, x: Expression, p: number): number {
  const local = e.values.local("v128")
  part(e, x, p)
  e.code.set(local)
  return local
}

function storeLocal(e: Emission, s: StatementOf<"store">, vectors: boolean): void {
  const { code } = e
  if (!isLiteral(s.offset)) throw fault(`'${s.array}' is in locals`)
  const slots = e.slots.get(s.array)!
  const at = s.offset.value
  const slot = slots[at >> 2]!
  const { dtype, width } = s.value
  if (!vectors) {
    part(e, s.value)
    code.set(slots[at]!)
  } else if (width === 1) {
    code.get(slot)
    part(e, s.value)
    // Lanes of a bool are masks.
    if (dtype === "bool") code.integer(-1).op("i32.mul")
    code.lane(dtype === "f32" ? "f32x4.replace_lane" : "i32x4.replace_lane", at & 3).set(slot)
  } else if (width === 2) {
    const upper = at % 4 !== 0
    code.get(slot)
    part(e, s.value)
    const keep = upper ? [0, 1, 2, 3, 4, 5, 6, 7] : [8, 9, 10, 11, 12, 13, 14, 15]
    const take = [16, 17, 18, 19, 20, 21, 22, 23]
    code.shuffle(upper ? [...keep, ...take] : [...take, ...keep]).set(slot)
  } else {
    part(e, s.value)
    code.set(slot)
  }
}

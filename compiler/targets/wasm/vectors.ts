/**
 * Vectors that are known before a kernel runs, and what lanes have in common that are written one by one.
 *
 *   toU32(ramp4(0) · splat4(8))                                →   v128.const 0 8 16 24
 *   word >> [0, 8, 16, 24]                                     →   i8x16.swizzle: bytes are moved, for there is no shift of each lane by its own
 *   vector((a.0 + a.2) + (a.1 + a.3), …, (d.0 + d.2) + (d.1 + d.3))   →   three sums of vectors, of six shuffles
 */
import { add, isLiteral, lane } from "../../ir/expression.js"
import { memoized } from "../../ir/memoized.js"
import type { Expression } from "../../ir/nodes.js"
import { type Operation, operation } from "../../ir/operations.js"
import type { Emission } from "./emission.js"

/** Operations of integers by which lanes of constants become others. */
const followed: ReadonlySet<Operation> = new Set(["add", "sub", "mul", "shl", "bitand", "toU32", "toI32"])

/** The lanes of a vector of four integers, if they are constants. */
export const constantLanes: (x: Expression) => readonly number[] | undefined = memoized((x) => {
  if (x.width !== 4 || (x.dtype !== "i32" && x.dtype !== "u32")) return undefined
  if (x.kind === "splat" || x.kind === "ramp") {
    const step = x.kind === "ramp" ? 1 : 0
    const first = isLiteral(x.of) ? x.of.value : undefined
    return first === undefined ? undefined : four((i) => first + step * i)
  }
  if (x.kind !== "operation" || !followed.has(x.operation)) return undefined
  const args = x.args.map(constantLanes).filter((lanes) => lanes !== undefined)
  if (args.length < x.args.length) return undefined
  const { evaluate } = operation(x.operation)
  const { dtype } = x.args[0]!
  const wrapped = (v: number) => (x.dtype === "u32" ? v >>> 0 : v | 0)
  return four((i) => wrapped(evaluate(dtype, ...args.map((lanes) => lanes[i]!))))
}, new WeakMap())

const four = <T>(at: (i: number) => T): readonly T[] => [0, 1, 2, 3].map(at)

/** A shift of each lane to the right by whole bytes of its own; false where it is another. */
export function shiftedByBytes(e: Emission, [word, by]: readonly Expression[]): boolean {
  const bits = constantLanes(by!)
  if (bits === undefined || bits.some((n) => n % 8 !== 0 || n >= 32)) return false
  e.part(word!)
  const from = (i: number, byte: number) => (byte < 4 ? 4 * i + byte : noByte)
  e.code.sixteen(bits.flatMap((n, i) => four((byte) => from(i, byte + n / 8)))).op("i8x16.swizzle")
  return true
}

/** A place that no vector has: what is taken from there is 0. */
const noByte = 255

/** Numbers each of which sums up the lanes of a vector, as one vector; false where they are others. */
export function sumsOfLanes(e: Emission, args: readonly Expression[]): boolean {
  const vectors = args.flatMap(summedUp)
  if (args.length !== 4 || vectors.length !== 4) return false
  const sum = args[0]!.dtype === "f32" ? "f32x4.add" : "i32x4.add"
  const merged = ([a, b]: readonly number[], lower: readonly number[], upper: readonly number[]) =>
    e.code.get(a!).get(b!).shuffle(lower).get(a!).get(b!).shuffle(upper).op(sum)
  const locals = vectors.map((x) => {
    const local = e.values.local("v128")
    e.part(x)
    e.code.set(local)
    return local
  })
  for (const i of [0, 2]) {
    merged(locals.slice(i, i + 2), bytesOf(0, 4, 1, 5), bytesOf(2, 6, 3, 7))
    e.code.set(locals[i]!)
  }
  merged([locals[0]!, locals[2]!], bytesOf(0, 1, 4, 5), bytesOf(2, 3, 6, 7))
  return true
}

const bytesOf = (...lanes: readonly number[]) => lanes.flatMap((i) => four((byte) => 4 * i + byte))

/** The vector of four whose lanes, halves first, a number is the sum of. */
function summedUp(x: Expression): readonly Expression[] {
  const pair = x.kind === "operation" && x.operation === "add" ? x.args[0]! : undefined
  const first = pair?.kind === "operation" ? pair.args[0]! : undefined
  if (first?.kind !== "lane" || first.of.width !== 4) return []
  const at = (i: number) => lane(first.of, i)
  return x === add(add(at(0), at(2)), add(at(1), at(3))) ? [first.of] : []
}

/**
 * What the language's calls are given, checked where it arrives: names of axes, whole numbers, extents, numbers of a value type.
 *
 *   slice(x, "row", 0, 2.5)    →    model.ts:9:11 - the count of a slice is 2.5; it is a whole number from 0
 *
 * Types have caught the most; these are the numbers that TypeScript cannot see, and what comes through a cast. Each check returns the argument
 * as the compiler's own type, or throws a `Misuse`, which the trace reports at the line of the call.
 */
import type { Extent, ValueType } from "../../dsl/tracing.js"
import type { ErrorCode, Span } from "../../runtime/errors.js"
import { type Dim, literalExtent } from "../ir/dim.js"
import { literal } from "../ir/expression.js"
import type * as ir from "../ir/tensor.js"

/** A mistake of the author: the code of its diagnostic, what is wrong, and what to do. */
export class Misuse extends Error {
  readonly code: ErrorCode
  readonly hint: string
  constructor(code: ErrorCode, message: string, hint: string) {
    super(message)
    this.code = code
    this.hint = hint
  }
}

const kinds: ReadonlySet<string> = new Set<ir.Tensor["kind"]>([
  "input",
  "constant",
  "iota",
  "map",
  "reduce",
  "scan",
  "reindex",
  "gather",
  "update",
  "call",
])

/** Whether a value of a model's tree is a tensor (and not a specification, an extent or a plain object). */
export function isTensor(x: unknown): boolean {
  return (
    typeof x === "object" &&
    x !== null &&
    "axes" in x &&
    "dtype" in x &&
    "kind" in x &&
    kinds.has((x as { kind: string }).kind)
  )
}

const most = 2 ** 31 - 1

/** The innermost place that is the author's: a mistake is told at the call of a library function, not inside of it. */
export function authorSpan(spans: readonly (Span & { readonly library?: true })[]): Span | undefined {
  return spans.findLast(({ library }) => library !== true) ?? spans.at(-1)
}

/** How a value that is not what was expected is shown. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (typeof value === "bigint") return `${value}n`
  if (typeof value === "number" || value === undefined || value === null || typeof value === "boolean")
    return String(value)
  if (Array.isArray(value)) return "an array"
  return isTensor(value) ? "a tensor" : typeof value === "function" ? "a function" : "an object"
}

/** The name of an axis: any text that is not empty. */
export function axisName(value: unknown): string {
  if (typeof value === "string" && value !== "") return value
  throw new Misuse("trace/axis", `the name of an axis is ${shown(value)}; it is a text`, 'name it: "row"')
}

/** Names of axes, of which none occurs twice. */
export function distinctNames(values: readonly unknown[]): readonly string[] {
  const names = values.map(axisName)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new Misuse("trace/axis", `axis '${twice}' is named twice`, "name each axis once")
  return names
}

/** A list, where JavaScript lets anything pass. */
export function listOf(value: unknown, what: string): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw new Misuse("trace/argument", `${what} is ${shown(value)}; it is a list`, "write [ … ]")
}

/** A whole number of `least` … 2^31 − 1. `what` begins the sentence. */
export function wholeNumber(value: unknown, what: string, least: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value
  const range = least === -most ? "between −2^31 and 2^31" : `from ${least}`
  throw new Misuse(
    "trace/extent",
    `${what} is ${shown(value)}; it is a whole number ${range}`,
    "round it: Math.floor(…)",
  )
}

/** Refuses an axis of more elements than an i32 numbers; `count` is not rounded to one. */
export function checkCount(axis: string, count: number): void {
  if (count <= most) return
  throw new Misuse(
    "trace/extent",
    `axis '${axis}' would have ${count} elements, and ${most} is the most`,
    "make it shorter, or keep its parts as axes of their own",
  )
}

const isDim = (value: unknown): value is Dim =>
  typeof value === "object" &&
  value !== null &&
  ["literal", "symbol", "operation"].includes((value as { kind?: string }).kind ?? "") &&
  (value as { dtype?: string }).dtype === "i32"

/** An extent, or a place along an axis: a whole number from `least`, or a symbol. */
export function dimension(value: Extent | unknown, what: string, least = 0): Dim {
  if (!isDim(value)) return literal(wholeNumber(value, what, least))
  const known = literalExtent(value)
  if (known !== undefined) wholeNumber(known, what, least)
  return value
}

const limits = { i32: [-(2 ** 31), 2 ** 31 - 1], u32: [0, 2 ** 32 - 1] } as const

/** A number that `dtype` holds: an f32 rounds it, and is no decimal that would become infinite; an integer holds it as it is. */
export function numberOf(value: unknown, dtype: ValueType, what: string): number {
  const fail = (why: string, hint: string): never => {
    throw new Misuse("trace/number", `${what} is ${shown(value)}${why}`, hint)
  }
  if (typeof value !== "number") return fail("; it is a number", "convert it with Number(…)")
  if (dtype === "f32") {
    if (Number.isFinite(value) && !Number.isFinite(Math.fround(value)))
      return fail(", which is infinite as an f32", "an f32 goes up to 3.4028235e38")
    return value
  }
  const [least, largest] = dtype === "bool" ? ([0, 1] as const) : limits[dtype]
  if (Number.isInteger(value) && value >= least && value <= largest) return value
  return fail(
    `, which no ${dtype} is`,
    `an ${dtype} is a whole number of ${least} … ${largest}; round it, or write "f32"`,
  )
}

/** A value type by its name. */
export function valueType(value: unknown): ValueType {
  if (value === "f32" || value === "i32" || value === "u32" || value === "bool") return value
  throw new Misuse("trace/type", `the value type is ${shown(value)}`, 'it is "f32", "i32" or "u32"')
}

/** Numbers in an array-like. */
export function numbersOf(values: unknown, dtype: ValueType): ArrayLike<number> {
  const list = values as ArrayLike<number>
  const length = typeof values === "object" && values !== null ? list.length : undefined
  if (typeof length !== "number")
    throw new Misuse("trace/number", `the numbers of a constant are ${shown(values)}`, "give an array: [1, 2, 3]")
  for (let i = 0; i < length; i++) numberOf(list[i], dtype, `number ${i} of a constant`)
  return list
}

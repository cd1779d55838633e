/**
 * What the verifier of loops knows where it stands, and the rules of names and of expressions.
 *
 *   let x = 1; let y = x[0]      'x' is not an array, in: let y: i32 = x[0]
 */
import { isLiteral, print } from "../expression.js"
import type { LoopBuffer, LoopKernel, Statement } from "../loop.js"
import type { Expression } from "../nodes.js"
import type { DType } from "../operations.js"
import { printStatement } from "../print/loop.js"
import { touchProblem } from "./fragments.js"
import { type Assigned, type Likeness, likenessOf } from "./likeness.js"

export type LoopProblemCode =
  | "shape" /* grid and lane loops, and what may stand where */
  | "name" /* undeclared, or declared twice */
  | "dtype"
  | "width"
  | "node" /* an expression of another language */
  | "access" /* a store to a read-only buffer, an assignment to an immutable name */
  | "barrier" /* a barrier or shuffle under control flow that may differ between lanes */
  | "symbols" /* the kernel's list of symbols is not what its body uses */
  | "number" /* a literal that must be one, or a number out of its bounds */
  | "packed" /* a store of part of a 32-bit word */
  | "fragment" /* what lanes do together with fragments, or begin to copy, is not what the hardware does */
  | "early" /* what earlier launches may write is touched before they have ended */

export interface LoopProblem {
  readonly code: LoopProblemCode
  readonly message: string
}

/** What a name means where it is visible. */
export interface Meaning extends Likeness {
  readonly kind: "variable" | "array" | "arrivals"
  readonly dtype: DType
  readonly width: number
  /** May be assigned, or stored to. */
  readonly mutable: boolean
  /** Of an array: two elements share a 32-bit word. */
  readonly packed: boolean
  /** Of an array. */
  readonly made: LoopBuffer | (Statement & { kind: "alloc" }) | undefined
}

const widths = [1, 2, 4, 8]

/** One verification under way. */
export interface Check {
  readonly kernel: LoopKernel
  readonly singleHalves: boolean
  readonly problems: LoopProblem[]
  readonly names: Map<string, Meaning>
  readonly symbols: Set<string>
  /** What is known of integers that are assigned, by their declarations. */
  readonly assigned: Assigned
  /** Printed for a problem only: the text of a DAG may be long. */
  where: Statement | string
}

export function report(check: Check, code: LoopProblemCode, message: string): void {
  const place = typeof check.where === "string" ? check.where : printStatement(check.where)
  check.problems.push({ code, message: place === "" ? message : `${message}, in: ${place}` })
}

export function require(check: Check, holds: boolean, code: LoopProblemCode, message: () => string): void {
  if (!holds) report(check, code, message())
}

export const wholeNumber = (check: Check, what: string, x: number, least: number) =>
  require(check, Number.isInteger(x) && x >= least, "number", () =>
    `${what} is ${x}, not a whole number from ${least} on`)

export function declare(check: Check, name: string, meaning: Partial<Meaning> & Pick<Meaning, "kind" | "dtype">): void {
  require(check, !check.names.has(name), "name", () => `'${name}' is declared already`)
  check.names.set(name, {
    width: 1,
    mutable: false,
    alike: 1,
    lanes: undefined,
    packed: false,
    made: undefined,
    ...meaning,
  })
}

export function meaning(check: Check, name: string, kind: Meaning["kind"]): Meaning | undefined {
  const found = check.names.get(name)
  require(check, found !== undefined, "name", () => `'${name}' is not declared`)
  if (found !== undefined && found.kind !== kind) report(check, "name", `'${name}' is not ${articles[kind]}`)
  return found?.kind === kind ? found : undefined
}

export const alikeIn = (check: Check, x: Expression): Likeness => likenessOf(x, (name) => check.names.get(name))

export const size = (check: Check, what: string, x: Expression) =>
  require(check, x.dtype === "i32" && x.width === 1, "dtype", () => `${what} is ${typeName(x)}, not i32`)

export const index = (check: Check, what: string, x: Expression) =>
  require(check, isIndex(x), "dtype", () => `the offset into ${what} is ${typeName(x)}, not one integer`)

export const same = (check: Check, what: string, is: Typed, given: Typed) =>
  require(check, typeName(is) === typeName(given), is.dtype === given.dtype ? "width" : "dtype", () =>
    `${what} is ${typeName(is)}, not ${typeName(given)}`)

export function reportAll(check: Check, problems: readonly string[]): void {
  for (const problem of problems) report(check, "fragment", problem)
}

export function checkTouch(check: Check, array: string, width: number): void {
  const made = check.names.get(array)?.made
  const problem = made && touchProblem(made, width)
  if (problem !== undefined) report(check, "fragment", problem)
}

export function checkNode(check: Check, x: Expression): void {
  require(check, widths.includes(x.width), "width", () => `${print(x)} has ${x.width} lanes, not 1, 2, 4 or 8`)
  switch (x.kind) {
    case "literal":
      return
    case "symbol":
      check.symbols.add(x.name)
      return
    case "variable": {
      const found = meaning(check, x.name, "variable")
      if (found !== undefined) same(check, `'${x.name}'`, found, x)
      return
    }
    case "operation": {
      const mixed = x.args.some((a) => a.width !== x.width)
      require(check, !mixed, "width", () => `${x.operation} of ${x.args.map(typeName).join(", ")}; the widths differ`)
      const divisor = x.args[1]
      if ((x.operation === "floordiv" || x.operation === "floormod") && divisor !== undefined) {
        const by = divisor.kind === "splat" ? divisor.of : divisor
        require(check, isLiteral(by) && by.value > 0, "number", () =>
          `the divisor of ${print(x)} is not a positive literal`)
      }
      return
    }
    case "fetch": {
      const array = meaning(check, x.array, "array")
      index(check, x.array, x.offset)
      if (array !== undefined) same(check, `an element of ${x.array}`, array, { dtype: x.dtype, width: 1 })
      checkTouch(check, x.array, x.width)
      return
    }
    case "splat":
    case "ramp":
      require(check, x.of.width === 1, "width", () => `${x.kind} of ${typeName(x.of)}, which is a vector`)
      require(check, x.of.dtype === x.dtype, "dtype", () => `${x.kind} of ${typeName(x.of)}, not ${x.dtype}`)
      return
    case "lane":
      require(check, x.lane >= 0 && x.lane < x.of.width, "width", () => `lane ${x.lane} of ${typeName(x.of)}`)
      return
    case "vector": {
      const alike = x.args.every((a) => a.width === 1 && a.dtype === x.dtype)
      require(check, alike, "dtype", () =>
        `a vector of ${x.args.map(typeName).join(", ")}; all must be alike and scalar`)
      return
    }
    case "load":
    case "localRead":
    case "reduce":
    case "scan":
    case "component":
      return void report(check, "node", `${x.kind} is not of the loop language: ${print(x)}`)
    default:
      x satisfies never
  }
}

const articles = { variable: "a variable", array: "an array", arrivals: "a place where boxes arrive" }
const isIndex = (x: Expression) => (x.dtype === "i32" || x.dtype === "u32") && x.width === 1
type Typed = { readonly dtype: DType; readonly width: number }
export const typeName = (x: Typed) => (x.width === 1 ? x.dtype : `${x.dtype}x${x.width}`)

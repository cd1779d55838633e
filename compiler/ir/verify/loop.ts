/**
 * The rules of the loop language that its types do not express. Run between passes in test builds.
 *
 *   verifyLoop(kernel)   // [] or [{ code: "barrier", message: "a barrier under 'if (lane < 4)' …" }, …]
 *
 * Shape: one grid loop, in it shared arrays, immutable lets and one lane loop, in that all the rest. A name is declared before its use and means one
 * thing at a time: an inner scope may not hide an outer name, scopes side by side may repeat one. Dtypes and widths agree, operations do
 * not mix widths (`splat` does). A store to a packed storage covers whole 32-bit words. Barriers and shuffles stand under control flow that
 * is the same for all lanes of a workgroup: literals, symbols, the grid's variable, variables of such loops and `let`s of these; a fetch
 * counts as different for each lane.
 */
import { isLiteral, print, walk } from "../expression.js"
import { type LoopBuffer, type LoopKernel, packed, type Statement, storageType } from "../loop.js"
import { expressionsOf } from "../loop-visit.js"
import type { Expression } from "../nodes.js"
import type { DType } from "../operations.js"
import { printStatement } from "../print/loop.js"

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

export interface LoopProblem {
  readonly code: LoopProblemCode
  readonly message: string
}

/** What a name means where it is visible. */
interface Meaning {
  readonly kind: "variable" | "array"
  readonly dtype: DType
  readonly width: number
  /** May be assigned, or stored to. */
  readonly mutable: boolean
  /** The same in all lanes of a workgroup. */
  readonly uniform: boolean
  /** Of an array: two elements share a 32-bit word. */
  readonly packed: boolean
}

/** Where a statement stands. */
interface Place {
  readonly within: "kernel" | "grid" | "lane"
  readonly uniform: boolean
}

const widths = [1, 2, 4, 8]

/** The rules that a kernel breaks; none when it is well formed. */
export function verifyLoop(kernel: LoopKernel): readonly LoopProblem[] {
  const problems: LoopProblem[] = []
  const names = new Map<string, Meaning>()
  const symbols = new Set<string>()
  /** Printed for a problem only: the text of a DAG may be long. */
  let where: Statement | string = ""

  const report = (code: LoopProblemCode, message: string): void => {
    const place = typeof where === "string" ? where : printStatement(where)
    problems.push({ code, message: place === "" ? message : `${message}, in: ${place}` })
  }
  const require = (holds: boolean, code: LoopProblemCode, message: () => string) => {
    if (!holds) report(code, message())
  }
  const wholeNumber = (what: string, x: number, least: number) =>
    require(Number.isInteger(x) && x >= least, "number", () => `${what} is ${x}, not a whole number from ${least} on`)

  const declare = (name: string, meaning: Partial<Meaning> & Pick<Meaning, "kind" | "dtype">) => {
    require(!names.has(name), "name", () => `'${name}' is declared already`)
    names.set(name, { width: 1, mutable: false, uniform: false, packed: false, ...meaning })
  }
  const meaning = (name: string, kind: Meaning["kind"]): Meaning | undefined => {
    const found = names.get(name)
    require(found !== undefined, "name", () => `'${name}' is not declared`)
    if (found !== undefined && found.kind !== kind) report("name", `'${name}' is not ${articles[kind]}`)
    return found?.kind === kind ? found : undefined
  }
  const isUniform = (root: Expression): boolean => {
    let uniform = true
    walk(root, (x) => {
      if (x.kind === "fetch" || (x.kind === "variable" && !names.get(x.name)?.uniform)) uniform = false
    })
    return uniform
  }

  const checkNode = (x: Expression): void => {
    require(widths.includes(x.width), "width", () => `${print(x)} has ${x.width} lanes, not 1, 2, 4 or 8`)
    switch (x.kind) {
      case "literal":
        return
      case "symbol":
        symbols.add(x.name)
        return
      case "variable": {
        const found = meaning(x.name, "variable")
        if (found !== undefined) same(`'${x.name}'`, found, x)
        return
      }
      case "operation": {
        const mixed = x.args.some((a) => a.width !== x.width)
        require(!mixed, "width", () => `${x.operation} of ${x.args.map(typeName).join(", ")}; the widths differ`)
        const divisor = x.args[1]
        if ((x.operation === "floordiv" || x.operation === "floormod") && divisor !== undefined) {
          const by = divisor.kind === "splat" ? divisor.of : divisor
          require(isLiteral(by) && by.value > 0, "number", () => `the divisor of ${print(x)} is not a positive literal`)
        }
        return
      }
      case "fetch": {
        const array = meaning(x.array, "array")
        index(x.array, x.offset)
        if (array !== undefined) same(`an element of ${x.array}`, array, { dtype: x.dtype, width: 1 })
        return
      }
      case "splat":
      case "ramp":
        require(x.of.width === 1, "width", () => `${x.kind} of ${typeName(x.of)}, which is a vector`)
        require(x.of.dtype === x.dtype, "dtype", () => `${x.kind} of ${typeName(x.of)}, not ${x.dtype}`)
        return
      case "lane":
        require(x.lane >= 0 && x.lane < x.of.width, "width", () => `lane ${x.lane} of ${typeName(x.of)}`)
        return
      case "vector": {
        const alike = x.args.every((a) => a.width === 1 && a.dtype === x.dtype)
        require(alike, "dtype", () => `a vector of ${x.args.map(typeName).join(", ")}; all must be alike and scalar`)
        return
      }
      case "load":
      case "localRead":
      case "reduce":
      case "scan":
      case "component":
        return void report("node", `${x.kind} is not of the loop language: ${print(x)}`)
      default:
        x satisfies never
    }
  }

  const size = (what: string, x: Expression) =>
    require(x.dtype === "i32" && x.width === 1, "dtype", () => `${what} is ${typeName(x)}, not i32`)
  const index = (what: string, x: Expression) =>
    require(isIndex(x), "dtype", () => `the offset into ${what} is ${typeName(x)}, not one integer`)
  const same = (what: string, is: Typed, given: Typed) =>
    require(typeName(is) === typeName(given), is.dtype === given.dtype ? "width" : "dtype", () =>
      `${what} is ${typeName(is)}, not ${typeName(given)}`)
  const target = (name: string, offset: Expression, width: number): Meaning | undefined => {
    const array = meaning(name, "array")
    index(name, offset)
    if (array === undefined) return undefined
    require(array.mutable, "access", () => `${name} is read-only`)
    const whole = !array.packed || width % 2 === 0
    require(whole, "packed", () => `${name} holds two elements in a word, and one alone is stored`)
    return array
  }

  const checkScope = (body: readonly Statement[], place: Place): void => {
    const before = new Set(names.keys())
    for (const s of body) checkStatement(s, place)
    for (const name of names.keys()) if (!before.has(name)) names.delete(name)
  }

  const checkStatement = (s: Statement, place: Place): void => {
    where = s
    const seen = new Set<Expression>()
    for (const root of expressionsOf(s)) walk(root, checkNode, seen)
    const beside = (s.kind === "let" && !s.mutable) || (s.kind === "alloc" && s.space === "shared")
    const loop = s.kind === "for" ? { grid: "kernel", lane: "grid", serial: "lane", unroll: "lane" }[s.bind] : undefined
    const stands =
      loop === undefined ? place.within === "lane" || (place.within === "grid" && beside) : loop === place.within
    const misplaced = s.kind === "alloc" && s.space === "shared" && place.within === "lane"
    require(stands && !misplaced, "shape", () => `this may not stand ${places[place.within]}`)
    switch (s.kind) {
      case "for": {
        size("the extent", s.extent)
        const uniform = s.bind !== "lane" && isUniform(s.extent)
        if (s.bind === "unroll")
          require(isLiteral(s.extent), "number", () => "the extent of an unrolled loop is not a literal")
        if (s.bind === "lane")
          require(isLiteral(s.extent) && s.extent.value === kernel.threads, "shape", () =>
            `the lane loop does not have the kernel's ${kernel.threads} lanes`)
        declare(s.variable, { kind: "variable", dtype: "i32", uniform: uniform && place.uniform })
        const within = s.bind === "grid" ? "grid" : s.bind === "lane" ? "lane" : place.within
        checkScope(s.body, { within, uniform: place.uniform && (uniform || s.bind === "lane") })
        names.delete(s.variable)
        if (s.bind === "grid") checkSingle(s.body, "lane")
        return
      }
      case "if": {
        require(s.condition.dtype === "bool" && s.condition.width === 1, "dtype", () =>
          `the condition is ${typeName(s.condition)}, not bool`)
        const inside = { ...place, uniform: place.uniform && isUniform(s.condition) }
        checkScope(s.body, inside)
        checkScope(s.otherwise, inside)
        break
      }
      case "block":
        checkScope(s.body, place)
        break
      case "let": {
        const { name, mutable, value } = s
        const uniform = !mutable && isUniform(value)
        declare(name, { kind: "variable", dtype: value.dtype, width: value.width, mutable, uniform })
        break
      }
      case "assign": {
        const found = meaning(s.name, "variable")
        if (found === undefined) return
        require(found.mutable, "access", () => `'${s.name}' is not mutable`)
        same(`'${s.name}'`, found, s.value)
        break
      }
      case "alloc":
        wholeNumber("the size", s.size, 1)
        require(s.storage === undefined || s.dtype === "f32", "dtype", () =>
          `${s.name} is ${s.dtype}, which ${s.storage} does not hold`)
        declare(s.name, {
          kind: "array",
          dtype: s.dtype,
          mutable: true,
          packed: s.storage !== undefined,
        })
        break
      case "store": {
        const array = target(s.array, s.offset, s.value.width)
        if (array !== undefined) same(`an element of ${s.array}`, array, { dtype: s.value.dtype, width: 1 })
        break
      }
      case "shuffle":
        wholeNumber("the mask", s.mask, 1)
        require(s.mask < kernel.threads, "number", () => `the mask is not below the ${kernel.threads} lanes`)
        require(place.uniform, "barrier", () => "a shuffle under control flow that may differ between lanes")
        declare(s.name, { kind: "variable", dtype: s.value.dtype, width: s.value.width })
        break
      case "barrier":
        require(place.uniform, "barrier", () => "a barrier under control flow that may differ between lanes")
        break
      default:
        s satisfies never
    }
  }

  const checkSingle = (body: readonly Statement[], bind: "grid" | "lane") => {
    where = `kernel ${kernel.name}`
    const found = body.filter((s) => s.kind === "for" && s.bind === bind).length
    require(found === 1, "shape", () => `${found} ${bind} loops instead of one`)
  }

  const checkBuffer = ({ name, dtype, storage, size: elements, access }: LoopBuffer) => {
    where = `buffer ${name}`
    require(storageType(storage) === dtype, "dtype", () => `${storage} does not hold ${dtype}`)
    size("the size", elements)
    declare(name, { kind: "array", dtype, mutable: access !== "read", packed: packed(storage) })
  }

  wholeNumber("the number of lanes", kernel.threads, 1)
  wholeNumber("the number of groups", kernel.groups, 1)
  for (const b of kernel.buffers) checkBuffer(b)
  checkScope(kernel.body, { within: "kernel", uniform: true })
  checkSingle(kernel.body, "grid")
  const [used, listed] = [[...symbols].sort().join(" "), kernel.symbols.join(" ")]
  where = ""
  require(used === listed, "symbols", () => `the body uses the symbols [${used}], the kernel lists [${listed}]`)
  return problems
}

const articles = { variable: "a variable", array: "an array" }
const places = {
  kernel: "outside of the grid loop",
  grid: "between the grid loop and the lane loop",
  lane: "in the lane loop",
}
const isIndex = (x: Expression) => (x.dtype === "i32" || x.dtype === "u32") && x.width === 1
type Typed = { readonly dtype: DType; readonly width: number }
const typeName = (x: Typed) => (x.width === 1 ? x.dtype : `${x.dtype}x${x.width}`)

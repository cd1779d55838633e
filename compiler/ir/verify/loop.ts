/**
 * The rules of the loop language that its types do not express. Run between passes in test builds.
 *
 *   verifyLoop(kernel)   // [] or [{ code: "barrier", message: "a barrier under 'if (lane < 4)' …" }, …]
 *
 * Shape: one grid loop, in it shared arrays, immutable lets and one lane loop, in that all the rest; or shared arrays and one lane loop, in that a
 * prologue, which stores to no buffer, and at its end one grid loop, in that shared arrays and all the rest. A name is declared before its use and means one
 * thing at a time: an inner scope may not hide an outer name, scopes side by side may repeat one. Dtypes and widths agree, operations do
 * not mix widths (`splat` does). A store to a packed storage covers whole 32-bit words, but on machines that store single halves. Barriers and shuffles stand under control flow that
 * is the same for all lanes of a workgroup: literals, symbols, its number, the grid's variable, variables of such loops and `let`s of these; a fetch
 * counts as different for each lane. What a group does together (fragments.ts) stands where it is the same for the group.
 */
import { isLiteral, print, walk } from "../expression.js"
import { type LoopBuffer, type LoopKernel, packed, type Statement, storageType, workgroupNames } from "../loop.js"
import { expressionsOf } from "../loop-visit.js"
import type { TileOptions } from "../machine.js"
import type { Expression } from "../nodes.js"
import type { DType } from "../operations.js"
import { printStatement } from "../print/loop.js"
import { earlyProblems } from "./early.js"
import { type Around, allocProblems, fragmentProblems, touchProblem } from "./fragments.js"
import { type Assigned, all, type Likeness, laneNumber, likenessOf, newAssigned } from "./likeness.js"

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
interface Meaning extends Likeness {
  readonly kind: "variable" | "array"
  readonly dtype: DType
  readonly width: number
  /** May be assigned, or stored to. */
  readonly mutable: boolean
  /** Of an array: two elements share a 32-bit word. */
  readonly packed: boolean
  /** Of an array. */
  readonly made: LoopBuffer | (Statement & { kind: "alloc" }) | undefined
}

/** Where a statement stands. */
interface Place {
  /** In nothing, in the grid loop only, in the lane loop only, in both. */
  readonly within: "kernel" | "grid" | "prologue" | "lane"
  /** Directly in the innermost of these. */
  readonly direct: boolean
  /** Lanes of aligned groups that come here together. */
  readonly alike: number
}

const widths = [1, 2, 4, 8]

/** One verification under way. */
interface Check {
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

/** The rules that a kernel breaks; none when it is well formed on such a machine. */
export function verifyLoop(kernel: LoopKernel, machine: Capabilities = {}): readonly LoopProblem[] {
  const assigned = newAssigned()
  // What is assigned counts as the same for all lanes until something else is found.
  for (;;) {
    const problems = problemsOf(kernel, machine, assigned)
    if (!assigned.changed()) return problems
  }
}

type Capabilities = Pick<TileOptions, "singleHalves">

function problemsOf(
  kernel: LoopKernel,
  { singleHalves = false }: Capabilities,
  assigned: Assigned,
): readonly LoopProblem[] {
  const check: Check = { kernel, singleHalves, problems: [], names: new Map(), symbols: new Set(), assigned, where: "" }
  wholeNumber(check, "the number of threads", kernel.threads, 1)
  wholeNumber(check, "the number of groups", kernel.groups, 1)
  for (const b of kernel.buffers) checkBuffer(check, b)
  for (const name of workgroupNames) declare(check, name, { kind: "variable", dtype: "i32", alike: all })
  checkScope(check, kernel.body, { within: "kernel", direct: true, alike: all })
  checkSingle(check, kernel.body, hasPrologue(kernel.body) ? "lane" : "grid")
  check.where = ""
  for (const problem of earlyProblems(kernel)) report(check, "early", problem)
  const [used, listed] = [[...check.symbols].sort().join(" "), kernel.symbols.join(" ")]
  check.where = ""
  require(check, used === listed, "symbols", () => `the body uses the symbols [${used}], the kernel lists [${listed}]`)
  return check.problems
}

function report(check: Check, code: LoopProblemCode, message: string): void {
  const place = typeof check.where === "string" ? check.where : printStatement(check.where)
  check.problems.push({ code, message: place === "" ? message : `${message}, in: ${place}` })
}

function require(check: Check, holds: boolean, code: LoopProblemCode, message: () => string): void {
  if (!holds) report(check, code, message())
}

const wholeNumber = (check: Check, what: string, x: number, least: number) =>
  require(check, Number.isInteger(x) && x >= least, "number", () =>
    `${what} is ${x}, not a whole number from ${least} on`)

function declare(check: Check, name: string, meaning: Partial<Meaning> & Pick<Meaning, "kind" | "dtype">): void {
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

function meaning(check: Check, name: string, kind: Meaning["kind"]): Meaning | undefined {
  const found = check.names.get(name)
  require(check, found !== undefined, "name", () => `'${name}' is not declared`)
  if (found !== undefined && found.kind !== kind) report(check, "name", `'${name}' is not ${articles[kind]}`)
  return found?.kind === kind ? found : undefined
}

const alikeIn = (check: Check, x: Expression): Likeness => likenessOf(x, (name) => check.names.get(name))

const size = (check: Check, what: string, x: Expression) =>
  require(check, x.dtype === "i32" && x.width === 1, "dtype", () => `${what} is ${typeName(x)}, not i32`)

const index = (check: Check, what: string, x: Expression) =>
  require(check, isIndex(x), "dtype", () => `the offset into ${what} is ${typeName(x)}, not one integer`)

const same = (check: Check, what: string, is: Typed, given: Typed) =>
  require(check, typeName(is) === typeName(given), is.dtype === given.dtype ? "width" : "dtype", () =>
    `${what} is ${typeName(is)}, not ${typeName(given)}`)

function reportAll(check: Check, problems: readonly string[]): void {
  for (const problem of problems) report(check, "fragment", problem)
}

function checkTouch(check: Check, array: string, width: number): void {
  const made = check.names.get(array)?.made
  const problem = made && touchProblem(made, width)
  if (problem !== undefined) report(check, "fragment", problem)
}

const around = (check: Check, { alike }: Place): Around => ({
  threads: check.kernel.threads,
  alike,
  alikeOf: (x) => alikeIn(check, x).alike,
  arrayOf: (name) => meaning(check, name, "array")?.made,
})

function target(check: Check, name: string, offset: Expression, width: number): Meaning | undefined {
  const array = meaning(check, name, "array")
  index(check, name, offset)
  if (array === undefined) return undefined
  require(check, array.mutable, "access", () => `${name} is read-only`)
  const whole = !array.packed || width % 2 === 0 || check.singleHalves
  require(check, whole, "packed", () => `${name} holds two elements in a word, and one alone is stored`)
  return array
}

function checkNode(check: Check, x: Expression): void {
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

function checkScope(check: Check, body: readonly Statement[], place: Place): void {
  const before = new Set(check.names.keys())
  for (const s of body) checkStatement(check, s, place)
  for (const name of check.names.keys()) if (!before.has(name)) check.names.delete(name)
}

function checkFor(check: Check, s: Extract<Statement, { kind: "for" }>, place: Place): void {
  size(check, "the extent", s.extent)
  const own = s.bind === "lane" ? { alike: all } : alikeIn(check, s.extent)
  const alike = Math.min(place.alike, own.alike)
  if (s.bind === "unroll")
    require(check, isLiteral(s.extent), "number", () => "the extent of an unrolled loop is not a literal")
  if (s.bind === "lane")
    require(check, isLiteral(s.extent) && s.extent.value === check.kernel.threads, "shape", () =>
      `the lane loop does not have the kernel's ${check.kernel.threads} threads`)
  const number = s.bind === "lane" ? laneNumber : { alike }
  declare(check, s.variable, { kind: "variable", dtype: "i32", ...number })
  const outer = s.bind === "grid" || s.bind === "lane"
  const within = outer
    ? place.within === "kernel" && s.bind === "grid"
      ? "grid"
      : inLanes(place, s.bind)
    : place.within
  checkScope(check, s.body, { within, direct: outer, alike })
  check.names.delete(s.variable)
  if (outer && (within === "grid" || within === "prologue"))
    checkSingle(check, s.body, within === "grid" ? "lane" : "grid")
}

/** What the body of a lane loop, or of a grid loop in one, is within. */
const inLanes = ({ within }: Place, bind: "grid" | "lane") =>
  within === "kernel" && bind === "lane" ? "prologue" : "lane"

const hasPrologue = (body: readonly Statement[]): boolean => body.some((s) => s.kind === "for" && s.bind === "lane")

function mayStand({ kernel }: Check, s: Statement, { within, direct }: Place): boolean {
  const prologue = hasPrologue(kernel.body)
  if (s.kind === "for") {
    if (s.bind === "grid") return direct && within === (prologue ? "prologue" : "kernel")
    if (s.bind === "lane") return direct && within === (prologue ? "kernel" : "grid")
    return within === "lane" || within === "prologue"
  }
  if (s.kind === "alloc" && s.space === "shared")
    return direct && (prologue ? within === "kernel" || within === "lane" : within === "grid")
  if (s.kind === "await" || s.kind === "release") return direct && within === (prologue ? "prologue" : "lane")
  if (within === "lane" || within === "prologue") return true
  return within === "grid" && s.kind === "let" && !s.mutable
}

function checkStatement(check: Check, s: Statement, place: Place): void {
  check.where = s
  const seen = new Set<Expression>()
  for (const root of expressionsOf(s)) walk(root, (x) => checkNode(check, x), seen)
  require(check, mayStand(check, s, place), "shape", () => `this may not stand ${places[place.within]}`)
  switch (s.kind) {
    case "for":
      checkFor(check, s, place)
      break
    case "if": {
      require(check, s.condition.dtype === "bool" && s.condition.width === 1, "dtype", () =>
        `the condition is ${typeName(s.condition)}, not bool`)
      const inside = { ...place, direct: false, alike: Math.min(place.alike, alikeIn(check, s.condition).alike) }
      checkScope(check, s.body, inside)
      checkScope(check, s.otherwise, inside)
      break
    }
    case "block":
      checkScope(check, s.body, { ...place, direct: false })
      break
    case "let": {
      const { name, mutable, value } = s
      const likeness = alikeIn(check, value)
      const own = mutable ? { alike: check.assigned.alikeOf(s, Math.min(place.alike, likeness.alike)) } : likeness
      declare(check, name, { kind: "variable", dtype: value.dtype, width: value.width, mutable, ...own })
      break
    }
    case "assign": {
      const found = meaning(check, s.name, "variable")
      if (found === undefined) return
      require(check, found.mutable, "access", () => `'${s.name}' is not mutable`)
      same(check, `'${s.name}'`, found, s.value)
      check.assigned.assign(s.name, Math.min(place.alike, alikeIn(check, s.value).alike))
      break
    }
    case "alloc":
      wholeNumber(check, "the size", s.size, 1)
      require(check, s.storage === undefined || s.dtype === "f32", "dtype", () =>
        `${s.name} is ${s.dtype}, which ${s.storage} does not hold`)
      declare(check, s.name, {
        kind: "array",
        dtype: s.dtype,
        mutable: true,
        packed: s.storage !== undefined,
        made: s,
      })
      reportAll(check, allocProblems(s))
      break
    case "store": {
      const array = target(check, s.array, s.offset, s.value.width)
      if (array !== undefined) same(check, `an element of ${s.array}`, array, { dtype: s.value.dtype, width: 1 })
      checkTouch(check, s.array, s.value.width)
      const early = place.within === "prologue" && check.kernel.buffers.some((b) => b.name === s.array)
      require(check, !early, "access", () => "every workgroup would store this, before its cells")
      break
    }
    case "shuffle":
      wholeNumber(check, "the mask", s.mask, 1)
      require(check, s.mask < check.kernel.threads, "number", () =>
        `the mask is not below the ${check.kernel.threads} threads`)
      require(check, place.alike === all, "barrier", () => "a shuffle under control flow that may differ between lanes")
      declare(check, s.name, { kind: "variable", dtype: s.value.dtype, width: s.value.width })
      break
    case "prefetch": {
      meaning(check, s.array, "array")
      index(check, s.array, s.offset)
      const asked = check.kernel.buffers.some((b) => b.name === s.array)
      require(check, asked, "access", () => `${s.array} is no buffer, and is asked for`)
      break
    }
    case "await":
    case "release":
      break
    case "multiply":
    case "fill":
    case "drain":
    case "copy":
    case "commit":
    case "wait":
      reportAll(check, fragmentProblems(s, around(check, place)))
      break
    case "barrier":
      require(check, place.alike === all, "barrier", () => "a barrier under control flow that may differ between lanes")
      break
    default:
      s satisfies never
  }
}

function checkSingle(check: Check, body: readonly Statement[], bind: "grid" | "lane"): void {
  check.where = `kernel ${check.kernel.name}`
  const found = body.filter((s) => s.kind === "for" && s.bind === bind).length
  require(check, found === 1, "shape", () => `${found} ${bind} loops instead of one`)
  const last = body.at(-1)
  const ends = bind === "lane" || !hasPrologue(check.kernel.body) || (last?.kind === "for" && last.bind === "grid")
  require(check, ends, "shape", () => "something follows the grid loop")
}

function checkBuffer(check: Check, made: LoopBuffer): void {
  const { name, dtype, storage, size: elements, access } = made
  check.where = `buffer ${name}`
  require(check, storageType(storage) === dtype, "dtype", () => `${storage} does not hold ${dtype}`)
  size(check, "the size", elements)
  declare(check, name, { kind: "array", dtype, mutable: access !== "read", packed: packed(storage), made })
}

const articles = { variable: "a variable", array: "an array" }
const places = {
  kernel: "outside of the grid loop",
  grid: "between the grid loop and the lane loop",
  prologue: "in front of the grid loop",
  lane: "in the lane loop",
}
const isIndex = (x: Expression) => (x.dtype === "i32" || x.dtype === "u32") && x.width === 1
type Typed = { readonly dtype: DType; readonly width: number }
const typeName = (x: Typed) => (x.width === 1 ? x.dtype : `${x.dtype}x${x.width}`)

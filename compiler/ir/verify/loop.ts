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
import { isLiteral, walk } from "../expression.js"
import { type LoopBuffer, type LoopKernel, packed, type Statement, storageType, workgroupNames } from "../loop.js"
import { expressionsOf, isJoint } from "../loop-visit.js"
import type { TileOptions } from "../machine.js"
import type { Expression } from "../nodes.js"
import {
  alikeIn,
  type Check,
  checkNode,
  checkTouch,
  declare,
  index,
  type LoopProblem,
  type Meaning,
  meaning,
  report,
  reportAll,
  require,
  same,
  size,
  typeName,
  wholeNumber,
} from "./check.js"
import { earlyProblems } from "./early.js"
import { allocProblems, fragmentProblems } from "./fragments.js"
import { type Around, type Assigned, all, laneNumber, newAssigned } from "./likeness.js"

export type { LoopProblem, LoopProblemCode } from "./check.js"

/** Where a statement stands. */
interface Place {
  /** In nothing, in the grid loop only, in the lane loop only, in both. */
  readonly within: "kernel" | "grid" | "prologue" | "lane"
  /** Directly in the innermost of these. */
  readonly direct: boolean
  /** Lanes of aligned groups that come here together. */
  readonly alike: number
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

function target(check: Check, name: string, offset: Expression, width: number): Meaning | undefined {
  const array = meaning(check, name, "array")
  index(check, name, offset)
  if (array === undefined) return undefined
  require(check, array.mutable, "access", () => `${name} is read-only`)
  const whole = !array.packed || width % 2 === 0 || check.singleHalves
  require(check, whole, "packed", () => `${name} holds two elements in a word, and one alone is stored`)
  return array
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
  if (isJoint(s)) {
    if (s.kind === "arrivals") declare(check, s.name, { kind: "arrivals", dtype: "i32" })
    if (s.kind === "copyBoxes" || s.kind === "arrived") meaning(check, s.arrivals, "arrivals")
    reportAll(check, fragmentProblems(s, around(check, place)))
    return
  }
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
      if (s.adds === true) {
        const { dtype, width } = s.value
        require(check, (dtype === "i32" || dtype === "u32") && width === 1, "dtype", () =>
          `${typeName(s.value)} is added by lanes in any order, which is for single integers`)
        const made = array?.made
        const isShared = made === undefined || ("space" in made && made.space === "shared")
        require(check, isShared, "access", () => `lanes add to ${s.array}, which is no shared array`)
      }
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

const places = {
  kernel: "outside of the grid loop",
  grid: "between the grid loop and the lane loop",
  prologue: "in front of the grid loop",
  lane: "in the lane loop",
}
const around = (check: Check, { alike }: Place): Around => ({
  threads: check.kernel.threads,
  alike,
  alikeOf: (x) => alikeIn(check, x).alike,
  arrayOf: (name) => meaning(check, name, "array")?.made,
})

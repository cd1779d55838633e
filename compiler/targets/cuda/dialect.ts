/**
 * CUDA as a dialect: arrays are pointers to their storage, vectors are structs of the prelude, and an access of any width is one cast and one
 * load. Shared arrays lie one behind the other in the block's pool.
 *
 *   store y[4i : 4] ← x[4i : 4] · 2   →   store(y + (i * 4), load<4>(x + (i * 4)) * splat<f32x4>(2.0f));
 */
import type { ArtifactMatrix } from "../../../runtime/artifact.js"
import { apply, isLiteral, operands, rewrite } from "../../ir/expression.js"
import { type HalvesWord, isHeldByHalves, wordOf } from "../../ir/fragments/held.js"
import { type LoopBuffer, type LoopKernel, packed, type Statement, type Storage, storageBytes } from "../../ir/loop.js"
import type { Expression, Fetch, Literal } from "../../ir/nodes.js"
import { expand } from "../expand.js"
import type { Context, Dialect } from "../text/dialect.js"
import { printed, spelled, unrolling } from "../text/expression.js"
import { argument, bare, literalText, shortest } from "../text/literals.js"
import { callOf } from "../text/operations.js"
import { countersOf } from "../text/signs.js"
import { type ArrayFacts, addressText, alignmentOf, arraysOf, factsOf, registersOf } from "./arrays.js"
import { createMatrices, printArrivals, printArrived, printBoxes } from "./boxes.js"
import { type Fragments, printDrain, printFill, printMultiply } from "./fragments.js"
import { hasFragments, isKept, isUnrolled, statementsOf, straight, unrollOf } from "./loops.js"
import { cudaOperations, lacking, typeText } from "./operations.js"
import { beginProducts, firstProducts, hasProducts, printCopy, printOrder, storesShared } from "./pending.js"
import { reserved } from "./words.js"

export const storedType = (storage: Storage): string => (storage === "bool" ? "truth" : storage)

/** Registers of a lane for arrays beyond which others are scarce: half of those that it may have. Counted. */
const many = 128

/** Bytes that the pool of shared memory is counted in. */
const poolUnit = 16

export interface CudaDialect extends Dialect {
  /** Bytes of all shared arrays that were declared. */
  readonly sharedBytes: () => number
  /** The parts of the prelude that the text calls functions of. */
  readonly parts: () => ReadonlySet<string>
  /** Matrices of which it copies boxes, by the names of parameters. */
  readonly matrices: () => ReadonlyMap<string, ArtifactMatrix>
}

export function cudaDialect(kernel: LoopKernel): CudaDialect {
  const arrays = arraysOf(kernel)
  const registers = new Set([...arrays].flatMap(([name, { space }]) => (space === "register" ? [name] : [])))
  const expansions = new Map<Expression, Expression>()
  let shared = 0
  const parts = new Set<string>()
  const known: Fragments = { kernel, arrays, use: (part) => parts.add(part) }
  const [isAtomic, isGoing] = [hasFragments(kernel), hasProducts(kernel)]
  const isScarce = registersOf(arrays) > many
  const isShown = isGoing && storesShared(kernel, arrays)
  const matrices = createMatrices(kernel)
  const places = new Map<string, number>()
  let cell = "0"
  const reserve = (bytes: number, unit: number): string => {
    const at = Math.ceil(shared / unit) * unit
    shared = at + Math.ceil(bytes / poolUnit) * poolUnit
    return `shared_pool + ${at / poolUnit}`
  }
  const first = firstProducts(kernel.body)
  return {
    reserved,
    helper: (stem) => ({ name: stem, text: "" }),
    literal: numberText,
    vector: (type, parts) => {
      const name = typeText(type.dtype, type.width)
      if (type.width === 1) return parts[0]!
      const list = parts.map(argument).join(", ")
      return parts.length === 1 ? `splat<${name}>(${list})` : `${name}{{${list}}}`
    },
    ramp: (width, of) => `ramp<${width}>(${argument(of)})`,
    lane: (text, lane) => `${text}.at[${lane}]`,
    operation: (context, x, given) => {
      const texts = given.map(({ text }) => text)
      const one = x.operation === "select" && x.width > 1 && x.args[0]!.width === 1
      if (one) return { text: `select(${texts.map(argument).join(", ")})` }
      return { text: cudaOperations[x.operation](callOf(context, x, texts)) }
    },
    operands,
    namesConstants: false,
    fetch: (context, x, offset) => fetchText(arrays.get(x.array)!, spelled(context, x.array), x, offset),
    repeatsOffset: () => false,
    lowered: (context, x) => [unrolling(context)(expand(x, lacking, expansions))],
    declaration: (name, type, value, mutable) =>
      `${mutable ? "" : "const "}${typeText(type.dtype, type.width)} ${name} = ${value};`,
    array: (s, name) => {
      const facts = factsOf(s)
      const [type, size] = [storedType(facts.storage), Math.max(1, s.size)]
      if (facts.pairs) known.use("pairs")
      if (facts.swizzle !== undefined) known.use("swizzled")
      if (facts.space === "aside") {
        known.use("aside")
        const own = `${name}_aside`
        return `alignas(16) ${type} ${own}[${size}]; ${type}* const ${name} = in_memory(${own});`
      }
      if (s.space === "register")
        return facts.pairs ? `${type}_pair ${name}[${size / 2}];` : `${type} ${name}[${size}];`
      return `${type}* const ${name} = (${type}*)(${reserve(size * storageBytes(facts.storage), alignmentOf(facts))});`
    },
    store: (context, s) => printStore(context, arrays, s),
    barrier: (context) => {
      // Products read what lanes stored only where it is shown to them.
      if (isShown) context.line("show_products();")
      context.line("barrier();")
    },
    early: (context, s) => {
      if (s.kind !== "prefetch") return context.line(`${s.kind}_launches();`)
      const [offset] = printed(context, context.dialect.lowered(context, s.offset))
      context.line(`prefetch(${spelled(context, s.array)} + ${offset});`)
    },
    before: (context, s) => {
      if (first.has(s)) beginProducts(context, known, s)
    },
    fragments: (context, s) => {
      switch (s.kind) {
        case "multiply":
          return printMultiply(context, known, s)
        case "fill":
          return printFill(context, known, s)
        case "drain":
          return printDrain(context, s)
        case "copy":
          return printCopy(context, known, s)
        case "arrivals":
          places.set(s.name, s.places)
          return printArrivals(context, known, s, { matrices, cell, reserve: (bytes) => reserve(bytes, poolUnit) })
        case "copyBoxes":
          return printBoxes(context, known, s, { places: places.get(s.arrivals)!, matrices })
        case "arrived":
          return printArrived(context, known, s, places.get(s.arrivals)!)
        case "commit":
        case "wait":
          return printOrder(context, known, s)
        default:
          return s satisfies never
      }
    },
    ...(isAtomic ? { counters: countersOf(kernel.body) } : {}),
    rolls: (s) => isAtomic && statementsOf(s) > straight,
    shuffle: (text, _, mask) => `exchange(${argument(text)}, ${mask})`,
    loop: ({ variable: i, start, limit, step }, s) => {
      if (s.bind === "grid") cell = i
      const whole = s.bind === "unroll" || isUnrolled(s, registers)
      const told = isKept(s) ? ["#pragma unroll 1"] : whole ? [unrollOf(s, registers, isScarce)] : []
      return [...told, `for (i32 ${i} = ${start}; ${i} < ${limit}; ${i} += ${step}) {`]
    },
    extent: (_, extent) => String(extent),
    // Where registers are scarce, what follows from it is not kept from cell to cell.
    laneNumber: isGoing && isScarce ? `lane_of_cell<${kernel.threads}>()` : "lane_number()",
    workgroup: "workgroup_number()",
    workgroups: "workgroup_count()",
    sharedBytes: () => shared,
    parts: () => parts,
    matrices: () => matrices.all,
  }
}

/** Whether an element is a value of C++ as it lies in memory. */
const isPlain = (storage: Storage): boolean => !packed(storage) && storage !== "bool"

function fetchText(facts: ArrayFacts, array: string, x: Fetch, offset: string): string {
  const { storage, space, steady, once, lines } = facts
  if (facts.pairs)
    return x.width === 1 ? `half_at(${array}, ${bare(offset)})` : `halves_at<${x.width}>(${array}, ${bare(offset)})`
  const from = addressText(facts, array, offset)
  const how = !once ? "Steady" : lines && x.width === 4 ? "OnceOfLine" : "Once"
  if (steady) return `load<${x.width === 1 ? "" : `${x.width}, `}${how}>(${from})`
  if (x.width === 1 && isPlain(storage)) return elementText(facts, array, offset)
  if (x.width === 1) return `load<Plain>(${from})`
  return space === "register" ? `gather<${x.width}>(${from})` : `load<${x.width}>(${from})`
}

/** An element that lies in memory as it is in C++. */
const elementText = (facts: ArrayFacts, array: string, offset: string): string =>
  facts.swizzle === undefined ? `${array}[${bare(offset)}]` : `*${addressText(facts, array, offset)}`

/** Whether values are stored in pairs of bf16 as they are: no bits of them are lost. */
function isJoined(c: Context, arrays: ReadonlyMap<string, ArrayFacts>, s: Statement & { kind: "store" }): boolean {
  const isHalf = (x: Expression): boolean => {
    const known = x.kind === "variable" ? c.definitions.get(x.name) : x
    if (known === undefined || known === x) return x.kind === "fetch" && arrays.get(x.array)!.storage === "bf16"
    return isHeldByHalves(known, isHalf)
  }
  const { pairs, storage } = arrays.get(s.array)!
  return pairs === true && storage === "bf16" && s.value.width > 1 && isHeldByHalves(s.value, isHalf)
}

function printStore(c: Context, arrays: ReadonlyMap<string, ArrayFacts>, s: Statement & { kind: "store" }): void {
  const facts = arrays.get(s.array)!
  const joined = isJoined(c, arrays, s)
  const word = joined ? wordOf(openedFields(c, s.value)) : undefined
  if (word !== undefined) {
    printWord(c, s, word)
    return
  }
  const roots = [s.value, s.offset].flatMap((x) => c.dialect.lowered(c, x))
  const [value, offset] = printed(c, roots) as [string, string]
  const array = spelled(c, s.array)
  const isOne = s.value.width === 1
  if (s.adds === true) c.line(`add_together(${addressText(facts, array, offset)}, ${bare(value)});`)
  else if (joined) c.line(`put_joined(${array}, ${bare(offset)}, ${argument(value)});`)
  else if (facts.pairs) c.line(`put_${isOne ? "half" : "halves"}(${array}, ${bare(offset)}, ${argument(value)});`)
  else if (isOne && isPlain(facts.storage)) c.line(`${elementText(facts, array, offset)} = ${bare(value)};`)
  else {
    const name = !isOne && facts.space === "register" ? "scatter" : "store"
    c.line(`${name}(${addressText(facts, array, offset)}, ${argument(value)});`)
  }
}

/** Words in place of the names of their later bits, which fields are taken from. */
const openedFields = (c: Context, value: Expression): Expression =>
  rewrite(value, (x) => {
    const known = x.kind === "variable" && x.dtype === "u32" ? c.definitions.get(x.name) : undefined
    const isPart = known?.kind === "operation" && known.operation === "shr" && isLiteral(known.args[1]!)
    return isPart ? known : undefined
  })

/** A word of two halves. */
function printWord(c: Context, { array, offset }: Statement & { kind: "store" }, { word, by, less }: HalvesWord): void {
  const [at] = printed(c, c.dialect.lowered(c, offset)) as [string]
  const text = wordText(c, word)
  const half = by === undefined ? 0 : halfBits(by)
  const value =
    by !== undefined
      ? `times_halves(${text}, 0x${(half * 65537).toString(16)}u)`
      : less !== undefined
        ? `less_halves(${text}, ${wordText(c, less)})`
        : text
  c.line(`put_word(${spelled(c, array)}, ${bare(at)}, ${value});`)
}

/** The bits of a bf16 that holds a number as it is. */
function halfBits(x: number): number {
  const bits = new DataView(new ArrayBuffer(4))
  bits.setFloat32(0, x)
  return bits.getUint16(0)
}

/** Fields of words among the bits of an exponent: one instruction each. */
function wordText(c: Context, word: Expression): string {
  const partsOf = (x: Expression): readonly Expression[] =>
    x.kind === "operation" && x.operation === "bitor" ? x.args.flatMap(partsOf) : [x]
  const maskOf = (x: Expression) => (x.kind === "operation" && x.operation === "bitand" ? x.args[1] : undefined)
  const isField = (x: Expression) => maskOf(x) !== undefined && isLiteral(maskOf(x)!)
  const text = (x: Expression) => bare(printed(c, c.dialect.lowered(c, x))[0]!)
  const parts = partsOf(word)
  const [fields, others] = [parts.filter(isField), parts.filter((x) => !isField(x))]
  const first = others.length > 0 ? others : fields.splice(0, 1)
  return fields.reduce(
    (rest, x) => {
      const [of, mask] = (x as { args: readonly Expression[] }).args as [Expression, Expression]
      return `among(${text(of)}, ${text(mask)}, ${rest})`
    },
    text(first.reduce((x, y) => apply("bitor", x, y))),
  )
}

function numberText(x: Literal): string {
  // The smallest integer has no literal of its own type.
  if (x.dtype === "i32" && x.value === -(2 ** 31)) return "(-2147483647 - 1)"
  return literalText(x, (value) => {
    if (Number.isNaN(value)) return "from_bits(0x7fc00000u)"
    if (!Number.isFinite(value)) return `from_bits(${value > 0 ? "0x7f800000u" : "0xff800000u"})`
    const digits = shortest(Math.abs(value))
    const text = `${/[.e]/.test(digits) ? digits : `${digits}.0`}f`
    return value < 0 || Object.is(value, -0) ? `(-${text})` : text
  })
}

/** The parameter of a buffer. */
export const parameterText = ({ storage, access }: LoopBuffer, name: string): string =>
  `${access === "read" ? "const " : ""}${storedType(storage)}* ${name}`

/** Every operation on every dtype at every width against the table: random and boundary values, many operations a kernel. */
import { add, apply, fetch, literal, mul, splat, variable } from "../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { type DType, type Operation, operation, operations, resultType, roundTo } from "../../compiler/ir/operations.js"

/** Elements of each column. */
export const count = 256
export const dtypes: readonly DType[] = ["f32", "i32", "u32", "bool"]
const widths = [1, 2, 4, 8]
const largest = 3.4028234663852886e38
const smallest = 2 ** -126

const boundary: Record<DType, readonly number[]> = {
  f32: [
    0,
    -0,
    1,
    -1,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    3.5,
    16777216,
    2147483520,
    2147483648,
    -2147483648,
    4294967040,
    4294967296,
    -3e9,
    1e20,
    largest,
    -largest,
    1.1754943508222875e-38,
    88,
    -87,
    1e-6,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    131072,
    16777215,
    262144.5,
    1e30,
    89,
    -104,
    smallest,
  ],
  i32: [0, 1, -1, 2, 31, 32, 33, -32, 2147483647, -2147483648, -2147483647, 65536, 46341],
  u32: [0, 1, 2, 31, 32, 33, 2147483647, 2147483648, 4294967295, 4294967294, 65536],
  bool: [0, 1],
}

let state = 12345
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return state / 4294967296
}
const drawn: Record<DType, () => number> = {
  f32: () => (random() < 0.5 ? (random() - 0.5) * 20 : (random() - 0.5) * 10 ** Math.floor(random() * 12 - 4)),
  i32: () => (random() < 0.5 ? Math.floor(random() * 200) - 100 : Math.floor(random() * 4294967296) | 0),
  u32: () => (random() < 0.5 ? Math.floor(random() * 200) : Math.floor(random() * 4294967296) >>> 0),
  bool: () => Number(random() < 0.5),
}
const column = (dtype: DType) =>
  Array.from({ length: count }, (_, i) => {
    const list = boundary[dtype]
    return roundTo(dtype, i % 2 === 0 ? list[Math.floor(random() * list.length)]! : drawn[dtype]())
  })
/** Three columns for each dtype; the first runs through all boundary values first. */
export const inputs = Object.fromEntries(
  dtypes.map((d) => [
    d,
    [[...boundary[d].map((x) => roundTo(d, x)), ...column(d)].slice(0, count), column(d), column(d)],
  ]),
) as Record<DType, number[][]>

export interface Case {
  readonly name: Operation
  readonly args: readonly DType[]
  readonly result: DType
  /** A literal second argument (divisors of indices). */
  readonly literal?: number
}
export const cases: readonly Case[] = (Object.keys(operations) as Operation[]).flatMap((name) =>
  operation(name).on.flatMap((dtype): Case[] => {
    const { arity, rule } = operation(name)
    const args = Array.from({ length: arity }, (_, i): DType => (rule === "select" && i === 0 ? "bool" : dtype))
    const result = resultType(name, args) as DType
    if (name === "floordiv" || name === "floormod")
      return [1, 3, 8, 1000].map((l) => ({ name, args, result, literal: l }))
    if (name === "shl" || name === "shr")
      return [
        { name, args, result },
        { name, args, result, literal: 35 },
      ]
    return [{ name, args, result }]
  }),
)

export interface Batch {
  readonly kernel: LoopKernel
  readonly cases: readonly Case[]
  readonly dtype: DType
  readonly width: number
}

/**
 * Iteration g of the grid stores case g: memory accesses are what a software adapter compiles slowly, so a kernel reads its arguments once,
 * computes all cases, selects one and stores its bits.
 */
function batchOf(dtype: DType, width: number, group: readonly Case[], number: number): Batch {
  const place = mul(variable("l"), literal(width))
  const argument = (type: DType, k: number) => variable(`${type}${k}`, type, width)
  const read = (type: DType, k: number): Statement => ({
    kind: "let",
    name: `${type}${k}`,
    value: fetch(`in_${type}`, add(place, literal(k * count)), type, width),
    mutable: false,
  })
  const found = variable("found", "u32", width)
  const computed = group.map((c, g): Statement => {
    const args = c.args.map((type, k) =>
      k === 1 && c.literal !== undefined ? literal(c.literal, type) : argument(type, k),
    )
    const value = apply(c.name, ...args)
    const bits = c.result === "u32" ? value : apply(c.result === "f32" ? "bits" : "toU32", value)
    const chosen = apply("eq", variable("g"), literal(g))
    return { kind: "assign", name: "found", value: apply("select", chosen, bits, found) }
  })
  const bools = group.some((c) => c.name === "select") && dtype !== "bool"
  const body: Statement[] = [
    ...[0, 1, 2].map((k) => read(dtype, k)),
    ...(bools ? [read("bool", 0)] : []),
    { kind: "let", name: "found", value: splat(literal(0, "u32"), width), mutable: true },
    ...computed,
    { kind: "store", array: "out", offset: add(mul(variable("g"), literal(count)), place), value: found },
  ]
  const inside = apply("lt", variable("l"), literal(count / width))
  const guarded: Statement = { kind: "if", condition: inside, body, otherwise: [] }
  const lane: Statement = { kind: "for", variable: "l", extent: literal(count), bind: "lane", body: [guarded] }
  const grid: Statement = { kind: "for", variable: "g", extent: literal(group.length), bind: "grid", body: [lane] }
  const buffer = (name: string, type: DType, access: "read" | "write"): LoopBuffer => ({
    name,
    dtype: type,
    storage: type,
    size: literal(count),
    access,
  })
  const buffers = [...dtypes.map((d) => buffer(`in_${d}`, d, "read")), buffer("out", "u32", "write")]
  const name = `operations ${dtype} ${width} ${number}`
  const kernel = { name, buffers, symbols: [], threads: count, groups: 3, body: [grid] }
  return { kernel, cases: group, dtype, width }
}

/** Kernels of all cases. The `expanded` operations make long texts; they are few to a kernel. */
export const batchesOf = (expanded: ReadonlySet<Operation>): readonly Batch[] =>
  dtypes.flatMap((dtype) => {
    const own = cases.filter((c) => c.args.at(-1) === dtype)
    const [long, short] = [own.filter((c) => expanded.has(c.name)), own.filter((c) => !expanded.has(c.name))]
    return [short, long.slice(0, 4), long.slice(4)]
      .filter((group) => group.length > 0)
      .flatMap((group, i) => widths.map((width) => batchOf(dtype, width, group, i)))
  })

const view = new DataView(new ArrayBuffer(4))
/** The value of a dtype with these bits. */
function decode(dtype: DType, bits: number): number {
  view.setUint32(0, bits)
  return dtype === "f32" ? view.getFloat32(0) : dtype === "i32" ? view.getInt32(0) : bits
}

/** The numbers that an argument may be read as: a subnormal one may be flushed, to a zero of either sign. */
const readings = (d: DType, x: number): readonly number[] =>
  d === "f32" && x !== 0 && Math.abs(x) < smallest ? [x, 0, -0] : [x]

function combinations(lists: readonly (readonly number[])[]): readonly (readonly number[])[] {
  return lists.reduce<readonly (readonly number[])[]>(
    (made, list) => made.flatMap((m) => list.map((x) => [...m, x])),
    [[]],
  )
}

function wrong(c: Case, x: readonly number[], found: number): string | undefined {
  const reasons = combinations(x.map((v, i) => readings(c.args[i]!, v))).map((given) => wrongOf(c, given, found))
  return reasons.includes(undefined) ? undefined : reasons[0]
}

function wrongOf({ name, args, result }: Case, x: readonly number[], found: number): string | undefined {
  const value = operation(name).evaluate(args.at(-1)!, ...x)
  const expected = roundTo(result, value)
  const problem = `${found}, not ${expected}`
  // Which NaN it is, is not said.
  if (name === "bits" && Number.isNaN(x[0])) return Number.isNaN(decode("f32", found)) ? undefined : problem
  if (result !== "f32") return found === expected ? undefined : problem
  // Of a NaN and a number, and of zeros, either of them.
  if (name === "looseMax" && (x.some(Number.isNaN) || x.every((y) => y === 0)))
    return x.includes(found) ? undefined : problem
  if (Number.isNaN(expected)) return Number.isNaN(found) ? undefined : problem
  if (Object.is(found, expected)) return undefined
  // The table leaves these open: the sign of the sine of −0, and whether a half is rounded.
  if ((name === "sin" && x[0] === 0 && found === 0) || (name === "half" && found === x[0])) return undefined
  if (Math.abs(expected) < smallest) return Math.abs(found) <= smallest && expected !== 0 ? undefined : problem
  const factor = operation(name).error ?? 0
  const absolute = name === "sin" || name === "cos" || name === "angle" ? 1e-6 : name === "half" ? 2 ** -24 : 0
  const off = Math.abs(found - expected)
  const apart = name === "angle" ? Math.min(off, Math.abs(off - 2 * Math.PI)) : off
  const scale = Math.min(Math.abs(expected), largest)
  if (Math.abs(expected) >= largest && Math.abs(found) >= largest * (1 - factor * 2 ** -24)) return undefined
  return apart <= absolute + factor * 2 ** -24 * scale ? undefined : problem
}

/** What is wrong with the words that a batch has left, by operation and dtype. */
export function wrongOfBatch(
  batch: Batch,
  out: ArrayLike<number>,
): readonly { readonly key: string; readonly problem: string }[] {
  return batch.cases.flatMap((c, g) =>
    Array.from({ length: count }, (_, e) => {
      const x = c.args.map((d, k) => (k === 1 && c.literal !== undefined ? c.literal : inputs[d][k]![e]!))
      const problem = wrong(c, x, decode(c.result, out[g * count + e]!))
      return problem === undefined
        ? []
        : [{ key: keyOf(c), problem: `width ${batch.width}: ${c.name}(${x.join(", ")}) = ${problem}` }]
    }).flat(),
  )
}

export function keyOf(c: Case): string {
  return `${c.name} ${c.args.at(-1)}`
}

/**
 * Random contractions for matrix units, with schedules that give them atoms.
 *
 *   store y[b0, r0, r1, c0] = max(0, Σ_{k0} Σ_{k1} (x[b0, r0, r1, k0, k1] · g[k1]) · w[b0, c0, k0, k1]) + bias[c0]
 *   { atom: { name: "mma.m16n8k16.bf16" }, tile: { r1: { block: 16 }, c0: { block: 16 } }, warps: { c0: 2 }, reduce: { k1: { chunk: 32, stages: 2 } } }
 *
 * All numbers are integers that the sums of bf16 terms hold, so that results are equal, bit by bit.
 */
import fc from "fast-check"
import { maximum } from "../../compiler/ir/dim.js"
import { add, apply, literal, load, localRead, mul, reduce, symbol, variable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer, Local, Store } from "../../compiler/ir/kernel.js"
import type { Storage } from "../../compiler/ir/loop.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { AxisTile, Schedule, StoreSchedule } from "../../compiler/ir/schedule.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { Choices, decisions } from "./choices.js"
import { memoriesOf } from "./kernel-memories.js"

export interface ContractionRecipe {
  readonly numbers: readonly number[]
  readonly seq: number
  readonly seed: number
}

export const contractionRecipes: fc.Arbitrary<ContractionRecipe> = fc.record({
  numbers: decisions(8, 90),
  seq: fc.constantFrom(19, 1, 48, 7, 16, 33),
  seed: fc.nat(0xffff),
})

const most = 48
const seq = () => symbol("seq", most, 24)
const extents = [16, 24, 8, 40, 5, 1, 33, 48, 2, 13, 32] as const
const short = [1, 2, 3, 5, 4] as const

export interface Contracted {
  readonly kernel: Kernel
  readonly schedule: Schedule
  /** Buffers whose numbers need two terms. */
  readonly wide: ReadonlySet<string>
  /** What it is, in words. */
  readonly traits: readonly string[]
}

class Making {
  readonly choose: Choices
  readonly buffers: KernelBuffer[] = []
  readonly wide = new Set<string>()
  readonly traits: string[] = []
  /** Whether the atom is one of which only hardware knows where elements lie: its operands are f16. */
  opaque = false

  constructor(numbers: readonly number[]) {
    this.choose = new Choices(numbers)
  }

  axis(name: string, options: readonly number[], symbols = 0): Axis {
    const { choose } = this
    if (choose.chance(symbols)) return { name, extent: seq() }
    const isAny = options === extents && choose.chance(40)
    return { name, extent: literal(isAny ? 1 + choose.below(most) : choose.of(options)) }
  }

  /** A load at some axes, as they are in memory; rows of whole pieces, most often. */
  load(stem: string, axes: readonly Axis[], storages: readonly Storage[]): Expression & { kind: "load" } {
    const { choose } = this
    const storage = this.opaque && stem !== "r" && stem !== "q" && stem !== "s" ? "f16" : choose.of(storages)
    const order = choose.chance(30) ? [...axes].reverse() : axes
    const shape = order.map((a, i) => {
      const extent = Math.max(1, maximum(a.extent))
      return i === order.length - 1 && (storage !== "f32" || choose.chance(70)) ? Math.ceil(extent / 8) * 8 : extent
    })
    const name = `${stem}${this.buffers.length}`
    this.buffers.push({ name, dtype: "f32", storage, shape })
    const found = load(
      name,
      order.map((a) => variable(a.name)),
      "f32",
    )
    return found as Expression & { kind: "load" }
  }
}

const halves = ["bf16", "bf16", "f32", "bf16", "f16"] as const
const opaqueAtom = "subgroup.m16n16k16.f16"

export function buildContraction({ numbers }: ContractionRecipe): Contracted {
  const make = new Making(numbers)
  const { choose } = make
  make.opaque = choose.chance(15)
  if (make.opaque) make.traits.push("opaque")
  const several = (stem: string, symbols: number): readonly Axis[] =>
    choose.chance(30)
      ? [make.axis(`${stem}0`, short), make.axis(`${stem}1`, [8, 16, 5, 24, 7])]
      : [make.axis(`${stem}0`, extents, symbols)]
  const rows = several("r", 50)
  const columns = several("c", 10)
  const batch = choose.chance(25) ? [make.axis("b0", short)] : []
  const folded = choose.chance(25)
    ? [make.axis("k0", short), make.axis("k1", [8, 16, 5, 24])]
    : [make.axis("k0", extents, 15)]
  if (folded.length > 1) make.traits.push("nested")
  if (batch.length > 0) make.traits.push("batch")
  const a = make.load("x", [...batch, ...rows, ...folded], halves)
  const b = make.load("w", [...batch, ...columns, ...folded], halves)
  const factor = make.opaque ? choose.of([0, 3, 5]) : choose.below(6)
  const scaled = (x: Expression): Expression => {
    if (factor === 1) return mul(make.load("g", [folded.at(-1)!], ["bf16", "f32"]), x)
    if (factor === 2) return mul(x, make.load("f", rows, ["bf16", "f32"]))
    // What f16 does not surely hold is refused: these are as large as what is read.
    if (factor === 3) return make.opaque ? apply("neg", apply("abs", x)) : add(x, x)
    if (factor === 5) return bordered(a, rows[0]!)
    return x
  }
  if (factor === 1 || factor === 2 || factor === 3) make.traits.push("computed")
  if (factor === 5) make.traits.push("bordered")
  const storageOf = (x: Expression & { kind: "load" }) => make.buffers.find((o) => o.name === x.buffer)!.storage
  // One operand of two terms, if the other has one.
  if (storageOf(a) === "f32" && storageOf(b) === "bf16" && (factor === 0 || factor === 5)) make.wide.add(a.buffer)
  if (storageOf(b) === "f32" && storageOf(a) === "bf16") make.wide.add(b.buffer)
  if (make.wide.size > 0) make.traits.push("two terms")
  const fold = (p: Expression, q: Expression): Expression =>
    folded.reduceRight<Expression>((x, k) => reduce(k.name, k.extent, sum, [x]), mul(p, q))
  const first = fold(scaled(a), b)
  const axes = [...batch, ...rows, ...columns]
  const locals: Local[] = []
  const value = epilogue(
    make,
    first,
    { rows, columns, folded, axes, again: () => fold(scaled(a), second(make, b)) },
    locals,
  )
  const last = columns.at(-1)!
  const even = last.extent.kind === "literal" && last.extent.value % 2 === 0
  const storage: Storage = even && choose.chance(40) ? "bf16" : "f32"
  const swapped = storage === "f32" && choose.chance(15)
  const order = swapped ? [...axes].reverse() : axes
  const shape = order.map((x) => Math.max(1, maximum(x.extent)))
  make.buffers.push({ name: "y", dtype: "f32", storage, shape })
  const index = order.map((x) => variable(x.name))
  const store: Store = { kind: "store", buffer: "y", axes, index, value }
  const kernel: Kernel = { name: "contraction", spans: [], buffers: make.buffers, items: [...locals, store] }
  return { kernel, ...scheduled(make, store, rows, columns, folded), wide: make.wide, traits: make.traits }
}

/** A row of zeros before the others, of which the last is left out. */
function bordered(of: Expression & { kind: "load" }, { name }: Axis): Expression {
  const before = add(variable(name), literal(-1))
  const counts = apply("le", literal(0), before)
  const index = of.index.map((x) => (x === variable(name) ? apply("select", counts, before, literal(0)) : x))
  return apply("select", counts, load(of.buffer, index, "f32"), literal(0, "f32"))
}

/** Another operand of the same places. */
function second(make: Making, like: Expression & { kind: "load" }): Expression {
  const { shape } = make.buffers.find((o) => o.name === like.buffer)!
  const name = `v${make.buffers.length}`
  make.buffers.push({ name, dtype: "f32", storage: make.opaque ? "f16" : "bf16", shape })
  return load(name, like.index, "f32")
}

interface Around {
  readonly rows: readonly Axis[]
  readonly columns: readonly Axis[]
  readonly folded: readonly Axis[]
  readonly axes: readonly Axis[]
  readonly again: () => Expression
}

/** What becomes of the folds of an element. */
function epilogue(make: Making, fold: Expression, around: Around, locals: Local[]): Expression {
  const { choose, traits } = make
  switch (choose.below(6)) {
    case 1:
      traits.push("residual")
      return add(make.load("r", around.axes, ["f32", "bf16"]), fold)
    case 2:
      traits.push("bias")
      return apply("max", literal(0, "f32"), add(fold, make.load("q", around.columns, ["f32", "bf16"])))
    case 3:
      traits.push("two folds")
      return apply("sub", apply("max", literal(0, "f32"), fold), around.again())
    case 4: {
      traits.push("row factor")
      const own = around.rows.map((a): Axis => ({ ...a, name: `${a.name}s` }))
      const inner: Axis = { name: "j0", extent: literal(choose.of([3, 8, 1])) }
      const of = make.load("s", [...own, inner], ["f32", "bf16"])
      locals.push({ kind: "local", name: "l0", axes: own, value: reduce(inner.name, inner.extent, sum, [of]) })
      const at = around.rows.map((a) => variable(a.name))
      return mul(fold, localRead("l0", at, "f32"))
    }
    default:
      return fold
  }
}

function scheduled(
  make: Making,
  store: Store,
  rows: readonly Axis[],
  columns: readonly Axis[],
  folded: readonly Axis[],
): Pick<Contracted, "schedule"> {
  const { choose } = make
  const tile: Record<string, AxisTile> = {}
  const warps: Record<string, number> = {}
  for (const side of [rows, columns])
    for (const [i, a] of [...side].reverse().entries()) {
      const known = a.extent.kind === "literal"
      const block = choose.of<number | "all">(known ? [16, "all", 32, 8, 24] : [16, 32, 24, 8])
      tile[a.name] = { block: i === 0 ? block : choose.of([1, 2, 4]) }
    }
  // Of an asynchronous atom the groups are large, and interpreted slowly.
  const wide = !make.opaque && choose.chance(10)
  const small = make.opaque ? opaqueAtom : "mma.m16n8k16.bf16"
  const name = wide ? choose.of(["wgmma.m64n64k16.bf16", "wgmma.m64n128k16.bf16"]) : small
  const groups = [choose.of(wide ? [1, 1, 1, 2] : [1, 1, 2]), wide ? 1 : choose.of([1, 2, 1])]
  for (const [i, side] of [rows, columns].entries()) if (groups[i]! > 1) warps[side.at(-1)!.name] = groups[i]!
  const chunk = choose.of([16, 32, 64])
  const stages = wide ? choose.of([3, 4]) : choose.of([2, 1, 3, 4])
  const named = choose.chance(20) ? { rows: choose.of([...rows, ...columns]).name } : {}
  if (wide) make.traits.push("asynchronous")
  const boxes = !make.opaque && choose.chance(50)
  const own: StoreSchedule = {
    atom: { name, ...named, ...(boxes ? { boxes } : {}) },
    tile,
    warps,
    reduce: { [folded.at(-1)!.name]: { chunk, ...(stages > 1 ? { stages } : {}) } },
    ...(store.axes.length > 1 && choose.chance(20)
      ? { raster: [...store.axes.slice(1), store.axes[0]!].map((a) => a.name), backwards: choose.chance(50) }
      : {}),
  }
  return { schedule: { threads: (wide ? 128 : 32) * groups[0]! * groups[1]!, stores: [own], locals: {} } }
}

const special = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, Number.NaN]

/**
 * Integers that one term holds, or two, of which those may be ±∞ or NaN, seldom; garbage in what is written. Infinities only where the other operand
 * has one term: the second one of what is computed may be 0, of which an infinity makes NaN.
 */
export const contractionMemories = (
  { kernel, wide, traits = [] }: Pick<Contracted, "kernel" | "wide"> & Partial<Pick<Contracted, "traits">>,
  seed: number,
) =>
  memoriesOf(kernel, seed, ({ name }, next) => {
    const isWhole = traits.includes("computed")
    const isWide = wide.has(name)
    const span = isWide ? 20001 : 9
    const value = (next() % span) - (span >> 1)
    return isWide && !isWhole && seed % 3 === 0 && next() % 61 === 0 ? special[next() % special.length]! : value
  })

/**
 * Online folds whose keys and values are boxes of matrices: y[b, s, c] = Σ_t w(Σ_e q[b, s, e] · k[t, b, e]) · v[t, b, c], with rests on all sides. Keys and
 * values beyond the end, of which nothing may be seen, are NaN.
 */
import { type Memory, writeElement } from "../../compiler/interpret/memory.js"
import { add, apply, component, literal, load, mul, reduce, symbol, variable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { onlineMonoid, sum } from "../../compiler/ir/monoid.js"
import type { Schedule } from "../../compiler/ir/schedule.js"
import { memoriesOf } from "../laws/kernel-memories.js"

export interface OnlineBoxes {
  readonly atom: string
  /** Rows at most, and how many there are; keys before them. */
  readonly rows: number
  readonly seq: number
  readonly past: number
  /** Whether a row sees the keys up to its own, and of those so many. */
  readonly causal?: boolean
  readonly window?: number
  readonly batches: number
  readonly inner: number
  readonly columns: number
  readonly block: number
  readonly groups: number
  readonly chunk: number
  readonly stages: number
  /** Chunks after which results are kept elsewhere. */
  readonly run?: number
  /** Whether two values are weighed. */
  readonly two?: boolean
}

const small = { inner: 32, columns: 16, batches: 2, rows: 24, block: 32, groups: 2 }
const large = { inner: 64, columns: 64, batches: 1, chunk: 64 }

export const onlineBoxes: readonly OnlineBoxes[] = [
  { ...small, atom: "mma.m16n8k16.bf16", seq: 23, past: 60, causal: true, chunk: 16, stages: 2 },
  { ...small, atom: "mma.m16n8k16.bf16", seq: 19, past: 66, chunk: 16, stages: 3, two: true },
  { ...small, atom: "mma.m16n8k16.bf16", seq: 24, past: 31, causal: true, window: 20, chunk: 16, stages: 1, run: 2 },
  {
    ...large,
    atom: "wgmma.m64n64k16.bf16",
    rows: 64,
    block: 64,
    groups: 1,
    seq: 50,
    past: 250,
    causal: true,
    stages: 2,
  },
  { ...large, atom: "wgmma.m64n64k16.bf16", rows: 128, block: 128, groups: 2, seq: 77, past: 300, stages: 3, run: 3 },
]

export interface MadeOnlineBoxes {
  readonly kernel: Kernel
  readonly schedule: Schedule
  readonly symbols: ReadonlyMap<string, number>
}

/** To be called in a table of expressions. */
export function onlineOfBoxes(shape: OnlineBoxes): MadeOnlineBoxes {
  const { atom, rows, batches, inner, columns, block, groups, chunk, stages, run, two = false } = shape
  const [seq, past] = [symbol("seq", rows, rows), symbol("past", shape.past, shape.past)]
  const end = add(past, seq)
  const [b, s, t] = [variable("b"), variable("s"), variable("t")]
  const [e, c] = [variable("e"), variable("c")]
  const scores = reduce("e", literal(inner), sum, [mul(load("q", [b, s, e], "f32"), load("k", [t, b, e], "f32"))])
  const place = add(s, past)
  const bounds = [
    ...(shape.causal === true ? [apply("le", t, place)] : []),
    ...(shape.window === undefined ? [] : [apply("gt", t, add(place, literal(-shape.window)))]),
  ]
  const scaled = mul(scores, literal(0.25, "f32"))
  const none = literal(Number.NEGATIVE_INFINITY, "f32")
  const score =
    bounds.length === 0
      ? scaled
      : apply(
          "select",
          bounds.reduce((p, q) => apply("and", p, q)),
          scaled,
          none,
        )
  const values = (two ? ["v", "u"] : ["v"]).map((name) => load(name, [t, b, c], "f32"))
  const fold = reduce("t", end, onlineMonoid("exp", 1 + values.length), [score, literal(1, "f32"), ...values])
  const whole = values.map((_, i) => component(fold, i + 2)).reduce((x, y) => add(x, y))
  const most = rows + shape.past
  const buffer = (name: string, storage: "f32" | "bf16", ...shape: number[]): KernelBuffer => ({
    name,
    dtype: "f32",
    storage,
    shape,
  })
  const kernel: Kernel = {
    name: "online boxes",
    spans: [],
    buffers: [
      buffer("y", "f32", batches, rows, columns),
      buffer("q", "bf16", batches, rows, inner),
      buffer("k", "bf16", most, batches, inner),
      buffer("v", "bf16", most, batches, columns),
      ...(two ? [buffer("u", "bf16", most, batches, columns)] : []),
    ],
    items: [
      {
        kind: "store",
        buffer: "y",
        axes: [
          { name: "b", extent: literal(batches) },
          { name: "s", extent: seq },
          { name: "c", extent: literal(columns) },
        ],
        index: [b, s, c],
        value: apply("div", whole, component(fold, 1)),
      },
    ],
  }
  const store = {
    atom: { name: atom, boxes: true },
    tile: { b: { block: 1 }, s: { block }, c: { block: "all" as const } },
    warps: { s: groups },
    reduce: { t: { chunk, ...(stages > 1 ? { stages } : {}), ...(run === undefined ? {} : { run }) } },
  }
  const threads = (atom.startsWith("wgmma") ? 128 : 32) * groups
  const symbols = new Map([
    ["seq", shape.seq],
    ["past", shape.past],
  ])
  return { kernel, schedule: { threads, stores: [store], locals: {} }, symbols }
}

/** Small whole numbers, and NaN beyond the end of the fold. */
export function onlineBoxesMemories({ kernel, symbols }: MadeOnlineBoxes, seed: number): Map<string, Memory> {
  const memories = memoriesOf(kernel, seed, (_, next) => (next() % 9) - 4)
  const end = symbols.get("seq")! + symbols.get("past")!
  for (const { name, shape } of kernel.buffers) {
    if (name === "y" || name === "q") continue
    const each = shape[1]! * shape[2]!
    for (let i = end * each; i < shape[0]! * each; i++) writeElement(memories.get(name)!, i, Number.NaN)
  }
  return memories
}

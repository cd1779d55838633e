/**
 * Random products of few rows with weights in formats, with schedules by which weights go straight into fragments.
 *
 *   y[s, o] = Σ_k x[s, k] · w[o, k], s < 3, o < 21, k < 256, w in q4_k   by   { atom: { rows: "o", direct: true }, warps: { k: 2 }, reduce: { k: { chunk: 128 } } }
 */
import fc from "fast-check"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { Schedule, StoreSchedule } from "../../compiler/ir/schedule.js"
import { type FormatShape, formatProduct } from "../support/format-products.js"
import { Choices, decisions } from "./choices.js"

export interface DirectRecipe {
  readonly numbers: readonly number[]
  readonly seed: number
}

export const directRecipes: fc.Arbitrary<DirectRecipe> = fc.record({ numbers: decisions(6, 24), seed: fc.nat(0xffff) })

/** A format, and the multiples that the folded axis is of. */
const formats = [
  ["q4_k", 256],
  ["q4_k-across", 256],
  ["q8_0", 32],
  ["q8_0-across", 32],
  ["q6_k-across", 256],
  ["int4-g128-across", 128],
  ["q4_0", 32],
  ["fp8-128x128", 128],
  ["q5_k-across", 256],
  ["int4-g64-symmetric", 64],
  ["bf16", 8],
  ["iq4_xs", 256],
] as const

export interface DirectProduct {
  readonly kernel: Kernel
  readonly schedule: Schedule
  readonly shape: FormatShape
}

export function buildDirect({ numbers }: DirectRecipe): DirectProduct {
  const choose = new Choices(numbers)
  const [format, block] = choose.of(formats)
  const rows = choose.chance(50) ? 1 : 1 + choose.below(choose.chance(40) ? 16 : 5)
  const out = choose.chance(30) ? 16 : 1 + choose.below(48)
  const count = 1 + choose.below(Math.max(2, 512 / block))
  const depth = choose.chance(20) ? [1 + choose.below(3), block] : [Math.min(count, 12) * block]
  const folds = choose.chance(25) ? 2 : 1
  const shape: FormatShape = {
    format,
    rows,
    out,
    depth,
    folds,
    x: choose.of(["bf16", "f32", "f16"]),
    y: "f32",
    scaled: choose.chance(30),
    beside: choose.chance(25) ? 1 + choose.below(40) : 0,
  }
  const [shared, tall, down] = [choose.of([1, 2, 4]), choose.of([1, 1, 2]), choose.of([1, 1, 2])]
  const last = `k${depth.length - 1}`
  const innerUnroll = choose.of([1, 2, 3])
  const parts = choose.chance(30) ? { stages: choose.of([1, 2]) } : {}
  const store: StoreSchedule = {
    atom: { name: "mma.m16n8k16.bf16", rows: "o", direct: true },
    tile: { o: { block: 16 * tall * down }, ...(rows > 1 ? { s: { block: rows } } : {}) },
    warps: { [last]: shared, ...(tall > 1 ? { o: tall } : {}) },
    reduce: { [last]: { chunk: choose.of([128, 32, 64]), innerUnroll, ...parts } },
  }
  const turns = choose.chance(40) ? { workgroups: 2 } : {}
  return {
    shape,
    kernel: formatProduct(shape),
    schedule: {
      threads: 32 * shared * tall,
      subgroup: 32,
      ...turns,
      locals: {},
      stores: [store, ...((shape.beside ?? 0) > 0 ? [besideIt(store)] : [])],
    },
  }
}

/** The schedule of the store beside, whose axes have other names. */
const besideIt = ({ atom, tile, warps, reduce }: StoreSchedule): StoreSchedule => {
  const renamed = <T>(given: Readonly<Record<string, T>> = {}) =>
    Object.fromEntries(
      Object.entries(given).map(([name, x]) => [name.replace("s", "t").replace("o", "p").replace("k", "l"), x]),
    )
  return { atom: { ...atom!, rows: "p" }, tile: renamed(tile), warps: renamed(warps), reduce: renamed(reduce) }
}

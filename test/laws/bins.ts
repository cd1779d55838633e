/** Random kernels of sums whose elements count at one place of an axis each, with schedules whose lanes add them to bins. */
import fc from "fast-check"
import { add, apply, literal, load, reduce, variable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer, Store } from "../../compiler/ir/kernel.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { DType } from "../../compiler/ir/operations.js"
import type { StoreSchedule } from "../../compiler/ir/schedule.js"
import { Choices } from "./choices.js"
import type { Scheduled } from "./schedules.js"
import { scheduleNumbers } from "./schedules.js"

export const binsCases = fc.record({ numbers: scheduleNumbers, schedule: scheduleNumbers })
export type BinsCase = typeof binsCases extends fc.Arbitrary<infer T> ? T : never

export interface BinsDrawn {
  readonly kernel: Kernel
  readonly scheduled: Scheduled
}

/** One or two stores of sums by place, over the rows of `x` or all of it; of some the places lie partly outside, or only some elements count. */
export function drawBins({ numbers, schedule }: BinsCase): BinsDrawn {
  const [choose, laid] = [new Choices(numbers), new Choices(schedule)]
  const [rows, elements] = [choose.of([2, 1, 3]), choose.of([8, 17, 4, 24, 12, 40])]
  const shape = [rows, elements]
  const buffers: KernelBuffer[] = [
    { name: "x", dtype: "i32", storage: "i32", shape },
    { name: "w", dtype: "u32", storage: "u32", shape },
  ]
  const threads = laid.of([4, 8, 2, 32])
  const stores: StoreSchedule[] = []
  const items = Array.from({ length: 1 + choose.below(2) }, (_, n): Store => {
    const [row, bin, k] = [`row${n}`, `bin${n}`, `k${n}`]
    const places = choose.of([4, 9, 3, 16, 1])
    const element = (buffer: string, dtype: DType) => load(buffer, [variable(row), variable(k)], dtype)
    const given = element("x", "i32")
    const place = choose.of([
      given,
      apply("bitand", given, literal(3)),
      apply("floormod", add(given, variable(k)), literal(places)),
    ])
    const same = choose.chance(50) ? apply("eq", place, variable(bin)) : apply("eq", variable(bin), place)
    const condition = choose.chance(40) ? apply("and", apply("lt", given, literal(2)), same) : same
    const brings = choose.of<Expression>([literal(1), element("w", "u32"), given])
    const counted = brings.kind === "literal"
    const lift = counted ? apply("toI32", condition) : apply("select", condition, brings, literal(0, brings.dtype))
    const fold = reduce(k, literal(elements), sum, [lift])
    const value = choose.chance(30) ? add(fold, literal(5, fold.dtype)) : fold
    const twice = choose.chance(30) ? add(value, value.kind === "reduce" ? value : fold) : value
    const axes = [
      { name: row, extent: literal(rows) },
      { name: bin, extent: literal(places) },
    ]
    buffers.push({ name: `y${n}`, dtype: fold.dtype, storage: fold.dtype as "i32", shape: [rows, places] })
    const widths = [4, 2, 1].filter((w) => elements % w === 0)
    const said = { vector: laid.of(widths), innerUnroll: laid.of([1, 2, 3]) }
    stores.push({
      tile: laid.chance(50) ? { [bin]: { block: "all" } } : { [bin]: { block: 16 } },
      reduce: { [k]: said },
      bins: bin,
    })
    return { kind: "store", buffer: `y${n}`, axes, index: axes.map((a) => variable(a.name)), value: twice }
  })
  const options = { maxGroups: laid.of([64, 2, 1]), sharedBytes: 1 << 16 }
  return {
    kernel: { name: "bins", buffers, items, spans: [] },
    scheduled: { schedule: { threads, stores, locals: {} }, options },
  }
}

/**
 * Random kernels whose blocks begin with the same: folds of a row, the row made of them, and stores that read both.
 *
 *   local m = sum_{k < 8}(x[k] · x[k]);  local row[k] = x[k] · g[k] + m
 *   store y[o] = sum_{k}(row{k} · w[o, k]) + m{} + own{o}        own[o] = sum_{j < 3}(a[o, j]), which each block has for itself
 *   store z[p] = …
 *
 * All numbers are small integers. Schedules have a number of workgroups at most.
 */
import fc from "fast-check"
import { maximum } from "../../compiler/ir/dim.js"
import { add, literal, load, localRead, mul, reduce, symbol, variable } from "../../compiler/ir/expression.js"
import type { Item, Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { type Storage, storageType } from "../../compiler/ir/loop.js"
import { max, sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { Choices, decisions } from "./choices.js"
import { drawSchedule, type Scheduled, scheduleNumbers } from "./schedules.js"

export interface PrologueCase {
  readonly numbers: readonly number[]
  readonly seq: number
  readonly seed: number
  readonly schedule: readonly number[]
}

export const prologueCases: fc.Arbitrary<PrologueCase> = fc.record({
  numbers: decisions(20, 40),
  seq: fc.constantFrom(3, 7, 0, 1, 6),
  seed: fc.nat(0xffff),
  schedule: scheduleNumbers,
})

export const prologueSymbols = ({ seq }: PrologueCase): ReadonlyMap<string, number> => new Map([["seq", seq]])

export function prologueKernel({ numbers }: PrologueCase): Kernel {
  const choose = new Choices(numbers)
  const buffers: KernelBuffer[] = []
  const buffer = (storage: Storage, shape: readonly number[]): string => {
    const name = `b${buffers.length}`
    buffers.push({ name, dtype: storageType(storage), storage, shape })
    return name
  }
  const read = (axes: readonly Axis[]): Expression => {
    const storage = choose.of<Storage>(["f32", "f32", "bf16"])
    const shape = axes.map((a) => maximum(a.extent))
    const at = axes.map((a) => variable(a.name))
    return load(buffer(storage, shape), at, "f32")
  }
  const items: Item[] = []
  const local = (name: string, axes: readonly Axis[], value: Expression) => {
    items.push({ kind: "local", name, axes, value })
    return (...at: Expression[]) => localRead(name, at, "f32")
  }
  const width = literal(choose.of([8, 4, 5, 12]))
  const x = read([{ name: "s", extent: width }])
  const m = local("m", [], reduce("s", width, choose.of([sum, max]), [mul(x, x)]))
  const elements: Axis = { name: "e", extent: width }
  const row = local("row", [elements], add(mul(read([elements]), read([elements])), m()))
  const stores = 1 + choose.below(3)
  for (let i = 0; i < stores; i++) {
    const rows: Axis = {
      name: `o${i}`,
      extent: choose.chance(30) ? symbol("seq", 7, 4) : literal(choose.of([9, 16, 3, 8])),
    }
    const o = variable(rows.name)
    const k: Axis = { name: `k${i}`, extent: width }
    let value: Expression = reduce(k.name, width, sum, [mul(row(variable(k.name)), read([rows, k]))])
    if (choose.chance(40)) value = add(value, m())
    if (choose.chance(50)) {
      const j: Axis = { name: `j${i}`, extent: literal(3) }
      const own = local(
        `own${i}`,
        [{ ...rows, name: `l${i}` }],
        reduce(j.name, j.extent, sum, [read([{ ...rows, name: `l${i}` }, j])]),
      )
      value = add(value, own(o))
    }
    items.push({ kind: "store", buffer: buffer("f32", [maximum(rows.extent)]), axes: [rows], index: [o], value })
  }
  // Locals stand before all stores.
  const ordered = [...items.filter((i) => i.kind === "local"), ...items.filter((i) => i.kind === "store")]
  return { name: "prologue", buffers, items: ordered, spans: [] }
}

/** A schedule under which workgroups take several blocks. */
export function prologueSchedule(kernel: Kernel, { schedule: numbers }: PrologueCase): Scheduled {
  const choose = new Choices(numbers)
  const workgroups = choose.of([2, 1, 3, 1])
  // Of several lanes most often.
  const { schedule, options } = drawSchedule(kernel, numbers, 0, 20, choose.chance(60) ? 100 : 30)
  return { schedule: { ...schedule, workgroups }, options }
}

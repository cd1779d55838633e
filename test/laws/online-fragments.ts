/**
 * Random online folds for matrix units: scores that are products, masked or not, and what they weigh.
 *
 *   store y[b, r0, r1, c] = #1.2 / #1.1,  #1 = online(exp, 2)_{key < past + seq}(select(key <= r0 + past, Σ_e q[b, r0, r1, e] · k[b, key, e] · 0.25, −∞), 1, v[b, key, c])
 *
 * Products of scores are exact; weights are rounded to bf16 where they are multiplied, so that results differ by that much of the largest value.
 */
import fc from "fast-check"
import { allocateBuffer, type Memory, writeElement } from "../../compiler/interpret/memory.js"
import { maximum } from "../../compiler/ir/dim.js"
import { add, apply, component, literal, load, mul, reduce, symbol, variable } from "../../compiler/ir/expression.js"
import { type Kernel, type KernelBuffer, type Store, written } from "../../compiler/ir/kernel.js"
import type { Storage } from "../../compiler/ir/loop.js"
import { loose, onlineMonoid, sum } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import type { Schedule } from "../../compiler/ir/schedule.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { Choices, decisions, scrambled } from "./choices.js"
import { poisoned } from "./execute.js"

export interface OnlineRecipe {
  readonly numbers: readonly number[]
  readonly seq: number
  readonly past: number
  readonly seed: number
}

export const onlineRecipes: fc.Arbitrary<OnlineRecipe> = fc.record({
  numbers: decisions(8, 60),
  seq: fc.constantFrom(19, 1, 24, 7, 16),
  past: fc.constantFrom(0, 5, 33, 60),
  seed: fc.nat(0xffff),
})

const seq = () => symbol("seq", 24, 16)
const past = () => symbol("past", 60, 8)

export interface OnlineKernel {
  readonly kernel: Kernel
  readonly schedule: Schedule
  readonly traits: readonly string[]
}

export function buildOnline({ numbers }: OnlineRecipe): OnlineKernel {
  const choose = new Choices(numbers)
  const traits: string[] = []
  const buffers: KernelBuffer[] = []
  const rows: Axis[] = [{ name: "r0", extent: choose.chance(60) ? seq() : literal(choose.of([19, 8, 16, 1])) }]
  if (choose.chance(50)) rows.push({ name: "r1", extent: literal(choose.of([2, 3, 1])) })
  const batch: Axis[] = choose.chance(40) ? [{ name: "b0", extent: literal(choose.of([2, 1, 3])) }] : []
  const inner: Axis = { name: "e0", extent: literal(choose.of([16, 32, 8, 24, 5])) }
  const column: Axis = { name: "c0", extent: literal(choose.of([16, 32, 8, 24, 7])) }
  const isCausal = choose.chance(60)
  const extent = isCausal || choose.chance(50) ? add(past(), seq()) : literal(choose.of([40, 64, 7, 33]))
  const key: Axis = { name: "t0", extent }
  const of = (name: string, axes: readonly Axis[], storage: Storage): Expression => {
    const shape = axes.map((a, i) => {
      const most = Math.max(1, maximum(a.extent))
      return i === axes.length - 1 ? Math.ceil(most / 8) * 8 : most
    })
    buffers.push({ name, dtype: "f32", storage, shape })
    return load(
      name,
      axes.map((a) => variable(a.name)),
      "f32",
    )
  }
  const storage = () => choose.of<Storage>(["bf16", "bf16", "f32"])
  const q = of("q", [...batch, ...rows, inner], storage())
  const k = of("k", choose.chance(80) ? [...batch, key, inner] : [key, ...batch, inner], storage())
  const turned = choose.chance(15)
  if (turned) traits.push("values across")
  const v = of("v", turned ? [...batch, column, key] : [...batch, key, column], storage())
  const product = mul(reduce(inner.name, inner.extent, sum, [mul(q, k)]), literal(0.25, "f32"))
  const bounds: Expression[] = []
  const place = add(variable("r0"), past())
  if (isCausal && rows[0]!.extent.kind === "symbol") bounds.push(apply("le", variable("t0"), place))
  if (bounds.length > 0 && choose.chance(40)) bounds.push(apply("gt", variable("t0"), add(place, literal(-17))))
  if (bounds.length > 1) traits.push("window")
  if (bounds.length === 1) traits.push("causal")
  const masked = bounds.reduce<Expression | undefined>((p, b) => (p === undefined ? b : apply("and", p, b)), undefined)
  const none = literal(Number.NEGATIVE_INFINITY, "f32")
  const score = masked === undefined ? product : apply("select", masked, product, none)
  const monoid = onlineMonoid("exp", 2)
  const fold = reduce(key.name, extent, choose.chance(50) ? loose(monoid) : monoid, [
    score,
    literal(1, "f32"),
    v,
  ]) as Reduce
  const whole = apply("div", component(fold, 2), component(fold, 1))
  const axes = [...(choose.chance(50) ? [...batch, ...rows] : [...rows, ...batch]), column]
  const residual = choose.chance(25) ? of("x", axes, "f32") : undefined
  if (residual !== undefined) traits.push("residual")
  const value = residual === undefined ? whole : add(residual, whole)
  const shape = axes.map((a) => Math.max(1, maximum(a.extent)))
  const even = shape.at(-1)! % 2 === 0
  buffers.push({ name: "y", dtype: "f32", storage: even && choose.chance(40) ? "bf16" : "f32", shape })
  const store: Store = { kind: "store", buffer: "y", axes, index: axes.map((a) => variable(a.name)), value }
  const kernel: Kernel = { name: "online", spans: [], buffers, items: [store] }
  // Of an asynchronous atom the groups are large, and interpreted slowly.
  const wide = choose.chance(15)
  const name = wide ? "wgmma.m64n64k16.bf16" : "mma.m16n8k16.bf16"
  if (wide) traits.push("asynchronous")
  const groups = choose.of(wide ? [1] : [1, 2, 1])
  const chunk = wide ? 64 : choose.of([16, 32, 48])
  const stages = choose.of([2, 1, 3])
  const tile = {
    ...Object.fromEntries(batch.map((a) => [a.name, { block: 1 }])),
    ...Object.fromEntries(
      rows.map((a, i) => [a.name, { block: i === 0 ? choose.of([16, 8, 24, 4]) : choose.of([2, 1]) }]),
    ),
    c0: { block: "all" as const },
  }
  const reductions = { [key.name]: { chunk, ...(stages > 1 ? { stages } : {}) } }
  const schedule: Schedule = {
    threads: (wide ? 128 : 32) * groups,
    stores: [{ atom: { name }, tile, warps: { [rows.at(-1)!.name]: groups }, reduce: reductions }],
    locals: {},
  }
  return { kernel, schedule, traits }
}

/** The largest value that is weighed. */
export const largestValue = 4

/** Whole numbers of which products of 32 are exact in bf16, garbage in what is written. */
export function onlineMemories({ kernel }: OnlineKernel, seed: number): Map<string, Memory> {
  const stored = written(kernel)
  return new Map(
    kernel.buffers.map((b, i) => {
      if (stored.has(b.name)) return [b.name, poisoned(b)] as const
      const size = b.shape.reduce((n, x) => n * x, 1)
      const memory = allocateBuffer(b.dtype, b.storage, size)
      const next = scrambled(seed + 17 * i)
      for (let j = 0; j < size; j++) writeElement(memory, j, (next() % (2 * largestValue + 1)) - largestValue)
      return [b.name, memory] as const
    }),
  )
}

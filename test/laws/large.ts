/**
 * Random kernels large enough for what the compiler does on hardware only: contractions with much reuse, whose operands the workgroup holds, and
 * online folds of many rows.
 *
 *   y[r, c] = sum_{k < 32}(x[r, k] · w[c, k])                      rows and columns of 32 and more, that blocks do not divide
 *   o[r, d] = online_{key}(select(key <= past + r, sum_{dim}(q · k), lowest), 1, v).2 / ….1
 */
import fc from "fast-check"
import { maximum } from "../../compiler/ir/dim.js"
import { add, apply, component, literal, load, mul, reduce, symbol, variable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer, Store } from "../../compiler/ir/kernel.js"
import { type Storage, storageType } from "../../compiler/ir/loop.js"
import { onlineMonoid, sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { Choices } from "./choices.js"
import type { FoldRecipe } from "./folds.js"
import type { Regime } from "./program.js"

export const largeRecipes: fc.Arbitrary<FoldRecipe> = fc.record({
  numbers: fc.array(fc.nat(9999), { minLength: 20, maxLength: 20 }),
  seq: fc.constantFrom(33, 48, 17, 1, 40),
  past: fc.constantFrom(5, 0, 30, 16),
  seed: fc.nat(0xffff),
})

const seq = () => symbol("seq", 48, 40)
const past = () => symbol("past", 30, 20)
const axis = (name: string, extent: number | Expression): Axis => ({
  name,
  extent: typeof extent === "number" ? literal(extent) : extent,
})

class Making {
  readonly buffers: KernelBuffer[] = []
  load(axes: readonly Axis[], storage: Storage = "f32"): Expression {
    const name = this.place(axes, storage)
    return load(
      name,
      axes.map((a) => variable(a.name)),
      storageType(storage),
    )
  }
  place(axes: readonly Axis[], storage: Storage = "f32"): string {
    const name = `b${this.buffers.length}`
    const shape = axes.map((a) => maximum(a.extent))
    this.buffers.push({ name, dtype: storageType(storage), storage, shape })
    return name
  }
}

/** The kernel that a recipe stands for; run it inside of `withTable`. */
export function buildLarge({ numbers }: FoldRecipe): { readonly kernel: Kernel; readonly regime: Regime } {
  const choose = new Choices(numbers)
  const making = new Making()
  const isOnline = choose.chance(40)
  const made = isOnline ? rowsOfKeys(making, choose) : product(making, choose)
  const store: Store = {
    kind: "store",
    buffer: making.place(made.axes, choose.of<Storage>(["f32", "bf16"])),
    axes: made.axes,
    index: made.axes.map((a) => variable(a.name)),
    value: made.value,
  }
  const kernel = { name: "large", buffers: making.buffers, items: [store], spans: [] }
  return { kernel, regime: isOnline ? "analytic" : "exact" }
}

interface Made {
  readonly axes: readonly Axis[]
  readonly value: Expression
}

function product(making: Making, choose: Choices): Made {
  // One row reads its weights once, in the order of memory.
  const thin = choose.chance(25)
  const row = axis("row", thin ? 1 : choose.of<number | Expression>([33, seq(), 64, 40]))
  const column = axis("column", choose.of([32, 48, 64, 36]))
  const k = axis("k", choose.of([16, 32, 20]))
  const batch = choose.chance(20) ? [axis("batch", 2)] : []
  const storage = () => choose.of<Storage>(["f32", "bf16", "f32"])
  const left = making.load([...batch, row, k], storage())
  const scaled = choose.chance(30) ? mul(left, making.load([k])) : left
  const rights = [
    [column, k],
    [k, column],
    [...batch, column, k],
  ]
  const right = () => (thin ? making.load([column, k], "bf16") : making.load(choose.of(rights), storage()))
  const contraction = () => reduce(k.name, k.extent, sum, [mul(scaled, right())])
  const first = contraction()
  const axes = [...batch, row, column]
  switch (choose.below(3)) {
    case 1:
      return { axes, value: add(first, making.load([column])) }
    case 2:
      return { axes, value: mul(first, contraction()) }
    default:
      return { axes, value: first }
  }
}

function rowsOfKeys(making: Making, choose: Choices): Made {
  const key = axis("key", choose.of([add(past(), seq()), literal(40), seq()]))
  const inOrder = key.extent.kind !== "literal" && choose.chance(70)
  const row = axis("row", inOrder ? seq() : choose.of([20, 33]))
  const repeat = choose.chance(40) ? [axis("repeat", 2)] : []
  const wide = axis("wide", choose.of([8, 16, 4]))
  const dim = axis("dim", choose.of([4, 8, 32]))
  const score = reduce(dim.name, dim.extent, sum, [
    mul(making.load([row, ...repeat, dim]), making.load([key, dim], choose.of(["f32", "bf16"]))),
  ])
  const scaled = mul(score, literal(0.125, "f32"))
  const here = key.extent.kind === "operation" ? add(past(), variable("row")) : variable("row")
  const before = apply("le", variable("key"), here)
  const near = apply("gt", variable("key"), apply("sub", here, literal(choose.of([7, 16]))))
  const counts = choose.chance(40) ? apply("and", before, near) : before
  const masked = inOrder ? apply("select", counts, scaled, literal(Number.NEGATIVE_INFINITY, "f32")) : scaled
  const values = making.load([key, wide], choose.of<Storage>(["f32", "bf16"]))
  const r = reduce(key.name, key.extent, onlineMonoid("exp", 2), [masked, literal(1, "f32"), values])
  return { axes: [row, ...repeat, wide], value: apply("div", component(r, 2), component(r, 1)) }
}

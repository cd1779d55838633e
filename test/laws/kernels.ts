/**
 * Random kernels, for what today's tensor programs do not make of themselves: products of any monoids with their components, scans of tuples,
 * locals read at shifted and folded indices, stores of different domains side by side, packed stores that round.
 *
 *   local m[a0]  = (max × top2)_{r1 < 5}(x[r1, a0], y[a0 + r1], r1).1[1]
 *   store z[a2]  = m{min(a2 + 1, 3)} + m{3 - a2}          over a2 < 4
 *
 * Indices are made first and buffers large enough for them, so every kernel is well formed. All numbers are small integers.
 */
import fc from "fast-check"
import { maximum } from "../../compiler/ir/dim.js"
import {
  add,
  apply,
  component,
  literal,
  load,
  localRead,
  mul,
  reduce,
  scan,
  sub,
  symbol,
  variable,
} from "../../compiler/ir/expression.js"
import type { Item, Kernel, KernelBuffer, Local, Store } from "../../compiler/ir/kernel.js"
import { packed, type Storage, storageType } from "../../compiler/ir/loop.js"
import { argmax, type Monoid, max, min, monoidParts, product, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce, Scan } from "../../compiler/ir/nodes.js"
import type { DType } from "../../compiler/ir/operations.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { Choices, decisions } from "./choices.js"

export interface KernelRecipe {
  readonly numbers: readonly number[]
  readonly seq: number
  readonly seed: number
}

export const kernelRecipes: fc.Arbitrary<KernelRecipe> = fc.record({
  numbers: decisions(8, 160),
  seq: fc.constantFrom(3, 7, 0, 1, 2, 5),
  seed: fc.nat(0xffff),
})

const seq = () => symbol("seq", 7, 4)
const extents = [4, 3, 5, 8, 1, 2, 7, 12, 16, 8, 6, 4, 3, 0] as const

/** An expression with its greatest absolute value. */
interface Bounded {
  readonly x: Expression
  readonly limit: number
}

const exact = 2 ** 23

class Making {
  readonly choose: Choices
  readonly buffers: KernelBuffer[] = []
  readonly locals: { readonly local: Local; readonly limit: number }[] = []
  #axes = 0

  constructor(numbers: readonly number[]) {
    this.choose = new Choices(numbers)
  }

  axis(stem: string, small: boolean): Axis {
    const { choose } = this
    const extent = choose.chance(25) ? seq() : literal(choose.of(small ? extents.slice(0, 6) : extents))
    return { name: `${stem}${this.#axes++}`, extent }
  }

  /** An index from some axes, with its largest value. */
  index(axes: readonly Axis[]): { readonly at: Expression; readonly largest: number } {
    const { choose } = this
    if (axes.length === 0) return { at: literal(choose.below(3)), largest: 2 }
    const a = choose.of(axes)
    const v = variable(a.name)
    const last = Math.max(0, maximum(a.extent) - 1)
    switch (choose.below(9)) {
      case 1:
        return { at: add(v, literal(2)), largest: last + 2 }
      case 2:
        return { at: sub(sub(a.extent, literal(1)), v), largest: last }
      case 3:
        return { at: apply("floormod", v, literal(3)), largest: 2 }
      case 4:
        return { at: apply("floordiv", v, literal(2)), largest: last >> 1 }
      case 5: {
        const b = choose.of(axes)
        return { at: add(v, variable(b.name)), largest: last + Math.max(0, maximum(b.extent) - 1) }
      }
      case 6:
        return { at: add(mul(v, literal(2)), literal(1)), largest: 2 * last + 1 }
      case 7: {
        const found = this.load("i32", axes.slice(0, 1))
        return { at: apply("max", literal(0), apply("min", found.x, literal(3))), largest: 3 }
      }
      case 8:
        return { at: apply("select", apply("lt", v, literal(2)), v, literal(0)), largest: Math.max(1, last) }
      default:
        return { at: v, largest: last }
    }
  }

  buffer(storage: Storage, shape: readonly number[]): string {
    const name = `b${this.buffers.length}`
    this.buffers.push({ name, dtype: storageType(storage), storage, shape })
    return name
  }

  load(dtype: DType, axes: readonly Axis[]): Bounded {
    const { choose } = this
    const storage: Storage = dtype === "f32" ? choose.of(["f32", "f32", "bf16", "f16"]) : dtype
    const indices =
      axes.length === 0
        ? []
        : Array.from({ length: 1 + choose.below(Math.min(3, axes.length + 1)) }, () => this.index(axes))
    // Some rows are whole vectors, so that wide accesses stay aligned.
    const shape = indices.map(({ largest }) => (choose.chance(40) ? Math.ceil((largest + 1) / 8) * 8 : largest + 1))
    const name = this.buffer(storage, shape)
    return {
      x: load(
        name,
        indices.map((i) => i.at),
        dtype,
      ),
      limit: 4,
    }
  }

  localRead(axes: readonly Axis[]): Bounded | undefined {
    const { choose } = this
    const found = this.locals.filter((l) => l.local.value.dtype === "f32")
    if (found.length === 0) return undefined
    const { local, limit } = choose.of(found)
    const index = local.axes.map((a) => {
      const same = axes.find((b) => b.extent === a.extent)
      const last = sub(a.extent, literal(1))
      if (same === undefined || choose.chance(20)) return literal(0)
      const v = variable(same.name)
      return choose.of([
        v,
        v,
        sub(last, v),
        apply("min", add(v, literal(1)), last),
        apply("max", sub(v, literal(1)), literal(0)),
      ])
    })
    // A local without elements has none to read.
    if (local.axes.some((a, i) => index[i]!.kind === "literal" && a.extent.kind !== "literal")) return undefined
    if (local.axes.some((a) => a.extent.kind === "literal" && a.extent.value === 0)) return undefined
    return { x: localRead(local.name, index, "f32"), limit }
  }

  clamped({ x, limit }: Bounded, to = 8): Bounded {
    if (limit <= to) return { x, limit }
    return { x: apply("min", apply("max", x, literal(-to, "f32")), literal(to, "f32")), limit: to }
  }

  /** An f32 value over some axes. */
  value(axes: readonly Axis[], depth: number): Bounded {
    const { choose } = this
    const kind = choose.below(depth <= 0 ? 3 : 10)
    if (kind === 1) return this.localRead(axes) ?? this.load("f32", axes)
    if (kind === 2) {
      const { at, largest } = this.index(axes)
      return { x: apply("toF32", at), limit: Math.max(largest, 4) }
    }
    if (kind === 0) return this.load("f32", axes)
    if (kind <= 5) {
      const [p, q] = [this.value(axes, depth - 1), this.value(axes, depth - 1)]
      const name = choose.of(["add", "mul", "sub", "max", "min"] as const)
      const limit =
        name === "mul"
          ? p.limit * q.limit
          : name === "max" || name === "min"
            ? Math.max(p.limit, q.limit)
            : p.limit + q.limit
      if (limit <= exact) return { x: apply(name, p.x, q.x), limit }
      const [a, b] = [this.clamped(p), this.clamped(q)]
      return { x: apply(name, a.x, b.x), limit: 64 }
    }
    if (kind === 6) {
      const [p, q] = [this.value(axes, depth - 1), this.value(axes, depth - 1)]
      return { x: apply("select", apply("le", p.x, q.x), q.x, p.x), limit: Math.max(p.limit, q.limit) }
    }
    return this.fold(axes, depth)
  }

  monoid(): Monoid {
    const { choose } = this
    const plain: readonly Monoid[] = [sum, max, min, argmax, top(2), top(1), top(3)]
    if (!choose.chance(50)) return choose.of(plain)
    return product(
      ...Array.from({ length: 2 + choose.below(2) }, () =>
        choose.chance(10) ? product(choose.of(plain), sum) : choose.of(plain),
      ),
    )
  }

  fold(axes: readonly Axis[], depth: number): Bounded {
    const { choose } = this
    const axis = this.axis("r", true)
    const prefix = axes.length > 0 && choose.chance(25) ? choose.of(axes) : undefined
    const inner = [...axes, axis]
    const monoid = this.monoid()
    const parts = monoidParts(monoid)
    const limits: number[] = []
    const lift: Expression[] = []
    for (const { monoid: part } of parts) {
      const v = this.clamped(this.value(inner, depth - 2), part.kind === "sum" ? 512 : exact)
      lift.push(v.x)
      const count = prefix === undefined ? Math.max(1, maximum(axis.extent)) : Math.max(1, maximum(prefix.extent))
      limits.push(part.kind === "sum" ? v.limit * count : Number.POSITIVE_INFINITY)
      if (part.kind === "argmax" || part.kind === "top") {
        lift.push(choose.chance(20) ? add(variable(axis.name), literal(3)) : variable(axis.name))
        limits.push(Number.POSITIVE_INFINITY)
      }
    }
    // A prefix reads as far as its end, which the bound axis of the same name stands for.
    const of =
      prefix === undefined
        ? reduce(axis.name, axis.extent, monoid, lift)
        : scan(axis.name, this.within(axis, prefix), monoid, lift)
    return this.component(of, parts, limits, axes)
  }

  /** The end of a prefix: a coordinate that stays within the extent of the folded axis, for which the loads are made. */
  within(axis: Axis, prefix: Axis): Expression {
    return apply("min", variable(prefix.name), sub(axis.extent, literal(1)))
  }

  component(
    of: Expression,
    parts: ReturnType<typeof monoidParts>,
    limits: readonly number[],
    axes: readonly Axis[],
  ): Bounded {
    const { choose } = this
    if (of.kind !== "reduce" && of.kind !== "scan") return { x: of, limit: exact }
    const folds: Reduce | Scan = of
    const index = choose.below(folds.lift.length)
    const part = parts.findLast((p) => p.at <= index)!
    const slots = part.monoid.kind === "top" ? part.monoid.k : 0
    const moving =
      axes.length > 0 && choose.chance(50)
        ? apply("floormod", variable(choose.of(axes).name), literal(Math.max(1, slots)))
        : undefined
    const slot = slots === 0 ? undefined : (moving ?? literal(choose.below(slots)))
    const found = component(folds, index, slot)
    const x = found.dtype === "f32" ? found : apply("toF32", apply("min", found, literal(100)))
    return this.clamped(
      { x, limit: found.dtype === "f32" ? limits[index]! : 100 },
      found.dtype === "f32" && limits[index]! <= exact ? exact : 64,
    )
  }

  store(): Store {
    const { choose } = this
    const axes = Array.from({ length: choose.below(4) }, () => this.axis("a", false)).slice(0, 3)
    const storages: readonly Storage[] = ["f32", "f32", "i32", "bool", "u32", "bf16", "f16", "bf16"]
    const chosen: Storage = choose.of(axes.length > 0 ? storages : storages.slice(0, 5))
    // Packed memory is written in pairs: rows of whole pairs, and nothing that shifts them.
    const pairs = packed(chosen)
    if (pairs) axes[axes.length - 1] = { ...axes.at(-1)!, extent: literal(choose.of([8, 4, 16, 2])) }
    const value = this.placed(this.value(axes, 3), axes)
    const order = !pairs && choose.chance(30) ? [...axes].reverse() : axes
    const merged = !pairs && order.length === 2 && choose.chance(30) && order[1]!.extent.kind === "literal"
    const places = order.map((a) => {
      const last = Math.max(0, maximum(a.extent) - 1)
      if (pairs && a === order.at(-1)) return { at: variable(a.name) as Expression, size: last + 1 }
      return choose.chance(20)
        ? { at: sub(literal(last), variable(a.name)), size: last + 1 }
        : choose.chance(20)
          ? { at: add(variable(a.name), literal(1)), size: last + 2 }
          : { at: variable(a.name) as Expression, size: Math.max(1, maximum(a.extent)) }
    })
    const [first, second] = places
    const index = merged ? [add(mul(first!.at, literal(second!.size)), second!.at)] : places.map((p) => p.at)
    const shape = merged ? [first!.size * second!.size] : places.map((p) => p.size)
    const converted = this.converted(pairs ? this.wide(value) : value, chosen)
    return { kind: "store", buffer: this.buffer(chosen, shape), axes, index, value: converted }
  }

  /** What differs from one place of the last axis to the next, now and then, whatever is loaded there. */
  placed(value: Bounded, axes: readonly Axis[]): Bounded {
    const last = axes.at(-1)
    if (last === undefined || !this.choose.chance(40)) return value
    const { x, limit } = this.clamped(value, 512)
    return { x: add(x, apply("toF32", variable(last.name))), limit: limit + maximum(last.extent) }
  }

  /** More bits than packed memory holds, so that stores round. */
  wide(value: Bounded): Bounded {
    const { x } = this.clamped(value, 60)
    return { x: add(mul(x, literal(1037, "f32")), literal(1, "f32")), limit: 63000 }
  }

  converted({ x }: Bounded, storage: Storage): Expression {
    if (storage === "i32") return apply("toI32", x)
    if (storage === "u32") return apply("toU32", apply("abs", x))
    return storage === "bool" ? apply("gt", x, literal(0, "f32")) : x
  }

  local(): Local {
    const { choose } = this
    const axes = Array.from({ length: 1 + choose.below(2) }, () => this.axis("l", true))
    const value = this.value(axes, 3)
    const local: Local = { kind: "local", name: `local${this.locals.length}`, axes, value: value.x }
    this.locals.push({ local, limit: value.limit })
    return local
  }
}

/** The kernel that a recipe stands for; run it inside of `withTable`. */
export function buildKernel({ numbers }: KernelRecipe): Kernel {
  const making = new Making(numbers)
  const items: Item[] = []
  const { choose } = making
  const stores = 1 + choose.below(3)
  for (let i = choose.below(3); i > 0; i--) items.push(making.local())
  for (let i = 0; i < stores; i++) items.push(making.store())
  return { name: "random", buffers: making.buffers, items, spans: [] }
}

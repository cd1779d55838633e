/**
 * Programs whose weights data choose for each row, with the ties, gaps and boundaries that grouping rows must survive.
 *
 *   y[seq, slot, out] = Σ_in x[seq, in] · w[index[seq, slot], out, in]      index: anything, all alike, in turns, out of range, …
 *
 * Everything is a small integer, so results are compared bit by bit.
 */
import fc from "fast-check"
import { add, apply, literal, symbol, variable } from "../../compiler/ir/expression.js"
import { max, min, sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import * as ir from "../../compiler/ir/tensor.js"
import type { LawProgram } from "./generate.js"

/** The axes of the index; a `seq` is of symbolic extent. */
const rowAxes = [["seq"], ["seq", "slot"], ["row", "slot"], ["slot", "seq"], ["row"]] as const

const [x0, x1] = [variable("$0", "i32"), variable("$1", "i32")]

/** Index values of row number $1 from the drawn $0, which is in −m … m: `count` values are in range. */
const patterns: Readonly<Record<string, (count: number, drawn: Expression, row: Expression) => Expression>> = {
  drawn: (count, drawn) => apply("floormod", apply("mul", drawn, literal(7)), literal(count)),
  "in turns": (count, _, row) => apply("floormod", row, literal(count)),
  "all alike": (count, drawn) => add(apply("mul", drawn, literal(0)), literal(count >> 1)),
  "two of them": (count, drawn) => apply("select", apply("lt", drawn, literal(0)), literal(0), literal(count - 1)),
  "out of range": (count, drawn) => apply("mul", drawn, literal(count)),
  "in blocks": (_, __, row) => apply("floordiv", row, literal(5)),
}

/** What is computed from the gathered operand. */
const shapes = ["one", "chain", "normalised", "two axes", "largest", "weighted", "in a unit", "smallest first"] as const

export interface GatheredRecipe {
  readonly rows: (typeof rowAxes)[number]
  readonly pattern: string
  readonly shape: (typeof shapes)[number]
  readonly values: number
  readonly slots: number
  readonly seq: number
  readonly max: number
  readonly out: number
  readonly inner: number
  readonly block: number
  readonly packed: boolean
  readonly seed: number
}

const counted = (least: number, most: number) => fc.integer({ min: least, max: most })

export const gatheredRecipes: fc.Arbitrary<GatheredRecipe> = fc
  .record({
    rows: fc.constantFrom(...rowAxes),
    pattern: fc.constantFrom(...Object.keys(patterns)),
    shape: fc.constantFrom(...shapes),
    values: counted(1, 9),
    slots: counted(1, 4),
    seq: fc.oneof({ weight: 6, arbitrary: counted(0, 40) }, { weight: 1, arbitrary: fc.constantFrom(0, 1) }),
    max: counted(0, 9),
    out: counted(1, 6),
    inner: counted(1, 9),
    block: fc.constantFrom(4, 1, 2, 3, 8),
    packed: fc.boolean(),
    seed: fc.nat(0xffff),
  })
  .map((r) => ({ ...r, max: Math.max(1, r.seq + r.max) }))

const real = (n: number) => variable(`$${n}`, "f32")
const times = (...args: ir.Tensor[]) => ir.map(apply("mul", real(0), real(1)), args)
const dot = (x: ir.Tensor, w: ir.Tensor, ...over: string[]) =>
  over.reduce<ir.Tensor>((t, axis) => ir.reduce(sum, axis, [t]), times(x, w))
/** Within ±8: what is summed next stays exact. */
const tame = (x: Expression) => apply("max", literal(-8, "f32"), apply("min", x, literal(8, "f32")))

export function buildGathered(r: GatheredRecipe): LawProgram {
  const seq = symbol("seq", r.max, Math.max(1, r.max >> 1))
  const extents: Readonly<Record<string, Expression>> = {
    seq,
    row: literal(Math.min(12, r.seq)),
    slot: literal(r.slots),
  }
  const axis = (name: string, extent: Expression = extents[name]!): ir.Axis => ({ name, extent })
  const [value, out, inner] = [
    axis("value", literal(r.values)),
    axis("out", literal(r.out)),
    axis("inner", literal(r.inner)),
  ]
  const inputs: ir.Input[] = []
  const given = (name: string, axes: readonly ir.Axis[], dtype: "f32" | "i32" = "f32", packed = false) => {
    const capacity = axes.map((a) => (a.extent.kind === "literal" ? a.extent.value : r.max))
    const role = packed ? "weight" : "input"
    const made = ir.input(`${role}s.${name}`, role, axes, dtype, packed && r.packed ? "bf16" : dtype, capacity)
    inputs.push(made)
    return made
  }
  const rows = r.rows.map((name) => axis(name))
  const first = rows.find((a) => a.name !== "slot")!
  const hasSlots = rows.some((a) => a.name === "slot")
  const number = ir.iota(first, literal(0))
  const row = hasSlots
    ? ir.map(add(apply("mul", x0, literal(r.slots)), x1), [number, ir.iota(axis("slot"), literal(0))])
    : number
  const index = ir.map(patterns[r.pattern]!(r.values, x0, x1), [given("drawn", rows, "i32"), row])
  const weights = (name: string, ...axes: ir.Axis[]) =>
    ir.gather(given(name, [value, ...axes], "f32", true), "value", index)

  const x = given("x", [first, inner])
  const outputs = ((): ir.Tensor[] => {
    switch (r.shape) {
      case "one":
        return [dot(x, weights("w", out, inner), "inner")]
      case "chain": {
        const gate = dot(x, weights("gate", out, inner), "inner")
        const up = dot(x, weights("up", inner, out), "inner")
        const h = ir.map(tame(apply("sub", real(0), real(1))), [gate, up])
        return [dot(h, weights("down", inner, out), "out"), gate]
      }
      case "normalised": {
        const statistic = ir.reduce(max, "inner", [ir.map(apply("abs", real(0)), [x])])
        const normed = ir.map(apply("sub", apply("mul", real(0), real(1)), real(2)), [
          x,
          given("scale", [inner]),
          statistic,
        ])
        const y = dot(normed, weights("w", out, inner), "inner")
        return [y, ir.reduce(sum, "out", [y])]
      }
      case "two axes": {
        const deep = axis("deep", literal(2))
        return [dot(given("z", [first, inner, deep]), weights("w", out, inner, deep), "deep", "inner")]
      }
      case "largest": {
        const y = ir.reduce(max, "inner", [ir.map(apply("add", real(0), real(1)), [x, weights("w", inner, out)])])
        const bias = ir.gather(given("bias", [value, out], "f32", true), "value", index)
        return [ir.map(apply("add", real(0), real(1)), [y, bias])]
      }
      case "weighted": {
        const y = dot(x, weights("w", out, inner), "inner")
        const share = given("share", rows)
        return hasSlots ? [dot(y, share, "slot")] : [times(y, share)]
      }
      case "in a unit": {
        const names = inputs.slice()
        const y = dot(x, weights("w", out, inner), "inner")
        const unit = ir.unit("layer", inputs.slice(), [ir.reduce(min, "out", [y]), y])
        inputs.splice(names.length, 0)
        return [ir.call(unit, inputs.slice(), 1), ir.call(unit, inputs.slice(), 0)]
      }
      case "smallest first":
        return [
          ir.reduce(min, "inner", [times(weights("w", out, inner), given("z", [...rows].reverse().concat(inner)))]),
        ]
      default:
        return r.shape satisfies never
    }
  })()
  return {
    regime: "exact",
    outputs,
    updates: [],
    inputs,
    symbols: [{ name: "seq", max: r.max }],
    values: new Map([
      ["seq", r.seq],
      ["past", 0],
    ]),
    seed: r.seed,
    magnitude: 4,
  }
}

/**
 * The compiled tensor interpreter against a direct one, on random programs.
 *
 * The direct interpreter asks each node for one element at a time and knows no arrays but the inputs. Programs grow from a pool of tensors by
 * decisions drawn from a list of numbers, so that fast-check can shrink them. Axis names have one extent each; new axes get new names.
 */

import fc from "fast-check"
import { expect, test } from "vitest"
import { append, identityElement } from "../../compiler/interpret/monoid.js"
import { type Dense, interpretTensor } from "../../compiler/interpret/tensor.js"
import { extentAt, maximum } from "../../compiler/ir/dim.js"
import { add, apply, evaluate, literal, mul, sub, symbol, variable } from "../../compiler/ir/expression.js"
import { argmax, type Monoid, max, min, monoidTypes, product, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { roundTo } from "../../compiler/ir/operations.js"
import { topological } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"
import { runs } from "../laws/settings.js"

type Point = ReadonlyMap<string, number>

/** One element of a tensor, by the definition of its node. */
function directly(inputs: ReadonlyMap<string, Dense>, symbols: ReadonlyMap<string, number>) {
  const memo = new Map<string, number>()
  const extent = (t: ir.Tensor, axis: string) => extentAt(ir.axisOf(t, axis)!.extent, symbols)
  const element = (t: ir.Tensor, at: Point, given: ReadonlyMap<string, ir.Tensor>, scope: string): number => {
    const key = `${scope} ${ids(t)} ${t.axes.map((a) => at.get(a.name)).join(" ")}`
    const known = memo.get(key) ?? node(t, at, given, scope)
    memo.set(key, known)
    return known
  }
  const numbers = new Map<object, number>()
  const ids = (x: object) => numbers.get(x) ?? numbers.set(x, numbers.size).get(x)!
  const indexed = (x: Expression, at: Point) => evaluate(x, new Map([...symbols, ...at]))
  const node = (t: ir.Tensor, at: Point, given: ReadonlyMap<string, ir.Tensor>, scope: string): number => {
    const of = (x: ir.Tensor, p: Point = at) => element(x, p, given, scope)
    const moved = (axis: string, i: number) => new Map([...at, [axis, i]])
    switch (t.kind) {
      case "input": {
        const argument = given.get(t.name)
        if (argument !== undefined) return element(argument, at, new Map(), "")
        const { axes, data } = inputs.get(t.name)!
        return data[axes.reduce((n, a) => n * a.extent + at.get(a.name)!, 0)]!
      }
      case "constant":
        return t.values[t.axes.reduce((n, a) => n * extent(t, a.name) + at.get(a.name)!, 0)]!
      case "iota":
        return at.get(t.axes[0]!.name)! + extentAt(t.start, symbols)
      case "map":
        return evaluate(t.body, new Map([...symbols, ...t.args.map((x, i) => [`$${i}`, of(x)] as const)]))
      case "reduce": {
        const ranked = t.monoid.kind === "argmax" || t.monoid.kind === "top"
        const types = monoidTypes(
          t.monoid,
          t.args.map((x) => x.dtype),
        )
        let state = identityElement(t.monoid, types)
        const count = extent(t.args.find((x) => ir.axisOf(x, t.axis))!, t.axis)
        for (let i = 0; i < count; i++) {
          const lifted = t.args.map((x) => of(x, moved(t.axis, i)))
          state = append(t.monoid, types, state, ranked ? [...lifted, i] : lifted)
        }
        return roundTo(t.dtype, state[t.component]![t.slot === undefined ? 0 : at.get(t.slot)!]!)
      }
      case "scan": {
        let state = identityElement(t.monoid, [t.dtype])
        const end = at.get(t.axis)!
        for (let i = t.block === undefined ? 0 : end - (end % t.block); i <= end; i++)
          state = append(t.monoid, [t.dtype], state, [of(t.arg, moved(t.axis, i))])
        return roundTo(t.dtype, state[0]![0]!)
      }
      case "reindex":
        if (t.valid !== undefined && !indexed(t.valid, at)) return t.fill
        return of(t.arg, new Map(t.arg.axes.map((a) => [a.name, indexed(t.index.get(a.name)!, at)])))
      case "gather":
        return of(t.arg, moved(t.axis, Math.max(0, Math.min(of(t.index), extent(t.arg, t.axis) - 1))))
      case "update": {
        if (t.axis === undefined) return of(t.value)
        const i = at.get(t.axis)! - extentAt(t.at, symbols)
        return i >= 0 && i < extent(t.value, t.axis) ? of(t.value, moved(t.axis, i)) : of(t.state)
      }
      case "call":
        return element(
          t.unit.results[t.result]!,
          at,
          new Map(t.unit.inputs.map((x, i) => [x.name, t.args[i]!])),
          `${ids(t)}`,
        )
      default:
        return t satisfies never
    }
  }
  return (t: ir.Tensor): number[] => {
    const points = t.axes.reduce<Point[]>(
      (ps, a) =>
        ps.flatMap((p) => Array.from({ length: extentAt(a.extent, symbols) }, (_, i) => new Map([...p, [a.name, i]]))),
      [new Map()],
    )
    return points.map((p) => element(t, p, new Map(), ""))
  }
}

const rows = symbol("rows", 3, 2)
const past = symbol("past", 3, 2)

/** A program from a list of decisions. */
function grow(decisions: readonly number[]) {
  let next = 0
  const choose = (n: number) => (decisions[next++ % decisions.length]! >>> 3) % n
  const pick = <T>(xs: readonly T[]): T => xs[choose(xs.length)]!
  const extents = new Map<string, Expression>([
    ["a", literal(1 + choose(4))],
    ["b", literal(1 + choose(4))],
    ["r", rows],
  ])
  const axis = (name: string): ir.Axis => ({ name, extent: extents.get(name)! })
  const fresh = (extent: Expression): ir.Axis => {
    const name = `n${extents.size}`
    extents.set(name, extent)
    return { name, extent }
  }
  const inputs: ir.Input[] = []
  const input = (axes: ir.Axis[], role: ir.InputRole = "input") => {
    const made = ir.input(
      `x${inputs.length}`,
      role,
      axes,
      "f32",
      "f32",
      axes.map((a) => maximum(a.extent)),
    )
    inputs.push(made)
    return made
  }
  const pool: ir.Tensor[] = [
    input([axis("a"), axis("r")]),
    input([axis("b"), axis("a")]),
    input([axis("r"), axis("b")]),
  ]
  const floats = () => pool.filter((t) => t.dtype === "f32")
  const small = (t: ir.Tensor) => t.axes.length <= 3
  const [p, q] = [variable("$0", "f32"), variable("$1", "f32")]
  const bodies: Expression[] = [
    apply("mul", p, q),
    apply("add", p, apply("mul", q, literal(0.3, "f32"))),
    apply("select", apply("lt", p, q), apply("sin", p), apply("sub", q, p)),
    apply("max", apply("exp", apply("min", p, literal(2, "f32"))), q),
  ]
  const identityIndex = (t: ir.Tensor) => new Map<string, Expression>(t.axes.map((a) => [a.name, variable(a.name)]))
  const steps: (() => ir.Tensor | undefined)[] = [
    () => {
      const made = ir.map(pick(bodies), [pick(floats()), pick(floats())])
      return small(made) ? made : undefined
    },
    () => {
      const args = [pick(floats()), pick(floats())]
      const lift = ir.map(apply("mul", p, q), args)
      return lift.axes.length === 0 ? undefined : ir.reduce(sum, pick(lift.axes).name, [lift])
    },
    () => {
      const x = pick(floats())
      const y = pick(floats().filter((t) => t.axes.every((a) => ir.axisOf(x, a.name))))
      if (x.axes.length === 0) return undefined
      const along = pick(x.axes).name
      const kind = choose(4)
      if (kind === 0) return ir.reduce(pick([sum, max, min]), along, [x])
      if (kind === 1) return ir.reduce(argmax, along, [x], 0)
      if (kind === 2) return ir.reduce(product(max, sum), along, [x, y], choose(2))
      return ir.reduce(top(1), along, [x], 0, fresh(literal(1)).name)
    },
    () => {
      const x = pick(pool)
      const block = pick([undefined, undefined, 2, 3])
      return x.axes.length === 0 ? undefined : ir.scan(pick<Monoid>([sum, max]), pick(x.axes).name, x, block)
    },
    () => {
      const x = pick(pool)
      if (x.axes.length === 0) return undefined
      const along = pick(x.axes)
      const made = fresh(add(along.extent, literal(2)))
      const at = sub(variable(made.name), literal(1))
      const valid = apply("and", apply("ge", at, literal(0)), apply("lt", at, along.extent))
      const axes = x.axes.map((a) => (a === along ? made : a))
      return ir.reindex(x, axes, new Map([...identityIndex(x), [along.name, at]]), valid, choose(3))
    },
    () => {
      const x = pick(pool)
      if (x.axes.length === 0) return undefined
      const along = pick(x.axes)
      const back = sub(sub(along.extent, literal(1)), variable(along.name))
      return ir.reindex(x, x.axes, new Map([...identityIndex(x), [along.name, back]]))
    },
    () => {
      const x = pick(pool)
      const two = x.axes.filter((a) => a.extent.kind === "literal")
      if (two.length < 2) return undefined
      const [first, second] = two as [ir.Axis, ir.Axis]
      const made = fresh(mul(first.extent, second.extent))
      const flat = variable(made.name)
      const index = new Map<string, Expression>([
        ...identityIndex(x),
        [first.name, apply("floordiv", flat, second.extent)],
        [second.name, apply("floormod", flat, second.extent)],
      ])
      return ir.reindex(x, [...x.axes.filter((a) => a !== first && a !== second), made], index)
    },
    () => {
      const x = pick(pool)
      const along = x.axes.filter((a) => a.extent.kind === "literal")
      if (along.length === 0) return undefined
      const source = pick(floats())
      const index = ir.map(apply("toI32", apply("mul", p, literal(2, "f32"))), [source])
      const made = ir.gather(x, pick(along).name, index)
      return small(made) ? made : undefined
    },
    () => ir.map(apply("toF32", variable("$0", "i32")), [ir.iota(axis(pick(["a", "b", "r"])), rows)]),
    () => ir.constant([fresh(literal(2))], [0.5, choose(5)], "f32"),
    () => {
      const x = pick(floats())
      if (x.axes.length === 0) return undefined
      const along = pick(x.axes)
      const key = `k${inputs.length}`
      const state = input(
        x.axes.map((a) => (a === along ? { name: key, extent: past } : a)),
        "state",
      )
      const index = new Map([...identityIndex(x), [along.name, variable(key)]])
      const value = ir.reindex(
        x,
        x.axes.map((a) => (a === along ? { name: key, extent: a.extent } : a)),
        index,
      )
      const grown = ir.update(state, key, past, value, add(past, along.extent))
      extents.set(key, add(past, along.extent))
      return grown
    },
    () => {
      const [x, y] = [pick(floats()), pick(floats())]
      const placeholder = (name: string, t: ir.Tensor) =>
        ir.input(
          name,
          "input",
          t.axes,
          t.dtype,
          "f32",
          t.axes.map(() => 0),
        )
      const [u, v] = [placeholder("u", x), placeholder("v", y)]
      const inner = ir.map(pick(bodies), [u, v])
      if (!small(inner) || inner.axes.length === 0) return undefined
      const unit = ir.unit("layer", [u, v], [inner, ir.reduce(max, inner.axes[0]!.name, [inner])])
      return ir.call(unit, [x, y], choose(2))
    },
  ]
  for (let i = 0; i < 4 + choose(6); i++) {
    const made = pick(steps)()
    if (made !== undefined) pool.push(made)
  }
  return { roots: [pool.at(-1)!, pick(pool), pool.at(-2)!], inputs }
}

const kinds = new Map<string, number>()

test("the compiled interpreter agrees with the direct one to the bit, and its programs verify", () => {
  const decisions = fc.array(fc.nat(), { minLength: 30, maxLength: 80 })
  fc.assert(
    fc.property(
      decisions,
      fc.nat(3),
      fc.nat(3),
      fc.infiniteStream(fc.integer({ min: -16, max: 16 })),
      (list, r, k, stream) => {
        const { roots, inputs } = grow(list)
        for (const t of topological(roots)) kinds.set(t.kind, (kinds.get(t.kind) ?? 0) + 1)
        expect(verifyTensor(roots)).toEqual([])
        const symbols = new Map([
          ["rows", r],
          ["past", k],
        ])
        const given = new Map(
          inputs.map((x): [string, Dense] => {
            const axes = x.axes.map((a) => ({ name: a.name, extent: extentAt(a.extent, symbols) }))
            const size = axes.reduce((n, a) => n * a.extent, 1)
            return [
              x.name,
              {
                axes,
                dtype: x.dtype,
                data: Float64Array.from({ length: size }, () => Math.fround(stream.next().value! * 0.3)),
              },
            ]
          }),
        )
        const direct = directly(given, symbols)
        const wanted = roots.map(direct)
        const found = interpretTensor(roots, given, symbols)
        expect(found.map((d) => [...d.data])).toEqual(wanted)
        const bounded = interpretTensor(roots, given, symbols, "absolute")
        expect(bounded.map((d) => [...d.data])).toEqual(wanted)
        const held = (d: Dense) =>
          d.data.every((x, i) => d.bound === undefined || !Number.isFinite(x) || d.bound[i]! >= Math.abs(x) * 0.99)
        expect(bounded.every(held)).toBe(true)
      },
    ),
    { numRuns: runs(120) },
  )
  const all: ir.Tensor["kind"][] = [
    "input",
    "constant",
    "iota",
    "map",
    "reduce",
    "scan",
    "reindex",
    "gather",
    "update",
    "call",
  ]
  for (const kind of all) expect(kinds.get(kind) ?? 0, kind).toBeGreaterThan(1)
})

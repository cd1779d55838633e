/**
 * What the laws have found, each as the program that fast-check left: kernels, loops (as drawn and as the compiler schedules) and plans agree with
 * the meaning again.
 */

import { expect, test } from "vitest"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { maximum } from "../../compiler/ir/dim.js"
import { add, apply, literal, mul, symbol, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { Storage } from "../../compiler/ir/loop.js"
import { argmax, max, product, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { AxisTile, ReductionTile, Schedule } from "../../compiler/ir/schedule.js"
import { homeOf } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import { fuse } from "../../compiler/kernel/fuse.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
import { wasmTarget, webgpuTarget } from "../../compiler/targets/target.js"
import { simplified } from "./execute.js"
import type { LawProgram } from "./generate.js"
import { checkKernels, checkPlan, checkTiling } from "./meaning.js"
import { foldedAxes } from "./schedules.js"

const seq = () => symbol("seq", 4, 3)
const past = () => symbol("past", 9, 3)
const $ = (i: number, dtype: "f32" | "i32" = "f32") => variable(`$${i}`, dtype)
const axis = (name: string, extent: number | Expression): ir.Axis => ({
  name,
  extent: typeof extent === "number" ? literal(extent) : extent,
})
const identity = (t: ir.Tensor, change: Readonly<Record<string, Expression>>) =>
  new Map(t.axes.map((a) => [a.name, change[a.name] ?? variable(a.name)]))
const doubled = (t: ir.Tensor) => ir.map(apply("add", $(0), $(0)), [t])
const placeholder = (name: string, t: ir.Tensor): ir.Input => {
  const home = homeOf(t)
  return ir.input(
    name,
    home === undefined ? "input" : t === home ? home.role : "weight",
    t.axes,
    t.dtype,
    home?.storage ?? t.dtype,
    home?.capacity ?? t.axes.map(() => 0),
  )
}

/** A program over inputs that it makes itself. */
function program(
  make: (input: (name: string, axes: readonly ir.Axis[], role?: ir.InputRole, storage?: Storage) => ir.Input) => {
    outputs: readonly ir.Tensor[]
    updates?: LawProgram["updates"]
  },
): LawProgram {
  const inputs: ir.Input[] = []
  const made = make((name, axes, role = "input", storage = "f32") => {
    const x = ir.input(
      name,
      role,
      axes,
      "f32",
      storage,
      axes.map((a) => maximum(a.extent)),
    )
    inputs.push(x)
    return x
  })
  const values = new Map([
    ["past", 5],
    ["seq", 3],
  ])
  return {
    regime: "exact",
    outputs: made.outputs,
    updates: made.updates ?? [],
    inputs,
    symbols: [],
    values,
    seed: 5,
    magnitude: 4,
  }
}

/** All stores alike: each axis with this tile, each fold with that one. */
const uniform = (kernel: Kernel, threads: number, tile: AxisTile, fold: ReductionTile, onlyLast = false): Schedule => {
  const stores = kernel.items.filter((i) => i.kind === "store")
  return {
    threads,
    stores: stores.map((s) => ({
      tile: Object.fromEntries(
        s.axes.map((a, i) => [a.name, onlyLast && i < s.axes.length - 1 ? { block: "all" as const } : tile]),
      ),
      reduce: Object.fromEntries([...foldedAxes([s.value])].map((a) => [a, fold])),
    })),
    locals: {},
  }
}

const schedules: readonly ((kernel: Kernel) => Schedule)[] = [
  (k) => chooseSchedule(k, wasmTarget.schedule),
  (k) => chooseSchedule(k, webgpuTarget.schedule),
  (k) => uniform(k, 1, { block: "all", vector: 4 }, {}, true),
  (k) => uniform(k, 4, { block: "all" }, { group: 2 }),
  (k) => uniform(k, 4, { block: 4, perThread: 4 }, { vector: 4 }),
  (k) => uniform(k, 8, { block: 2 }, { group: 8, vector: 2 }),
]

function holds(make: () => LawProgram, refused: readonly string[] = []): void {
  withTable(() => {
    const p = make()
    checkKernels(p, p)
    checkKernels(p, simplified(p))
    for (const choose of schedules)
      for (const code of checkTiling(p, undefined, (k) => ({
        schedule: choose(k),
        options: { maxGroups: 3, sharedBytes: 1 << 20 },
      })))
        expect(["tile/vector", "reduce/group", "local/unowned", undefined, ...refused]).toContain(code)
    if (refused.length > 0) return
    checkPlan(p, "wasm")
    checkPlan(p, "webgpu")
  })
}

const a3 = () => axis("a", 3)
const b5 = () => axis("b", 5)

test("a state that becomes an input, and a fold of it", () =>
  holds(() =>
    program((input) => {
      const state = input("s", [a3(), b5()], "state")
      const update = ir.update(state, undefined, literal(0), input("w", [a3(), b5()]))
      const folded = ir.reduce(sum, "a", [update])
      return {
        outputs: [doubled(folded), ir.reduce(max, "b", [ir.map(apply("mul", $(0), $(1)), [folded, update])])],
        updates: [{ state, tensor: update }],
      }
    }),
  ))

const appended = (state: ir.Input, x: ir.Tensor, along: string) => {
  const moved = x.axes.map((a) => (a.name === along ? { name: "key", extent: a.extent } : a))
  const value = ir.reindex(x, moved, new Map(x.axes.map((a) => [a.name, variable(a.name === along ? "key" : a.name)])))
  return ir.update(state, "key", past(), value, add(past(), ir.axisOf(x, along)!.extent))
}

test("what a unit has appended, read outside of it and given to another unit", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [a3(), axis("s", seq())])
      const state = input("k", [a3(), axis("key", past())], "state")
      const [px, ps] = [placeholder("x", x), placeholder("k", state)]
      const unit = ir.unit("layer", [px, ps], [doubled(px), appended(ps, px, "s")])
      const [y, keys] = [ir.call(unit, [x, state], 0), ir.call(unit, [x, state], 1)]
      const pk = placeholder("k", keys)
      const reader = ir.unit("reader", [pk], [ir.reduce(sum, "key", [pk])])
      return {
        outputs: [doubled(y), ir.reduce(max, "key", [keys]), ir.call(reader, [keys], 0)],
        updates: [{ state, tensor: keys }],
      }
    }),
  ))

test("a fold of several values, one of which is a fold of another", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [a3(), b5()])
      return { outputs: [ir.reduce(product(max, sum), "b", [x, ir.reduce(sum, "b", [x])], 1)] }
    }),
  ))

test("steps that ask at two places each: the one before is cut where there are too many", () =>
  holds(() =>
    program((input) => {
      let x: ir.Tensor = input("x", [axis("a", 7)])
      const shifted = (by: number) => {
        const place = add(variable("a"), literal(by))
        const within = apply("and", apply("le", literal(0), place), apply("lt", place, literal(7)))
        return ir.reindex(x, x.axes, identity(x, { a: place }), within)
      }
      for (let i = 0; i < 6; i++) x = ir.map(apply("add", $(0), $(1)), [shifted(1), shifted(-1)])
      return { outputs: [x] }
    }),
  ))

test("x where x is largest", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [a3(), b5()])
      const row = ir.reduce(argmax, "b", [x])
      return { outputs: [ir.gather(row, "a", ir.reduce(argmax, "b", [x], 1))] }
    }),
  ))

test("prefixes along the axis of a vector, and inside of a vector fold", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [a3(), axis("c", 8)])
      const prefixes = ir.scan(sum, "c", x)
      return { outputs: [prefixes, ir.reduce(max, "c", [ir.map(apply("mul", $(0), $(1)), [prefixes, x])])] }
    }),
  ))

const oddRows = () =>
  program((input) => {
    const x = input("x", [a3(), axis("s", 3)])
    const state = input("k", [a3(), axis("key", past())], "state", "bf16")
    const tensor = appended(state, x, "s")
    return { outputs: [ir.reduce(sum, "key", [tensor])], updates: [{ state, tensor }] }
  })

test("half words are refused", () => holds(oddRows, ["store/packed"]))

test("half words are stored where a machine stores single halves", () =>
  withTable(() => {
    const p = oddRows()
    for (const choose of schedules) {
      const options = { maxGroups: 3, sharedBytes: 1 << 20, singleHalves: true }
      const codes = checkTiling(p, undefined, (k) => ({ schedule: choose(k), options }))
      expect(codes).not.toContain("store/packed")
      expect(codes).toContain(undefined)
    }
    checkPlan(p, "cuda")
  }))

test("folds inside of a fold that lanes share", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [a3(), b5(), axis("s", seq())])
      const inner = ir.reduce(max, "b", [x])
      return { outputs: [ir.reduce(sum, "s", [inner]), ir.reduce(sum, "s", [ir.reduce(sum, "b", [x])])] }
    }),
  ))

test("lists whose folds lanes share, of which a fold reads several elements at once", () =>
  withTable(() => {
    const p = program((input) => {
      const s = axis("s", seq())
      const chances = input("chances", [s, axis("expert", 60)])
      const shares = ir.reduce(top(4), "expert", [chances], 0, "slot")
      const x = input("x", [s, axis("slot", 4), axis("k", 128)])
      const w = input("w", [axis("out", 16), axis("k", 128)], "weight")
      const each = ir.reduce(sum, "k", [ir.map(apply("mul", $(0), $(1)), [x, w])])
      return { outputs: [ir.reduce(sum, "slot", [ir.map(apply("mul", $(0), $(1)), [each, shares])])] }
    })
    checkPlan(p, "cuda")
  }))

test("axes called lane and group", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [axis("s", seq()), axis("lane", 3), axis("group", 5)])
      return { outputs: [ir.reduce(sum, "lane", [ir.reduce(max, "group", [x])]), ir.reduce(sum, "group", [x])] }
    }),
  ))

test("a register tile that reaches over the last rank", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [a3(), b5()])
      return { outputs: [ir.reduce(top(2), "a", [x], 0, "slot"), ir.reduce(top(2), "a", [x], 1, "slot")] }
    }),
  ))

test("divisors of vectors that occur twice", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [axis("s", seq()), a3(), b5()])
      const n = variable("n")
      const index = identity(x, { s: apply("floordiv", n, literal(3)), a: apply("floormod", n, literal(3)) })
      return { outputs: [ir.reindex(x, [b5(), axis("n", mul(seq(), literal(3)))], index)] }
    }),
  ))

test("lanes that share a fold and have no point left", () =>
  holds(() => program((input) => ({ outputs: [ir.reduce(max, "a", [input("x", [a3(), axis("c", 7)])])] }))))

test("axes without elements", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [axis("c", 0), b5(), axis("s", seq())])
      const index = ir.reduce(argmax, "s", [x], 1)
      const spread = ir.map(apply("add", $(0, "i32"), $(1, "i32")), [index, ir.iota(a3(), literal(0))])
      return { outputs: [spread, ir.reduce(sum, "c", [x])] }
    }),
  ))

test("an index that is the same in all lanes of a vector", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [b5(), axis("s", seq())])
      const y = input("y", [axis("s", seq()), axis("d", 8)])
      const index = ir.reduce(argmax, "s", [x], 1)
      return { outputs: [ir.gather(y, "s", index)] }
    }),
  ))

test("a value that is stored and also a local", () =>
  holds(() =>
    program((input) => {
      const folded = ir.reduce(sum, "b", [input("x", [a3(), b5()])])
      const [first, second] = [input("s0", [a3()], "state"), input("s1", [a3()], "state")]
      const updates = [first, second].map((state) => ({
        state,
        tensor: ir.update(state, undefined, literal(0), folded),
      }))
      return { outputs: [ir.map(apply("mul", $(0), $(0)), [folded])], updates }
    }),
  ))

test("two components of one fold, one of which is folded along an axis of unknown extent", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [a3(), b5(), axis("s", seq())])
      const [first, second] = [0, 1].map((i) => ir.reduce(product(max, sum), "a", [x, x], i))
      return { outputs: [doubled(ir.reduce(sum, "s", [first!])), doubled(second!)] }
    }),
  ))

test("states that are replaced and still read as they were: by others, by a unit, by each other", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [a3()])
      const [s, t, u] = ["s", "t", "u"].map((name) => input(name, [a3()], "state")) as [ir.Input, ir.Input, ir.Input]
      const replace = (state: ir.Input, value: ir.Tensor) => ir.update(state, undefined, literal(0), value)
      const both = apply("add", $(0), $(1))
      const [ns, nt] = [replace(s, t), replace(t, s)]
      const p = placeholder("p", u)
      const unit = ir.unit("count", [p], [doubled(p), replace(p, ir.map(apply("mul", $(0), $(0)), [p]))])
      const nu = ir.call(unit, [u], 1)
      const updates = [
        { state: s, tensor: ns },
        { state: t, tensor: nt },
        { state: u, tensor: nu },
      ]
      return {
        outputs: [ir.map(both, [s, ns]), ir.map(both, [nu, u]), ir.map(both, [x, ir.call(unit, [u], 0)])],
        updates,
      }
    }),
  ))

test("a state in halves that is replaced, and given to a unit as it was", () =>
  withTable(() => {
    const p = program((input) => {
      const wide = axis("a", 4)
      const x = input("x", [wide])
      const s = input("s", [wide], "state", "bf16")
      const [first, second] = [placeholder("p", doubled(x)), placeholder("q", s)]
      const unit = ir.unit("add", [first, second], [ir.map(apply("add", $(0), $(1)), [first, second])])
      return {
        outputs: [ir.call(unit, [doubled(x), s], 0)],
        updates: [{ state: s, tensor: ir.update(s, undefined, literal(0), x) }],
      }
    })
    checkKernels(p, simplified(p))
    for (const target of ["wasm", "webgpu"] as const) checkPlan(p, target)
  }))

test("locals of a block that are too large for a workgroup", () => {
  withTable(() => {
    const x = ir.input("x", "input", [axis("a", 64), axis("c", 256), axis("k", 8)], "f32", "f32", [64, 256, 8])
    const w = ir.input("w", "weight", [axis("o", 16), axis("c", 256)], "f32", "f32", [16, 256])
    const scores = ir.map(apply("mul", $(0), $(1)), [ir.reduce(sum, "k", [x]), w])
    const best = ir.reduce(max, "o", [ir.reduce(sum, "c", [scores])])
    for (const step of fuse([best], { bindings: 8 }).steps)
      if (step.kind === "kernel")
        expect(compileKernel(step.kernel, webgpuTarget, { verify: true }).loops.groups).toBeGreaterThan(1)
  })
})

test("units that return a constant, an argument, or one thing twice; outputs that have memory already", () =>
  holds(() =>
    program((input) => {
      const x = input("x", [a3()])
      const w = input("w", [a3()], "weight", "bf16")
      const constant = ir.constant([a3()], [1, 2, 3], "f32")
      const px = placeholder("x", x)
      const shifted = ir.map(apply("add", $(0), $(1)), [px, constant])
      const unit = ir.unit("layer", [px], [shifted, constant, px, shifted])
      const calls = [0, 1, 2, 3].map((i) => ir.call(unit, [x], i))
      // A rename there and back: after simplification the argument is the packed weight itself.
      const there = ir.reindex(w, [axis("n", 3)], new Map([["a", variable("n")]]))
      const back = ir.reindex(there, [a3()], new Map([["n", variable("a")]]))
      return { outputs: [...calls, ir.call(unit, [back], 0), x, constant, x] }
    }),
  ))

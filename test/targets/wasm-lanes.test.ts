import { describe, expect, test } from "vitest"
import { add, apply, fetch, lane, mul, sub, symbol, variable } from "../../compiler/ir/expression.js"
import type { Statement } from "../../compiler/ir/loop.js"
import { emitWasm } from "../../compiler/targets/wasm/emit.js"
import { alloc, assign, barrier, f, g, j, k, l, n, numbers, range, when } from "./wasm-statements.js"
import { bind, bound, buffer, kernelOf, run, serial, store } from "./wasm-support.js"

describe("lanes", () => {
  const threads = 8
  const size = (name: string, count: number, access: "read" | "write" = "read") => buffer(name, "f32", count, access)
  test("values, variables and register arrays live across barriers", async () => {
    const m = variable("m", "f32")
    const x = variable("x", "f32", 2)
    const body = [
      alloc("s", threads, "shared"),
      bound("lane", "l", threads, [
        alloc("r", 2, "register"),
        bind("at", mul(apply("toI32", fetch("in", l, "f32")), n(1))),
        bind("x", fetch("in", mul(l, n(2)), "f32", 2)),
        bind("m", fetch("in", l, "f32"), true),
        store("r", n(1), m),
        store("s", l, m),
        barrier,
        assign("m", apply("add", m, fetch("s", sub(n(threads - 1), l), "f32"))),
        barrier,
        store("s", l, m),
        barrier,
        store(
          "out",
          l,
          range(4)
            .map((p) => [m, fetch("s", apply("bitxor", l, n(1)), "f32"), fetch("r", n(1), "f32"), lane(x, 1)][p]!)
            .reduce(add),
        ),
        store("out", add(l, n(threads)), apply("toF32", variable("at"))),
      ]),
    ]
    const input = numbers(2 * threads)
    const { out } = await run(
      kernelOf([size("in", 2 * threads), size("out", 2 * threads, "write")], 1, body, { threads }),
      {
        in: input,
      },
    )
    const m1 = range(threads).map((v) => input[v]! + input[threads - 1 - v]!)
    expect([...out!]).toEqual([
      ...range(threads).map((v) => m1[v]! + m1[v ^ 1]! + input[v]! + input[2 * v + 1]!),
      ...input.slice(0, threads),
    ])
  })
  test("a tree of shuffles and one of barriers inside uniform loops both sum the lanes", async () => {
    const total = variable("total", "f32")
    const shuffles = [4, 2, 1].flatMap((mask): Statement[] => [
      { kind: "shuffle", name: "other", value: total, mask },
      assign("total", apply("add", total, variable("other", "f32"))),
    ])
    const step = apply("shr", n(threads), add(k, n(1)))
    const body = [
      alloc("s", threads, "shared"),
      bound("lane", "l", threads, [
        bind("total", fetch("in", add(mul(g, n(threads)), l), "f32"), true),
        store("s", l, total),
        barrier,
        ...shuffles,
        serial("k", 3, [
          when(apply("lt", l, step), [store("s", l, add(fetch("s", l, "f32"), fetch("s", add(l, step), "f32")))]),
          barrier,
        ]),
        store("out", add(mul(g, n(threads)), l), sub(mul(total, f(2)), fetch("s", n(0), "f32"))),
      ]),
    ]
    const input = numbers(5 * threads)
    const { out } = await run(
      kernelOf([size("in", 5 * threads), size("out", 5 * threads, "write")], 5, body, { threads }),
      {
        in: input,
      },
    )
    expect([...out!]).toEqual(
      range(5 * threads).map((v) =>
        range(threads).reduce((s, q) => s + input[threads * Math.floor(v / threads) + q]!, 0),
      ),
    )
  })
  test("a condition around a barrier may be bound by a let", async () => {
    const body = [
      alloc("s", threads, "shared"),
      bound("lane", "l", threads, [
        bind("even", apply("eq", apply("floormod", g, n(2)), n(0))),
        store("s", l, apply("toF32", l)),
        barrier,
        when(variable("even", "bool"), [store("s", l, mul(fetch("s", l, "f32"), f(2))), barrier]),
        store("out", add(mul(g, n(threads)), l), fetch("s", sub(n(threads - 1), l), "f32")),
      ]),
    ]
    const { out } = await run(kernelOf([size("out", 3 * threads, "write")], 3, body, { threads }), {})
    expect([...out!]).toEqual(
      range(3 * threads).map((v) => (threads - 1 - (v % threads)) * (Math.floor(v / threads) % 2 ? 1 : 2)),
    )
  })
  test("a register accumulator over staged tiles, under a uniform condition", async () => {
    const tiles = symbol("tiles", 4, 4)
    const acc = fetch("acc", n(0), "f32")
    const body = [
      alloc("tile", threads, "shared"),
      bound("lane", "l", threads, [
        alloc("acc", 1, "register"),
        store("acc", n(0), f(0)),
        serial("k", tiles, [
          when(apply("ne", apply("floormod", k, n(2)), n(1)), [
            store("tile", l, fetch("in", add(mul(k, n(threads)), l), "f32")),
            barrier,
            serial("j", threads, [
              store("acc", n(0), add(acc, mul(fetch("tile", j, "f32"), apply("toF32", add(j, l))))),
            ]),
            barrier,
          ]),
        ]),
        store("out", l, acc),
      ]),
    ]
    const input = numbers(4 * threads)
    const kernel = kernelOf([size("in", 4 * threads), size("out", threads, "write")], 1, body, {
      threads,
      symbols: ["tiles"],
    })
    for (const count of [0, 1, 4]) {
      const { out } = await run(kernel, { in: input }, { symbols: { tiles: count } })
      const want = range(threads).map((v) =>
        range(count * threads)
          .filter((q) => Math.floor(q / threads) % 2 === 0)
          .reduce((s, q) => s + input[q]! * ((q % threads) + v), 0),
      )
      expect([...out!]).toEqual(want)
    }
  })
})

describe("the module", () => {
  test("lists kernels with their scratch and symbols in order", () => {
    const named = (name: string, symbols: string[]) =>
      kernelOf([buffer("y", "f32", 4, "write")], 4, [store("y", g, f(1))], { name, symbols })
    const { kernels, symbols } = emitWasm([named("one", ["seq"]), named("two", ["length", "seq"])])
    expect(kernels.map((x) => x.name)).toEqual(["one", "two"])
    expect(symbols).toEqual(["length", "seq"])
  })
  test("refuses a symbol outside of the artifact's list", () => {
    const kernel = kernelOf([buffer("y", "f32", 4, "write")], 4, [], { symbols: ["seq"] })
    expect(() => emitWasm([kernel], { symbols: ["length"] })).toThrow(
      "the symbol 'seq' of kernel 'kernel' is not in the artifact's list",
    )
  })
  test("text: the inner loop of a dot product is two loads, a product, a sum and three increments", () => {
    const sum = variable("sum", "f32")
    const kernel = kernelOf([buffer("x", "f32", 64), buffer("w", "f32", 640), buffer("y", "f32", 10, "write")], 10, [
      bind("sum", f(0), true),
      serial("k", 64, [assign("sum", add(sum, mul(fetch("x", k, "f32"), fetch("w", add(mul(g, n(64)), k), "f32"))))]),
      store("y", g, sum),
    ])
    const bytes = [...emitWasm([kernel]).module].map((b) => b.toString(16).padStart(2, "0")).join(" ")
    const get = "20 .."
    const bump = (by: string) => `${get} 41 ${by} 6a 21 ..`
    const loop = `03 40 ${get} ${get} 2a 02 00 ${get} 2a 02 00 94 92 21 .. ${bump("04")} ${bump("04")} ${get} 41 01 6a 22 .. 41 c0 00 48 0d 00 0b`
    expect(bytes).toMatch(new RegExp(loop))
  })
})

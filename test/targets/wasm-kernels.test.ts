import { describe, expect, test } from "vitest"
import {
  add,
  apply,
  fetch,
  lane,
  mul,
  ramp,
  splat,
  sub,
  symbol,
  variable,
  vector,
} from "../../compiler/ir/expression.js"
import type { Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { emitWasm } from "../../compiler/targets/wasm/emit.js"
import { alloc, assign, f, g, i, j, k, n, numbers, range, when } from "./wasm-statements.js"
import { bind, bound, buffer, generator, kernelOf, run, serial, store } from "./wasm-support.js"

describe("loops", () => {
  test("a matrix-vector product with a symbolic extent, pointers and hoisted rows", async () => {
    const K = symbol("K", 64, 64)
    const sum = variable("sum", "f32", 4)
    const body = [
      bind("sum", splat(f(0), 4), true),
      serial("k", apply("floordiv", K, n(4)), [
        assign(
          "sum",
          apply(
            "add",
            sum,
            apply("mul", fetch("x", mul(k, n(4)), "f32", 4), fetch("w", add(mul(g, K), mul(k, n(4))), "f32", 4)),
          ),
        ),
      ]),
      store(
        "y",
        g,
        range(4)
          .map((x) => lane(sum, x))
          .reduce(add),
      ),
    ]
    const kernel = kernelOf(
      [buffer("x", "f32", 64), buffer("w", "f32", 640), buffer("y", "f32", 10, "write")],
      10,
      body,
      { symbols: ["K"] },
    )
    const [x, w] = [numbers(64), numbers(640, 2)]
    for (const size of [0, 4, 60, 64]) {
      const { y } = await run(kernel, { x, w }, { symbols: { K: size } })
      expect([...y!]).toEqual(range(10).map((r) => range(size).reduce((s, c) => s + x[c]! * w[r * size + c]!, 0)))
    }
  })
  test("unrolled loops, nested, with an array in locals", async () => {
    const body = [
      alloc("acc", 8, "register"),
      bound("unroll", "i", 8, [store("acc", i, f(0))]),
      serial("k", 16, [
        bound("unroll", "i", 2, [
          bound("unroll", "j", 4, [
            bind("at", add(mul(i, n(4)), j)),
            store(
              "acc",
              variable("at"),
              add(
                fetch("acc", variable("at"), "f32"),
                mul(fetch("a", add(mul(i, n(16)), k), "f32"), fetch("b", add(mul(k, n(4)), j), "f32")),
              ),
            ),
          ]),
        ]),
      ]),
      bound("unroll", "i", 4, [store("c", mul(i, n(2)), fetch("acc", mul(i, n(2)), "f32", 2))]),
    ]
    const kernel = kernelOf([buffer("a", "f32", 32), buffer("b", "f32", 64), buffer("c", "f32", 8, "write")], 1, body)
    expect(emitWasm([kernel]).kernels[0]!.scratch).toBe(0)
    const [a, b] = [numbers(32), numbers(64, 5)]
    const { c } = await run(kernel, { a, b })
    expect([...c!]).toEqual(
      range(8).map((x) => range(16).reduce((s, q) => s + a[16 * (x >> 2) + q]! * b[4 * q + (x & 3)]!, 0)),
    )
  })
  test("an array in scratch, accessed by a loop variable, and scopes that share bytes", async () => {
    const fill = (name: string): Statement => ({
      kind: "block",
      body: [
        alloc(name, 10, "register"),
        serial("i", 10, [store(name, i, apply("toF32", add(i, g)))]),
        serial("i", 10, [
          store(
            "y",
            add(mul(g, n(10)), i),
            add(fetch("y", add(mul(g, n(10)), i), "f32"), fetch(name, sub(n(9), i), "f32")),
          ),
        ]),
      ],
    })
    const kernel = kernelOf([buffer("y", "f32", 30, "readwrite")], 3, [fill("p"), fill("q")])
    expect(emitWasm([kernel]).kernels[0]!.scratch).toBe(48)
    const { y } = await run(kernel, {})
    expect([...y!]).toEqual(range(30).map((x) => 2 * (9 - (x % 10) + Math.floor(x / 10))))
  })
  test("addresses: negative parts, large literals, division, indices read from memory", async () => {
    const at = add(add(mul(apply("floordiv", i, n(3)), n(50000)), mul(apply("floormod", i, n(3)), n(-7))), n(20))
    const body = [serial("i", 6, [store("y", i, fetch("x", add(at, fetch("index", i, "i32")), "i32"))])]
    const kernel = kernelOf(
      [buffer("x", "i32", 60000), buffer("index", "i32", 6), buffer("y", "i32", 6, "write")],
      1,
      body,
    )
    const index = [3, 1, 4, 1, 5, 9]
    const { y } = await run(kernel, { x: Int32Array.from(range(60000)), index: Int32Array.from(index) })
    expect([...y!]).toEqual(range(6).map((x) => Math.floor(x / 3) * 50000 - 7 * (x % 3) + 20 + index[x]!))
  })
  test("a quotient and remainder of a negative index are rounded down", async () => {
    const x = sub(i, n(20))
    const body = [serial("i", 40, [
      store("q", i, apply("floordiv", x, n(7))), store("r", i, apply("floormod", x, n(7))),
      store("p", i, apply("floordiv", x, n(8))), store("s", i, apply("floormod", x, n(8))),
    ])] // biome-ignore format: pairs
    const kernel = kernelOf(
      ["q", "r", "p", "s"].map((name) => buffer(name, "i32", 40, "write")),
      1,
      body,
    )
    const { q, r, p, s } = await run(kernel, {})
    for (const v of range(40)) {
      expect([q![v], r![v]]).toEqual([Math.floor((v - 20) / 7), (((v - 20) % 7) + 7) % 7])
      expect([p![v], s![v]]).toEqual([Math.floor((v - 20) / 8), (((v - 20) % 8) + 8) % 8])
    }
  })
  test("values do not outlive what they depend on", async () => {
    const m = variable("m")
    const square = mul(m, m)
    const read = fetch("y", n(0), "i32")
    const body = [
      bind("m", n(3), true),
      store("y", n(0), add(square, read)),
      assign("m", add(square, n(1))),
      store("y", n(1), add(square, read)),
      serial("i", 5, [when(apply("eq", i, n(4)), [assign("m", square)], [assign("m", sub(m, i))])]),
      store("y", n(2), square),
      when(apply("gt", square, n(5)), [store("y", n(0), mul(read, n(2)))]),
      store("y", n(3), add(read, read)),
    ]
    const { y } = await run(kernelOf([buffer("y", "i32", 4, "readwrite")], 1, body), {})
    expect([...y!]).toEqual([18, 109, 16 ** 2, 36])
  })
  test("values of a branch or an arm that was not taken are computed again", async () => {
    const w = variable("w")
    const cube = mul(mul(w, w), w)
    // They vary with g, so that nothing leaves the grid loop.
    const [x, y] = [fetch("x", g, "i32"), fetch("x", add(g, n(1)), "i32")]
    const third = mul(y, add(y, n(1)))
    const never = apply("gt", x, n(100))
    const body = [
      bind("w", x),
      when(never, [store("y", n(0), cube)], [store("y", n(1), add(cube, n(1)))]),
      store("y", n(2), cube),
      store("y", n(3), add(apply("select", never, apply("neg", third), n(1)), third)),
    ]
    const { y: got } = await run(
      kernelOf([buffer("x", "i32", 2, "readwrite"), buffer("y", "i32", 4, "write")], 1, body),
      {
        x: Int32Array.of(5, 6),
      },
    )
    expect([...got!]).toEqual([0, 126, 125, 43])
  })
  test("divisions know which indices may be negative", async () => {
    const v = variable("v")
    const at = (k: number) => add(mul(i, n(3)), n(k))
    const body = [
      serial("i", 9, [
        bind("v", fetch("x", i, "i32")),
        store("y", at(0), apply("floordiv", v, n(7))),
        store("y", at(1), apply("floordiv", sub(i, mul(i, i)), n(7))),
        store("y", at(2), apply("floormod", mul(i, v), n(5))),
      ]),
    ]
    const x = Int32Array.from(range(9), (k) => 7 * k - 31)
    const { y } = await run(kernelOf([buffer("x", "i32", 9), buffer("y", "i32", 27, "write")], 1, body), { x })
    expect([...y!]).toEqual(
      range(9).flatMap((k) => [Math.floor(x[k]! / 7), Math.floor((k - k * k) / 7), (((k * x[k]!) % 5) + 5) % 5]),
    )
  })
  test("a vector of 8 is stored over what it is made of", async () => {
    const x = fetch("x", n(0), "f32", 8)
    const body = [store("x", n(0), vector(range(8).map((k) => lane(x, 7 - k))))]
    const { x: got } = await run(kernelOf([buffer("x", "f32", 8, "readwrite")], 1, body), {
      x: Float32Array.from(range(8)),
    })
    expect([...got!]).toEqual(range(8).reverse())
  })
  test("a variable of 8 lanes is assigned as a whole", async () => {
    const v = variable("v", "f32", 8)
    const body = [
      bind("v", fetch("x", n(0), "f32", 8), true),
      assign("v", vector(range(8).map((x) => lane(v, 7 - x)))),
      store("x", n(0), apply("add", v, apply("toF32", ramp(n(100), 8)))),
    ]
    const { x } = await run(kernelOf([buffer("x", "f32", 8, "readwrite")], 1, body), { x: Float32Array.from(range(8)) })
    expect([...x!]).toEqual(range(8).map((v) => 7 - v + 100 + v))
  })
  test("vectors of 8 in arrays of nothing else, and in arrays of others, too", async () => {
    const at = mul(i, n(8))
    const eight = (array: string) => fetch(array, at, "f32", 8)
    const body = [
      alloc("apart", 64, "shared"),
      alloc("mixed", 64, "shared"),
      alloc("near", 16, "register"),
      alloc("both", 16, "register"),
      serial("i", 8, [store("apart", at, eight("x")), store("mixed", at, apply("add", eight("x"), splat(f(1), 8)))]),
      store("mixed", n(0), f(-9)),
      ...[0, 8].flatMap((o) => [
        store("near", n(o), fetch("apart", n(o), "f32", 8)),
        store("both", n(o), fetch("apart", n(8 - o), "f32", 8)),
      ]),
      store("both", n(4), splat(f(7), 4)),
      serial("i", 8, [store("y", at, apply("mul", eight("apart"), eight("mixed")))]),
      store("z", n(0), fetch("near", n(8), "f32", 8)),
      store("z", n(8), fetch("both", n(0), "f32", 8)),
      store("z", n(16), vector(range(4).map((k) => lane(fetch("near", n(0), "f32", 8), 2 * k + 1)))),
      store("z", n(20), fetch("both", n(4), "f32", 4)),
    ]
    const x = numbers(64)
    const kernel = kernelOf(
      [buffer("x", "f32", 64), buffer("y", "f32", 64, "write"), buffer("z", "f32", 24, "write")],
      1,
      body,
    )
    const { y, z } = await run(kernel, { x })
    expect([...y!]).toEqual([...x].map((v, k) => v * (k === 0 ? -9 : v + 1)))
    const both = [...x.slice(8, 12), 7, 7, 7, 7, ...x.slice(0, 8)]
    expect([...z!]).toEqual([...x.slice(8, 16), ...both.slice(0, 8), ...range(4).map((k) => x[2 * k + 1]), 7, 7, 7, 7])
  })
  test("an arm of a select that reads memory is evaluated only when it is taken", async () => {
    const far = mul(i, n(1 << 28))
    const value = apply("select", apply("lt", i, n(1)), fetch("x", far, "f32"), f(-1))
    const guarded = apply(
      "select",
      apply("and", apply("lt", i, n(1)), apply("gt", fetch("x", far, "f32"), f(0))),
      f(1),
      f(0),
    )
    const kernel = kernelOf([buffer("x", "f32", 1), buffer("y", "f32", 8, "write")], 1, [
      serial("i", 4, [store("y", i, value), store("y", add(i, n(4)), guarded)]),
    ])
    const { y } = await run(kernel, { x: Float32Array.of(5) })
    expect([...y!]).toEqual([5, -1, -1, -1, 1, 0, 0, 0])
  })
})

describe("motion out of loops", () => {
  test("what a loop does not write is read in front of it; what it writes is not", async () => {
    const row = variable("row")
    const last = variable("last", "f32")
    const body = [
      alloc("chosen", 6, "register", "i32"),
      serial("i", 6, [store("chosen", i, apply("floormod", mul(i, n(5)), n(6)))]),
      serial("i", 6, [
        serial("k", 8, [
          bind("row", fetch("chosen", i, "i32")),
          bind("last", fetch("y", i, "f32")),
          store("y", i, add(last, fetch("x", add(mul(row, n(8)), k), "f32"))),
        ]),
      ]),
    ]
    const x = numbers(48)
    const { y } = await run(kernelOf([buffer("x", "f32", 48), buffer("y", "f32", 6, "readwrite")], 1, body), { x })
    expect([...y!]).toEqual(range(6).map((r) => range(8).reduce((s, c) => s + x[((r * 5) % 6) * 8 + c]!, 0)))
  })
  test("a read that no iteration reaches stays where it is", async () => {
    const count = symbol("count", 8, 8)
    const far = fetch("x", mul(symbol("far", 1 << 28, 1), n(1)), "f32")
    const guarded = when(apply("gt", count, n(100)), [bind("v", far), store("y", i, variable("v", "f32"))])
    const body = [
      serial("i", count, [bind("w", far), store("y", i, variable("w", "f32"))]),
      serial("i", 8, [guarded, serial("j", sub(count, count), [store("y", j, far)])]),
      serial("i", 8, [store("y", i, add(fetch("y", i, "f32"), apply("select", apply("gt", count, n(0)), far, f(1))))]),
    ]
    const kernel = kernelOf([buffer("x", "f32", 1), buffer("y", "f32", 8, "readwrite")], 1, body, {
      symbols: ["count", "far"],
    })
    const none = await run(kernel, { x: Float32Array.of(3) }, { symbols: { count: 0, far: 1 << 28 } })
    expect([...none.y!]).toEqual(range(8).map(() => 1))
    const all = await run(kernel, { x: Float32Array.of(3) }, { symbols: { count: 8, far: 0 } })
    expect([...all.y!]).toEqual(range(8).map(() => 6))
  })
  test("an array behind a short loop is in locals", async () => {
    const body = [
      alloc("t", 4, "register"),
      serial("i", 4, [store("t", i, fetch("x", add(mul(g, n(4)), i), "f32"))]),
      serial("i", 4, [store("y", add(mul(g, n(4)), i), mul(fetch("t", sub(n(3), i), "f32"), fetch("t", i, "f32")))]),
    ]
    const kernel = kernelOf([buffer("x", "f32", 16), buffer("y", "f32", 16, "write")], 4, body)
    expect(emitWasm([kernel]).kernels[0]!.scratch).toBe(0)
    const x = numbers(16)
    const { y } = await run(kernel, { x })
    expect([...y!]).toEqual(range(16).map((v) => x[v]! * x[(v & ~3) + 3 - (v & 3)]!))
  })
  test("a long chain of selects over what is read is emitted once, not for each path", () => {
    let value: Expression = fetch("x", g, "f32")
    for (let n = 0; n < 40; n++)
      value = apply("select", apply("gt", value, f(n)), mul(value, value), apply("neg", value))
    const { module } = emitWasm([
      kernelOf([buffer("x", "f32", 4), buffer("y", "f32", 4, "write")], 4, [serial("i", 9, [store("y", g, value)])]),
    ])
    // Forty links, of which each path takes one of two: 2^40 would not end.
    expect(module.length).toBeLessThan(10_000)
  })
})

describe("storage", () => {
  const halfValue = (h: number) => {
    const [e, m] = [(h >> 10) & 31, h & 1023]
    const v =
      e === 0 ? m * 2 ** -24 : e === 31 ? (m ? Number.NaN : Number.POSITIVE_INFINITY) : (1024 + m) * 2 ** (e - 25)
    return h & 0x8000 ? -v : v
  }
  const bfloatValue = (h: number) => new Float32Array(Uint32Array.of(h << 16).buffer)[0]!
  const formats = { f16: halfValue, bf16: bfloatValue } as const
  for (const storage of ["f16", "bf16"] as const)
    for (const width of [1, 2, 4, 8]) {
      test(`all 65,536 ${storage} values are loaded exactly, ${width} at a time`, async () => {
        const at = mul(i, n(width))
        const body = [serial("i", 65536 / width, [store("y", at, fetch("x", at, "f32", width))])]
        const kernel = kernelOf([buffer("x", storage, 65536), buffer("y", "f32", 65536, "write")], 1, body)
        const { y } = await run(kernel, { x: Uint16Array.from(range(65536)) })
        const wrong = range(65536).filter(
          (h) => !Object.is(y![h], formats[storage](h)) && !(Number.isNaN(y![h]) && Number.isNaN(formats[storage](h))),
        )
        expect(wrong).toEqual([])
      })
      test(`${storage} is stored rounded to nearest even, ${width} at a time`, async () => {
        const random = generator(9)
        const edges = [
          65504,
          65519.996,
          65520,
          1e9,
          5.9e-8,
          2.98e-8,
          2.9802322e-8,
          2.9802326e-8,
          6.1e-5,
          1 + 2 ** -11,
          1 + 3 * 2 ** -11,
          1 + 2 ** -8,
          1 + 3 * 2 ** -8,
          0,
        ]
        const finite = range(65536).filter((h) => Number.isFinite(formats[storage](h)))
        const near = range(1500).map(
          () => formats[storage](finite[Math.floor(random() * finite.length)]!) * (1 + (random() - 0.5) * 2 ** -8),
        )
        const values = Float32Array.from(
          [...near, ...edges, ...edges.map((v) => -v), ...range(8).map(() => 0)].slice(0, 1528),
        )
        const at = mul(i, n(width))
        const body = [serial("i", values.length / width, [store("y", at, fetch("x", at, "f32", width))])]
        const { y } = await run(
          kernelOf([buffer("x", "f32", values.length), buffer("y", storage, values.length, "write")], 1, body),
          { x: values },
        )
        const sorted = finite.filter((h) => h < 0x8000)
        const nearest = (v: number) => {
          const a = Math.abs(v)
          let [low, high] = [0, sorted.length - 1]
          while (high - low > 1) {
            const middle = (low + high) >> 1
            if (formats[storage](sorted[middle]!) <= a) low = middle
            else high = middle
          }
          const [x, z] = [formats[storage](sorted[low]!), formats[storage](sorted[high]!)]
          const picked = a - x < z - a || (a - x === z - a && sorted[low]! % 2 === 0) ? low : high
          const most = storage === "f16" ? 65520 : Number.POSITIVE_INFINITY
          return (a >= most ? 0x7c00 : sorted[picked]!) + (v < 0 || Object.is(v, -0) ? 0x8000 : 0)
        }
        values.forEach((v, x) => {
          expect(y![x], `${v} as ${storage}`).toBe(nearest(v))
        })
      })
    }
})
